import { Database } from 'bun:sqlite'
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { EXIT, StartError } from '../../../exit.ts'
import * as schema from '../schema.ts'
import { type Checkpoints, createCheckpoints } from './checkpoints.ts'
import { BUSY_TIMEOUT_MS, type Connection, configure, writeProbe } from './connection.ts'
import { openDatabaseFile } from './database-file.ts'
import { makeDirectory, type Restriction, restrictToUser, syncDirectory } from './durable-files.ts'
import { hasWal, inspectDatabase, inspectFile } from './inspect.ts'
import { migrate } from './migrations.ts'
import { takeOwnerLock } from './owner-lock.ts'
import { isOutOfRoom } from './room.ts'
import { isLocked } from './sqlite-errors.ts'

/** The one open database of this process. */
export type OpenDatabase = Connection & {
  /** The migrations applied by this start. */
  migrated: string[]
  /** Whether others could read the files, and this start changed that. */
  restriction: Restriction
  /** Resolves when all that is committed is on the disk; rejects when the disk reports an error. */
  sync(): Promise<void>
  /**
   * Takes some microseconds.
   *
   * @throws Error where the data directory, the database or its log was removed or replaced
   */
  checkFiles(): void
  /** Whether an error of SQLite's means that there is no room, by whatever name. */
  isFull(error: unknown): boolean
  checkpoints: Checkpoints
  /**
   * Checkpoints the write-ahead log, closes the files and releases the directory.
   *
   * @throws Error as `checkFiles`, all closed nevertheless
   */
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
  // Closes what was opened, the last first.
  using opened = new DisposableStack()
  try {
    const database = open(directory, path, opened)
    const close = opened.move()
    return {
      ...database,
      close() {
        using _ = close
        database.finish()
      },
    }
  } catch (error) {
    if (error instanceof StartError) throw error
    const message = isOutOfRoom(error, path)
      ? `The database ${path} can't be opened: there is no room on its disk.`
      : `The database ${path} can't be opened: ${(error as Error).message}.`
    throw new StartError(EXIT.fault, message, { cause: error })
  }
}

/** Everything but `close`: what is opened is added to `opened`. */
function open(directory: string, path: string, opened: DisposableStack) {
  const file = opened.adopt(openDatabaseFile(path), ({ close }) => close())
  opened.adopt(takeOwnerLock(directory), (lock) => lock.release())
  const { realPath } = file
  inspectFile(realPath)
  if (hasWal(realPath)) inspectReadonly(realPath)
  const options = { create: true, readwrite: true, strict: true }
  const client = opened.adopt(new Database(realPath, options), (each) => each.close(true))
  client.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`)
  inspectDatabase(realPath, client)
  const restriction = restrictToUser(filesOf(directory, realPath))
  configure(client)
  const isFull = (error: unknown) => isOutOfRoom(error, realPath)
  const migrated = migrate(client, directory)
  // Writes application_id and version into the file itself. And the log of a process that ended
  // over a failed sync can't be trusted to be on the disk, whatever the page cache shows of it.
  truncateWal(client, isFull)
  // Finds a database that takes no writes. A full one answers what needs no room.
  unlessFull(() => writeProbe(client), isFull)
  syncDirectory(directory)
  const wal = opened.adopt(openSync(`${realPath}-wal`, 'r+'), closeSync)
  // A full disk kept the log: what is answered from it must be on the disk first.
  if (hasWal(realPath)) rewrite(wal)
  file.remember()
  const checkpoints = opened.adopt(createCheckpoints(client, realPath), (each) => each.close())

  function checkFiles(): void {
    const changed = file.changed()
    if (changed === undefined) return
    // What is in a log that was deleted can still be saved: the database itself is the same.
    if (changed === `${realPath}-wal` && !hasWal(realPath)) truncateWal(client, isFull)
    throw new Error(`${changed} was removed or replaced`)
  }

  return {
    client,
    orm: drizzle(client, { schema }),
    migrated,
    restriction,
    sync: () => sync(wal),
    checkFiles,
    isFull,
    checkpoints,
    finish() {
      checkFiles()
      truncateWal(client, isFull)
    },
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

/** All files that txhook makes. Those of an older version may be readable by others. */
function filesOf(directory: string, path: string): string[] {
  const others = /^(txhook\.lock|before-migration-\d+\.db)$/
  const names = readdirSync(directory).filter((name) => others.test(name))
  return [path, `${path}-wal`, `${path}-shm`, ...names.map((name) => join(directory, name))]
}

type IsFull = OpenDatabase['isFull']

/** Checkpoints the whole log, unless a full disk or a lock prevents it. */
function truncateWal(client: Database, isFull: IsFull): void {
  try {
    unlessFull(() => client.run('PRAGMA wal_checkpoint(TRUNCATE)'), isFull)
  } catch (error) {
    if (!isLocked(error)) throw error
  }
}

function unlessFull(write: () => void, isFull: IsFull): void {
  try {
    write()
  } catch (error) {
    if (!isFull(error)) throw error
  }
}

const CHUNK_BYTES = 1024 * 1024

/**
 * Writes a file's content over itself and syncs it. After a failed sync, memory may show content that
 * never reached the disk, and that the next sync would pass over.
 */
function rewrite(file: number): void {
  const chunk = new Uint8Array(CHUNK_BYTES)
  for (let at = 0; ; ) {
    const length = readSync(file, chunk, 0, CHUNK_BYTES, at)
    if (length === 0) break
    for (let written = 0; written < length; ) {
      written += writeSync(file, chunk, written, length - written, at + written)
    }
    at += length
  }
  fdatasyncSync(file)
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
