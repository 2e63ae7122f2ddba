import { and, eq, sql } from 'drizzle-orm'
import type { Clock, Instant } from '../clock.ts'
import type { StoredTransaction } from '../transaction.ts'
import type { CommitQueue } from './commits.ts'
import { type Counts, move } from './counts.ts'
import type { Connection } from './database.ts'
import { nextTurn, type Scan, type TransactionFilter } from './lists.ts'
import { prepareFind } from './queries.ts'
import { jobs, transactions } from './schema.ts'
import { prepareStatement } from './statement.ts'

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
  all(filter: TransactionFilter, dryRun: boolean): Promise<Retries>
}

/** What one commit retries: the share of the event loop that webhooks wait for. */
const BATCH_MAX = 500

export function createRetries(
  connection: Connection,
  {
    counts,
    scan,
    commits,
    clock,
  }: {
    counts: Counts
    scan: Scan
    commits: Pick<CommitQueue, 'submit' | 'read'>
    clock: Clock
  },
): RetriesByHand {
  const find = prepareFind(connection)
  const { insertJobs, setPending } = prepareRetryStatements(connection)

  function retry(ids: readonly number[], now: Instant): void {
    const values = { ids: JSON.stringify(ids), now: now.steady }
    insertJobs.run(values)
    setPending.run(values)
    for (const _ of ids) move(counts, 'FAILED', 'PENDING')
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

    async all(filter, dryRun) {
      const failed = { ...filter, status: 'FAILED' } as const
      let matched = 0
      // Towards the oldest: one that fails again while this goes on isn't met twice.
      for (let before = Number.MAX_SAFE_INTEGER; before > 0; ) {
        const from = before
        const step = () => {
          const scanned = scan(failed, from, BATCH_MAX)
          if (!dryRun)
            retry(
              scanned.rows.map(({ id }) => id),
              clock.now(),
            )
          return scanned
        }
        const scanned = await (dryRun ? commits.read(step) : commits.submit(step))
        matched += scanned.rows.length
        before = scanned.before
        await nextTurn()
      }
      return { matched, retried: dryRun ? 0 : matched }
    },
  }
}

function prepareRetryStatements({ client, orm }: Connection) {
  const value = sql.placeholder
  const among = sql`${transactions.id} IN (SELECT value FROM json_each(${value('ids')}))`
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
          .where(among),
      ),
    ),
    setPending: prepareStatement(
      client,
      orm
        .update(transactions)
        .set({ status: 'PENDING' })
        .where(and(among, eq(transactions.status, 'FAILED'))),
    ),
  }
}
