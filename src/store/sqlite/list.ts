import { and, desc, eq, lt, type SQL, sql } from 'drizzle-orm'
import type { Clock } from '../../clock.ts'
import type { TransactionFilter } from '../../domain/filter.ts'
import type { Difference, StoredTransaction } from '../../domain/transaction.ts'
import type { Conflict, Page, PageRequest } from '../store.ts'
import { cursorBefore, keyBefore } from './cursor.ts'
import type { CommitQueue } from './database/commit-queue.ts'
import type { Connection } from './database/connection.ts'
import { columnsOf, prepareStatement } from './database/statement.ts'
import { type Find, fromRow, type TransactionRow } from './reads.ts'
import type { Scan } from './scan.ts'
import type { ScanQueue } from './scan-queue.ts'
import { conflicts, transactions } from './schema.ts'

/** A page has as many rows as asked for, unless they are large or far apart. */
const PAGE_BYTES_MAX = 1024 * 1024
const PAGE_MS_MAX = 5_000

export type ListDeps = {
  scan: Scan
  scanQueue: ScanQueue
  commits: Pick<CommitQueue, 'readDurable' | 'readLatest'>
  clock: Pick<Clock, 'now' | 'monotonic'>
}

/** Lists transactions: a page takes as many slices of a scan as it needs to find its rows. */
export function createList({ scan, scanQueue, commits, clock }: ListDeps) {
  return async (
    filter: TransactionFilter,
    { cursor, limit }: PageRequest,
    signal?: AbortSignal,
  ): Promise<Page<StoredTransaction>> => {
    const until = clock.monotonic() + PAGE_MS_MAX
    const rows: TransactionRow[] = []
    let bytes = 0
    let before = keyBefore(cursor)
    const enough = () =>
      // One more than is shown says whether there is a next page.
      rows.length > limit ||
      bytes >= PAGE_BYTES_MAX ||
      clock.monotonic() > until ||
      signal?.aborted === true
    await scanQueue.scan(async (runSlice) => {
      do {
        const wanted = limit + 1 - rows.length
        const slice = await runSlice(() =>
          commits.readLatest(() => scan.rows(filter, before, wanted)),
        )
        rows.push(...slice.rows)
        for (const { extra } of slice.rows) bytes += extra?.length ?? 0
        before = slice.before
      } while (before > 0 && !enough())
    })
    const data = rows.slice(0, limit)
    const next = rows.length > limit ? (data.at(-1)?.id ?? before) : before
    // No answer shows what a power cut could still undo.
    await commits.readDurable(() => undefined)
    const now = clock.now()
    return {
      data: data.map((row) => fromRow(row, now)),
      next: next > 0 ? cursorBefore(next) : null,
    }
  }
}

/** Lists conflicts, of one `transaction_id` or of all. */
export function prepareConflicts({ client, orm }: Connection, find: Find) {
  const value = sql.placeholder
  const { storedId: _, ...columns } = columnsOf(conflicts)
  const query = (only?: SQL) =>
    prepareStatement<ConflictRow>(
      client,
      orm
        .select({ ...columns, transactionId: columnsOf(transactions).transactionId })
        .from(conflicts)
        .innerJoin(transactions, eq(conflicts.storedId, transactions.id))
        .where(and(only, lt(conflicts.id, value('before'))))
        .orderBy(desc(conflicts.id))
        .limit(value('limit')),
    )
  const all = query()
  const ofOne = query(eq(conflicts.storedId, value('storedId')))
  return (transactionId: string | undefined, { cursor, limit }: PageRequest): Page<Conflict> => {
    const values = { before: keyBefore(cursor), limit: limit + 1 }
    const stored = transactionId === undefined ? undefined : find(transactionId)
    if (transactionId !== undefined && stored === undefined) return { data: [], next: null }
    const rows = stored ? ofOne.all({ ...values, storedId: stored.id }) : all.all(values)
    const data = rows.slice(0, limit)
    const last = rows.length > limit ? data.at(-1) : undefined
    return { data: data.map(conflictFrom), next: last ? cursorBefore(last.id) : null }
  }
}

type ConflictRow = Omit<Conflict, 'differences'> & { id: number; differences: string }

function conflictFrom({ id: _, ...row }: ConflictRow): Conflict {
  return { ...row, differences: JSON.parse(row.differences) as Difference[] }
}
