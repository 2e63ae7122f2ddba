/** A lock on an open file itself, under whatever name and in whatever directory it was opened. */

import { FFIType } from 'bun:ffi'
import { loadFromLibc } from '../../../libc.ts'

/** `unsupported`: this platform or this file system has no such lock. */
export type LockResult = 'locked' | 'held' | 'unsupported'

/** Of Linux: fcntl(2), "Open file description locks". */
const F_OFD_GETLK = 36
const F_OFD_SETLK = 37
const F_WRLCK = 1
const F_UNLCK = 2

/** One byte far behind the ones that SQLite locks, which are those from 2^30 on. */
const OFFSET = 2n ** 62n

const TRIES_MAX = 100

/**
 * Locks the file of this descriptor exclusively until the descriptor is closed, without waiting.
 *
 * Of the three kinds of lock this is the one that goes together with SQLite's. flock(2) locks the
 * whole file, on NFS and SMB against SQLite's own locks too; and a lock by F_SETLK would be the same
 * process's for SQLite, so that either could drop it.
 */
export function lockFile(descriptor: number): LockResult {
  if (process.platform !== 'linux') return 'unsupported'
  const libc = loadFromLibc({
    fcntl: { args: [FFIType.i32, FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
  })
  if (libc === undefined) return 'unsupported'
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    if (libc.fcntl(descriptor, F_OFD_SETLK, wholeRange()) === 0) return 'locked'
    const holder = wholeRange()
    if (libc.fcntl(descriptor, F_OFD_GETLK, holder) !== 0) return 'unsupported'
    // Let go of between the two calls: try again.
    if (holder.readInt16LE(0) !== F_UNLCK) return 'held'
  }
  return 'held'
}

/** `struct flock` on the 64-bit platforms: type, whence, start, length, process id. */
function wholeRange(): Buffer {
  const range = Buffer.alloc(32)
  range.writeInt16LE(F_WRLCK, 0)
  range.writeBigInt64LE(OFFSET, 8)
  range.writeBigInt64LE(1n, 16)
  return range
}
