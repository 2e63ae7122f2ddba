import type { Database } from 'bun:sqlite'
import workerPath from './checkpoint-worker.ts' with { type: 'file' }
import { passes, pragma } from './sqlite.ts'

/** The write-ahead log, kept within bounds. */
export type Checkpoints = {
  /** Whether the log has grown enough to be copied. Costs a microsecond. */
  due(): boolean
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

/** @param path of the database that `client` has open */
export function createCheckpoints(client: Database, path: string): Checkpoints {
  let worker: Worker | undefined
  return {
    due: () => pragma<{ log: number }>(client, 'wal_checkpoint(NOOP)').log >= DUE_PAGES,
    async run() {
      worker ??= new Worker(workerPath, { ref: false })
      const answer = await ask(worker, path)
      if (!answer.ok && !passes(answer.code)) {
        throw new Error(`The checkpoint failed: ${answer.message}`)
      }
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
