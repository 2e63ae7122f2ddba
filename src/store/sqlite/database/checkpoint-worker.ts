/**
 * A worker that runs checkpoints: copying and its syncs take from milliseconds to a second, and must
 * not delay requests. Each message is the path of a database; the reply is a CheckpointReply.
 *
 * A compiled executable contains this file as it is, neither bundled nor transpiled: it imports
 * nothing of ours, and all its types are inferred.
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

/** An import `with { type: 'file' }` returns the path of this file instead. */
export default ''
