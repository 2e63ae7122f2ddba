/**
 * The file of the database itself, held open beside SQLite for two things: the lock on what is
 * written, and to notice that the file, its log or their directory was removed or replaced.
 */

import type { BigIntStats } from 'node:fs'
import { closeSync, fstatSync, openSync, realpathSync, statSync } from 'node:fs'
import { EXIT, StartError } from '../../../exit.ts'
import { lockFile } from './file-lock.ts'
import { refuseOrphanedLog } from './inspect.ts'

export type DatabaseFile = {
  /** Without symbolic links: SQLite's log is beside this one. */
  realPath: string
  /** Remembers which files there are now. SQLite must have opened the database. */
  remember(): void
  /** The path that is no longer the file that was opened; undefined: all still are. */
  changed(): string | undefined
  /**
   * To be called after SQLite closed the database, and not before: by POSIX, closing any
   * descriptor of a file drops all locks of the process on it.
   */
  close(): void
}

/** The file of a path can be replaced between opening and looking, but not forever. */
const TRIES_MAX = 100

/** What SQLite has open: the database, the write-ahead log and its index. */
const SUFFIXES = ['', '-wal', '-shm'] as const

/**
 * Opens and locks the file of a database, and makes an empty one, which is a database without
 * tables, where there is none. Of several processes that do so at the same instant one succeeds.
 *
 * @throws StartError with exit code 3 where another process has the file
 */
export function openDatabaseFile(path: string): DatabaseFile {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const descriptor = openOrCreate(path)
    try {
      if (lockFile(descriptor) === 'held') {
        throw new StartError(EXIT.inUse, `The database ${path} is in use by another txhook.`)
      }
      if (isSame(statOf(path), fstatSync(descriptor, { bigint: true }))) {
        return databaseFile(path, descriptor)
      }
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
    closeSync(descriptor)
  }
  throw new Error('it is replaced again and again')
}

function databaseFile(path: string, descriptor: number): DatabaseFile {
  const realPath = realpathSync(path)
  const paths = SUFFIXES.map((suffix) => (suffix === '' ? path : realPath + suffix))
  let opened: (BigIntStats | undefined)[] = []
  return {
    realPath,
    remember() {
      // The database by its descriptor: what the path leads to may be another one by now.
      const [, wal, shm] = paths.map(statOf)
      opened = [fstatSync(descriptor, { bigint: true }), wal, shm]
    },
    changed: () => paths.find((each, i) => !isSame(statOf(each), opened[i])),
    close: () => closeSync(descriptor),
  }
}

function openOrCreate(path: string): number {
  try {
    return openSync(path, 'r+')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  // SQLite would delete it.
  refuseOrphanedLog(path)
  // Reading and writing, and nothing is cut off where another process has made it meanwhile.
  return openSync(path, 'a+', 0o600)
}

/** Of what the path leads to; undefined where that can't be found out. */
function statOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true })
  } catch {
    return undefined
  }
}

function isSame(one: BigIntStats | undefined, other: BigIntStats | undefined): boolean {
  return one !== undefined && one.dev === other?.dev && one.ino === other.ino
}
