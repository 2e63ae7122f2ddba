/**
 * The worker that copies the write-ahead log into the database: the copying and its syncs take from
 * milliseconds to a second, which requests shouldn't wait for. It stands by itself, since an
 * executable carries it as a file. Each message is the path of a database, and is answered.
 */

import { Database } from 'bun:sqlite'

declare const self: Worker

/** How a checkpoint went. `code` is SQLite's. */
export type CheckpointAnswer =
  | { ok: true }
  | { ok: false; code: string | undefined; message: string }

self.onmessage = ({ data: path }: MessageEvent<string>) => {
  let answer: CheckpointAnswer = { ok: true }
  try {
    using database = new Database(path, { readwrite: true })
    database.run('PRAGMA synchronous = NORMAL')
    database.run('PRAGMA wal_checkpoint(PASSIVE)')
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    answer = { ok: false, code, message }
  }
  self.postMessage(answer)
}

/** An import `with { type: 'file' }` gives the path of this file instead. */
export default ''
