/** What several parts of the store need of bun:sqlite. */

import type { Database } from 'bun:sqlite'

/** SQLite's name of an error, say `SQLITE_BUSY`; undefined where it isn't one of SQLite's. */
export function sqliteCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined
}

/** Whether another connection's lock is what stands in the way. */
export function isLocked(code: string | undefined): boolean {
  return code !== undefined && /^SQLITE_(BUSY|LOCKED)/.test(code)
}

/** Whether what stands in the way passes by itself: a lock, or a full disk. */
export function isTransient(code: string | undefined): boolean {
  return code === 'SQLITE_FULL' || isLocked(code)
}

/** The first row of a pragma. */
export function pragma<Row>(database: Database, text: string): Row {
  return database.query(`PRAGMA ${text}`).get() as Row
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
