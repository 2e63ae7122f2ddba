import { describe, expect, test } from 'bun:test'
import type { TransactionFilter } from '../../src/domain/filter.ts'
import type { Counts } from '../../src/store/sqlite/counts.ts'
import { openDatabase } from '../../src/store/sqlite/database/open-database.ts'
import { START } from '../support/clock.ts'
import { temporaryDirectory } from '../support/service.ts'
import {
  claimOne,
  countsOf,
  noCounts,
  type Row,
  reasonOf,
  rowsOf,
  type TestStore,
  type TestStoreOptions,
  testStore,
} from '../support/store.ts'

/** Transactions that one commit of a bulk retry retries. */
const BATCH = 500

/** A store that finds this many transactions in its database, the oldest with the key 1. */
function storeWith(
  count: number,
  columns: { status?: string; currency?: string } = {},
  options: TestStoreOptions = {},
): TestStore {
  const { status = `'FAILED'`, currency = `'USD'` } = columns
  const directory = temporaryDirectory()
  const { client, close } = openDatabase(directory.path)
  client.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
     INSERT INTO transactions (id, transaction_id, source_account, destination_account, amount,
       currency, status, attempts, created_at, processing_started_at, error)
     SELECT i, 'txn_' || i, 'A123', 'B456', 100, ${currency}, ${status}, 3, i, ${START}, 'no luck'
     FROM n`,
  )
  client.run(
    `INSERT INTO jobs (id, run_at, attempt_started_at, tries, changed_at)
     SELECT id, ${START}, iif(status = 'PROCESSING', ${START}, NULL), 1, ${START}
     FROM transactions WHERE status IN ('PENDING', 'PROCESSING')`,
  )
  close()
  const store = testStore({ dataDir: directory.path, ...options })
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
    },
  }
}

/** What is counted in memory, after a check that the database has the same. */
async function counted(store: TestStore): Promise<Counts> {
  const counts = await countsOf(store)
  const sql = 'SELECT status, count(*) AS count FROM transactions GROUP BY status'
  const stored = rowsOf(store.dataDir, sql).map(({ status, count }) => [status, count])
  expect(counts).toEqual({ ...noCounts(), ...Object.fromEntries(stored) })
  return counts
}

/** All tables that a retry may change, as another connection reads them. */
const everything = ({ rows }: TestStore) => [rows('transactions'), rows('jobs'), rows('attempts')]

const byStatus = (store: TestStore, status: string): Row[] =>
  store.rows('transactions').filter((row) => row.status === status)

/** Claims what is due and has all of it fail for good. Returns how many there were. */
async function failAll(store: TestStore, limit: number): Promise<number> {
  const claimed = await store.work.claim(limit, 'earliest')
  const fail = { kind: 'fail', detail: 'again' } as const
  const settled = await Promise.all(claimed.map(({ claim }) => store.work.settle(claim, fail)))
  for (const each of settled) expect(each).toBe('settled')
  return claimed.length
}

describe('a retry of one', () => {
  test('gives it a job that is due at once, and changes nothing else', async () => {
    await using store = storeWith(3)
    store.clock.pass(60_000)
    store.clock.stepWall(3_600_000)
    const [before] = store.rows('transactions')
    const retry = await store.retry('txn_1', 'anonymous')
    const stored = await store.find('txn_1')
    expect<unknown>(retry).toEqual({ kind: 'retried', stored })
    expect(stored).toMatchObject({ status: 'PENDING', attempts: 3, error: 'no luck' })
    expect(store.rows('transactions')[0]).toEqual({ ...before, status: 'PENDING' })
    // By steady time, and with no attempts used: it has all of them again.
    const due = START + 60_000
    const job = { id: 1, run_at: due, claim: null, attempt_started_at: null, tries: 0 }
    const retried_at = due + 3_600_000
    expect(store.rows('jobs')).toEqual([{ ...job, changed_at: due, retried_at }])
    expect(await counted(store)).toEqual({ ...noCounts(), PENDING: 1, FAILED: 2 })
  })

  test('is refused for what has not failed, and changes nothing', async () => {
    await using store = storeWith(3, {
      status: `CASE i WHEN 1 THEN 'PENDING' WHEN 2 THEN 'PROCESSING' ELSE 'PROCESSED' END`,
    })
    const before = everything(store)
    for (const [id, status] of [
      ['txn_1', 'PENDING'],
      ['txn_2', 'PROCESSING'],
      ['txn_3', 'PROCESSED'],
    ] as const) {
      const stored = await store.find(id)
      expect(stored?.status).toBe(status)
      expect<unknown>(await store.retry(id, 'anonymous')).toEqual({ kind: 'not_failed', stored })
    }
    expect(await store.retry('txn_4', 'anonymous')).toEqual({ kind: 'unknown' })
    expect(await store.retry('TXN_1', 'anonymous')).toEqual({ kind: 'unknown' })
    expect(everything(store)).toEqual(before)
    expect(await counted(store)).toEqual({ PENDING: 1, PROCESSING: 1, PROCESSED: 1, FAILED: 0 })
  })

  test('takes place once, however many ask for it at once', async () => {
    await using store = storeWith(1)
    const retries = Array.from({ length: 10 }, () => store.retry('txn_1', 'anonymous'))
    const kinds = (await Promise.all(retries)).map(({ kind }) => kind)
    expect(kinds).toEqual(['retried', ...Array(9).fill('not_failed')])
    expect(store.rows('jobs')).toHaveLength(1)
    expect(await counted(store)).toEqual({ ...noCounts(), PENDING: 1 })
  })

  test('stands when its batch is rolled back for another work, and is counted once', async () => {
    await using store = storeWith(2)
    const fault = new Error('not this one')
    const [one, failed, other] = await Promise.all([
      store.retry('txn_1', 'anonymous'),
      store.commits
        .write(() => {
          throw fault
        })
        .catch((error) => error),
      store.retry('txn_2', 'anonymous'),
    ])
    expect([one.kind, failed, other.kind]).toEqual(['retried', fault, 'retried'])
    expect(await counted(store)).toEqual({ ...noCounts(), PENDING: 2 })
  })

  test('is there after a restart, due and counted', async () => {
    await using first = storeWith(2)
    first.clock.pass(1_000)
    await first.retry('txn_2', 'anonymous')
    await first.close()
    await using store = testStore({ dataDir: first.dataDir })
    expect(await counted(store)).toEqual({ ...noCounts(), PENDING: 1, FAILED: 1 })
    // The clock of the new process begins no earlier than the retry.
    expect(store.clock.now().steady).toBe(START + 1_000)
    expect(store.log.entries).toEqual([
      {
        level: 'warn',
        message: 'the wall clock is behind the newest time in the database',
        fields: { behind_ms: 1_000 },
      },
    ])
    expect(await claimOne(store)).toMatchObject({
      claim: { transactionId: 'txn_2', attempt: 4 },
      transaction: { transactionId: 'txn_2' },
      attemptsUsed: 1,
    })
  })

  test('makes the next attempt one more, with all attempts before it', async () => {
    await using store = storeWith(1)
    for (let attempt = 4; attempt <= 6; attempt++) {
      await store.retry('txn_1', 'anonymous')
      const { claim, attemptsUsed } = await claimOne(store)
      expect([claim.attempt, attemptsUsed]).toEqual([attempt, 1])
      const fail = { kind: 'fail', detail: `${attempt}` } as const
      expect(await store.work.settle(claim, fail)).toBe('settled')
    }
    expect(store.rows('attempts')).toMatchObject([
      { attempt: 4, outcome: 'fail', detail: '4' },
      { attempt: 5, outcome: 'fail', detail: '5' },
      { attempt: 6, outcome: 'fail', detail: '6' },
    ])
    expect(await counted(store)).toEqual({ ...noCounts(), FAILED: 1 })
  })

  test('of a wait goes on as a wait, with an attempt of its own', async () => {
    await using store = storeWith(1)
    await store.retry('txn_1', 'anonymous')
    const advance = () => store.work.advanceWaits(1_000, 100)
    expect(await advance()).toEqual({ latenessMs: [0], finished: 0, more: false })
    store.clock.pass(1_000)
    expect(await advance()).toEqual({ latenessMs: [0], finished: 1, more: false })
    expect(store.rows('attempts')).toMatchObject([{ attempt: 4, outcome: 'done' }])
    const processed = { status: 'PROCESSED', attempts: 4, error: null }
    expect(await store.find('txn_1')).toMatchObject(processed)
  })
})

describe('a bulk retry', () => {
  const MIXED = `CASE i % 4 WHEN 0 THEN 'FAILED' WHEN 1 THEN 'PENDING' WHEN 2 THEN 'PROCESSING'
    ELSE 'PROCESSED' END`

  test('only counts, and changes nothing, as a dry run', async () => {
    await using store = storeWith(4 * 2_600, { status: MIXED })
    const before = everything(store)
    expect(await store.retryAll({}, { dryRun: true, by: 'anonymous' })).toEqual({
      matched: 2_600,
      retried: 0,
    })
    expect(everything(store)).toEqual(before)
    expect(await counted(store)).toMatchObject({ PENDING: 2_600, FAILED: 2_600 })
  })

  test.each([1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 2_000, 2_001, 4_001])(
    'retries each of %i that are FAILED once, and nothing else',
    async (failed) => {
      // Two of three: the rest lies between them.
      const count = Math.floor(failed * 1.5)
      const status = `iif(i % 3, 'FAILED', iif(i % 2, 'PENDING', 'PROCESSED'))`
      await using store = storeWith(count, { status })
      const before = store.rows('transactions')
      const due = byStatus(store, 'FAILED').map(({ id }) => id)
      expect(due).toHaveLength(failed)
      const pending = store.rows('jobs')
      store.clock.pass(5)
      expect(await store.retryAll({}, { dryRun: false, by: 'anonymous' })).toEqual({
        matched: failed,
        retried: failed,
      })
      expect(store.rows('transactions')).toEqual(
        before.map((row) => ({ ...row, status: row.status === 'FAILED' ? 'PENDING' : row.status })),
      )
      const at = { run_at: START + 5, changed_at: START + 5, retried_at: START + 5 }
      const fresh = { claim: null, attempt_started_at: null, tries: 0, ...at }
      const isNew = ({ run_at }: Row) => run_at === at.run_at
      const jobs = store.rows('jobs')
      expect(jobs.filter(isNew)).toEqual(due.map((id) => ({ id, ...fresh })))
      expect(jobs.filter((job) => !isNew(job))).toEqual(pending)
      expect(await counted(store)).toMatchObject({ FAILED: 0, PENDING: failed + pending.length })
      expect(await store.retryAll({}, { dryRun: false, by: 'anonymous' })).toEqual({
        matched: 0,
        retried: 0,
      })
    },
  )

  test('retries those that a filter selects, as a dry run counts them', async () => {
    await using store = storeWith(6_000, {
      status: `iif(i % 2, 'FAILED', 'PROCESSED')`,
      currency: `iif(i % 11, 'USD', 'EUR')`,
    })
    for (const [filter, sql] of [
      [{ currency: 'EUR', created_from: 3_000 }, `currency = 'EUR' AND created_at >= 3000`],
      [{ created_from: 100, created_to: 2_900 }, 'created_at >= 100 AND created_at < 2900'],
      [{ source_account: 'absent' }, 'false'],
      // Whatever status the filter has: only what is FAILED is retried.
      [{ status: 'PROCESSED', currency: 'EUR' }, `currency = 'EUR'`],
      [{}, 'true'],
    ] as [TransactionFilter, string][]) {
      const selected = `SELECT id FROM transactions WHERE status = 'FAILED' AND ${sql}`
      const ids = rowsOf(store.dataDir, selected).map(({ id }) => id)
      const already = byStatus(store, 'PENDING').map(({ id }) => id)
      const matched = ids.length
      expect(await store.retryAll(filter, { dryRun: true, by: 'anonymous' })).toEqual({
        matched,
        retried: 0,
      })
      expect(await store.retryAll(filter, { dryRun: false, by: 'anonymous' })).toEqual({
        matched,
        retried: matched,
      })
      const pending = byStatus(store, 'PENDING').map(({ id }) => id)
      expect(pending.sort()).toEqual([...already, ...ids].sort())
      await counted(store)
    }
  })

  test('retries none twice that fails again while it goes on', async () => {
    await using store = storeWith(3 * BATCH + 20)
    let over = false
    const all = store.retryAll({}, { dryRun: false, by: 'anonymous' }).finally(() => {
      over = true
    })
    let failedMeanwhile = 0
    while (!over) {
      const failed = await failAll(store, BATCH)
      if (!over) failedMeanwhile += failed
    }
    const retried = 3 * BATCH + 20
    expect(await all).toEqual({ matched: retried, retried })
    // Some of them did fail again before the last ones were retried.
    expect(failedMeanwhile).toBeGreaterThan(0)
    while ((await failAll(store, BATCH)) > 0);
    expect(store.rows('transactions').every((row) => row.attempts === 4)).toBe(true)
    expect(await counted(store)).toEqual({ ...noCounts(), FAILED: retried })
  })

  test('and another at the same time share what there is', async () => {
    await using store = storeWith(2 * BATCH + 7)
    const [first, second, one] = await Promise.all([
      store.retryAll({}, { dryRun: false, by: 'anonymous' }),
      store.retryAll({}, { dryRun: false, by: 'anonymous' }),
      store.retry('txn_3', 'anonymous'),
    ])
    const byOne = one.kind === 'retried' ? 1 : 0
    expect(first.retried + second.retried + byOne).toBe(2 * BATCH + 7)
    expect(store.rows('jobs')).toHaveLength(2 * BATCH + 7)
    expect(await counted(store)).toEqual({ ...noCounts(), PENDING: 2 * BATCH + 7 })
  })

  test('lets webhooks be stored between any two of its commits', async () => {
    await using store = storeWith(4 * BATCH, {}, { maxBacklog: 10_000 })
    let over = false
    const all = store.retryAll({}, { dryRun: false, by: 'anonymous' }).finally(() => {
      over = true
    })
    let stored = 0
    for (; !over; stored++) await store.acceptAll(`new_${stored}`)
    expect(await all).toEqual({ matched: 4 * BATCH, retried: 4 * BATCH })
    // One for each commit, at least: both are in each.
    expect(stored).toBeGreaterThanOrEqual(4)
    const commits = store.metrics.commits.map(({ batchSize }) => batchSize)
    expect(Math.max(...commits)).toBeLessThanOrEqual(2)
    expect(await counted(store)).toEqual({ ...noCounts(), PENDING: 4 * BATCH + stored })
  })

  test('leaves what is retried when the storage has no room for the rest', async () => {
    await using store = storeWith(4 * BATCH, {}, { maxBacklog: 10_000 })
    const { client } = store.database
    const { page_count } = client.query('PRAGMA page_count').get() as { page_count: number }
    const limit = (pages: number) => client.run(`PRAGMA max_page_count = ${page_count + pages}`)
    let pages = 0
    // As many pages as the first commits need, however many that is.
    for (; (await counted(store)).PENDING === 0; pages++) {
      expect(pages).toBeLessThan(100)
      limit(pages)
      expect(await reasonOf(store.retryAll({}, { dryRun: false, by: 'anonymous' }))).toBe('full')
    }
    const { PENDING, FAILED } = await counted(store)
    expect([PENDING % BATCH, PENDING + FAILED]).toEqual([0, 4 * BATCH])
    expect(FAILED).toBeGreaterThan(0)
    expect(await store.retryAll({}, { dryRun: true, by: 'anonymous' })).toEqual({
      matched: FAILED,
      retried: 0,
    })
    limit(10_000)
    expect(await store.retryAll({}, { dryRun: false, by: 'anonymous' })).toEqual({
      matched: FAILED,
      retried: FAILED,
    })
    expect(await counted(store)).toEqual({ ...noCounts(), PENDING: 4 * BATCH })
    expect(store.fatal).toEqual([])
  })

  test('is refused by a store that closes, and a restart finds all that was retried', async () => {
    await using first = storeWith(6 * BATCH)
    const all = reasonOf(first.retryAll({}, { dryRun: false, by: 'anonymous' }))
    // The first commit is on the disk with this one.
    await first.commits.write(() => {})
    await first.close()
    expect(await all).toBe('closed')
    await using store = testStore({ dataDir: first.dataDir })
    const { PENDING, FAILED } = await counted(store)
    expect(PENDING).toBeGreaterThanOrEqual(BATCH)
    expect([PENDING % BATCH, PENDING + FAILED]).toEqual([0, 6 * BATCH])
    expect(await store.retryAll({}, { dryRun: false, by: 'anonymous' })).toEqual({
      matched: FAILED,
      retried: FAILED,
    })
    expect(store.rows('jobs')).toHaveLength(6 * BATCH)
  })
})
