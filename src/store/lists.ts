import { and, desc, eq, gte, lt, type SQL, sql } from 'drizzle-orm'
import type { Difference, Status, StoredTransaction } from '../transaction.ts'
import type { CommitQueue } from './commits.ts'
import type { Connection } from './database.ts'
import { fromRow, type TransactionRow } from './queries.ts'
import { conflicts, jobs, transactions } from './schema.ts'
import { columnsOf, prepareStatement, type Values } from './statement.ts'

/** Which transactions are meant: those that have all of these. Times are wall time in ms. */
export type TransactionFilter = {
  status?: Status | undefined
  currency?: string | undefined
  sourceAccount?: string | undefined
  destinationAccount?: string | undefined
  /** Accepted at this time or after it. */
  createdFrom?: number | undefined
  /** Accepted before this time. */
  createdTo?: number | undefined
}

/** Where a page begins, and how long it may be. */
export type PageRequest = {
  /** Only what came before the row with this key; undefined: from the newest on. */
  before: number | undefined
  limit: number
}

/** A page, newest first. */
export type Page<T> = {
  data: T[]
  /** What the next page begins before; null: this is the last one. */
  next: number | null
}

/** A webhook that came under a known `transaction_id` with other content. */
export type Conflict = {
  id: number
  transactionId: string
  /** Wall time in ms. */
  receivedAt: number
  differences: Difference[]
}

/** Rows looked at in one go, a millisecond's worth: webhooks have their turn in between. */
const ROWS_MAX = 2_000

/** A part of a scan: what matches, and the key before which the scan goes on; 0: it is over. */
export type Scanned = { rows: TransactionRow[]; before: number }

/**
 * Looks for the transactions of a filter, newest first, among no more rows than one turn may take.
 * No index knows accounts, currencies or times: each would cost every webhook a page. What is FAILED
 * or unfinished is looked for where there is nothing else.
 */
export type Scan = (filter: TransactionFilter, before: number, limit: number) => Scanned

export function prepareScan(connection: Connection): Scan {
  const sources = {
    all: prepareSource(connection, 'transactions'),
    failed: prepareSource(connection, 'transactions', sql`${transactions.status} = 'FAILED'`),
    unfinished: prepareSource(connection, 'jobs'),
  }

  function sourceOf(status: Status | undefined) {
    switch (status) {
      case undefined:
      case 'PROCESSED':
        return sources.all
      case 'FAILED':
        return sources.failed
      case 'PENDING':
      case 'PROCESSING':
        return sources.unfinished
      default:
        return status satisfies never
    }
  }

  return (filter, before, limit) => {
    const { floor, matching } = sourceOf(filter.status)
    const values: Values = {
      before,
      limit,
      floor: floor.get({ before })?.id ?? 0,
      status: filter.status ?? null,
      currency: filter.currency ?? null,
      sourceAccount: filter.sourceAccount ?? null,
      destinationAccount: filter.destinationAccount ?? null,
      createdFrom: filter.createdFrom ?? null,
      createdTo: filter.createdTo ?? null,
    }
    const rows = matching.all(values)
    const last = rows.length === limit ? rows.at(-1)?.id : undefined
    return { rows, before: last ?? (values.floor as number) }
  }
}

/** @param only what all rows of the source have in common, as a partial index says it */
function prepareSource(
  { client, orm }: Connection,
  from: 'transactions' | 'jobs',
  only: SQL | undefined = undefined,
) {
  const value = sql.placeholder
  const key = from === 'jobs' ? jobs.id : transactions.id
  const table = from === 'jobs' ? jobs : transactions
  const given = (name: string, condition: SQL) => sql`(${value(name)} IS NULL OR ${condition})`
  const floor = orm
    .select({ id: sql`${key}`.as('id') })
    .from(table)
    .where(and(only, lt(key, value('before'))))
    .orderBy(desc(key))
    .limit(1)
    .offset(ROWS_MAX - 1)
  const matches = and(
    only,
    lt(key, value('before')),
    gte(key, value('floor')),
    given('status', eq(transactions.status, value('status'))),
    given('currency', eq(transactions.currency, value('currency'))),
    given('sourceAccount', eq(transactions.sourceAccount, value('sourceAccount'))),
    given('destinationAccount', eq(transactions.destinationAccount, value('destinationAccount'))),
    given('createdFrom', gte(transactions.createdAt, value('createdFrom'))),
    given('createdTo', lt(transactions.createdAt, value('createdTo'))),
  )
  const select = orm.select(columnsOf(transactions))
  const rows =
    from === 'jobs'
      ? select.from(jobs).innerJoin(transactions, eq(jobs.id, transactions.id))
      : select.from(transactions)
  return {
    floor: prepareStatement<{ id: number }>(client, floor),
    matching: prepareStatement<TransactionRow>(
      client,
      rows.where(matches).orderBy(desc(key)).limit(value('limit')),
    ),
  }
}

/** Lists transactions: a page is gathered over as many turns as it takes to find its rows. */
export function createList(scan: Scan, commits: Pick<CommitQueue, 'read'>) {
  return async (
    filter: TransactionFilter,
    { before, limit }: PageRequest,
  ): Promise<Page<StoredTransaction>> => {
    const rows: TransactionRow[] = []
    // One more than is shown tells whether there is a next page.
    for (let from = before ?? Number.MAX_SAFE_INTEGER; from > 0 && rows.length <= limit; ) {
      const wanted = limit + 1 - rows.length
      const scanned = await commits.read(() => scan(filter, from, wanted))
      rows.push(...scanned.rows)
      from = scanned.before
      await nextTurn()
    }
    return pageOf(rows.map(fromRow), limit)
  }
}

/** Lists conflicts, of one `transaction_id` or of all. */
export function prepareConflicts({ client, orm }: Connection) {
  const value = sql.placeholder
  const query = (only?: SQL) =>
    prepareStatement<Omit<Conflict, 'differences'> & { differences: string }>(
      client,
      orm
        .select({ ...columnsOf(conflicts), transactionId: columnsOf(transactions).transactionId })
        .from(conflicts)
        .innerJoin(transactions, eq(conflicts.storedId, transactions.id))
        .where(and(only, lt(conflicts.id, value('before'))))
        .orderBy(desc(conflicts.id))
        .limit(value('limit')),
    )
  const all = query()
  const ofOne = query(eq(transactions.transactionId, value('transactionId')))
  return (transactionId: string | undefined, { before, limit }: PageRequest): Page<Conflict> => {
    const values = { before: before ?? Number.MAX_SAFE_INTEGER, limit: limit + 1 }
    const rows =
      transactionId === undefined ? all.all(values) : ofOne.all({ ...values, transactionId })
    const found = rows.map(({ id, receivedAt, differences, transactionId }) => ({
      id,
      receivedAt,
      transactionId,
      differences: JSON.parse(differences) as Difference[],
    }))
    return pageOf(found, limit)
  }
}

function pageOf<T extends { id: number }>(found: readonly T[], limit: number): Page<T> {
  const data = found.slice(0, limit)
  return { data, next: found.length > limit ? (data.at(-1)?.id ?? null) : null }
}

/** Lets everything else that waits for the event loop have its turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
