import { and, desc, eq, gte, isNull, lt, type SQL, sql } from 'drizzle-orm'
import { FILTER_NAMES, FILTERS, type TransactionFilter } from '../../domain/filter.ts'
import type { Status } from '../../domain/transaction.ts'
import { prepareKeyRange } from './backsteps.ts'
import type { Connection } from './database/connection.ts'
import { prepareStatement } from './database/statement.ts'
import { type TransactionRow, transactionColumns } from './reads.ts'
import { jobs, transactions } from './schema.ts'

/** Rows that one slice reads, and bytes of `extra` in those that it returns: a few ms. */
const SLICE_ROWS_MAX = 2_000
const SLICE_BYTES_MAX = 1024 * 1024

/** A part of a scan: what matches, and the key below which the scan goes on; 0: it is over. */
export type Slice<Row> = { rows: Row[]; before: number }

/** Returns the transactions of a filter with keys below `before`, newest first, as one slice. */
type ScanFor<Row> = (filter: TransactionFilter, before: number, limit: number) => Slice<Row>

/**
 * Searches for the transactions of a filter, slice by slice. There is no index on accounts,
 * currencies or times: each would cost every webhook a page. FAILED and unfinished transactions have
 * a source of their own, and times bound the keys.
 */
export type Scan = {
  rows: ScanFor<TransactionRow>
  /** Without those that are handled. */
  ids: ScanFor<{ id: number }>
}

/** As the partial index says it. */
const FAILED = sql`${transactions.status} = 'FAILED'`

export function prepareScan(connection: Connection): Scan {
  const keyRange = prepareKeyRange(connection)
  const columns = transactionColumns()
  const bytes = sql<number>`coalesce(octet_length(${transactions.extra}), 0)`.as('bytes')
  return {
    rows: prepareScanFor<TransactionRow>(
      connection,
      keyRange,
      columns,
      ({ extra }) => extra?.length ?? 0,
    ),
    ids: prepareScanFor<{ id: number; bytes: number }>(
      connection,
      keyRange,
      { id: columns.id, bytes },
      ({ bytes }) => bytes,
      isNull(transactions.handledAt),
    ),
  }
}

function prepareScanFor<Row extends { id: number }>(
  connection: Connection,
  keyRange: ReturnType<typeof prepareKeyRange>,
  columns: Record<string, SQL.Aliased>,
  bytesOf: (row: Row) => number,
  alsoFailed?: SQL,
): ScanFor<Row> {
  const sources = {
    all: prepareSource<Row>(connection, columns, 'transactions'),
    failed: prepareSource<Row>(connection, columns, 'transactions', FAILED, alsoFailed),
    unfinished: prepareSource<Row>(connection, columns, 'jobs'),
  }
  return (filter, before, limit) => {
    const { floor, matching } = sources[sourceOf(filter.status)]
    const { from, to } = keyRange(filter)
    const end = Math.min(before, to)
    const floorId = Math.max(floor.get({ before: end })?.id ?? 0, from)
    const filterValues = FILTER_NAMES.map((name) => [name, filter[name] ?? null] as const)
    const values = { before: end, limit, floor: floorId, ...Object.fromEntries(filterValues) }
    const rows: Row[] = []
    let bytes = 0
    for (const row of matching.iterate(values)) {
      rows.push(row)
      bytes += bytesOf(row)
      if (rows.length === limit || bytes >= SLICE_BYTES_MAX) {
        return { rows, before: row.id > from ? row.id : 0 }
      }
    }
    return { rows, before: floorId > from ? floorId : 0 }
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

/** @param only what all rows of the source have in common, written as in its partial index */
function prepareSource<Row>(
  { client, orm }: Connection,
  columns: Record<string, SQL.Aliased>,
  from: 'transactions' | 'jobs',
  only: SQL | undefined = undefined,
  also: SQL | undefined = undefined,
) {
  const value = sql.placeholder
  const key = from === 'jobs' ? jobs.id : transactions.id
  const table = from === 'jobs' ? jobs : transactions
  const floor = orm
    .select({ id: sql`${key}`.as('id') })
    .from(table)
    .where(and(only, lt(key, value('before'))))
    .orderBy(desc(key))
    .limit(1)
    .offset(SLICE_ROWS_MAX - 1)
  const conditions = FILTER_NAMES.map((name) => {
    const { column, comparison } = FILTERS[name]
    const compared = sql`${transactions[column]} ${sql.raw(comparison)} ${value(name)}`
    return sql`(${value(name)} IS NULL OR ${compared})`
  })
  const matches = and(only, also, lt(key, value('before')), gte(key, value('floor')), ...conditions)
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
