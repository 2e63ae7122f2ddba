import { desc, sql } from 'drizzle-orm'
import type { Status } from '../../domain/transaction.ts'
import type { Connection } from './database/open-database.ts'
import { jobs, transactions } from './schema.ts'

/**
 * How many transactions there are in each state. Kept in memory, since to count a large table takes
 * seconds: written inside a commit only, and undone with it.
 */
export type Counts = Record<Status, number>

/** Transactions that are not finished. */
export function backlogOf({ PENDING, PROCESSING }: Counts): number {
  return PENDING + PROCESSING
}

/** A transaction goes from one state to another. */
export function move(counts: Counts, from: Status, to: Status): void {
  counts[from]--
  counts[to]++
}

/** What the unfinished work of a database says at the start. */
export type Beginning = {
  counts: Counts
  /** The newest steady time that a job bears, in ms; 0 where there is none. */
  newestTime: number
}

/**
 * Counts without looking at what is finished: no row of `transactions` is ever deleted, so that the
 * highest key is their number.
 */
export function loadCounts({ orm }: Connection): Beginning {
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
