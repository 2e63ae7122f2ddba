/**
 * The schema's history, embedded: the executable carries its migrations and needs no folder beside
 * it. drizzle's own migrator wants one, so the few lines that run them are ours.
 */

import type { Database } from 'bun:sqlite'
import { renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import first from '../../../../drizzle/0000_first.sql' with { type: 'text' }
import deployment from '../../../../drizzle/0001_deployment.sql' with { type: 'text' }
import { inTransaction, userVersion } from './connection.ts'
import { syncDirectory, syncPath } from './durable-files.ts'

/** One migration: its name in `drizzle/` and its SQL. */
export type Migration = { tag: string; sql: string }

/** Every migration, oldest first. A test holds this list against `drizzle/`. */
export const MIGRATIONS: readonly Migration[] = [
  { tag: '0000_first', sql: first },
  { tag: '0001_deployment', sql: deployment },
]

/** `txhk`: SQLite's application_id of a database that is txhook's. */
export const APPLICATION_ID = 0x7478686b

/**
 * Brings a database up to date, each migration in a transaction of its own that also raises
 * `user_version`, the number of migrations applied. A database that has content is copied to
 * `before-migration-N.db` in its directory first, N being the version it has.
 *
 * The caller has made sure that the database is txhook's and no newer than `migrations`.
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

/** Applies one migration whole or not at all, and says in the database that it is there. */
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

/** Copies the database whole or not at all; a copy that an earlier try left is replaced. */
function snapshot(database: Database, path: string): void {
  const unfinished = `${path}.unfinished`
  rmSync(unfinished, { force: true })
  database.run('VACUUM INTO ?', [unfinished])
  syncPath(unfinished)
  renameSync(unfinished, path)
  syncDirectory(dirname(path))
}
