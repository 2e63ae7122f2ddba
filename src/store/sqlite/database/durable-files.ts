/** Files and directories that survive a power cut, and that others can't read. */

import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** Readable by the user of the process alone. */
const OWNER_ONLY = 0o700

/** Makes a directory and its parents, and syncs the entry of each new one. */
export function makeDirectory(directory: string): void {
  const first = mkdirSync(directory, { recursive: true, mode: OWNER_ONLY })
  if (first === undefined) return
  for (let made = directory; ; made = dirname(made)) {
    syncDirectory(dirname(made))
    if (made === first) return
  }
}

/** Makes an empty file for this user alone; one that is there is left as it is. */
export function makePrivateFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** Whether files that others could read were made private; `refused`: some still are not. */
export type Restriction = 'none_needed' | 'done' | 'refused'

/** Makes files readable by this user alone, those of them that exist. */
export function restrictToUser(paths: readonly string[]): Restriction {
  if (process.platform === 'win32') return 'none_needed'
  const mode = (path: string) => statSync(path, { throwIfNoEntry: false })?.mode ?? 0
  const open = paths.filter((path) => (mode(path) & 0o077) !== 0)
  if (open.length === 0) return 'none_needed'
  try {
    for (const path of open) chmodSync(path, 0o600)
    return 'done'
  } catch {
    // Another user's files, or a file system without modes.
    return 'refused'
  }
}

/** Syncs the entries of a directory: the names of new and of renamed files. */
export function syncDirectory(directory: string): void {
  // Windows can't open a directory; its file system journals the names.
  if (process.platform !== 'win32') syncPath(directory)
}

/** Syncs the content of a file. */
export function syncPath(path: string): void {
  const file = openSync(path, process.platform === 'win32' ? 'r+' : 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** In bytes; 0 where there is no such file. */
export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
