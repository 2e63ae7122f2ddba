import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { TransactionFilter } from '../../src/domain/filter.ts'
import type { StoredTransaction } from '../../src/domain/transaction.ts'
import { createList } from '../../src/store/sqlite/list.ts'
import { prepareScan } from '../../src/store/sqlite/scan.ts'
import { ScanQueue } from '../../src/store/sqlite/scan-queue.ts'
import { InvalidCursor, type Page, type PageRequest, type Store } from '../../src/store/store.ts'
import { START } from '../support/clock.ts'
import {
  acceptOn,
  controlledSync,
  reasonOf,
  sentTransaction,
  type TestStore,
  testQueue,
  testStore,
} from '../support/store.ts'

/** Rows that one slice reads. */
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

/** The keys of the rows that a filter selects, newest first, by a check of each row. */
function expectedIds(store: TestStore, filter: TransactionFilter): number[] {
  const { status, currency, source_account, created_from, created_to } = filter
  return store
    .rows('transactions')
    .filter((row) => status === undefined || row.status === status)
    .filter((row) => currency === undefined || row.currency === currency)
    .filter((row) => source_account === undefined || row.source_account === source_account)
    .filter((row) => created_from === undefined || Number(row.created_at) >= created_from)
    .filter((row) => created_to === undefined || Number(row.created_at) < created_to)
    .map(({ id }) => Number(id))
    .sort((a, b) => b - a)
}

/** The first page of a list. */
const FIRST = { cursor: undefined, limit: 1 }

/** The key of a transaction that `insert` stored. */
const idOf = ({ transactionId }: StoredTransaction) => Number(transactionId.replace('txn_', ''))

/** The key of the newest transaction on the page that a cursor leads to. */
async function idAfter(store: Pick<Store, 'list'>, cursor: string | null): Promise<number> {
  const { data } = await store.list({}, { cursor: cursor as string, limit: 1 })
  return idOf(data[0] as StoredTransaction)
}

type List = (filter: TransactionFilter, page: PageRequest) => Promise<Page<StoredTransaction>>

/** The keys on all pages, each page full but the last, and none without need. */
async function pagedIds(list: List, filter: TransactionFilter, limit: number): Promise<number[]> {
  const ids: number[] = []
  for (let cursor: string | undefined; ; ) {
    const { data, next } = await list(filter, { cursor, limit })
    ids.push(...data.map(idOf))
    // No test has more: the pages would go on forever.
    expect(ids.length).toBeLessThan(20_000)
    if (next === null) {
      expect(data.length).toBeLessThanOrEqual(limit)
      expect(ids.length === 0 || data.length > 0).toBe(true)
      return ids
    }
    expect(data).toHaveLength(limit)
    cursor = next
  }
}

describe('a scan', () => {
  test('reads no more rows than one slice may, and says where it goes on', async () => {
    await using store = testStore()
    insert(store, 2 * SLICE + 3)
    const scan = prepareScan(store.database)
    const none = { currency: 'EUR' }
    expect(scan.rows(none, NEWEST, 10)).toEqual({ rows: [], before: SLICE + 4 })
    expect(scan.rows(none, SLICE + 4, 10)).toEqual({ rows: [], before: 4 })
    expect(scan.rows(none, 4, 10)).toEqual({ rows: [], before: 0 })
    // A slice has its last row, and not the first of the next.
    markEuros(store, [SLICE + 4, SLICE + 3])
    const keys = (before: number) => scan.rows(none, before, 10).rows.map(({ id }) => id)
    expect([keys(NEWEST), keys(SLICE + 4)]).toEqual([[SLICE + 4], [SLICE + 3]])
  })

  test('that has found enough goes on after the last one', async () => {
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
  ] as const)(
    'for %s reads slices of such rows alone, however few they are',
    async (status, key) => {
      await using store = testStore()
      // Of 10,000 rows three are FAILED, two unfinished: one slice has all of them.
      insert(store, 5 * SLICE, {
        status: `CASE i WHEN 3 THEN 'FAILED' WHEN 4 THEN 'PENDING' WHEN 5 THEN 'PROCESSING'
        WHEN 9000 THEN 'FAILED' WHEN 9500 THEN 'FAILED' ELSE 'PROCESSED' END`,
      })
      const { rows, before } = prepareScan(store.database).rows({ status }, NEWEST, 10)
      expect([rows.at(-1)?.id, before]).toEqual([key, 0])
    },
  )

  test('for what is unfinished counts jobs, not all transactions', async () => {
    await using store = testStore()
    insert(store, 2 * SLICE + 10, { status: `iif(i % 2, 'PENDING', 'PROCESSED')` })
    const scan = prepareScan(store.database)
    const none = { status: 'PENDING', currency: 'EUR' } as const
    // Every other one has a job: the newest 2,000 of these end at the sixth.
    expect(scan.rows(none, NEWEST, 10)).toEqual({ rows: [], before: 11 })
  })
})

describe('the pages', () => {
  test('have what lies at the borders of slices, once, at every limit', async () => {
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

  test('are those of a check of each row, whichever rows match', async () => {
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
        { source_account: 'rare' },
        { created_from: 1, created_to: 11 },
        { created_from: 7_000, created_to: 9_600 },
        { source_account: 'rare', created_to: 9_000, currency: 'USD' },
        { source_account: 'rare', currency: 'EUR' },
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
    const before = async (key: number) => {
      const { data, next } = await store.list({}, { cursor: undefined, limit: SLICE + 1 - key })
      expect(idOf(data.at(-1) as StoredTransaction)).toBe(key)
      return next as string
    }
    const last = await store.list({}, { cursor: await before(3), limit: 2 })
    expect([last.data.map(idOf), last.next]).toEqual([[2, 1], null])
    const { data, next } = await store.list({}, { cursor: await before(4), limit: 2 })
    expect(data.map(idOf)).toEqual([3, 2])
    expect(await idAfter(store, next)).toBe(1)
  })

  test('end with an empty one after an oldest transaction that is large', async () => {
    await using store = testStore()
    insert(store, 3)
    const large = JSON.stringify({ note: 'x'.repeat(1024 * 1024) })
    store.database.client.run('UPDATE transactions SET extra = ? WHERE id = 1', [large])
    const { data, next } = await store.list({}, { cursor: undefined, limit: 250 })
    expect(data.map(idOf)).toEqual([3, 2, 1])
    expect(next).not.toBeNull()
    const last = await store.list({}, { cursor: next as string, limit: 2 })
    expect(last).toEqual({ data: [], next: null })
  })

  test('of nothing are one that is empty', async () => {
    await using store = testStore()
    for (const status of ['PROCESSED', 'FAILED', 'PENDING', 'PROCESSING', undefined] as const) {
      const page = await store.list({ status }, { cursor: undefined, limit: 250 })
      expect(page).toEqual({ data: [], next: null })
    }
  })
})

describe('a list', () => {
  test('leaves a turn of the event loop to everything else between any two slices', async () => {
    await using store = testStore()
    insert(store, 5 * SLICE)
    let turns = 0
    let over = false
    const count = () => {
      turns++
      if (!over) setImmediate(count)
    }
    setImmediate(count)
    await store.list({ currency: 'EUR' }, { cursor: undefined, limit: 250 })
    over = true
    expect(turns).toBeGreaterThanOrEqual(4)
  })

  test('is answered when what it shows is on the disk, and not before', async () => {
    const disk = controlledSync()
    using parts = testQueue(disk)
    const { queue, database, clock, counts } = parts
    const scan = prepareScan(database)
    const list = createList({ scan, scanQueue: new ScanQueue(), commits: queue, clock })
    const accept = acceptOn(database, counts)
    const accepted = queue.write(() => accept(sentTransaction(), clock.now()))
    const sync = await disk.next()
    let answered = false
    const listed = list({}, FIRST).then((page) => {
      answered = true
      return page
    })
    for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
    expect(answered).toBe(false)
    sync.resolve()
    expect(await listed).toMatchObject({ data: [{ transactionId: 'txn_001' }], next: null })
    await accepted
  })

  test('is refused where the disk failed in the middle of it', async () => {
    const disk = controlledSync()
    using parts = testQueue(disk)
    const { queue, database, clock } = parts
    const scan = prepareScan(database)
    const list = createList({ scan, scanQueue: new ScanQueue(), commits: queue, clock })
    const stored = reasonOf(queue.write(parts.put('a')))
    const sync = await disk.next()
    const listed = reasonOf(list({}, FIRST))
    sync.reject(new Error('EIO'))
    expect(await Promise.all([stored, listed])).toEqual(['failed', 'failed'])
  })

  test('ends early where its rows are large, and its cursor continues', async () => {
    await using store = testStore()
    const extra = JSON.stringify({ note: 'x'.repeat(300_000) })
    for (let i = 1; i <= 9; i++) {
      await store.accept(sentTransaction({ transactionId: `txn_${i}`, extra }))
    }
    const seen: string[] = []
    const lengths: number[] = []
    for (let cursor: string | undefined | null; cursor !== null; ) {
      const page: Page<StoredTransaction> = await store.list({}, { cursor, limit: 250 })
      lengths.push(page.data.length)
      seen.push(...page.data.map(({ transactionId }) => transactionId))
      cursor = page.next
    }
    expect(seen).toEqual(Array.from({ length: 9 }, (_, i) => `txn_${9 - i}`))
    expect(lengths).toEqual([4, 4, 1])
  })

  test('that finds nothing for 5 s is a page without rows whose cursor continues', async () => {
    await using store = testStore()
    insert(store, 3 * SLICE)
    const { monotonic } = store.clock
    let readings = 0
    // From the third reading of the clock on, six seconds later.
    store.clock.monotonic = () => monotonic() + (++readings > 2 ? 6_000 : 0)
    const { data, next } = await store.list({ currency: 'EUR' }, FIRST)
    expect(data).toEqual([])
    store.clock.monotonic = monotonic
    expect(await idAfter(store, next)).toBe(SLICE)
    const rest = await store.list({ currency: 'EUR' }, { cursor: next as string, limit: 1 })
    expect(rest).toEqual({ data: [], next: null })
  })

  test('that was aborted reads no further', async () => {
    await using store = testStore()
    insert(store, 3 * SLICE)
    const signal = AbortSignal.abort()
    const { data, next } = await store.list({ currency: 'EUR' }, FIRST, signal)
    expect(data).toEqual([])
    expect(await idAfter(store, next)).toBe(2 * SLICE)
  })

  test('is served among others, and is refused where too many are under way', async () => {
    await using store = testStore()
    insert(store, 3 * SLICE)
    const lists = Array.from({ length: 150 }, () =>
      reasonOf(store.list({ currency: 'EUR' }, FIRST)),
    )
    const answers = await Promise.all(lists)
    expect(answers.filter((answer) => answer === 'overloaded')).toHaveLength(50)
    expect(answers.filter((answer) => answer !== 'overloaded')).toHaveLength(100)
    await store.acceptAll('still accepted')
  })
})

describe('the conflicts', () => {
  /** Two transactions, with five conflicts in turn; the oldest at START + 1. */
  async function storeWithConflicts(): Promise<TestStore> {
    const store = testStore()
    await store.acceptAll('even', 'odd')
    for (let i = 1; i <= 5; i++) {
      store.clock.pass(1)
      const transactionId = i % 2 === 0 ? 'even' : 'odd'
      await store.accept(sentTransaction({ transactionId, amount: i }))
    }
    return store
  }

  async function pagedTimes(store: Store, transactionId: string | undefined, limit: number) {
    const pages: number[][] = []
    for (let cursor: string | undefined | null; cursor !== null; ) {
      const page = await store.conflicts(transactionId, { cursor, limit })
      pages.push(page.data.map(({ receivedAt }) => receivedAt - START))
      cursor = page.next
    }
    return pages
  }

  test('come page by page, newest first, of all and of one', async () => {
    await using store = await storeWithConflicts()
    expect(await pagedTimes(store, undefined, 2)).toEqual([[5, 4], [3, 2], [1]])
    expect(await pagedTimes(store, undefined, 5)).toEqual([[5, 4, 3, 2, 1]])
    expect(await pagedTimes(store, 'odd', 2)).toEqual([[5, 3], [1]])
    expect(await pagedTimes(store, 'even', 1)).toEqual([[4], [2]])
    expect(await pagedTimes(store, 'absent', 1)).toEqual([[]])
  })

  test('have what differed', async () => {
    await using store = await storeWithConflicts()
    const differences = [{ field: 'amount', stored: 100, received: 0.04 }]
    expect((await store.conflicts('even', FIRST)).data as unknown[]).toEqual([
      {
        transactionId: 'even',
        receivedAt: START + 4,
        lastReceivedAt: START + 4,
        count: 1,
        differences,
      },
    ])
  })
})

describe('a cursor', () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64url')

  /** Texts that no page had as `next`, but for the valid one that they are made of. */
  const invalid = (valid: string) => [
    '',
    ' ',
    '0',
    'null',
    `${valid} `,
    ` ${valid}`,
    `${valid}\n`,
    `${valid}=`,
    `${valid}A`,
    valid.slice(1),
    base64(''),
    base64('0'),
    base64('-1'),
    base64('01'),
    base64('1.5'),
    base64('1e3'),
    base64(' 1'),
    base64('1\n'),
    base64('9007199254740993'),
    base64('9'.repeat(16)),
    base64('9'.repeat(400)),
    base64('٣'),
    base64('1; DROP TABLE jobs'),
    'é',
    'x'.repeat(10_000),
  ]

  test('of a list that the store did not make is refused, in whatever list', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    const { next } = await store.list({}, FIRST)
    expect(next).toBeString()
    for (const cursor of invalid(next as string)) {
      for (const status of [undefined, 'FAILED', 'PENDING'] as const) {
        const page = store.list({ status }, { cursor, limit: 1 })
        await expect(page, cursor).rejects.toBeInstanceOf(InvalidCursor)
      }
    }
    const rest = await store.list({}, { cursor: next as string, limit: 1 })
    expect(rest).toMatchObject({ data: [{ transactionId: 'a' }], next: null })
  })

  test('of conflicts that the store did not make is refused, for one and for all', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    await store.accept(sentTransaction({ transactionId: 'a', amount: 1 }))
    await store.accept(sentTransaction({ transactionId: 'a', amount: 2 }))
    const { next } = await store.conflicts(undefined, FIRST)
    expect(next).toBeString()
    for (const cursor of invalid(next as string)) {
      for (const transactionId of [undefined, 'a', 'absent']) {
        const page = store.conflicts(transactionId, { cursor, limit: 1 })
        await expect(page, cursor).rejects.toBeInstanceOf(InvalidCursor)
      }
    }
    const rest = await store.conflicts('a', { cursor: next as string, limit: 1 })
    expect(rest).toMatchObject({ data: [{ transactionId: 'a' }], next: null })
  })

  test('that is refused counts as no list under way', async () => {
    await using store = testStore()
    for (let i = 0; i < 150; i++) {
      await expect(store.list({}, { cursor: '?', limit: 1 })).rejects.toThrow(InvalidCursor)
    }
    expect(await store.list({}, FIRST)).toEqual({ data: [], next: null })
  })
})
