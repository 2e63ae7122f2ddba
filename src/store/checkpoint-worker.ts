/**
 * The worker that copies the write-ahead log into the database: the copying and its syncs take from
 * milliseconds to a second, which requests shouldn't wait for. It stands by itself, since an
 * executable carries it as a file. Each message asks for something, and is answered.
 */

import { Database } from 'bun:sqlite'

declare const self: Worker

/** What is asked for: a database to work on, a checkpoint of it, or to let go of it. */
export type CheckpointRequest = { open: string } | 'checkpoint' | 'close'

/** `code` is SQLite's. */
export type CheckpointAnswer =
  | { ok: true }
  | { ok: false; code: string | undefined; message: string }

let database: Database | undefined

self.onmessage = ({ data }: MessageEvent<CheckpointRequest>) => {
  try {
    if (data === 'checkpoint') {
      database?.run('PRAGMA wal_checkpoint(PASSIVE)')
    } else if (data === 'close') {
      database?.close(true)
    } else {
      database = new Database(data.open, { readwrite: true })
      database.run('PRAGMA synchronous = NORMAL')
    }
    self.postMessage({ ok: true } satisfies CheckpointAnswer)
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    self.postMessage({ ok: false, code, message } satisfies CheckpointAnswer)
  }
}

/** An import `with { type: 'file' }` gives the path of this file instead. */
export default ''
