/**
 * The migrations, embedded in the executable. drizzle's own migrator needs a folder on disk, so the
 * few lines that run them are ours.
 */

import type { Database } from 'bun:sqlite'
import { renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import first from '../../../../drizzle/0000_first.sql' with { type: 'text' }
import deployment from '../../../../drizzle/0001_deployment.sql' with { type: 'text' }
import operations from '../../../../drizzle/0002_operations.sql' with { type: 'text' }
import ids from '../../../../drizzle/0003_ids.sql' with { type: 'text' }
import { inTransaction, userVersion } from './connection.ts'
import { makePrivateFile, syncDirectory, syncPath } from './durable-files.ts'

/** One migration: its name in `drizzle/` and its SQL. */
export type Migration = { tag: string; sql: string }

/** Every migration, oldest first. A test compares this list with `drizzle/`. */
export const MIGRATIONS: readonly Migration[] = [
  { tag: '0000_first', sql: first },
  { tag: '0001_deployment', sql: deployment },
  { tag: '0002_operations', sql: operations },
  { tag: '0003_ids', sql: ids },
]

/** `txhk`: SQLite's application_id of a database of txhook. */
export const APPLICATION_ID = 0x7478686b

/**
 * Applies the missing migrations, each in a transaction that also raises `user_version`, the number
 * of migrations applied. A database that has content is copied to `before-migration-N.db` in its
 * directory first, N being its version. It must be txhook's and no newer than `migrations`.
 *
 * @returns the tags of those applied now
 */
export function migrate(
  database: Database,
  dataDir: string,
  migrations: readonly Migration[] = MIGRATIONS,
): string[] {
  const version = userVersion(database)
  const missing = migrations.slice(version)
  if (missing.length === 0) return []
  if (version > 0) snapshot(database, join(dataDir, `before-migration-${version}.db`))

  // A table can't be rebuilt under enforced foreign keys, and the setting can't change inside a
  // transaction: switched off around them, and checked before each commit instead.
  database.run('PRAGMA foreign_keys = OFF')
  try {
    for (const [index, migration] of missing.entries()) {
      apply(database, migration, version + index + 1)
    }
  } finally {
    database.run('PRAGMA foreign_keys = ON')
  }
  return missing.map((migration) => migration.tag)
}

/** Applies one migration whole or not at all, and records it in the database. */
function apply(database: Database, { tag, sql }: Migration, version: number): void {
  inTransaction(database, () => {
    database.run(sql)
    const broken = database.query('PRAGMA foreign_key_check').all()
    if (broken.length > 0) {
      throw new Error(`The migration ${tag} left ${broken.length} broken references.`)
    }
    database.run(`PRAGMA application_id = ${APPLICATION_ID}`)
    database.run(`PRAGMA user_version = ${version}`)
  })
}

/** Copies the database whole or not at all; an unfinished copy of an earlier try is replaced. */
function snapshot(database: Database, path: string): void {
  const unfinished = `${path}.unfinished`
  rmSync(unfinished, { force: true })
  // SQLite would make a new file readable by others.
  makePrivateFile(unfinished)
  database.run('VACUUM INTO ?', [unfinished])
  syncPath(unfinished)
  renameSync(unfinished, path)
  syncDirectory(dirname(path))
}
