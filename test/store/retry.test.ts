import { describe, expect, test } from 'bun:test'
import type { Counts } from '../../src/store/sqlite/counts.ts'
import { openDatabase } from '../../src/store/sqlite/database/open-database.ts'
import type { TransactionFilter } from '../../src/store/sqlite/scan.ts'
import { START } from '../support/clock.ts'
import { temporaryDirectory } from '../support/service.ts'
import {
  noCounts,
  type Row,
  reasonOf,
  rowsOf,
  type TestStore,
  type TestStoreOptions,
  testStore,
} from '../support/store.ts'

/** What one commit of a retry of many takes. */
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

/** What is counted in memory, after a look that the database says the same. */
function counted(store: TestStore): Counts {
  const counts = (await store.readings()).transactions
  const sql = 'SELECT status, count(*) AS count FROM transactions GROUP BY status'
  const stored = rowsOf(store.dataDir, sql).map(({ status, count }) => [status, count])
  expect(counts).toEqual({ ...noCounts(), ...Object.fromEntries(stored) })
  return { ...counts }
}

/** All tables that a retry may change, as another connection reads them. */
const everything = ({ rows }: TestStore) => [rows('transactions'), rows('jobs'), rows('attempts')]

const byStatus = (store: TestStore, status: string): Row[] =>
  store.rows('transactions').filter((row) => row.status === status)

/** Takes what is due and has all of it fail for good. Returns how many there were. */
function failAll(store: TestStore, limit: number): Promise<number> {
  return store.commit(() => {
    const now = store.clock.now()
    const taken = store.jobs.take(now, limit, 1)
    for (const job of taken) {
      expect(store.jobs.settle(job, { kind: 'fail', detail: 'again' }, now)).toBe('settled')
    }
    return taken.length
  })
}

describe('a retry of one', () => {
  test('gives it a job that is due at once, and leaves all that it has been', async () => {
    await using store = storeWith(3)
    store.clock.pass(60_000)
    store.clock.stepWall(3_600_000)
    const [before] = store.rows('transactions')
    const retry = await store.retry('txn_1')
    const stored = await store.find('txn_1')
    expect<unknown>(retry).toEqual({ kind: 'retried', stored })
    expect(stored).toMatchObject({ status: 'PENDING', attempts: 3, error: 'no luck' })
    expect(store.rows('transactions')[0]).toEqual({ ...before, status: 'PENDING' })
    // By steady time, and with no tries: it has all of them before it.
    const due = START + 60_000
    const job = { id: 1, run_at: due, claim: null, attempt_started_at: null, tries: 0 }
    expect(store.rows('jobs')).toEqual([{ ...job, changed_at: due }])
    expect(counted(store)).toEqual({ ...noCounts(), PENDING: 1, FAILED: 2 })
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
      expect<unknown>(await store.retry(id)).toEqual({ kind: 'not_failed', stored })
    }
    expect(await store.retry('txn_4')).toEqual({ kind: 'unknown' })
    expect(await store.retry('TXN_1')).toEqual({ kind: 'unknown' })
    expect(everything(store)).toEqual(before)
    expect(counted(store)).toEqual({ PENDING: 1, PROCESSING: 1, PROCESSED: 1, FAILED: 0 })
  })

  test('comes to pass once, however many ask for it at once', async () => {
    await using store = storeWith(1)
    const retries = Array.from({ length: 10 }, () => store.retry('txn_1'))
    const kinds = (await Promise.all(retries)).map(({ kind }) => kind)
    expect(kinds).toEqual(['retried', ...Array(9).fill('not_failed')])
    expect(store.rows('jobs')).toHaveLength(1)
    expect(counted(store)).toEqual({ ...noCounts(), PENDING: 1 })
  })

  test('stands when another work of its batch is undone, and is counted once', async () => {
    await using store = storeWith(2)
    const fault = new Error('not this one')
    const [one, undone, other] = await Promise.all([
      store.retry('txn_1'),
      store
        .commit(() => {
          throw fault
        })
        .catch((error) => error),
      store.retry('txn_2'),
    ])
    expect([one.kind, undone, other.kind]).toEqual(['retried', fault, 'retried'])
    expect(counted(store)).toEqual({ ...noCounts(), PENDING: 2 })
  })

  test('is there after a restart, due and counted', async () => {
    await using first = storeWith(2)
    first.clock.pass(1_000)
    await first.retry('txn_2')
    await first.close()
    await using store = testStore({ dataDir: first.dataDir })
    expect(counted(store)).toEqual({ ...noCounts(), PENDING: 1, FAILED: 1 })
    // The clock of the new process begins no earlier than the retry.
    expect(store.clock.now().steady).toBe(START + 1_000)
    const [job] = await store.work.claim(10, 'earliest')
    expect(job).toMatchObject({ attempt: 4, tries: 1, transaction: { transactionId: 'txn_2' } })
  })

  test('makes the next attempt one more, with all tries before it', async () => {
    await using store = storeWith(1)
    for (let attempt = 4; attempt <= 6; attempt++) {
      await store.retry('txn_1')
      await store.commit(() => {
        const now = store.clock.now()
        const [job] = store.jobs.take(now, 1, attempt)
        expect(job).toMatchObject({ attempt, tries: 1 })
        if (job) store.jobs.settle(job, { kind: 'fail', detail: `${attempt}` }, now)
      })
    }
    expect(store.rows('attempts')).toMatchObject([
      { attempt: 4, outcome: 'fail', detail: '4' },
      { attempt: 5, outcome: 'fail', detail: '5' },
      { attempt: 6, outcome: 'fail', detail: '6' },
    ])
    expect(counted(store)).toEqual({ ...noCounts(), FAILED: 1 })
  })

  test('of a wait goes on as a wait, with an attempt of its own', async () => {
    await using store = storeWith(1)
    await store.retry('txn_1')
    const step = () => store.work.advanceWaits(1_000, 100)
    expect(await step()).toEqual({ latenessMs: [0], finished: 0 })
    store.clock.pass(1_000)
    expect(await step()).toEqual({ latenessMs: [0], finished: 1 })
    expect(store.rows('attempts')).toMatchObject([{ attempt: 4, outcome: 'done' }])
    const processed = { status: 'PROCESSED', attempts: 4, error: null }
    expect(await store.find('txn_1')).toMatchObject(processed)
  })
})

describe('a retry of many', () => {
  const MIXED = `CASE i % 4 WHEN 0 THEN 'FAILED' WHEN 1 THEN 'PENDING' WHEN 2 THEN 'PROCESSING'
    ELSE 'PROCESSED' END`

  test('only counts, and changes nothing, where that is asked for', async () => {
    await using store = storeWith(4 * 2_600, { status: MIXED })
    const before = everything(store)
    expect(await store.retryAll({}, { dryRun: true })).toEqual({ matched: 2_600, retried: 0 })
    expect(everything(store)).toEqual(before)
    expect(counted(store)).toMatchObject({ PENDING: 2_600, FAILED: 2_600 })
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
      expect(await store.retryAll({}, { dryRun: false })).toEqual({ matched: failed, retried: failed })
      expect(store.rows('transactions')).toEqual(
        before.map((row) => ({ ...row, status: row.status === 'FAILED' ? 'PENDING' : row.status })),
      )
      const at = { run_at: START + 5, changed_at: START + 5 }
      const fresh = { claim: null, attempt_started_at: null, tries: 0, ...at }
      const isNew = ({ run_at }: Row) => run_at === at.run_at
      const jobs = store.rows('jobs')
      expect(jobs.filter(isNew)).toEqual(due.map((id) => ({ id, ...fresh })))
      expect(jobs.filter((job) => !isNew(job))).toEqual(pending)
      expect(counted(store)).toMatchObject({ FAILED: 0, PENDING: failed + pending.length })
      expect(await store.retryAll({}, { dryRun: false })).toEqual({ matched: 0, retried: 0 })
    },
  )

  test('takes those that a filter means, as a dry run counts them', async () => {
    await using store = storeWith(6_000, {
      status: `iif(i % 2, 'FAILED', 'PROCESSED')`,
      currency: `iif(i % 11, 'USD', 'EUR')`,
    })
    for (const [filter, sql] of [
      [{ currency: 'EUR', createdFrom: 3_000 }, `currency = 'EUR' AND created_at >= 3000`],
      [{ createdFrom: 100, createdTo: 2_900 }, 'created_at >= 100 AND created_at < 2900'],
      [{ sourceAccount: 'nobody' }, 'false'],
      // Whatever the filter says of it: only what is FAILED can be meant.
      [{ status: 'PROCESSED', currency: 'EUR' }, `currency = 'EUR'`],
      [{}, 'true'],
    ] as [TransactionFilter, string][]) {
      const meant = `SELECT id FROM transactions WHERE status = 'FAILED' AND ${sql}`
      const ids = rowsOf(store.dataDir, meant).map(({ id }) => id)
      const already = byStatus(store, 'PENDING').map(({ id }) => id)
      const matched = ids.length
      expect(await store.retryAll(filter, { dryRun: true })).toEqual({ matched, retried: 0 })
      expect(await store.retryAll(filter, { dryRun: false })).toEqual({ matched, retried: matched })
      const pending = byStatus(store, 'PENDING').map(({ id }) => id)
      expect(pending.sort()).toEqual([...already, ...ids].sort())
      counted(store)
    }
  })

  test('meets none twice that fails again while it goes on', async () => {
    await using store = storeWith(3 * BATCH + 20)
    let over = false
    const all = store.retryAll({}, { dryRun: false }).finally(() => {
      over = true
    })
    const failed: number[] = []
    while (!over) failed.push(await failAll(store, BATCH))
    const retried = 3 * BATCH + 20
    expect(await all).toEqual({ matched: retried, retried })
    failed.push(await failAll(store, BATCH))
    // Some of them did fail again before the last ones were retried.
    expect(failed.filter((count) => count > 0).length).toBeGreaterThan(1)
    expect(store.rows('transactions').every((row) => row.attempts === 4)).toBe(true)
    expect(counted(store)).toEqual({ ...noCounts(), FAILED: retried })
  })

  test('and another at the same time share what there is', async () => {
    await using store = storeWith(2 * BATCH + 7)
    const [first, second, one] = await Promise.all([
      store.retryAll({}, { dryRun: false }),
      store.retryAll({}, { dryRun: false }),
      store.retry('txn_3'),
    ])
    const byOne = one.kind === 'retried' ? 1 : 0
    expect(first.retried + second.retried + byOne).toBe(2 * BATCH + 7)
    expect(store.rows('jobs')).toHaveLength(2 * BATCH + 7)
    expect(counted(store)).toEqual({ ...noCounts(), PENDING: 2 * BATCH + 7 })
  })

  test('lets webhooks be stored between any two of its commits', async () => {
    await using store = storeWith(4 * BATCH, {}, { maxBacklog: 10_000 })
    let over = false
    const all = store.retryAll({}, { dryRun: false }).finally(() => {
      over = true
    })
    let stored = 0
    for (; !over; stored++) await store.acceptAll(`new_${stored}`)
    expect(await all).toEqual({ matched: 4 * BATCH, retried: 4 * BATCH })
    // One for each commit, at least: both are in each.
    expect(stored).toBeGreaterThanOrEqual(4)
    const commits = store.metrics.commits.map(({ batchSize }) => batchSize)
    expect(Math.max(...commits)).toBeLessThanOrEqual(2)
    expect(counted(store)).toEqual({ ...noCounts(), PENDING: 4 * BATCH + stored })
  })

  test('leaves what is retried when the storage has no room for the rest', async () => {
    await using store = storeWith(4 * BATCH, {}, { maxBacklog: 10_000 })
    const { client } = store.database
    const { page_count } = client.query('PRAGMA page_count').get() as { page_count: number }
    const limit = (pages: number) => client.run(`PRAGMA max_page_count = ${page_count + pages}`)
    let pages = 0
    // As many pages as the first commits take, whatever that is.
    for (; counted(store).PENDING === 0; pages++) {
      expect(pages).toBeLessThan(100)
      limit(pages)
      expect(await reasonOf(store.retryAll({}, { dryRun: false }))).toBe('full')
    }
    const { PENDING, FAILED } = counted(store)
    expect([PENDING % BATCH, PENDING + FAILED]).toEqual([0, 4 * BATCH])
    expect(FAILED).toBeGreaterThan(0)
    expect(await store.retryAll({}, { dryRun: true })).toEqual({ matched: FAILED, retried: 0 })
    limit(10_000)
    expect(await store.retryAll({}, { dryRun: false })).toEqual({ matched: FAILED, retried: FAILED })
    expect(counted(store)).toEqual({ ...noCounts(), PENDING: 4 * BATCH })
    expect(store.fatal).toEqual([])
  })

  test('is refused by a store that closes, and a restart finds all that was retried', async () => {
    await using first = storeWith(6 * BATCH)
    const all = reasonOf(first.retryAll({}, { dryRun: false }))
    // The first commit is on the disk with this one.
    await first.commit(() => {})
    await first.close()
    expect(await all).toBe('closed')
    await using store = testStore({ dataDir: first.dataDir })
    const { PENDING, FAILED } = counted(store)
    expect(PENDING).toBeGreaterThanOrEqual(BATCH)
    expect([PENDING % BATCH, PENDING + FAILED]).toEqual([0, 6 * BATCH])
    expect(await store.retryAll({}, { dryRun: false })).toEqual({ matched: FAILED, retried: FAILED })
    expect(store.rows('jobs')).toHaveLength(6 * BATCH)
  })
})
