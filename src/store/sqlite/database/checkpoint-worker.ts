/**
 * The worker that copies the write-ahead log into the database: the copying and its syncs take from
 * milliseconds to a second, which requests shouldn't wait for. Each message is the path of a
 * database, and is answered by a CheckpointAnswer.
 *
 * A compiled executable carries this file as it is, neither bundled nor transpiled: it stands by
 * itself, and what types it has must be inferred.
 */

import { Database } from 'bun:sqlite'

addEventListener('message', ({ data: path }) => {
  try {
    const database = new Database(path, { readwrite: true })
    try {
      database.run('PRAGMA synchronous = NORMAL')
      database.run('PRAGMA wal_checkpoint(PASSIVE)')
    } finally {
      database.close(true)
    }
    postMessage({ ok: true })
  } catch (error) {
    const { code, message } = Object(error)
    postMessage({ ok: false, code, message })
  }
})

/** An import `with { type: 'file' }` gives the path of this file instead. */
export default ''
