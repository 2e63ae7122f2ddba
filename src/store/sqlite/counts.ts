import { desc, sql } from 'drizzle-orm'
import type { Status } from '../../domain/transaction.ts'
import type { Connection } from './database/connection.ts'
import { jobs, transactions } from './schema.ts'

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
export function countTransition(counts: Counts, from: Status, to: Status, transitions = 1): void {
  counts[from] -= transitions
  counts[to] += transitions
}

/** Returns a function that restores what the counts are now. */
export function saveCounts(counts: Counts): () => void {
  const saved = { ...counts }
  return () => void Object.assign(counts, saved)
}

/**
 * Counts at the start, without reading what is finished: no row of `transactions` is ever deleted,
 * so the highest key is their number. `newestTime`: the newest steady time in a job, in ms; 0 where
 * there is none.
 */
export function loadCounts({ orm }: Connection): { counts: Counts; newestTime: number } {
  const unfinished = orm
    .select({
      count: sql<number>`count(*)`,
      begun: sql<number>`count(${jobs.attemptStartedAt})`,
      newestTime: sql<number | null>`max(${jobs.changedAt})`,
    })
    .from(jobs)
    .get()
  const failed = orm
    .select({ count: sql<number>`count(*)` })
    .from(transactions)
    .where(sql`${transactions.status} = 'FAILED'`)
    .get()
  const newest = orm
    .select({ id: transactions.id })
    .from(transactions)
    .orderBy(desc(transactions.id))
    .limit(1)
    .get()
  const { count = 0, begun = 0, newestTime = null } = unfinished ?? {}
  const FAILED = failed?.count ?? 0
  const counts = {
    PENDING: count - begun,
    PROCESSING: begun,
    PROCESSED: (newest?.id ?? 0) - count - FAILED,
    FAILED,
  }
  return { counts, newestTime: newestTime ?? 0 }
}
