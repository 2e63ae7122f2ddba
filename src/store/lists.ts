import { and, desc, eq, gte, lt, type SQL, sql } from 'drizzle-orm'
import type { Clock } from '../clock.ts'
import type { Difference, Status, StoredTransaction } from '../transaction.ts'
import type { CommitQueue } from './commits.ts'
import type { Connection } from './database.ts'
import { fromRow, type TransactionRow } from './queries.ts'
import { conflicts, jobs, transactions } from './schema.ts'
import { columnsOf, prepareStatement } from './statement.ts'
import type { Turns } from './turns.ts'

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

/** What a slice of a scan may look at, and what of it it may take along: a few ms. */
const SLICE_ROWS_MAX = 2_000
const SLICE_BYTES_MAX = 1024 * 1024

/** A page is as long as was asked for, unless its rows are large or far apart. */
const PAGE_BYTES_MAX = 1024 * 1024
const PAGE_MS_MAX = 5_000

/** A part of a scan: what matches, and the key before which the scan goes on; 0: it is over. */
export type Slice<Row> = { rows: Row[]; before: number }

/** Looks for transactions of a filter before a key, newest first: as many as one slice may hold. */
type ScanFor<Row> = (filter: TransactionFilter, before: number, limit: number) => Slice<Row>

/**
 * Looks for the transactions of a filter, by slices. No index knows accounts, currencies or times:
 * each would cost every webhook a page. What is FAILED or unfinished is looked for where there is
 * nothing else.
 */
export type Scan = { rows: ScanFor<TransactionRow>; ids: ScanFor<{ id: number }> }

export function prepareScan(connection: Connection): Scan {
  const { extra, ...others } = columnsOf(transactions)
  const bytes = sql<number>`coalesce(octet_length(${transactions.extra}), 0)`.as('bytes')
  return {
    rows: prepareScanFor<TransactionRow>(connection, { extra, ...others }, ({ extra }) =>
      extra === null ? 0 : extra.length,
    ),
    ids: prepareScanFor<{ id: number; bytes: number }>(
      connection,
      { id: others.id, bytes },
      ({ bytes }) => bytes,
    ),
  }
}

function prepareScanFor<Row extends { id: number }>(
  connection: Connection,
  columns: Record<string, SQL.Aliased>,
  bytesOf: (row: Row) => number,
): ScanFor<Row> {
  const failed = sql`${transactions.status} = 'FAILED'`
  const sources = {
    all: prepareSource<Row>(connection, columns, 'transactions'),
    failed: prepareSource<Row>(connection, columns, 'transactions', failed),
    unfinished: prepareSource<Row>(connection, columns, 'jobs'),
  }
  return (filter, before, limit) => {
    const { floor, matching } = sources[sourceOf(filter.status)]
    const values = {
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
    const rows: Row[] = []
    let bytes = 0
    for (const row of matching.iterate(values)) {
      rows.push(row)
      bytes += bytesOf(row)
      if (rows.length === limit || bytes >= SLICE_BYTES_MAX) return { rows, before: row.id }
    }
    return { rows, before: values.floor }
  }
}

function sourceOf(status: Status | undefined): 'all' | 'failed' | 'unfinished' {
  switch (status) {
    case undefined:
    case 'PROCESSED':
      return 'all'
    case 'FAILED':
      return 'failed'
    case 'PENDING':
    case 'PROCESSING':
      return 'unfinished'
    default:
      return status satisfies never
  }
}

/** @param only what all rows of the source have in common, as a partial index says it */
function prepareSource<Row>(
  { client, orm }: Connection,
  columns: Record<string, SQL.Aliased>,
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
    .offset(SLICE_ROWS_MAX - 1)
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
  const select = orm.select(columns)
  const rows =
    from === 'jobs'
      ? select.from(jobs).innerJoin(transactions, eq(jobs.id, transactions.id))
      : select.from(transactions)
  return {
    floor: prepareStatement<{ id: number }>(client, floor),
    matching: prepareStatement<Row>(
      client,
      rows.where(matches).orderBy(desc(key)).limit(value('limit')),
    ),
  }
}

export type ListDeps = {
  scan: Scan
  turns: Turns
  commits: Pick<CommitQueue, 'read' | 'peek'>
  clock: Pick<Clock, 'monotonic'>
}

/**
 * Lists transactions: a page is gathered over as many turns as it takes to find its rows. It ends
 * early where these are large, or not found in time, or nobody waits for them any more; `next` then
 * leads on, also from a page that is empty.
 */
export function createList({ scan, turns, commits, clock }: ListDeps) {
  return async (
    filter: TransactionFilter,
    { before, limit }: PageRequest,
    signal?: AbortSignal,
  ): Promise<Page<StoredTransaction>> => {
    const until = clock.monotonic() + PAGE_MS_MAX
    const rows: TransactionRow[] = []
    let bytes = 0
    let from = before ?? Number.MAX_SAFE_INTEGER
    const enough = () =>
      // One more than is shown tells whether there is a next page.
      rows.length > limit ||
      bytes >= PAGE_BYTES_MAX ||
      clock.monotonic() > until ||
      signal?.aborted === true
    do {
      const wanted = limit + 1 - rows.length
      const slice = await turns.take(() => commits.peek(() => scan.rows(filter, from, wanted)))
      rows.push(...slice.rows)
      for (const { extra } of slice.rows) bytes += extra?.length ?? 0
      from = slice.before
    } while (from > 0 && !enough())
    const data = rows.slice(0, limit)
    const goesOn = rows.length > limit ? (data.at(-1)?.id ?? from) : from
    // Nobody is told of what a power cut could still take back.
    await commits.read(() => undefined)
    return { data: data.map(fromRow), next: goesOn > 0 ? goesOn : null }
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
