/** Files and directories that a power cut leaves as they are. */

import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'

/** What is in the directory is nobody else's business. */
const OWNER_ONLY = 0o700

/** Makes a directory with all those above it; each new one is known to its parent on the disk. */
export function makeDirectory(directory: string): void {
  const first = mkdirSync(directory, { recursive: true, mode: OWNER_ONLY })
  if (first === undefined) return
  for (let made = directory; ; made = dirname(made)) {
    syncDirectory(dirname(made))
    if (made === first) return
  }
}

/** Sends the names in a directory to the disk: those of new files, and of renamed ones. */
export function syncDirectory(directory: string): void {
  // Windows can't open a directory; its file system journals the names by itself.
  if (process.platform !== 'win32') syncPath(directory)
}

/** Sends the content of a file to the disk. */
export function syncPath(path: string): void {
  const file = openSync(path, process.platform === 'win32' ? 'r+' : 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
