import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { EXIT, StartError } from '../../../exit.ts'
import { isLocked, sqliteCode } from './sqlite-errors.ts'

/** The exclusive use of a data directory, until it is released or the process ends. */
export type OwnerLock = { release(): void }

/**
 * Locks the data directory for this process: an exclusive transaction on a small database, held as
 * long as the process runs. The kernel releases it however the process ends, so there is no stale
 * lock and no lease to wait for; and since it is SQLite's lock, it works wherever SQLite does.
 *
 * @throws StartError with exit code 3 when another process has it
 */
export function takeOwnerLock(dataDir: string): OwnerLock {
  const path = join(dataDir, 'txhook.lock')
  let lock: Database | undefined
  try {
    lock = new Database(path, { create: true, readwrite: true })
    lock.run('PRAGMA busy_timeout = 0')
    lock.run('BEGIN EXCLUSIVE')
  } catch (error) {
    lock?.close()
    if (isLocked(sqliteCode(error))) {
      const message = `The data directory ${dataDir} is in use by another txhook.`
      throw new StartError(EXIT.inUse, message)
    }
    const message = `The lock file ${path} can't be used: ${(error as Error).message}.`
    throw new StartError(EXIT.fault, message, { cause: error })
  }
  // The closure keeps the object alive: garbage collection would release the lock.
  const held = lock
  return { release: () => held.close() }
}
