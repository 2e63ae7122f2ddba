import { asc, eq, sql } from 'drizzle-orm'
import type { Now } from '../../clock.ts'
import type { StoredTransaction } from '../../domain/transaction.ts'
import type { AttemptRecord, Readings } from '../store.ts'
import { type Connection, pragma } from './database/connection.ts'
import { columnsOf, prepareStatement } from './database/statement.ts'
import type { Ids } from './ids.ts'
import { attempts, jobs, transactions } from './schema.ts'

/** A row of `transactions`, and when its job is due in steady time; null: it has none. */
export type TransactionRow = typeof transactions.$inferSelect & { dueAt: number | null }

/** The columns of a TransactionRow, in a query of `transactions`. */
export function transactionColumns() {
  const ownJob = sql`${jobs.id} = ${transactions.id}`
  const dueAt = sql<number | null>`(SELECT ${jobs.runAt} FROM ${jobs} WHERE ${ownJob})`.as('dueAt')
  return { ...columnsOf(transactions), dueAt }
}

/** A transaction as everything above sees it. */
export function fromRow(row: TransactionRow, { wall, steady }: Now): StoredTransaction {
  const { id: _, dueAt, handledAt: at, handledNote: note, ...stored } = row
  const pending = stored.status === 'PENDING' && dueAt !== null
  return {
    ...stored,
    nextAttemptAt: pending ? dueAt + wall - steady : null,
    handled: at === null || note === null ? null : { at, note },
  }
}

/** A transaction by the sender's id. */
export function prepareFind({ client, orm }: Connection, ids: Pick<Ids, 'candidates'>) {
  const statement = prepareStatement<TransactionRow>(
    client,
    orm
      .select(transactionColumns())
      .from(transactions)
      .where(eq(transactions.id, sql.placeholder('id'))),
  )
  return (transactionId: string): TransactionRow | undefined => {
    for (const id of ids.candidates(transactionId)) {
      const row = statement.get({ id })
      if (row?.transactionId === transactionId) return row
    }
    return undefined
  }
}

export type Find = ReturnType<typeof prepareFind>

/** The attempts of a transaction, first to last; undefined where there is no such transaction. */
export function prepareAttempts({ client, orm }: Connection, find: Find) {
  const { id: _, ...columns } = columnsOf(attempts)
  const statement = prepareStatement<AttemptRecord>(
    client,
    orm
      .select(columns)
      .from(attempts)
      .where(eq(attempts.id, sql.placeholder('id')))
      .orderBy(asc(attempts.attempt)),
  )
  return (transactionId: string): AttemptRecord[] | undefined => {
    const row = find(transactionId)
    if (row === undefined) return undefined
    const written = statement.all({ id: row.id })
    const { status, processingStartedAt: startedAt } = row
    if (written.length > 0 || status !== 'PROCESSING' || startedAt === null) return written
    // A first attempt that only waits is written at its end.
    const open = { finishedAt: null, outcome: null, httpStatus: null, detail: null }
    return [{ attempt: 1, startedAt, ...open }]
  }
}

/** What the metrics show of the database: single rows, and fields of a header. */
export function prepareReadings({ client }: Connection) {
  const oldestUnfinished = prepareOldestUnfinished({ client })
  const { page_size } = pragma<{ page_size: number }>(client, 'page_size')
  return (): Pick<Readings, 'oldestUnfinishedAt' | 'walBytes' | 'databaseBytes'> => ({
    oldestUnfinishedAt: oldestUnfinished(),
    walBytes: pragma<{ log: number }>(client, 'wal_checkpoint(NOOP)').log * page_size,
    databaseBytes: pragma<{ page_count: number }>(client, 'page_count').page_count * page_size,
  })
}

/** Jobs of retried transactions that one reading passes over: a few ms. */
const RETRIED_MAX = 100_000

/**
 * When the oldest unfinished transaction became unfinished: it was accepted, or retried. The retried
 * ones have an index. Of the others the first in the table is the oldest; retried ones before it are
 * passed over once, since a job never comes to be before one that was accepted earlier.
 */
function prepareOldestUnfinished({ client }: Pick<Connection, 'client'>) {
  const retried = prepareStatement<{ since: number }>(
    client,
    `SELECT retried_at AS since FROM jobs WHERE retried_at IS NOT NULL
    ORDER BY retried_at LIMIT 1`,
  )
  const accepted = prepareStatement<{ id: number; since: number }>(
    client,
    `SELECT transactions.id, created_at AS since
    FROM (SELECT id, retried_at FROM jobs WHERE id >= :from ORDER BY id LIMIT ${RETRIED_MAX}) AS next
    JOIN transactions ON transactions.id = next.id
    WHERE retried_at IS NULL LIMIT 1`,
  )
  const passed = prepareStatement<{ last: number | null }>(
    client,
    `SELECT max(id) AS last
    FROM (SELECT id FROM jobs WHERE id >= :from ORDER BY id LIMIT ${RETRIED_MAX})`,
  )
  /** No job with a lower key belongs to a transaction that was not retried. */
  let from = 0
  return (): number | undefined => {
    const first = accepted.get({ from })
    from = first?.id ?? (passed.get({ from })?.last ?? from - 1) + 1
    const times = [first?.since, retried.get({})?.since].filter((time) => time !== undefined)
    return times.length === 0 ? undefined : Math.min(...times)
  }
}
