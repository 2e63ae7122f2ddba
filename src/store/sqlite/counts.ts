import type { Status } from '../../domain/transaction.ts'
import type { Connection } from './database/connection.ts'

/**
 * How many transactions there are in each state. Kept in memory, since counting a large table takes
 * seconds; changed inside a commit only, and restored where it is rolled back.
 */
export type Counts = Record<Status, number>

/** Unfinished transactions. */
export function backlogOf({ PENDING, PROCESSING }: Counts): number {
  return PENDING + PROCESSING
}

/** So many transactions go from one state to another. */
export function countTransition(
  counts: Counts,
  from: Status,
  to: Status,
  transitions: number,
): void {
  counts[from] -= transitions
  counts[to] += transitions
}

/** Returns a function that restores what the counts are now. */
export function saveCounts(counts: Counts): () => void {
  const saved = { ...counts }
  return () => void Object.assign(counts, saved)
}

/**
 * Counts at the start, without reading what is finished: all keys up to the highest have a row of
 * `transactions`, but for those that `gaps` counts. `newestTime`: the newest steady time in a job, in
 * ms; 0 where there is none.
 */
export function loadCounts({ client }: Connection): { counts: Counts; newestTime: number } {
  const sql = `
    SELECT count(*) AS unfinished, count(attempt_started_at) AS begun,
      coalesce(max(changed_at), 0) AS newestTime,
      (SELECT count(*) FROM transactions WHERE status = 'FAILED') AS failed,
      (SELECT coalesce(max(id), 0) FROM transactions) - (SELECT count FROM gaps) AS stored
    FROM jobs`
  const { unfinished, begun, newestTime, failed, stored } = client.query(sql).get() as Record<
    'unfinished' | 'begun' | 'newestTime' | 'failed' | 'stored',
    number
  >
  const PROCESSED = stored - unfinished - failed
  const counts = { PENDING: unfinished - begun, PROCESSING: begun, PROCESSED, FAILED: failed }
  return { counts, newestTime }
}
