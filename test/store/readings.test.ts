import { describe, expect, test } from 'bun:test'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Counts } from '../../src/store/sqlite/counts.ts'
import type { Settlement } from '../../src/store/sqlite/jobs.ts'
import { START } from '../support/clock.ts'
import { noCounts, rowsOf, sentTransaction, type TestStore, testStore } from '../support/store.ts'

/** What is counted in memory, after a look that the database says the same. */
function counted(store: TestStore): Counts {
  const counts = (await store.readings()).transactions
  const sql = 'SELECT status, count(*) AS count FROM transactions GROUP BY status'
  const stored = rowsOf(store.dataDir, sql).map(({ status, count }) => [status, count])
  expect(counts).toEqual({ ...noCounts(), ...Object.fromEntries(stored) })
  return counts
}

/** Takes one job and settles it. */
async function work(store: TestStore, settlement?: Settlement): Promise<void> {
  await store.commit(() => {
    const now = store.clock.now()
    for (const job of store.jobs.take(now, 1, 1)) {
      if (settlement) store.jobs.settle(job, settlement, now)
    }
  })
}

/** A transaction in each state, and two that are PENDING. */
async function fill(store: TestStore): Promise<void> {
  await store.acceptAll('a', 'b', 'c', 'd', 'e')
  await work(store, { kind: 'done' })
  await work(store, { kind: 'fail', detail: '' })
  await work(store, { kind: 'retry', runAt: START + 5000, detail: '' })
  await work(store)
}

describe('the transactions by state', () => {
  test('are counted along every way from state to state', async () => {
    await using store = testStore()
    expect(counted(store)).toEqual(noCounts())
    await store.acceptAll('a', 'b', 'c', 'd', 'e')
    expect(counted(store)).toMatchObject({ PENDING: 5 })
    await work(store, { kind: 'done' })
    expect(counted(store)).toMatchObject({ PENDING: 4, PROCESSED: 1 })
    await work(store, { kind: 'fail', detail: '' })
    expect(counted(store)).toMatchObject({ PENDING: 3, FAILED: 1 })
    await work(store, { kind: 'retry', runAt: START + 5000, detail: '' })
    expect(counted(store)).toMatchObject({ PENDING: 3, PROCESSING: 0 })
    await work(store, { kind: 'snooze', runAt: START + 5000 })
    expect(counted(store)).toMatchObject({ PENDING: 2, PROCESSING: 1 })
    await work(store)
    expect(counted(store)).toMatchObject({ PENDING: 1, PROCESSING: 2 })
    await store.work.start(8)
    expect(counted(store)).toMatchObject({ PENDING: 2, PROCESSING: 1 })
    await work(store)
    await store.work.start(1)
    expect(counted(store)).toEqual({ PENDING: 1, PROCESSING: 1, PROCESSED: 1, FAILED: 2 })
    store.clock.pass(5000)
    await store.work.advanceWaits(1000, 100)
    expect(counted(store)).toEqual({ PENDING: 0, PROCESSING: 1, PROCESSED: 2, FAILED: 2 })
    store.clock.pass(1000)
    await store.work.advanceWaits(1000, 100)
    expect(counted(store)).toEqual({ PENDING: 0, PROCESSING: 0, PROCESSED: 3, FAILED: 2 })
  })

  test('don’t count what changes nothing: replays, conflicts, and outcomes that come late', async () => {
    await using store = testStore({ maxBacklog: 1 })
    await store.acceptAll('a')
    const again = sentTransaction({ transactionId: 'a' })
    await store.accept(again)
    await store.accept({ ...again, amount: 1 })
    expect(await store.accept({ ...again, transactionId: 'b' })).toEqual({ kind: 'backlog_full' })
    expect(counted(store)).toEqual({ ...noCounts(), PENDING: 1 })
    await store.commit(() => {
      const now = store.clock.now()
      const [job] = store.jobs.take(now, 1, 1)
      if (!job) throw new Error('One job was to be had.')
      for (let i = 0; i < 3; i++) store.jobs.settle(job, { kind: 'done' }, now)
    })
    expect(counted(store)).toEqual({ ...noCounts(), PROCESSED: 1 })
  })

  test('are those of before where a batch is undone, and its other works are counted', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    const results = await Promise.allSettled([
      store.accept(sentTransaction({ transactionId: 'c' })),
      store.commit(() => {
        const now = store.clock.now()
        for (const job of store.jobs.take(now, 3, 1)) {
          store.jobs.settle(job, { kind: 'fail', detail: '' }, now)
        }
        throw new Error('undone')
      }),
      work(store, { kind: 'done' }),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(counted(store)).toEqual({ ...noCounts(), PENDING: 2, PROCESSED: 1 })
  })

  test('are the same after a restart', async () => {
    await using first = testStore()
    await fill(first)
    const counts = { PENDING: 2, PROCESSING: 1, PROCESSED: 1, FAILED: 1 }
    expect(counted(first)).toEqual(counts)
    await first.close()
    await using second = testStore({ dataDir: first.dataDir })
    expect(counted(second)).toEqual(counts)
    await second.close()
    // With a waited attempt that is open and not claimed.
    await using third = testStore({ dataDir: first.dataDir })
    await third.work.advanceWaits(1000, 100)
    expect(counted(third)).toEqual({ ...counts, PENDING: 1, PROCESSING: 2 })
    await third.close()
    await using fourth = testStore({ dataDir: first.dataDir })
    expect(counted(fourth)).toEqual({ ...counts, PENDING: 1, PROCESSING: 2 })
  })

  test('of a database where all is finished are right after a restart', async () => {
    await using first = testStore()
    await first.acceptAll('a', 'b', 'c')
    await first.work.advanceWaits(0, 2)
    await work(first, { kind: 'fail', detail: '' })
    await first.close()
    await using second = testStore({ dataDir: first.dataDir })
    expect(counted(second)).toEqual({ ...noCounts(), PROCESSED: 2, FAILED: 1 })
  })
})

describe('the oldest unfinished transaction', () => {
  test('is the one that was accepted first, whatever is due first', async () => {
    await using store = testStore()
    expect(store.readings().oldestUnfinishedAt).toBeUndefined()
    store.clock.stepWall(500)
    await store.acceptAll('a')
    store.clock.pass(1000)
    await store.acceptAll('b')
    const oldest = () => store.readings().oldestUnfinishedAt
    expect(oldest()).toBe(START + 500)
    // Due after the other one now, and still the oldest.
    await work(store, { kind: 'retry', runAt: START + 9000, detail: '' })
    expect(oldest()).toBe(START + 500)
    await work(store, { kind: 'done' })
    expect(oldest()).toBe(START + 500)
    store.clock.pass(9000)
    await work(store, { kind: 'fail', detail: '' })
    expect(oldest()).toBeUndefined()
  })

  test('has its time by the wall clock, and so has the reading', async () => {
    await using store = testStore()
    store.clock.stepWall(3_600_000)
    await store.acceptAll('a')
    store.clock.pass(250)
    const { oldestUnfinishedAt, now } = store.readings()
    expect(oldestUnfinishedAt).toBe(START + 3_600_000)
    expect(now).toBe(START + 3_600_250)
  })
})

describe('the sizes', () => {
  test('are those of the files, and the log’s grows with each write', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const before = store.readings()
    await store.accept(sentTransaction({ extra: { big: 'x'.repeat(50_000) } }))
    const after = store.readings()
    expect(after.logBytes).toBeGreaterThan(before.logBytes + 50_000)
    expect(after.databaseBytes).toBeGreaterThan(before.databaseBytes + 45_000)
    // The log's file has a header, and one for each page of 4 KiB.
    const pages = after.logBytes / 4096
    expect(statSync(join(store.dataDir, 'txhook.db-wal')).size).toBe(32 + pages * (4096 + 24))
    await store.close()
    expect(statSync(join(store.dataDir, 'txhook.db')).size).toBe(after.databaseBytes)
  })

  test('begin with a log of next to nothing after a restart', async () => {
    await using first = testStore()
    await first.accept(sentTransaction({ extra: { big: 'x'.repeat(50_000) } }))
    await first.close()
    await using second = testStore({ dataDir: first.dataDir })
    expect(second.readings().logBytes).toBeLessThanOrEqual(4096)
  })
})
