import { describe, expect, test } from 'bun:test'
import { START } from '../support/clock.ts'
import {
  claimOne,
  firstValue,
  type Row,
  reasonOf,
  type TestStore,
  testStore,
} from '../support/store.ts'

/** Transactions that one commit of a bulk retry retries. */
const BATCH = 500

/** Stores transactions and has all of them fail. */
async function failed(store: TestStore, ...ids: string[]): Promise<void> {
  await store.acceptAll(...ids)
  const claimed = await store.work.claim(ids.length, 'earliest')
  const fail = { kind: 'fail', detail: 'no luck' } as const
  await Promise.all(claimed.map(({ claim }) => store.work.settle(claim, fail)))
}

/** What is recorded, with its target as JSON. */
const actions = (store: TestStore) =>
  store.rows('actions').map(({ target, id: _, ...row }): Row => {
    return { ...row, target: JSON.parse(String(target)) }
  })

describe('the record of what people do', () => {
  test('has who retried what, and when', async () => {
    await using store = testStore()
    await failed(store, 'a', 'b')
    store.clock.pass(1_000)
    store.clock.stepWall(500)
    await store.retry('a', '12ab34cd')
    await store.retryAll({ currency: 'USD', created_to: START + 5 }, { dryRun: false, by: 'x' })
    const at = START + 1_500
    const filter = { currency: 'USD', created_to: START + 5 }
    expect(actions(store)).toEqual([
      { at, by: '12ab34cd', action: 'retry', target: { transaction_id: 'a' }, count: 1 },
      { at, by: 'x', action: 'retry', target: filter, count: 1 },
    ])
  })

  test('has one row for a bulk retry, which each of its commits adds to', async () => {
    await using store = testStore({ maxBacklog: 10_000 })
    const ids = Array.from({ length: 2 * BATCH + 200 }, (_, i) => `txn_${i}`)
    await failed(store, ...ids)
    const { client } = store.database
    const recorded: unknown[] = []
    const all = store.retryAll({}, { dryRun: false, by: 'x' })
    // As another connection sees it while the retry goes on: always as much as is retried.
    while ((await Promise.race([all, store.health()])) === 'ok') {
      const pending = Number(firstValue(client, 'SELECT count(*) FROM jobs'))
      recorded.push(firstValue(client, 'SELECT sum(count) FROM actions'))
      expect(recorded.at(-1) ?? 0).toBe(pending)
    }
    expect(actions(store)).toEqual([
      { at: START, by: 'x', action: 'retry', target: {}, count: ids.length },
    ])
    expect(recorded).toContain(BATCH)
  })

  test('has nothing of what changed nothing', async () => {
    await using store = testStore()
    await failed(store, 'a')
    await store.acceptAll('b')
    await store.retry('b', 'x')
    await store.retry('no such', 'x')
    await store.handled('b', 'note', 'x')
    await store.handled('no such', 'note', 'x')
    await store.retryAll({}, { dryRun: true, by: 'x' })
    await store.retryAll({ currency: 'EUR' }, { dryRun: false, by: 'x' })
    expect(actions(store)).toEqual([])
  })

  test('and the retry are on the disk together, or neither is', async () => {
    await using store = testStore()
    await failed(store, 'a')
    store.database.client.run('DROP TABLE actions')
    expect(await reasonOf(store.retry('a', 'x'))).toBe('failed')
    expect(store.rows('transactions')).toMatchObject([{ status: 'FAILED' }])
  })
})

describe('a FAILED transaction', () => {
  test('that is noted as handled shows that, and stays FAILED', async () => {
    await using store = testStore()
    await failed(store, 'a')
    const before = await store.find('a')
    expect(before).toMatchObject({ status: 'FAILED', handled: null, nextAttemptAt: null })
    store.clock.pass(2_000)
    const answer = await store.handled('a', 'paid by phone', 'x')
    const handled = { at: START + 2_000, note: 'paid by phone' }
    expect(answer as unknown).toEqual({ kind: 'handled', stored: { ...before, handled } })
    expect(await store.find('a')).toMatchObject({ status: 'FAILED', handled })
    const { data } = await store.list({}, { cursor: undefined, limit: 1 })
    expect(data).toMatchObject([{ handled }])
    expect(actions(store)).toMatchObject([
      { at: START + 2_000, by: 'x', action: 'handled', target: { transaction_id: 'a' }, count: 1 },
    ])
    // A later note takes the place of the first.
    await store.handled('a', 'paid back', 'y')
    expect(await store.find('a')).toMatchObject({ handled: { note: 'paid back' } })
  })

  test('loses the note with a retry of it alone; a bulk retry leaves it as it is', async () => {
    await using store = testStore()
    await failed(store, 'a', 'b')
    await store.handled('a', 'note', 'x')
    await store.handled('b', 'note', 'x')
    expect(await store.retry('a', 'x')).toMatchObject({ stored: { handled: null } })
    expect(await store.find('a')).toMatchObject({ status: 'PENDING', handled: null })
    for (const dryRun of [true, false]) {
      expect(await store.retryAll({}, { dryRun, by: 'x' })).toEqual({ matched: 0, retried: 0 })
    }
    expect(await store.find('b')).toMatchObject({ status: 'FAILED', handled: { note: 'note' } })
    const { claim } = (await store.work.claim(1, 'earliest'))[0] as never
    await store.work.settle(claim, { kind: 'fail', detail: 'again' })
    expect(await store.find('a')).toMatchObject({ status: 'FAILED', handled: null })
  })

  test('is the only one that can be handled', async () => {
    await using store = testStore()
    expect(await store.handled('a', 'note', 'x')).toEqual({ kind: 'unknown' })
    await store.acceptAll('a')
    const answer = async () => (await store.handled('a', 'note', 'x')).kind
    expect(await answer()).toBe('not_failed')
    const { claim } = await claimOne(store)
    expect(await answer()).toBe('not_failed')
    await store.work.settle(claim, { kind: 'done' })
    expect(await answer()).toBe('not_failed')
    expect(store.rows('transactions')).toMatchObject([{ handled_at: null, handled_note: null }])
  })
})

describe('the next attempt', () => {
  test('has its time by the wall clock while the transaction is PENDING', async () => {
    await using store = testStore()
    const due = async () => {
      const found = (await store.find('a'))?.nextAttemptAt
      const { data } = await store.list({}, { cursor: undefined, limit: 1 })
      expect(data[0]?.nextAttemptAt).toBe(found as number)
      return found
    }
    await store.acceptAll('a')
    expect(await due()).toBe(START)
    const { claim } = await claimOne(store)
    expect(await due()).toBeNull()
    store.clock.pass(500)
    await store.work.settle(claim, { kind: 'retry', inMs: 60_000, detail: 'later' })
    expect(await due()).toBe(START + 60_500)
    // It is as far away as before; what the wall clock says of it is another time.
    store.clock.stepWall(3_600_000)
    expect(await due()).toBe(START + 3_660_500)
    store.clock.pass(60_000)
    const again = await claimOne(store)
    expect(again.transaction.nextAttemptAt).toBeNull()
    await store.work.settle(again.claim, { kind: 'snooze', inMs: 10_000 })
    expect(await due()).toBeNull()
    store.clock.pass(10_000)
    await store.work.settle((await claimOne(store)).claim, { kind: 'done' })
    expect(await due()).toBeNull()
  })

  test('of a retried transaction is due at once', async () => {
    await using store = testStore()
    await failed(store, 'a')
    store.clock.pass(7_000)
    const retried = await store.retry('a', 'x')
    expect(retried).toMatchObject({ stored: { status: 'PENDING', nextAttemptAt: START + 7_000 } })
    expect(await store.find('a')).toMatchObject({ nextAttemptAt: START + 7_000 })
  })
})
