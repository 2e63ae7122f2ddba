/**
 * A worker that runs checkpoints: copying and its syncs take from milliseconds to a second, and must
 * not delay requests. Each message is the path of a database; the reply is a CheckpointReply.
 *
 * A compiled executable contains this file as it is, neither bundled nor transpiled: it imports
 * nothing of ours, and all its types are inferred.
 */

import { constants, Database } from 'bun:sqlite'

addEventListener('message', ({ data: path }) => {
  try {
    const database = new Database(path, { readwrite: true })
    try {
      database.run('PRAGMA synchronous = NORMAL')
      database.run('PRAGMA wal_checkpoint(PASSIVE)')
    } catch (error) {
      // Of the database's file, which a checkpoint writes. It is an int; Bun wants 8 bytes.
      const errno = new Int32Array(2)
      database.fileControl(constants.SQLITE_FCNTL_LAST_ERRNO, errno)
      throw Object.assign(Object(error), { systemErrno: errno[0] })
    } finally {
      database.close(true)
    }
    postMessage({ ok: true })
  } catch (error) {
    const { code, message, systemErrno } = Object(error)
    postMessage({ ok: false, code, message, systemErrno })
  }
})

/** An import `with { type: 'file' }` returns the path of this file instead. */
export default ''
