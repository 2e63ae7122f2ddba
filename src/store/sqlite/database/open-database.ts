import { Database } from 'bun:sqlite'
import { closeSync, fdatasync, openSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { EXIT, StartError } from '../../../exit.ts'
import * as schema from '../schema.ts'
import { type Checkpoints, createCheckpoints } from './checkpoints.ts'
import { BUSY_TIMEOUT_MS, type Connection, configure, writeProbe } from './connection.ts'
import { makeDirectory, syncDirectory } from './durable-files.ts'
import { hasWal, inspectDatabase, inspectFile } from './inspect.ts'
import { migrate } from './migrations.ts'
import { takeOwnerLock } from './owner-lock.ts'
import { isTransient, sqliteCode } from './sqlite-errors.ts'

/** The one open database of this process. */
export type OpenDatabase = Connection & {
  /** The migrations applied by this start. */
  migrated: string[]
  /** Resolves when all that is committed is on the disk; rejects when the disk reports an error. */
  sync(): Promise<void>
  checkpoints: Checkpoints
  /** Checkpoints the write-ahead log, closes the files and releases the directory. */
  close(): void
}

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
    if (hasWal(path)) inspectReadonly(path)
    const client = new Database(path, { create: true, readwrite: true, strict: true })
    client.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`)
    inspectDatabase(path, client)
    configure(client)
    const migrated = migrate(client, directory)
    // Writes application_id and version into the file itself. And the log of a process that ended
    // over a failed sync can't be trusted to be on the disk, whatever the page cache shows of it.
    truncateWal(client)
    // Finds a database that takes no writes. And from here on there is a log.
    writeProbe(client)
    syncDirectory(directory)
    const wal = openSync(`${realpathSync(path)}-wal`, 'r+')
    const checkpoints = createCheckpoints(client, path)
    return {
      client,
      orm: drizzle(client, { schema }),
      migrated,
      sync: () => sync(wal),
      checkpoints,
      close() {
        checkpoints.close()
        truncateWal(client)
        closeSync(wal)
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
 * Inspects a database that has a write-ahead log. Closing a writable connection would checkpoint
 * the log, and Bun closes one that is left open at the exit; a read-only one writes nothing.
 */
function inspectReadonly(path: string): void {
  using client = new Database(path, { readonly: true })
  client.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`)
  inspectDatabase(path, client)
}

/** Checkpoints the whole log. What a full disk or a lock keeps in the log is safe there. */
function truncateWal(client: Database): void {
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
