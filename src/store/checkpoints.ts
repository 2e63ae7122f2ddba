import type { Database } from 'bun:sqlite'
import workerPath from './checkpoint-worker.ts' with { type: 'file' }
import type { CheckpointAnswer, CheckpointRequest } from './checkpoint-worker.ts'

/** The write-ahead log, kept within bounds. */
export type Checkpoints = {
  /** Whether the log has grown enough to be copied. Costs a microsecond. */
  due(): boolean
  /**
   * Copies what the log holds into the database, in a thread of its own. A full disk or a lock puts
   * it off; rejects when the disk fails.
   */
  run(): Promise<void>
  /** Ends the thread. */
  close(): Promise<void>
}

/**
 * From this many pages of 4 KiB on, the log is copied. The more it holds, the more often a page in
 * it was written over and need not be copied each time: random ids dirty a page each.
 */
const DUE_PAGES = 16_000

/** @param path of the database that `client` has open */
export function createCheckpoints(client: Database, path: string): Checkpoints {
  let worker: CheckpointWorker | undefined
  return {
    due() {
      const { log } = client.query('PRAGMA wal_checkpoint(NOOP)').get() as { log: number }
      return log >= DUE_PAGES
    },
    async run() {
      worker ??= await startWorker(path)
      await worker.ask('checkpoint')
    },
    async close() {
      await worker?.ask('close')
      worker?.terminate()
    },
  }
}

type CheckpointWorker = { ask(request: CheckpointRequest): Promise<void>; terminate(): void }

async function startWorker(path: string): Promise<CheckpointWorker> {
  const worker = new Worker(workerPath)
  // It isn't what keeps the process running.
  worker.unref()

  /** One request at a time. */
  function ask(request: CheckpointRequest): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    worker.onerror = ({ message }) => reject(new Error(message))
    worker.onmessage = ({ data }: MessageEvent<CheckpointAnswer>) => {
      if (data.ok || data.code === 'SQLITE_FULL' || data.code === 'SQLITE_BUSY') resolve()
      else reject(new Error(`The checkpoint failed: ${data.message}`))
    }
    worker.postMessage(request)
    return promise
  }

  await ask({ open: path })
  return { ask, terminate: () => worker.terminate() }
}
