import { and, desc, eq, lt, type SQL, sql } from 'drizzle-orm'
import type { Clock } from '../../clock.ts'
import type { Difference, StoredTransaction } from '../../domain/transaction.ts'
import type { CommitQueue } from './database/commit-queue.ts'
import type { Connection } from './database/open-database.ts'
import { columnsOf, prepareStatement } from './database/statement.ts'
import { fromRow, type TransactionRow } from './reads.ts'
import type { Scan, TransactionFilter } from './scan.ts'
import type { ScanQueue } from './scan-queue.ts'
import { conflicts, transactions } from './schema.ts'

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

/** A page is as long as was asked for, unless its rows are large or far apart. */
const PAGE_BYTES_MAX = 1024 * 1024
const PAGE_MS_MAX = 5_000

export type ListDeps = {
  scan: Scan
  scanQueue: ScanQueue
  commits: Pick<CommitQueue, 'read' | 'peek'>
  clock: Pick<Clock, 'monotonic'>
}

/**
 * Lists transactions: a page is gathered over as many turns as it takes to find its rows. It ends
 * early where these are large, or not found in time, or nobody waits for them any more; `next` then
 * leads on, also from a page that is empty.
 */
export function createList({ scan, scanQueue, commits, clock }: ListDeps) {
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
    await scanQueue.read(async (take) => {
      do {
        const wanted = limit + 1 - rows.length
        const slice = await take(() => commits.peek(() => scan.rows(filter, from, wanted)))
        rows.push(...slice.rows)
        for (const { extra } of slice.rows) bytes += extra?.length ?? 0
        from = slice.before
      } while (from > 0 && !enough())
    })
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
