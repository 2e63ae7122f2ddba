import { Database } from 'bun:sqlite'
import { closeSync, fdatasync, openSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type BunSQLiteDatabase, drizzle } from 'drizzle-orm/bun-sqlite'
import { EXIT, StartError } from '../../../exit.ts'
import * as schema from '../schema.ts'
import { type Checkpoints, createCheckpoints } from './checkpoints.ts'
import { makeDirectory, syncDirectory } from './durable-files.ts'
import { hasLog, inspectDatabase, inspectFile } from './inspect.ts'
import { migrate, userVersion } from './migrations.ts'
import { takeOwnerLock } from './owner-lock.ts'
import { isTransient, pragma, sqliteCode } from './sqlite-errors.ts'

type Orm = BunSQLiteDatabase<typeof schema>

/** What writes SQL (drizzle) and what runs it. */
export type Connection = { client: Database; orm: Orm }

/** The one open database of this process. */
export type OpenDatabase = Connection & {
  /** The migrations applied by this start. */
  migrated: string[]
  /** Resolves when all that is committed is on the disk; rejects when the disk says otherwise. */
  sync(): Promise<void>
  checkpoints: Checkpoints
  /** Folds the write-ahead log into the database and lets go of both and of the directory. */
  close(): void
}

/** Before 3.51.3 a reset of the write-ahead log could lose a commit. */
const SQLITE_VERSION_MIN = [3, 51, 3] as const

/** How long a write waits for another program's lock on the file; it stalls all requests. */
const BUSY_TIMEOUT_MS = 200

/** Holds the hot pages of the index on random transaction ids, up to some ten million of them. */
const CACHE_KIB = 256 * 1024

/** What a burst may make of the write-ahead log is given back to the file system beyond this. */
const WAL_BYTES_MAX = 128 * 1024 * 1024

/**
 * Opens the database of a data directory, making whatever is missing.
 *
 * @throws StartError with exit code 3 (in use), 4 (newer, foreign or damaged) or 1 (all else)
 */
export function openDatabase(dataDir: string): OpenDatabase {
  const directory = resolve(dataDir)
  const path = join(directory, 'txhook.db')
  makeDataDirectory(directory)
  const lock = takeOwnerLock(directory)
  try {
    inspectFile(path)
    if (hasLog(path)) inspectReadonly(path)
    const client = new Database(path, { create: true, readwrite: true, strict: true })
    client.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`)
    inspectDatabase(path, client)
    refuseOldSqlite(client)
    configure(client)
    const migrated = migrate(client, directory)
    // The file itself now says whose it is and how old. And a log that a process left which ended
    // over a failed sync is worth nothing on the disk, whatever the page cache shows of it.
    foldLog(client)
    // A database that takes no writes is found out now. And only now there surely is a log.
    writeProbe(client)
    syncDirectory(directory)
    const log = openSync(`${realpathSync(path)}-wal`, 'r+')
    const checkpoints = createCheckpoints(client, path)
    return {
      client,
      orm: drizzle(client, { schema }),
      migrated,
      sync: () => sync(log),
      checkpoints,
      close() {
        checkpoints.close()
        foldLog(client)
        closeSync(log)
        client.close(true)
        lock.release()
      },
    }
  } catch (error) {
    lock.release()
    if (error instanceof StartError) throw error
    const message = `The database ${path} can't be opened: ${(error as Error).message}.`
    throw new StartError(EXIT.fault, message, { cause: error })
  }
}

/**
 * Looks into a database with a write-ahead log. To close a writable connection would fold the log
 * into the file, and one that is left open is closed by Bun at the exit; a read-only one writes
 * nothing at all.
 */
function inspectReadonly(path: string): void {
  using client = new Database(path, { readonly: true })
  client.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`)
  inspectDatabase(path, client)
}

function configure(client: Database): void {
  const { journal_mode } = pragma<{ journal_mode: string }>(client, 'journal_mode = WAL')
  if (journal_mode !== 'wal') {
    throw new Error(`its file system has no write-ahead log (journal mode ${journal_mode})`)
  }
  // NORMAL leaves the sync of a commit to us (`sync`), off this thread and before any answer. The
  // syncs that a checkpoint needs are still SQLite's.
  client.run('PRAGMA synchronous = NORMAL')
  client.run('PRAGMA foreign_keys = ON')
  client.run(`PRAGMA cache_size = -${CACHE_KIB}`)
  // SQLite's own checkpoints ignore their errors, even a failed sync: ours (`checkpoints`) don't.
  client.run('PRAGMA wal_autocheckpoint = 0')
  client.run(`PRAGMA journal_size_limit = ${WAL_BYTES_MAX}`)
  client.run('PRAGMA temp_store = MEMORY')
}

/** Sends a page to the disk without changing anything: the number is written as it is. */
export function writeProbe(client: Database): void {
  client.run(`PRAGMA user_version = ${userVersion(client)}`)
}

function refuseOldSqlite(client: Database): void {
  const { version } = client.query('SELECT sqlite_version() AS version').get() as {
    version: string
  }
  const parts = version.split('.').map(Number)
  for (const [index, least] of SQLITE_VERSION_MIN.entries()) {
    const part = parts[index] ?? 0
    if (part > least) return
    if (part < least) {
      throw new Error(`SQLite ${version} is older than ${SQLITE_VERSION_MIN.join('.')}`)
    }
  }
}

/** Folds the log into the database. What a full disk or a lock keeps in the log is safe there. */
function foldLog(client: Database): void {
  try {
    client.run('PRAGMA wal_checkpoint(TRUNCATE)')
  } catch (error) {
    if (!isTransient(sqliteCode(error))) throw error
  }
}

function makeDataDirectory(directory: string): void {
  try {
    makeDirectory(directory)
  } catch (error) {
    const message = `The data directory ${directory} can't be made: ${(error as Error).message}.`
    throw new StartError(EXIT.fault, message, { cause: error })
  }
}

function sync(file: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  fdatasync(file, (error) => (error ? reject(error) : resolve()))
  return promise
}
