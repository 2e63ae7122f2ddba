import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { EXIT, StartError } from '../../../exit.ts'
import { makePrivateFile } from './durable-files.ts'
import { isLocked } from './sqlite-errors.ts'

/** The exclusive use of a data directory, until it is released or the process ends. */
export type OwnerLock = { release(): void }

/** The kernel releases the locks of a killed process one by one; and of two, one must get it. */
const BUSY_TIMEOUT_MS = 500

/**
 * Locks the data directory for this process: an exclusive transaction on a small database, held as
 * long as the process runs. The kernel releases it however the process ends, so there is no stale
 * lock and no lease to wait for; and since it is SQLite's lock, it works wherever SQLite does. The
 * lock on the database itself, see file-lock.ts, holds whatever becomes of this file.
 *
 * @throws StartError with exit code 3 when another process has it
 */
export function takeOwnerLock(dataDir: string): OwnerLock {
  const path = join(dataDir, 'txhook.lock')
  let lock: Database | undefined
  try {
    makePrivateFile(path)
    lock = new Database(path, { create: true, readwrite: true })
    lock.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`)
    // A journal on the disk would need room there, and nothing is ever written.
    lock.run('PRAGMA journal_mode = MEMORY')
    lock.run('BEGIN EXCLUSIVE')
  } catch (error) {
    lock?.close()
    if (isLocked(error)) {
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
