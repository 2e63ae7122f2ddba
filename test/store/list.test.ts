import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { StoredTransaction } from '../../src/domain/transaction.ts'
import { createInbox } from '../../src/store/sqlite/accept.ts'
import { createList, type Page, type PageRequest } from '../../src/store/sqlite/list.ts'
import { prepareScan, type TransactionFilter } from '../../src/store/sqlite/scan.ts'
import { ScanQueue } from '../../src/store/sqlite/scan-queue.ts'
import {
  controlledSync,
  reasonOf,
  sentTransaction,
  type TestStore,
  testQueue,
  testStore,
} from '../support/store.ts'

/** Rows looked at in one turn. */
const SLICE = 2_000

const NEWEST = Number.MAX_SAFE_INTEGER

/**
 * Stores this many transactions, the oldest with the key 1.
 *
 * @param columns what each has there, as SQL that knows its key as `i`
 */
function insert(
  { database: { client } }: TestStore,
  count: number,
  columns: Partial<Record<'status' | 'currency' | 'source_account' | 'created_at', string>> = {},
): void {
  const { status = `'PROCESSED'`, currency = `'USD'` } = columns
  const { source_account = `'A123'`, created_at = 'i' } = columns
  client.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
     INSERT INTO transactions (id, transaction_id, source_account, destination_account, amount,
       currency, status, attempts, created_at)
     SELECT i, 'txn_' || i, ${source_account}, 'B456', 100, ${currency}, ${status}, 1, ${created_at}
     FROM n`,
  )
  client.run(
    `INSERT INTO jobs (id, run_at, tries, changed_at)
     SELECT id, 0, 0, 0 FROM transactions WHERE status IN ('PENDING', 'PROCESSING')`,
  )
}

/** Gives the transactions with these keys another currency than all others. */
function markEuros({ database: { client } }: TestStore, ids: readonly number[]): void {
  client.run(`UPDATE transactions SET currency = iif(id IN (${ids.join()}), 'EUR', 'USD')`)
}

/** The keys of the rows that a filter means, newest first, by a look at each row. */
function expectedIds(store: TestStore, filter: TransactionFilter): number[] {
  const { status, currency, sourceAccount, createdFrom, createdTo } = filter
  return store
    .rows('transactions')
    .filter((row) => status === undefined || row.status === status)
    .filter((row) => currency === undefined || row.currency === currency)
    .filter((row) => sourceAccount === undefined || row.source_account === sourceAccount)
    .filter((row) => createdFrom === undefined || Number(row.created_at) >= createdFrom)
    .filter((row) => createdTo === undefined || Number(row.created_at) < createdTo)
    .map(({ id }) => Number(id))
    .sort((a, b) => b - a)
}

type List = (filter: TransactionFilter, page: PageRequest) => Promise<Page<StoredTransaction>>

/** The keys on all pages, each page full but the last, and none without need. */
async function pagedIds(list: List, filter: TransactionFilter, limit: number): Promise<number[]> {
  const ids: number[] = []
  for (let before: number | undefined; ; ) {
    const { data, next } = await list(filter, { before, limit })
    ids.push(...data.map(({ id }) => id))
    // No test has more: the pages would go on for ever.
    expect(ids.length).toBeLessThan(20_000)
    if (next === null) {
      expect(data.length).toBeLessThanOrEqual(limit)
      expect(ids.length === 0 || data.length > 0).toBe(true)
      return ids
    }
    expect(data).toHaveLength(limit)
    expect(next).toBe(Number(data.at(-1)?.id))
    before = next
  }
}

describe('a scan', () => {
  test('looks at no more rows than one turn may take, and says where it goes on', async () => {
    await using store = testStore()
    insert(store, 2 * SLICE + 3)
    const scan = prepareScan(store.database)
    const none = { currency: 'EUR' }
    expect(scan.rows(none, NEWEST, 10)).toEqual({ rows: [], before: SLICE + 4 })
    expect(scan.rows(none, SLICE + 4, 10)).toEqual({ rows: [], before: 4 })
    expect(scan.rows(none, 4, 10)).toEqual({ rows: [], before: 0 })
    // In the slice are its last row, and not the one before which the next begins.
    markEuros(store, [SLICE + 4, SLICE + 3])
    const keys = (before: number) => scan.rows(none, before, 10).rows.map(({ id }) => id)
    expect([keys(NEWEST), keys(SLICE + 4)]).toEqual([[SLICE + 4], [SLICE + 3]])
  })

  test('that has found enough goes on after the last it found', async () => {
    await using store = testStore()
    insert(store, 10)
    const scan = prepareScan(store.database)
    const { rows, before } = scan.rows({}, 8, 3)
    expect([rows.map(({ id }) => id), before]).toEqual([[7, 6, 5], 5])
    expect(scan.rows({}, 3, 2)).toMatchObject({ rows: [{ id: 2 }, { id: 1 }], before: 1 })
    expect(scan.rows({}, 1, 2)).toEqual({ rows: [], before: 0 })
  })

  test.each([
    ['FAILED', 3],
    ['PENDING', 4],
    ['PROCESSING', 5],
  ] as const)('for %s has its slices of such rows, however few they are', async (status, key) => {
    await using store = testStore()
    // Of 10,000 rows three are FAILED, two unfinished: one turn sees all of them.
    insert(store, 5 * SLICE, {
      status: `CASE i WHEN 3 THEN 'FAILED' WHEN 4 THEN 'PENDING' WHEN 5 THEN 'PROCESSING'
        WHEN 9000 THEN 'FAILED' WHEN 9500 THEN 'FAILED' ELSE 'PROCESSED' END`,
    })
    const { rows, before } = prepareScan(store.database).rows({ status }, NEWEST, 10)
    expect([rows.at(-1)?.id, before]).toEqual([key, 0])
  })

  test('for what is unfinished counts in jobs, not in all transactions', async () => {
    await using store = testStore()
    insert(store, 2 * SLICE + 10, { status: `iif(i % 2, 'PENDING', 'PROCESSED')` })
    const scan = prepareScan(store.database)
    const none = { status: 'PENDING', currency: 'EUR' } as const
    // Every other one has a job: the newest 2,000 of these end at the sixth.
    expect(scan.rows(none, NEWEST, 10)).toEqual({ rows: [], before: 11 })
  })
})

describe('the pages', () => {
  test('have what lies on the borders of slices, once, at every limit', async () => {
    await using store = testStore()
    const count = 2 * SLICE + 1_003
    insert(store, count)
    const borders = [0, 1_998, 1_999, 2_000, 2_001, 3_998, 3_999, 4_000, 4_001, count - 1]
    for (const places of [borders, [0], [1_999], [2_000], [3_999], [4_000], [count - 1], []]) {
      const ids = places.map((place) => count - place)
      markEuros(store, ids)
      for (const limit of [1, 2, 3, 5, 9, 10, 11, 250]) {
        expect(await pagedIds(store.list, { currency: 'EUR' }, limit)).toEqual(ids)
      }
    }
  })

  test('are those of a look at each row, whichever rows match', async () => {
    await using store = testStore()
    const count = 2 * SLICE + 500
    insert(store, count)
    const place = fc.oneof(
      fc.nat(count - 1),
      fc
        .tuple(fc.constantFrom(0, SLICE, 2 * SLICE), fc.integer({ min: -3, max: 3 }))
        .map(([border, off]) => Math.max(border + off, 0)),
    )
    const places = fc.uniqueArray(place, { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(places, fc.integer({ min: 1, max: 32 }), async (places, limit) => {
        const ids = places.map((place) => count - place).sort((a, b) => b - a)
        markEuros(store, ids)
        expect(await pagedIds(store.list, { currency: 'EUR' }, limit)).toEqual(ids)
      }),
      { numRuns: 25 },
    )
  })

  test('are right for every state where there are thousands of each', async () => {
    await using store = testStore()
    insert(store, 12_500, {
      status: `CASE i % 5 WHEN 0 THEN 'PROCESSED' WHEN 1 THEN 'FAILED' WHEN 2 THEN 'FAILED'
        WHEN 3 THEN 'PENDING' ELSE 'PROCESSING' END`,
      source_account: `iif(i % 700 < 3, 'rare', 'A123')`,
    })
    for (const status of ['PROCESSED', 'FAILED', 'PENDING', 'PROCESSING', undefined] as const) {
      for (const rest of [
        { sourceAccount: 'rare' },
        { createdFrom: 1, createdTo: 11 },
        { createdFrom: 7_000, createdTo: 9_600 },
        { sourceAccount: 'rare', createdTo: 9_000, currency: 'USD' },
        { sourceAccount: 'rare', currency: 'EUR' },
      ]) {
        const filter = { status, ...rest }
        const expected = expectedIds(store, filter)
        for (const limit of [7, 250]) {
          expect([filter, await pagedIds(store.list, filter, limit)]).toEqual([filter, expected])
        }
      }
    }
  })

  test('end with a last one that is exactly full', async () => {
    await using store = testStore()
    insert(store, SLICE, { currency: `iif(i % 2, 'USD', 'EUR')` })
    for (const [limit, filter] of [
      [250, {}],
      [SLICE, {}],
      [SLICE / 2, { currency: 'EUR' }],
      [125, { currency: 'EUR' }],
    ] as const) {
      const expected = expectedIds(store, filter)
      expect(expected.length % limit).toBe(0)
      expect(await pagedIds(store.list, filter, limit)).toEqual(expected)
    }
    expect(await store.list({}, { before: 3, limit: 2 })).toMatchObject({ next: null })
    expect(await store.list({}, { before: 4, limit: 2 })).toMatchObject({ next: 2 })
    expect(await store.list({}, { before: 1, limit: 2 })).toEqual({ data: [], next: null })
  })

  test('of nothing are one that is empty', async () => {
    await using store = testStore()
    for (const status of ['PROCESSED', 'FAILED', 'PENDING', 'PROCESSING', undefined] as const) {
      const page = await store.list({ status }, { before: undefined, limit: 250 })
      expect(page).toEqual({ data: [], next: null })
    }
  })
})

describe('a list', () => {
  test('lets everything else have its turn between any two slices', async () => {
    await using store = testStore()
    insert(store, 5 * SLICE)
    let scanQueue = 0
    let over = false
    const count = () => {
      scanQueue++
      if (!over) setImmediate(count)
    }
    setImmediate(count)
    await store.list({ currency: 'EUR' }, { before: undefined, limit: 250 })
    over = true
    expect(scanQueue).toBeGreaterThanOrEqual(4)
  })

  test('is answered when what it shows is on the disk, and not before', async () => {
    const disk = controlledSync()
    using parts = testQueue(disk)
    const { queue, database, clock, counts } = parts
    const scan = prepareScan(database)
    const list = createList({
      scan,
      scanQueue: new ScanQueue(),
      commits: queue,
      clock: parts.clock,
    })
    const inbox = createInbox(database, counts, 10)
    const accepted = queue.write(() => inbox.accept(sentTransaction(), clock.now()))
    const sync = await disk.next()
    let answered = false
    const listed = list({}, { before: undefined, limit: 1 }).then((page) => {
      answered = true
      return page
    })
    for (let scanQueue = 0; scanQueue < 10; scanQueue++) await new Promise(setImmediate)
    expect(answered).toBe(false)
    sync.resolve()
    expect(await listed).toMatchObject({ data: [{ transactionId: 'txn_001' }], next: null })
    await accepted
  })

  test('is refused where the disk failed in the middle of it', async () => {
    const disk = controlledSync()
    using parts = testQueue(disk)
    const { queue, database } = parts
    const scan = prepareScan(database)
    const list = createList({
      scan,
      scanQueue: new ScanQueue(),
      commits: queue,
      clock: parts.clock,
    })
    const stored = reasonOf(queue.write(parts.put('a')))
    const sync = await disk.next()
    const listed = reasonOf(list({}, { before: undefined, limit: 1 }))
    sync.reject(new Error('EIO'))
    expect(await Promise.all([stored, listed])).toEqual(['failed', 'failed'])
  })

  test('ends early where its rows are large, and leads on to the rest', async () => {
    await using store = testStore()
    const extra = { note: 'x'.repeat(300_000) }
    for (let i = 1; i <= 9; i++) {
      await store.accept(sentTransaction({ transactionId: `txn_${i}`, extra }))
    }
    const seen: string[] = []
    const lengths: number[] = []
    for (let before: number | undefined | null; before !== null; ) {
      const page = await store.list({}, { before: before ?? undefined, limit: 250 })
      lengths.push(page.data.length)
      seen.push(...page.data.map(({ transactionId }) => transactionId))
      before = page.next
    }
    expect(seen).toEqual(Array.from({ length: 9 }, (_, i) => `txn_${9 - i}`))
    expect(lengths).toEqual([4, 4, 1])
  })

  test('that finds nothing for 5 s is a page without rows that leads on', async () => {
    await using store = testStore()
    insert(store, 3 * SLICE)
    const { monotonic } = store.clock
    let looks = 0
    // From the third look on, six seconds later.
    store.clock.monotonic = () => monotonic() + (++looks > 2 ? 6_000 : 0)
    const page = await store.list({ currency: 'EUR' }, { before: undefined, limit: 1 })
    expect(page).toEqual({ data: [], next: SLICE + 1 })
    store.clock.monotonic = monotonic
    const rest = await store.list({ currency: 'EUR' }, { before: SLICE + 1, limit: 1 })
    expect(rest).toEqual({ data: [], next: null })
  })

  test('that nobody waits for any more looks no further', async () => {
    await using store = testStore()
    insert(store, 3 * SLICE)
    const signal = AbortSignal.abort()
    const page = await store.list({ currency: 'EUR' }, { before: undefined, limit: 1 }, signal)
    expect(page).toEqual({ data: [], next: 2 * SLICE + 1 })
  })

  test('has its turn among others, and is refused where too many wait', async () => {
    await using store = testStore()
    insert(store, 3 * SLICE)
    const lists = Array.from({ length: 150 }, () =>
      reasonOf(store.list({ currency: 'EUR' }, { before: undefined, limit: 1 })),
    )
    const answers = await Promise.all(lists)
    expect(answers.filter((answer) => answer === 'overloaded')).toHaveLength(50)
    expect(answers.filter((answer) => answer !== 'overloaded')).toHaveLength(100)
    await store.acceptAll('still taken')
  })
})
