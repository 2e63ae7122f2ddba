import type { Database } from 'bun:sqlite'
import workerPath from './checkpoint-worker.ts' with { type: 'file' }
import { pragma } from './connection.ts'
import { isOutOfRoom } from './room.ts'
import { isLocked } from './sqlite-errors.ts'

/** Keeps the write-ahead log within bounds. */
export type Checkpoints = {
  /** Whether the log is long enough for a checkpoint. Takes a microsecond. */
  due(): boolean
  /** Whether so little of the log is left that commits can wait for the next pass. */
  nearlyDone(): boolean
  /**
   * Copies the log into the database, in a thread of its own. A full disk or a lock postpones it;
   * rejects on any other error of the disk.
   */
  run(): Promise<void>
  /** Ends the thread. No run may be under way. */
  close(): void
}

/**
 * A checkpoint is due from this length of the log on. In a longer one more pages were written
 * repeatedly, and are copied once.
 */
const DUE_BYTES = 64 * 1024 * 1024

/** A log that wasn't copied whole is due again when it has grown by this. */
const AGAIN_BYTES = 16 * 1024 * 1024

/** Copied and synced in a few milliseconds. */
const NEARLY_DONE_BYTES = 2 * 1024 * 1024

/** @param path of the database that `client` has open */
export function createCheckpoints(client: Database, path: string): Checkpoints {
  let worker: Worker | undefined
  const { page_size } = pragma<{ page_size: number }>(client, 'page_size')
  const pages = (bytes: number) => Math.floor(bytes / page_size)
  let duePages = pages(DUE_BYTES)
  /** In pages: the length of the log, and how much of it is copied. */
  const state = () => pragma<{ log: number; checkpointed: number }>(client, 'wal_checkpoint(NOOP)')
  return {
    due() {
      const { log, checkpointed } = state()
      return log >= duePages && checkpointed < log
    },
    nearlyDone() {
      const { log, checkpointed } = state()
      return log - checkpointed <= pages(NEARLY_DONE_BYTES)
    },
    async run() {
      worker ??= new Worker(workerPath, { ref: false })
      const reply = await request(worker, path)
      if (!reply.ok && !isLocked(reply) && !isOutOfRoom(reply, path)) {
        throw new Error(`The checkpoint failed: ${reply.message}`)
      }
      // A reader or a full disk can keep a part from being copied: try again later.
      const { log, checkpointed } = state()
      duePages = checkpointed < log ? log + pages(AGAIN_BYTES) : pages(DUE_BYTES)
    },
    close: () => worker?.terminate(),
  }
}

/** `code` is SQLite's, `systemErrno` the operating system's. */
type CheckpointReply =
  | { ok: true }
  | { ok: false; code: string | undefined; message: string; systemErrno: number | undefined }

/** One request at a time. */
function request(worker: Worker, path: string): Promise<CheckpointReply> {
  const { promise, resolve, reject } = Promise.withResolvers<CheckpointReply>()
  worker.onerror = ({ message }) => reject(new Error(message))
  worker.onmessage = ({ data }: MessageEvent<CheckpointReply>) => resolve(data)
  worker.postMessage(path)
  return promise
}
