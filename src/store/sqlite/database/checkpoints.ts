import type { Database } from 'bun:sqlite'
import workerPath from './checkpoint-worker.ts' with { type: 'file' }
import { pragma } from './connection.ts'
import { isTransient } from './sqlite-errors.ts'

/** The write-ahead log, kept within bounds. */
export type Checkpoints = {
  /** Whether the log has grown enough to be copied. Costs a microsecond. */
  due(): boolean
  /** Whether so little of the log is left to copy that commits can wait for it. */
  nearlyDone(): boolean
  /**
   * Copies what the log holds into the database, in a thread of its own. A full disk or a lock puts
   * it off; rejects when the disk fails.
   */
  run(): Promise<void>
  /** Ends the thread; no run may be under way. */
  close(): void
}

/**
 * From this many pages of 4 KiB on, the log is copied. The more it holds, the more often a page in
 * it was written over and need not be copied each time: random ids dirty a page each.
 */
const DUE_PAGES = 16_000

/** A log that couldn't be copied whole is due again when it has grown by as much. */
const AGAIN_PAGES = 4_000

/** Copied and synced in a few milliseconds. */
const NEARLY_DONE_PAGES = 500

/** @param path of the database that `client` has open */
export function createCheckpoints(client: Database, path: string): Checkpoints {
  let worker: Worker | undefined
  let duePages = DUE_PAGES
  /** In pages: what the log holds, and how much of that is copied. */
  const state = () => pragma<{ log: number; checkpointed: number }>(client, 'wal_checkpoint(NOOP)')
  return {
    due() {
      const { log, checkpointed } = state()
      return log >= duePages && checkpointed < log
    },
    nearlyDone() {
      const { log, checkpointed } = state()
      return log - checkpointed <= NEARLY_DONE_PAGES
    },
    async run() {
      worker ??= new Worker(workerPath, { ref: false })
      const answer = await ask(worker, path)
      if (!answer.ok && !isTransient(answer.code)) {
        throw new Error(`The checkpoint failed: ${answer.message}`)
      }
      // What a reader or a full disk keeps from being copied now is tried again a good deal later.
      const { log, checkpointed } = state()
      duePages = checkpointed < log ? log + AGAIN_PAGES : DUE_PAGES
    },
    close: () => worker?.terminate(),
  }
}

/** How the worker says that it went. `code` is SQLite's. */
type CheckpointAnswer = { ok: true } | { ok: false; code: string | undefined; message: string }

/** One question at a time. */
function ask(worker: Worker, path: string): Promise<CheckpointAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<CheckpointAnswer>()
  worker.onerror = ({ message }) => reject(new Error(message))
  worker.onmessage = ({ data }: MessageEvent<CheckpointAnswer>) => resolve(data)
  worker.postMessage(path)
  return promise
}
