import { constants, type Database } from 'bun:sqlite'
import type { BunSQLiteDatabase } from 'drizzle-orm/bun-sqlite'
import type * as schema from '../schema.ts'

/** What builds SQL (drizzle) and what runs it. */
export type Connection = { client: Database; orm: BunSQLiteDatabase<typeof schema> }

/** How long a write waits for another program's lock on the file; it delays all requests. */
export const BUSY_TIMEOUT_MS = 200

/** Holds the index of the ids of some ten million transactions, which has 200 MB. */
const CACHE_KIB = 256 * 1024

/**
 * Of a new database. A commit writes whole pages, most of them for a row or two: those of 1 KiB write
 * half of what those of 2 KiB do, at the same CPU time. See test/bench/results.md.
 */
export const PAGE_BYTES = 1024

/** A write-ahead log that a burst made larger is truncated to this. */
const WAL_BYTES_MAX = 128 * 1024 * 1024

/** Before 3.51.3 a reset of the write-ahead log could lose a commit. */
const SQLITE_VERSION_MIN = '3.51.3'

/**
 * Sets the writing connection up.
 *
 * @throws Error where this SQLite is too old or the file system has no write-ahead log
 */
export function configure(client: Database): void {
  const { version } = client.query('SELECT sqlite_version() AS version').get() as {
    version: string
  }
  if (Bun.semver.order(version, SQLITE_VERSION_MIN) < 0) {
    throw new Error(`SQLite ${version} is older than ${SQLITE_VERSION_MIN}`)
  }
  // One that has content keeps its page size. Copies of it by VACUUM INTO get this one.
  client.run(`PRAGMA page_size = ${PAGE_BYTES}`)
  const { journal_mode } = pragma<{ journal_mode: string }>(client, 'journal_mode = WAL')
  if (journal_mode !== 'wal') {
    throw new Error(`its file system has no write-ahead log (journal mode ${journal_mode})`)
  }
  // With NORMAL the sync of a commit is ours: off this thread, and before any answer. SQLite still
  // does the syncs that a checkpoint needs.
  client.run('PRAGMA synchronous = NORMAL')
  client.run('PRAGMA foreign_keys = ON')
  client.run(`PRAGMA cache_size = -${CACHE_KIB}`)
  // SQLite's own checkpoints ignore errors, even of a sync; those of checkpoints.ts don't.
  client.run('PRAGMA wal_autocheckpoint = 0')
  client.run(`PRAGMA journal_size_limit = ${WAL_BYTES_MAX}`)
  client.run('PRAGMA temp_store = MEMORY')
  // The log and its index stay, emptied, when the database is closed: making them takes room, and a
  // start on a full disk can read without any. Nor is a log deleted that isn't this database's.
  client.fileControl(constants.SQLITE_FCNTL_PERSIST_WAL, 1)
}

/** The first row of a pragma. */
export function pragma<Row>(database: Database, text: string): Row {
  return database.query(`PRAGMA ${text}`).get() as Row
}

/** The number of migrations that a database has had. */
export function userVersion(database: Database): number {
  return pragma<{ user_version: number }>(database, 'user_version').user_version
}

/** More than the b-trees of a transaction need where each of them splits its pages. */
const SCRATCH_SPARE_BYTES = 32 * 1024

/**
 * Writes without changing anything: a page, or so many bytes in a table that is gone again by the
 * end of the transaction that this runs in. The log gets all of it, and the database keeps the pages
 * for what comes next.
 */
export function writeProbe(client: Database, bytes = 0): void {
  if (bytes === 0) {
    client.run(`PRAGMA user_version = ${userVersion(client)}`)
    return
  }
  client.run('CREATE TABLE scratch (bytes BLOB) STRICT')
  client.run(`INSERT INTO scratch VALUES (randomblob(${bytes + SCRATCH_SPARE_BYTES}))`)
  client.run('DROP TABLE scratch')
}

/** Runs the work in a transaction that is committed whole or not at all. */
export function inTransaction(database: Database, work: () => void): void {
  try {
    database.query('BEGIN IMMEDIATE').run()
    work()
    database.query('COMMIT').run()
  } catch (error) {
    // A full disk may have ended the transaction already.
    if (database.inTransaction) database.query('ROLLBACK').run()
    throw error
  }
}
