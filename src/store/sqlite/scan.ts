import { and, desc, eq, gte, lt, type SQL, sql } from 'drizzle-orm'
import type { Status } from '../../domain/transaction.ts'
import type { Connection } from './database/open-database.ts'
import { columnsOf, prepareStatement } from './database/statement.ts'
import type { TransactionRow } from './reads.ts'
import { jobs, transactions } from './schema.ts'

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

/** What a slice of a scan may look at, and what of it it may take along: a few ms. */
const SLICE_ROWS_MAX = 2_000
const SLICE_BYTES_MAX = 1024 * 1024

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
