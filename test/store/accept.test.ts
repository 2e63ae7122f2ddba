import { describe, expect, test } from 'bun:test'
import { START } from '../support/clock.ts'
import { firstValue, sentTransaction, type TestStore, testStore } from '../support/store.ts'

/** Changes of rows so far, by this connection. */
const changes = (store: TestStore) => firstValue(store.database.client, 'SELECT total_changes()')
const ids = (count: number) => Array.from({ length: count }, (_, i) => `txn_${i}`)

/** Claims one job that is due and settles it. */
async function finishOne(store: TestStore): Promise<void> {
  for (const { claim } of await store.work.claim(1, 'earliest')) {
    expect(await store.work.settle(claim, { kind: 'done' })).toBe('settled')
  }
}

describe('a new transaction', () => {
  test('is stored with a job that is due at once', async () => {
    await using store = testStore()
    store.clock.stepWall(5000)
    const sent = sentTransaction({ extra: '{"note":"x"}' })
    const stored = {
      ...sent,
      status: 'PENDING',
      attempts: 0,
      createdAt: START + 5000,
      processingStartedAt: null,
      processedAt: null,
      nextAttemptAt: START + 5000,
      handled: null,
      error: null,
    } as const
    expect(await store.accept(sent)).toEqual({ kind: 'accepted', stored })
    expect(await store.find('txn_001')).toEqual(stored)
    expect(store.rows('transactions')).toMatchObject([
      {
        id: 1,
        transaction_id: 'txn_001',
        source_account: 'A123',
        destination_account: 'B456',
        amount: 10_000,
        currency: 'USD',
        extra: '{"note":"x"}',
        status: 'PENDING',
        attempts: 0,
        created_at: START + 5000,
        processing_started_at: null,
        processed_at: null,
        error: null,
      },
    ])
    // Wall time is for the record; the schedule is steady.
    expect(store.rows('jobs')).toMatchObject([
      { id: 1, run_at: START, claim: null, attempt_started_at: null, tries: 0, changed_at: START },
    ])
    expect(store.rows('attempts')).toEqual([])
  })

  test('keeps the members beyond the five as they are, those with dangerous names too', async () => {
    await using store = testStore()
    const extra =
      '{"__proto__":{"admin":true},"2":9007199254740993,"1":1.10,"b":[1e2,{"é":"\\u0000"}],"a":""}'
    await store.accept(sentTransaction({ extra }))
    expect((await store.find('txn_001'))?.extra).toBe(extra)
    expect(store.rows('transactions')).toMatchObject([{ extra }])
  })

  test('keeps ids apart that only look alike, and the largest amount exact', async () => {
    await using store = testStore()
    const alike = ['é', 'e\u0301', 'É', 'TXN', 'txn', 'txn ', '0', '00', '😀']
    await store.acceptAll(...alike)
    await store.accept(sentTransaction({ transactionId: 'max', amount: 999_999_999_999_999 }))
    for (const id of alike) expect((await store.find(id))?.transactionId).toBe(id)
    expect((await store.find('max'))?.amount).toBe(999_999_999_999_999)
    expect(await store.find('Txn')).toBeUndefined()
  })
})

describe('a transaction that is known', () => {
  test('is replayed as it now is, and nothing is written', async () => {
    await using store = testStore()
    await store.accept(sentTransaction({ extra: '{"first":true}' }))
    await finishOne(store)
    const before = changes(store)
    const stored = await store.find('txn_001')
    const again = sentTransaction({ extra: '{"first":false,"more":1}' })
    expect(await store.accept(again)).toEqual({ kind: 'replayed', stored } as never)
    expect(stored).toMatchObject({ status: 'PROCESSED', attempts: 1, extra: '{"first":true}' })
    expect(changes(store)).toBe(before)
    expect(store.rows('jobs')).toEqual([])
  })

  test('with other content is a conflict, kept with each field that differs', async () => {
    await using store = testStore()
    await store.accept(sentTransaction())
    const stored = await store.find('txn_001')
    store.clock.pass(1000)
    const account = [{ field: 'source_account', stored: 'A123', received: 'a123' }]
    const money = [
      { field: 'destination_account', stored: 'B456', received: 'C789' },
      { field: 'amount', stored: 100, received: 10_001 },
      { field: 'currency', stored: 'USD', received: 'JPY' },
    ]
    expect(await store.accept(sentTransaction({ sourceAccount: 'a123' }))).toEqual({
      kind: 'conflict',
      differences: account,
    } as never)
    store.clock.pass(1000)
    const other = { destinationAccount: 'C789', amount: 10_001, currency: 'JPY' }
    expect(await store.accept(sentTransaction(other))).toEqual({
      kind: 'conflict',
      differences: money,
    } as never)

    const kept = store.rows('conflicts')
    expect(kept).toMatchObject([
      { id: 1, stored_id: 1, received_at: START + 1000 },
      { id: 2, stored_id: 1, received_at: START + 2000 },
    ])
    expect(kept.map(({ differences }) => JSON.parse(String(differences)))).toEqual([account, money])
    expect(await store.find('txn_001')).toEqual(stored as never)
    expect(store.rows('jobs')).toHaveLength(1)
  })

  test('from earlier in the same batch is known as well', async () => {
    await using store = testStore()
    const received = [{}, {}, { amount: 1 }, { transactionId: 'other' }]
    const answers = await Promise.all(received.map((each) => store.accept(sentTransaction(each))))
    expect(answers.map(({ kind }) => kind)).toEqual([
      'accepted',
      'replayed',
      'conflict',
      'accepted',
    ])
    expect(store.rows('jobs')).toHaveLength(2)
  })
})

describe('a full backlog', () => {
  test('is full exactly at its size, however many arrive in one batch', async () => {
    await using store = testStore({ maxBacklog: 7 })
    const received = ids(20).map((transactionId) => sentTransaction({ transactionId }))
    const answers = await Promise.all(received.map((each) => store.accept(each)))
    const kinds = answers.map(({ kind }) => kind)
    expect(kinds).toEqual([...Array(7).fill('accepted'), ...Array(13).fill('backlog_full')])
    expect(store.rows('transactions')).toHaveLength(7)
    expect(store.rows('jobs')).toHaveLength(7)
    expect(await store.find('txn_7')).toBeUndefined()
  })

  test('accepts one more for each that ends', async () => {
    await using store = testStore({ maxBacklog: 2 })
    await store.acceptAll('a', 'b')
    expect(await store.accept(sentTransaction())).toEqual({ kind: 'backlog_full' })
    await finishOne(store)
    await store.acceptAll('c')
    expect(await store.accept(sentTransaction())).toEqual({ kind: 'backlog_full' })
  })

  test('still knows a replay and a conflict', async () => {
    await using store = testStore({ maxBacklog: 1 })
    await store.acceptAll('a')
    const again = sentTransaction({ transactionId: 'a' })
    expect(await store.accept(again)).toMatchObject({
      kind: 'replayed',
      stored: { transactionId: 'a' },
    })
    expect(await store.accept({ ...again, amount: 1 })).toMatchObject({ kind: 'conflict' })
    expect(store.rows('conflicts')).toHaveLength(1)
    expect(await store.accept(sentTransaction())).toEqual({ kind: 'backlog_full' })
  })

  test('is as full after a restart', async () => {
    await using first = testStore({ maxBacklog: 3 })
    await first.acceptAll('a', 'b', 'c')
    await finishOne(first)
    await first.close()
    await using second = testStore({ maxBacklog: 3, dataDir: first.dataDir })
    await second.acceptAll('d')
    expect(await second.accept(sentTransaction())).toEqual({ kind: 'backlog_full' })
  })

  test('does not count what a full disk refused', async () => {
    await using store = testStore({ maxBacklog: 1 })
    const { client } = store.database
    client.run(`PRAGMA max_page_count = ${firstValue(client, 'PRAGMA page_count')}`)
    const big = sentTransaction({ extra: JSON.stringify({ big: 'x'.repeat(100_000) }) })
    await expect(store.accept(big)).rejects.toMatchObject({ reason: 'full' })
    expect(await store.find('txn_001')).toBeUndefined()
    await store.acceptAll('small')
    // A replay needs no room.
    const replay = store.accept(sentTransaction({ transactionId: 'small' }))
    expect(await replay).toMatchObject({ kind: 'replayed' })
    expect(store.rows('jobs')).toHaveLength(1)
  })
})
