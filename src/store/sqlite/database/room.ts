import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { sizeOf } from './durable-files.ts'
import { sqliteCode } from './sqlite-errors.ts'

/** A disk, a quota, a limit on the size of files: RLIMIT_FSIZE, or the file system's own. */
const NO_ROOM = ['ENOSPC', 'EDQUOT', 'EFBIG'] as const

const NO_ROOM_NUMBERS: readonly number[] = NO_ROOM.map((name) => constants.errno[name])

/** SQLite's I/O errors that only a write or the growth of a file can have. None is of a sync. */
const MAY_LACK_ROOM = new Set([
  'SQLITE_IOERR_WRITE',
  'SQLITE_IOERR_TRUNCATE',
  'SQLITE_IOERR_SHMSIZE',
  'SQLITE_IOERR_SHMMAP',
  'SQLITE_IOERR_SHMOPEN',
])

/** A few pages: SQLite wrote as much as there was room for before it failed. */
const PROBE_BYTES = 65_536

/**
 * Whether an error of SQLite's means that there is no room. It says SQLITE_FULL only for ENOSPC, and
 * calls all else an I/O error; a file of ours, written beside the database, shows which it was.
 *
 * @param path of the database
 */
export function isOutOfRoom(error: unknown, path: string): boolean {
  const code = sqliteCode(error) ?? ''
  if (code === 'SQLITE_FULL') return true
  if (!MAY_LACK_ROOM.has(code)) return false
  const { systemErrno } = error as { systemErrno?: number }
  const said = systemErrno !== undefined && NO_ROOM_NUMBERS.includes(systemErrno)
  return said || lacksRoom(path)
}

function lacksRoom(path: string): boolean {
  const probe = join(dirname(path), 'txhook.probe')
  const largest = Math.max(...['', '-wal', '-shm'].map((suffix) => sizeOf(path + suffix)))
  try {
    write(probe, largest)
    return false
  } catch (error) {
    return NO_ROOM.some((name) => name === (error as NodeJS.ErrnoException).code)
  } finally {
    rmSync(probe, { force: true })
  }
}

/** Writes a few pages, then makes the file larger than all of SQLite's. */
function write(path: string, largest: number): void {
  const file = openSync(path, 'w', 0o600)
  try {
    const bytes = incompressible(PROBE_BYTES)
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at, at)
    ftruncateSync(file, largest + PROBE_BYTES)
  } finally {
    closeSync(file)
  }
}

/** Some file systems store zeros without taking room. */
function incompressible(length: number): Uint8Array {
  const words = new Uint32Array(length / 4)
  let word = 1
  // The generator of Numerical Recipes: any sequence without repetition does.
  for (let i = 0; i < words.length; i++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0
    words[i] = word
  }
  return new Uint8Array(words.buffer)
}
