import { describe, expect, test } from 'bun:test'
import { START } from '../support/clock.ts'
import {
  firstValue,
  reasonOf,
  sentTransaction,
  type TestStore,
  testStore,
} from '../support/store.ts'

/** Different conflicts that are kept of a transaction. */
const KEPT = 100

/** Has the transaction arrive with another amount. */
const conflict = (store: TestStore, amount: number, transactionId = 'txn_001') =>
  store.accept(sentTransaction({ transactionId, amount }))

/** What is kept of the conflicts: each amount with how often it was received. */
async function kept(store: TestStore): Promise<unknown[]> {
  const { data } = await store.conflicts(undefined, { cursor: undefined, limit: 250 })
  return data.map(({ differences, count }) => [differences[0]?.received, count])
}

describe('conflicts of one transaction', () => {
  test('that are identical are one, with their number and the times of the first and last', async () => {
    await using store = testStore()
    await store.acceptAll('txn_001')
    for (const amount of [500, 600, 500, 500]) {
      store.clock.pass(1_000)
      expect((await conflict(store, amount)).kind).toBe('conflict')
    }
    const times = (first: number, last: number) => ({
      receivedAt: START + first,
      lastReceivedAt: START + last,
    })
    const { data } = await store.conflicts('txn_001', { cursor: undefined, limit: 10 })
    const differing = (received: number) => [{ field: 'amount', stored: 100, received }] as const
    expect(data as unknown[]).toEqual([
      { transactionId: 'txn_001', ...times(2_000, 2_000), count: 1, differences: differing(6) },
      { transactionId: 'txn_001', ...times(1_000, 4_000), count: 3, differences: differing(5) },
    ])
  })

  test('that are identical don’t make the database grow, ten thousand of them', async () => {
    await using store = testStore()
    await store.acceptAll('txn_001')
    await conflict(store, 500)
    const { databaseBytes } = await store.readings()
    for (let batch = 0; batch < 10; batch++) {
      const answers = await Promise.all(Array.from({ length: 1_000 }, () => conflict(store, 500)))
      expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(['conflict']))
    }
    expect((await store.readings()).databaseBytes).toBe(databaseBytes)
    expect(await kept(store)).toEqual([[5, 10_001]])
  })

  test('are kept up to a hundred different ones, and answered beyond that', async () => {
    await using store = testStore()
    await store.acceptAll('txn_001', 'other')
    const amounts = Array.from({ length: KEPT + 50 }, (_, i) => (i + 1) * 100_000)
    for (const amount of amounts) {
      const answer = await conflict(store, amount)
      const differences = [{ field: 'amount', stored: 100, received: amount / 100 }] as never
      expect(answer).toEqual({ kind: 'conflict', differences })
    }
    const first = amounts.slice(0, KEPT).map((amount) => [amount / 100, 1])
    expect(await kept(store)).toEqual(first.reverse())

    // Those that are kept go on counting, and another transaction has a hundred of its own.
    await conflict(store, 100_000)
    await conflict(store, 100_000 * (KEPT + 1))
    await conflict(store, 7, 'other')
    expect((await kept(store)).slice(0, 1)).toEqual([[0.07, 1]])
    expect((await kept(store)).slice(-1)).toEqual([[1_000, 2]])
    expect(store.rows('conflicts')).toHaveLength(KEPT + 1)
  })

  test('that a full disk has no room for are refused', async () => {
    await using store = testStore()
    await store.acceptAll('txn_001')
    const { client } = store.database
    client.run(`PRAGMA max_page_count = ${firstValue(client, 'PRAGMA page_count')}`)
    const account = (i: number) => `${i}`.padEnd(128, 'x')
    const answers: unknown[] = []
    for (let i = 0; i < KEPT && answers.at(-1) !== 'full'; i++) {
      const sent = sentTransaction({ sourceAccount: account(i), destinationAccount: account(i) })
      answers.push(await reasonOf(store.accept(sent)))
    }
    expect(answers.at(-1)).toBe('full')
    expect(store.rows('conflicts')).toHaveLength(answers.length - 1)
  })
})
