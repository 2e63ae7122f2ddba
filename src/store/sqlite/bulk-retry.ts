import { and, eq, sql } from 'drizzle-orm'
import type { Clock, Now } from '../../clock.ts'
import type { StoredTransaction } from '../../domain/transaction.ts'
import { type Counts, move } from './counts.ts'
import type { CommitQueue } from './database/commit-queue.ts'
import type { Connection } from './database/open-database.ts'
import { among, prepareStatement } from './database/statement.ts'
import { prepareFind } from './reads.ts'
import type { Scan, TransactionFilter } from './scan.ts'
import type { ScanQueue } from './scan-queue.ts'
import { jobs, transactions } from './schema.ts'

/** What became of the wish to try a transaction again. */
export type Retry =
  /** It is PENDING, with a job that is due at once and all its attempts before it. */
  | { kind: 'retried'; stored: StoredTransaction }
  /** It is not FAILED: nothing is changed. */
  | { kind: 'not_failed'; stored: StoredTransaction }
  | { kind: 'unknown' }

/** How many transactions a filter matched, and how many of these are PENDING again. */
export type Retries = { matched: number; retried: number }

/** Retries by hand: what is FAILED goes on as if it had just been accepted, but keeps its past. */
export type RetriesByHand = {
  one(transactionId: string): Promise<Retry>
  /**
   * Retries what is FAILED of a filter, or only counts it. A large number takes many commits: where
   * one of them is refused, those before it stand, and the same wish again takes up the rest.
   */
  all(filter: TransactionFilter, dryRun: boolean, signal?: AbortSignal): Promise<Retries>
}

/** What one commit retries: the share of the event loop that webhooks wait for. */
const BATCH_MAX = 500

export function createRetries(
  connection: Connection,
  {
    counts,
    scan,
    scanQueue,
    commits,
    clock,
  }: {
    counts: Counts
    scan: Scan
    scanQueue: ScanQueue
    commits: Pick<CommitQueue, 'submit' | 'peek'>
    clock: Clock
  },
): RetriesByHand {
  const find = prepareFind(connection)
  const { insertJobs, setPending } = prepareRetryStatements(connection)

  /** Retries those that are still FAILED. Returns how many these are. */
  function retry(ids: readonly number[], now: Now): number {
    const values = { ids: JSON.stringify(ids), now: now.steady }
    const { changes } = insertJobs.run(values)
    setPending.run(values)
    for (let i = 0; i < changes; i++) move(counts, 'FAILED', 'PENDING')
    return changes
  }

  return {
    one: (transactionId) =>
      commits.submit(() => {
        const stored = find(transactionId)
        if (stored === undefined) return { kind: 'unknown' }
        if (stored.status !== 'FAILED') return { kind: 'not_failed', stored }
        retry([stored.id], clock.now())
        return { kind: 'retried', stored: { ...stored, status: 'PENDING' } }
      }),

    all: (filter, dryRun, signal) =>
      scanQueue.read(async (take) => {
        const failed = { ...filter, status: 'FAILED' } as const
        let matched = 0
        // Towards the oldest: one that fails again while this goes on isn't met twice.
        for (let before = Number.MAX_SAFE_INTEGER; before > 0; ) {
          // What was begun is finished; to count for nobody is of no use.
          if (dryRun && signal?.aborted) break
          const from = before
          const slice = await take(() => commits.peek(() => scan.ids(failed, from, BATCH_MAX)))
          const ids = slice.rows.map(({ id }) => id)
          if (dryRun) matched += ids.length
          else if (ids.length > 0) matched += await commits.submit(() => retry(ids, clock.now()))
          before = slice.before
        }
        return { matched, retried: dryRun ? 0 : matched }
      }),
  }
}

function prepareRetryStatements({ client, orm }: Connection) {
  const value = sql.placeholder
  const failed = and(among(transactions.id, 'ids'), eq(transactions.status, 'FAILED'))
  return {
    insertJobs: prepareStatement(
      client,
      orm.insert(jobs).select(
        orm
          .select({
            id: transactions.id,
            runAt: sql<number>`${value('now')}`.as('run_at'),
            claim: sql<null>`NULL`.as('claim'),
            attemptStartedAt: sql<null>`NULL`.as('attempt_started_at'),
            tries: sql<number>`0`.as('tries'),
            changedAt: sql<number>`${value('now')}`.as('changed_at'),
          })
          .from(transactions)
          .where(failed),
      ),
    ),
    setPending: prepareStatement(
      client,
      orm.update(transactions).set({ status: 'PENDING' }).where(failed),
    ),
  }
}
