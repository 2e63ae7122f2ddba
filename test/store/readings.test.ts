import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { cpSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Counts } from '../../src/store/sqlite/counts.ts'
import { PAGE_BYTES } from '../../src/store/sqlite/database/connection.ts'
import type { Claimed, Settlement } from '../../src/store/store.ts'
import { START } from '../support/clock.ts'
import { temporaryDirectory } from '../support/service.ts'
import {
  claimOne,
  countsOf,
  noCounts,
  rowsOf,
  sentTransaction,
  type TestStore,
  testStore,
} from '../support/store.ts'

/** What is counted in memory, after a check that the database has the same. */
async function counted(store: TestStore): Promise<Counts> {
  const counts = await countsOf(store)
  const sql = 'SELECT status, count(*) AS count FROM transactions GROUP BY status'
  const stored = rowsOf(store.dataDir, sql).map(({ status, count }) => [status, count])
  expect(counts).toEqual({ ...noCounts(), ...Object.fromEntries(stored) })
  return counts
}

/** Claims one job and settles it. */
async function work(store: TestStore, settlement?: Settlement): Promise<void> {
  for (const { claim } of await store.work.claim(1, 'earliest')) {
    if (settlement) await store.work.settle(claim, settlement)
  }
}

/** A transaction in each state, and two that are PENDING. */
async function fill(store: TestStore): Promise<void> {
  await store.acceptAll('a', 'b', 'c', 'd', 'e')
  await work(store, { kind: 'done' })
  await work(store, { kind: 'fail', detail: '' })
  await work(store, { kind: 'retry', inMs: 5000, detail: '' })
  await work(store)
}

describe('the transactions by state', () => {
  test('are counted along every way from state to state', async () => {
    await using store = testStore()
    expect(await counted(store)).toEqual(noCounts())
    await store.acceptAll('a', 'b', 'c', 'd', 'e')
    expect(await counted(store)).toMatchObject({ PENDING: 5 })
    await work(store, { kind: 'done' })
    expect(await counted(store)).toMatchObject({ PENDING: 4, PROCESSED: 1 })
    await work(store, { kind: 'fail', detail: '' })
    expect(await counted(store)).toMatchObject({ PENDING: 3, FAILED: 1 })
    await work(store, { kind: 'retry', inMs: 5000, detail: '' })
    expect(await counted(store)).toMatchObject({ PENDING: 3, PROCESSING: 0 })
    await work(store, { kind: 'snooze', inMs: 5000 })
    expect(await counted(store)).toMatchObject({ PENDING: 2, PROCESSING: 1 })
    await work(store)
    expect(await counted(store)).toMatchObject({ PENDING: 1, PROCESSING: 2 })
    await store.work.start(8)
    expect(await counted(store)).toMatchObject({ PENDING: 2, PROCESSING: 1 })
    await work(store)
    await store.work.start(1)
    expect(await counted(store)).toEqual({ PENDING: 1, PROCESSING: 1, PROCESSED: 1, FAILED: 2 })
    store.clock.pass(5000)
    await store.work.advanceWaits(1000, 100)
    expect(await counted(store)).toEqual({ PENDING: 0, PROCESSING: 1, PROCESSED: 2, FAILED: 2 })
    store.clock.pass(1000)
    await store.work.advanceWaits(1000, 100)
    expect(await counted(store)).toEqual({ PENDING: 0, PROCESSING: 0, PROCESSED: 3, FAILED: 2 })
  })

  test('don’t count what changes nothing: replays, conflicts, and outcomes that come late', async () => {
    await using store = testStore({ maxBacklog: 1 })
    await store.acceptAll('a')
    const again = sentTransaction({ transactionId: 'a' })
    await store.accept(again)
    await store.accept({ ...again, amount: 1 })
    expect(await store.accept({ ...again, transactionId: 'b' })).toEqual({ kind: 'backlog_full' })
    expect(await counted(store)).toEqual({ ...noCounts(), PENDING: 1 })
    const { claim } = await claimOne(store)
    const settled = [1, 2, 3].map(() => store.work.settle(claim, { kind: 'done' }))
    expect(await Promise.all(settled)).toEqual(['settled', 'superseded', 'superseded'])
    expect(await counted(store)).toEqual({ ...noCounts(), PROCESSED: 1 })
  })

  test('are those of before where a batch is rolled back, and its other works count', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    const { claim } = (await store.work.claim(1, 'earliest'))[0] as Claimed
    let runs = 0
    const results = await Promise.allSettled([
      store.accept(sentTransaction({ transactionId: 'c' })),
      store.work.settle(claim, { kind: 'done' }),
      store.commits.write(() => {
        runs++
        store.database.client.run(`UPDATE transactions SET status = 'FAILED'`)
        throw new Error('rolled back')
      }),
      store.work.claim(1, 'earliest'),
    ])
    const statuses = results.map(({ status }) => status)
    expect(statuses).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
    expect(results[2]).toHaveProperty('reason.message', 'rolled back')
    expect(runs).toBe(2)
    const counts = { PENDING: 1, PROCESSING: 1, PROCESSED: 1, FAILED: 0 }
    expect(await counted(store)).toEqual(counts)
  })

  test('are the same after a restart', async () => {
    await using first = testStore()
    await fill(first)
    const counts = { PENDING: 2, PROCESSING: 1, PROCESSED: 1, FAILED: 1 }
    expect(await counted(first)).toEqual(counts)
    await first.close()
    await using second = testStore({ dataDir: first.dataDir })
    expect(await counted(second)).toEqual(counts)
    await second.close()
    // With an attempt that is a wait: open, and not claimed.
    await using third = testStore({ dataDir: first.dataDir })
    await third.work.advanceWaits(1000, 100)
    expect(await counted(third)).toEqual({ ...counts, PENDING: 1, PROCESSING: 2 })
    await third.close()
    await using fourth = testStore({ dataDir: first.dataDir })
    expect(await counted(fourth)).toEqual({ ...counts, PENDING: 1, PROCESSING: 2 })
  })

  test('of a database where all is finished are right after a restart', async () => {
    await using first = testStore()
    await first.acceptAll('a', 'b', 'c')
    await first.work.advanceWaits(0, 2)
    await work(first, { kind: 'fail', detail: '' })
    await first.close()
    await using second = testStore({ dataDir: first.dataDir })
    expect(await counted(second)).toEqual({ ...noCounts(), PROCESSED: 2, FAILED: 1 })
  })
})

describe('after transactions were deleted', () => {
  /** Deletes as another program does, or a later version: rows and all that belongs to them. */
  function remove(dataDir: string, ...ids: number[]): void {
    using database = new Database(join(dataDir, 'txhook.db'))
    for (const table of ['attempts', 'jobs', 'transactions']) {
      database.run(`DELETE FROM ${table} WHERE id IN (${ids.join()})`)
    }
  }

  test.each([
    ['one', [3]],
    ['the oldest', [1, 2]],
    ['the newest', [8]],
    ['the newest, with a gap before them', [6, 7, 8]],
    ['some, and those that were then the newest', [4, 6, 8, 7]],
    ['all', [1, 2, 3, 4, 5, 6, 7, 8]],
  ] as [string, number[]][])('the counts are right at the next start: %s', async (_, ids) => {
    await using first = testStore()
    await first.acceptAll('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h')
    await first.work.advanceWaits(0, 6)
    await work(first, { kind: 'fail', detail: '' })
    await first.close()
    const { dataDir } = first
    for (const id of ids) remove(dataDir, id)
    await using second = testStore({ dataDir })
    const { PROCESSED } = await counted(second)
    expect(PROCESSED).toBe(6 - ids.filter((id) => id <= 6).length)
    // And new ones count as before, also with keys that were in use.
    await second.acceptAll('i', 'j')
    await second.work.advanceWaits(0, 10)
    await counted(second)
    await second.close()
    await using third = testStore({ dataDir })
    await counted(third)
    await third.close()
    remove(dataDir, ...third.rows('transactions').map(({ id }) => Number(id)))
    await using fourth = testStore({ dataDir })
    expect(await counted(fourth)).toEqual(noCounts())
  })

  test('the counts are right after a crash', async () => {
    await using first = testStore()
    await first.acceptAll('a', 'b', 'c')
    await first.work.advanceWaits(0, 2)
    first.database.client.run('DELETE FROM attempts WHERE id = 1')
    first.database.client.run('DELETE FROM transactions WHERE id = 1')
    using crashed = temporaryDirectory()
    cpSync(first.dataDir, crashed.path, { recursive: true })
    await using second = testStore({ dataDir: crashed.path })
    expect(await counted(second)).toEqual({ ...noCounts(), PENDING: 1, PROCESSED: 1 })
  })
})

describe('the oldest unfinished transaction', () => {
  test('counts from a retry on, where it was retried', async () => {
    await using store = testStore()
    const oldest = async () => (await store.readings()).oldestUnfinishedAt
    await store.acceptAll('a', 'b')
    await work(store, { kind: 'fail', detail: '' })
    await work(store, { kind: 'fail', detail: '' })
    store.clock.pass(3_600_000)
    await store.retry('b', 'x')
    expect(await oldest()).toBe(START + 3_600_000)
    store.clock.pass(1_000)
    await store.acceptAll('c')
    store.clock.pass(1_000)
    await store.retry('a', 'x')
    // `b` was retried before `c` was accepted, and `a` after it.
    expect(await oldest()).toBe(START + 3_600_000)
    await work(store, { kind: 'done' })
    expect(await oldest()).toBe(START + 3_601_000)
    await work(store, { kind: 'done' })
    expect(await oldest()).toBe(START + 3_602_000)
    await work(store, { kind: 'fail', detail: '' })
    expect(await oldest()).toBeUndefined()
    store.clock.pass(5_000)
    await store.retryAll({}, { dryRun: false, by: 'x' })
    expect(await oldest()).toBe(START + 3_607_000)
    await store.acceptAll('d')
    expect(await oldest()).toBe(START + 3_607_000)
  })

  test('is found behind any number of retried ones, by readings that each take little', async () => {
    await using store = testStore({ maxBacklog: 1_000_000 })
    const { client } = store.database
    client.run(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250000)
       INSERT INTO transactions (transaction_id, source_account, destination_account, amount,
         currency, status, attempts, created_at)
       SELECT 'txn_' || i, 'A123', 'B456', 100, 'USD', 'PENDING', 1, i FROM n`,
    )
    client.run(
      `INSERT INTO jobs (id, run_at, tries, changed_at, retried_at)
       SELECT id, 0, 0, 0, ${START} + 1000 FROM transactions`,
    )
    await store.acceptAll('accepted')
    const readings: unknown[] = []
    for (let i = 0; i < 4; i++) readings.push((await store.readings()).oldestUnfinishedAt)
    expect(readings).toEqual([START + 1_000, START + 1_000, START, START])
    client.run('DELETE FROM jobs WHERE id = (SELECT max(id) FROM jobs)')
    expect((await store.readings()).oldestUnfinishedAt).toBe(START + 1_000)
    await store.acceptAll('accepted later')
    expect((await store.readings()).oldestUnfinishedAt).toBe(START)
  })

  test('is the one that was accepted first, whatever is due first', async () => {
    await using store = testStore()
    const oldest = async () => (await store.readings()).oldestUnfinishedAt
    expect(await oldest()).toBeUndefined()
    store.clock.stepWall(500)
    await store.acceptAll('a')
    store.clock.pass(1000)
    await store.acceptAll('b')
    expect(await oldest()).toBe(START + 500)
    // Due after the other one now, and still the oldest.
    await work(store, { kind: 'retry', inMs: 8000, detail: '' })
    expect(await oldest()).toBe(START + 500)
    await work(store, { kind: 'done' })
    expect(await oldest()).toBe(START + 500)
    store.clock.pass(9000)
    await work(store, { kind: 'fail', detail: '' })
    expect(await oldest()).toBeUndefined()
  })

  test('has its time by the wall clock, and so has the reading', async () => {
    await using store = testStore()
    store.clock.stepWall(3_600_000)
    await store.acceptAll('a')
    store.clock.pass(250)
    const { oldestUnfinishedAt, now } = await store.readings()
    expect(oldestUnfinishedAt).toBe(START + 3_600_000)
    expect(now).toBe(START + 3_600_250)
  })
})

describe('the sizes', () => {
  test('are those of the files, and the log’s grows with each write', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const before = await store.readings()
    await store.accept(sentTransaction({ extra: JSON.stringify({ big: 'x'.repeat(50_000) }) }))
    const after = await store.readings()
    expect(after.walBytes).toBeGreaterThan(before.walBytes + 50_000)
    expect(after.databaseBytes).toBeGreaterThan(before.databaseBytes + 45_000)
    // The log's file has a header, and one for each page.
    const pages = after.walBytes / PAGE_BYTES
    expect(statSync(join(store.dataDir, 'txhook.db-wal')).size).toBe(32 + pages * (PAGE_BYTES + 24))
    await store.close()
    expect(statSync(join(store.dataDir, 'txhook.db')).size).toBe(after.databaseBytes)
  })

  test('begin with a log of next to nothing after a restart', async () => {
    await using first = testStore()
    await first.accept(sentTransaction({ extra: JSON.stringify({ big: 'x'.repeat(50_000) }) }))
    await first.close()
    await using second = testStore({ dataDir: first.dataDir, clock: first.clock })
    expect((await second.readings()).walBytes).toBeLessThanOrEqual(PAGE_BYTES)
  })
})
