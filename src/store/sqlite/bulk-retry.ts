import type { Clock } from '../../clock.ts'
import type { TransactionFilter } from '../../domain/filter.ts'
import type { BulkRetryResult } from '../store.ts'
import type { CommitQueue } from './database/commit-queue.ts'
import type { Scan } from './scan.ts'
import type { ScanQueue } from './scan-queue.ts'
import type { Transitions } from './transitions.ts'

/** Transactions that one commit retries: its share of the event loop. */
const BATCH_MAX = 500

export type BulkRetryDeps = {
  transitions: Pick<Transitions, 'retry'>
  scan: Scan
  scanQueue: ScanQueue
  commits: Pick<CommitQueue, 'write' | 'readLatest'>
  clock: Pick<Clock, 'now'>
}

/** Retries the FAILED transactions of a filter, a batch in each commit, or counts them. */
export function createBulkRetry({ transitions, scan, scanQueue, commits, clock }: BulkRetryDeps) {
  return (
    filter: TransactionFilter,
    { dryRun }: { dryRun: boolean },
    signal?: AbortSignal,
  ): Promise<BulkRetryResult> =>
    scanQueue.scan(async (runSlice) => {
      const failed = { ...filter, status: 'FAILED' } as const
      let matched = 0
      // Towards the oldest, so that one that fails again meanwhile isn't retried twice.
      for (let before = Number.MAX_SAFE_INTEGER; before > 0; ) {
        // A retry that was begun is finished; a count has no use without its client.
        if (dryRun && signal?.aborted) break
        const from = before
        const { rows, before: next } = await runSlice(() =>
          commits.readLatest(() => scan.ids(failed, from, BATCH_MAX)),
        )
        const ids = rows.map(({ id }) => id)
        if (dryRun) matched += ids.length
        else if (ids.length > 0) {
          matched += await commits.write(() => transitions.retry(ids, clock.now()))
        }
        before = next
      }
      return { matched, retried: dryRun ? 0 : matched }
    })
}
