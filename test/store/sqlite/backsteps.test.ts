import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { TransactionFilter } from '../../../src/domain/filter.ts'
import { prepareKeyRange } from '../../../src/store/sqlite/backsteps.ts'
import { openDatabase } from '../../../src/store/sqlite/database/open-database.ts'
import { START, testMachine } from '../../support/clock.ts'
import { temporaryDirectory } from '../../support/service.ts'
import { sentTransaction, type TestStore, testStore } from '../../support/store.ts'

const HOUR_MS = 3_600_000
const SECOND_MS = 1_000

/** The ids of all that a filter selects: as the list finds them, and as each row says. */
async function found(store: TestStore, filter: TransactionFilter) {
  const listed: string[] = []
  for (let cursor: string | undefined; ; ) {
    const { data, next } = await store.list(filter, { cursor, limit: 250 })
    listed.push(...data.map(({ transactionId }) => transactionId))
    if (next === null) break
    cursor = next
  }
  const { created_from = -Infinity, created_to = Infinity } = filter
  const expected = store
    .rows('transactions')
    .filter(({ created_at }) => Number(created_at) >= created_from)
    .filter(({ created_at }) => Number(created_at) < created_to)
    .map(({ transaction_id }) => String(transaction_id))
  return { listed, expected: expected.reverse() }
}

/** Stores transactions in a batch that is rolled back for the write after them, and then again. */
async function rolledBack(store: TestStore, ...ids: string[]): Promise<void> {
  const accepted = store.acceptAll(...ids)
  const failing = store.commits.write(() => {
    throw new Error('rolled back')
  })
  await expect(failing).rejects.toThrow('rolled back')
  await accepted
}

const time = fc.integer({ min: -5_000, max: 5_000 })
const event = fc.oneof(
  { weight: 8, arbitrary: fc.record({ pass: fc.integer({ min: 0, max: 1_500 }) }) },
  { weight: 3, arbitrary: fc.record({ step: time }) },
  { weight: 1, arbitrary: fc.constant('restart' as const) },
  { weight: 1, arbitrary: fc.constant('rollback' as const) },
)

describe('a list by time', () => {
  test('finds all that was accepted then, however the clock was stepped', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 10, maxLength: 30 }),
        time,
        time,
        async (events, a, b) => {
          using directory = temporaryDirectory()
          const machine = testMachine()
          let store = testStore({ dataDir: directory.path, clock: machine.clock() })
          for (const [i, each] of events.entries()) {
            if (each === 'restart') {
              await store.close()
              store = testStore({ dataDir: directory.path, clock: machine.clock() })
            } else if (each === 'rollback') {
              await rolledBack(store, `rolled back with ${i}`)
            } else if ('step' in each) machine.stepWall(each.step)
            else machine.pass(each.pass)
            await store.acceptAll(`txn_${i}`)
          }
          const filters = [{ created_from: START + a }, { created_to: START + b }]
          for (const filter of [...filters, { ...filters[0], ...filters[1] }]) {
            const { listed, expected } = await found(store, filter)
            expect(listed).toEqual(expected)
          }
          await store.close()
        },
      ),
      { numRuns: 20 },
    )
  }, 30_000)

  test('finds what the clock put before others by less than a second', async () => {
    await using store = testStore()
    const times = [0, 900, 800, 1_500, 600, 1_400, 2_300, 1_350, 2_000, 1_950, 1_310, 2_000]
    let last = 0
    for (const [i, at] of times.entries()) {
      store.clock.stepWall(at - last)
      last = at
      await store.acceptAll(`txn_${i}`)
    }
    expect(store.rows('backsteps')).toEqual([])
    for (const from of times) {
      for (const to of times) {
        const filter = { created_from: START + from, created_to: START + to + 1 }
        const { listed, expected } = await found(store, filter)
        expect({ from, to, listed }).toEqual({ from, to, listed: expected })
      }
    }
  })

  test('is the same after a batch in which the clock went back was rolled back', async () => {
    await using store = testStore()
    store.clock.pass(HOUR_MS)
    await store.acceptAll('before')
    store.clock.stepWall(-HOUR_MS)
    await rolledBack(store, 'a', 'b')
    const { listed, expected } = await found(store, { created_to: START + SECOND_MS })
    expect(expected).toEqual(['b', 'a'])
    expect(listed).toEqual(expected)
    expect(store.rows('backsteps')).toEqual([{ id: 2 }])
  })

  test('records a transaction only where the clock went back by more than a second', async () => {
    await using store = testStore()
    for (const [i, step] of [0, -SECOND_MS, 0, HOUR_MS, -HOUR_MS, -1].entries()) {
      store.clock.stepWall(step)
      await store.acceptAll(`txn_${i}`)
    }
    expect(store.rows('backsteps')).toEqual([{ id: 5 }])
  })

  test('searches a range of keys that has little else', async () => {
    using directory = temporaryDirectory()
    const database = openDatabase(directory.path)
    insertRising(database, 100_000)
    const range = prepareKeyRange(database)
    // One in each 100 ms.
    const keys = range({ created_from: START + 5_000_000, created_to: START + 5_001_000 })
    expect(keys.to - keys.from).toBeLessThan(40)
    expect(keys.from).toBeWithin(49_980, 50_001)
    expect(range({ created_from: START + 20_000_000 })).toEqual({ from: 0, to: 0 })
    expect(range({ created_to: START - 2_000 })).toEqual({ from: 0, to: 0 })
    expect(range({ created_to: START + 20_000_000 })).toEqual({ from: 0, to: 100_001 })
    // Deleted ones leave gaps.
    database.client.run('DELETE FROM transactions WHERE id BETWEEN 1000 AND 60000')
    const { from, to } = range({ created_from: START + 5_000_000, created_to: START + 6_001_000 })
    expect(from).toBeLessThan(60_001)
    expect(to).toBeWithin(60_002, 60_030)
    database.close()
  })

  test('that would take more searches than it saves reads all', async () => {
    await using store = testStore()
    for (let i = 0; i < 102; i++) {
      store.clock.stepWall(-2 * SECOND_MS)
      await store.accept(sentTransaction({ transactionId: `txn_${i}` }))
    }
    const range = prepareKeyRange(store.database)
    expect(range({ created_from: START }).to).toBe(Number.MAX_SAFE_INTEGER)
    const { listed, expected } = await found(store, { created_from: START - 100 * SECOND_MS })
    expect(listed).toEqual(expected)
    expect(listed).toHaveLength(50)
  })
})

/** Transactions that were accepted one in each 100 ms, the oldest with the key 1. */
function insertRising({ client }: ReturnType<typeof openDatabase>, count: number): void {
  client.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
     INSERT INTO transactions (transaction_id, source_account, destination_account, amount,
       currency, status, attempts, created_at)
     SELECT 'txn_' || i, 'A123', 'B456', 100, 'USD', 'PROCESSED', 1, ${START} + i * 100 FROM n`,
  )
}
