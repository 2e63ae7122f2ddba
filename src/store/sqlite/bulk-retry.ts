import type { Clock } from '../../clock.ts'
import type { TransactionFilter } from '../../domain/filter.ts'
import type { Actor, BulkRetryResult } from '../store.ts'
import type { Actions } from './actions.ts'
import type { CommitQueue } from './database/commit-queue.ts'
import type { Scan } from './scan.ts'
import type { ScanQueue } from './scan-queue.ts'
import type { Transitions } from './transitions.ts'

/** Transactions that one commit retries: its share of the event loop. */
const BATCH_MAX = 500

export type BulkRetryDeps = {
  transitions: Pick<Transitions, 'retry'>
  actions: Pick<Actions, 'begin' | 'add'>
  scan: Scan
  scanQueue: ScanQueue
  commits: Pick<CommitQueue, 'write' | 'readLatest'>
  clock: Pick<Clock, 'now'>
}

/**
 * Retries the FAILED transactions of a filter, a batch in each commit, or counts them. Those that are
 * handled are left alone: somebody has dealt with them elsewhere.
 */
export function createBulkRetry(deps: BulkRetryDeps) {
  const { transitions, actions, scan, scanQueue, commits, clock } = deps
  return (
    filter: TransactionFilter,
    { dryRun, by }: { dryRun: boolean; by: Actor },
    signal?: AbortSignal,
  ): Promise<BulkRetryResult> =>
    scanQueue.scan(async (runSlice) => {
      const failed = { ...filter, status: 'FAILED' } as const
      let matched = 0
      let action: number | undefined
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
          // The record is on the disk with the first batch, and each batch adds to it.
          const written = await commits.write(() => {
            const now = clock.now()
            const retried = transitions.retry(ids, now)
            if (retried === 0) return { retried, action }
            const id = action ?? actions.begin({ by, action: 'retry', target: filter }, now)
            actions.add(id, retried)
            return { retried, action: id }
          })
          matched += written.retried
          action = written.action
        }
        before = next
      }
      return { matched, retried: dryRun ? 0 : matched }
    })
}
