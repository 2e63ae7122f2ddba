import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { createInbox } from '../../../src/store/sqlite/accept.ts'
import { createRetries } from '../../../src/store/sqlite/bulk-retry.ts'
import type { Connection } from '../../../src/store/sqlite/database/open-database.ts'
import { createJobs } from '../../../src/store/sqlite/jobs.ts'
import { prepareConflicts } from '../../../src/store/sqlite/list.ts'
import { prepareAttempts, prepareFind, prepareReadings } from '../../../src/store/sqlite/reads.ts'
import { prepareScan } from '../../../src/store/sqlite/scan.ts'
import { ScanQueue } from '../../../src/store/sqlite/scan-queue.ts'
import { createWaits } from '../../../src/store/sqlite/waits.ts'
import { noCounts, type TestStore, testStore } from '../../support/store.ts'

/** How SQLite does a statement, each step a line. */
type Plan = { sql: string; steps: string[] }

/**
 * The plans of all statements that a part of the store prepares. They are asked for on a connection
 * of their own, since to explain a write on the store's one would break later commits.
 */
function plansOf(store: TestStore, prepare: (connection: Connection) => unknown): Plan[] {
  const { client, orm } = store.database
  const prepared: string[] = []
  const recording = new Proxy(client, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (name === 'prepare') prepared.push(String(args[0]))
        return value.apply(target, args)
      }
    },
  })
  prepare({ client: recording, orm })
  using other = new Database(join(store.dataDir, 'txhook.db'), { readonly: true })
  return prepared.map((sql) => {
    const steps = other.query(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]
    return { sql, steps: steps.map(({ detail }) => detail) }
  })
}

/** Those that read a table or an index from end to end, or sort. */
const scans = (plans: Plan[]) =>
  plans.filter(({ steps }) => steps.some((step) => /SCAN (?!json_each)|TEMP B-TREE/.test(step)))

const BY_KEY = [
  'SEARCH transactions USING INDEX transactions_transaction_id_unique (transaction_id=?)',
  'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
  'SEARCH attempts USING PRIMARY KEY (id=? AND attempt=?)',
  'SEARCH attempts USING PRIMARY KEY (id=?)',
  'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)',
  'SEARCH jobs USING INDEX jobs_due (run_at<?)',
]

/** What a set of ids in JSON costs. */
const OF_A_SET = ['LIST SUBQUERY 1', 'SCAN json_each VIRTUAL TABLE INDEX 1:']

test('what is due is found by its index, in its order, and joined by the primary key', async () => {
  await using store = testStore()
  const [due, ...others] = plansOf(store, (it) => createJobs(it, noCounts())).filter(({ sql }) =>
    /limit \?$/.test(sql),
  )
  expect(due?.sql).toEndWith('order by "jobs"."run_at" asc limit ?')
  expect(due?.steps).toEqual([
    'SEARCH jobs USING INDEX jobs_due (run_at<?)',
    'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
  ])
  // A scan of the index in its order, of which the limit reads one entry.
  expect(others).toMatchObject([{ steps: ['SCAN jobs USING INDEX jobs_due'] }])
  expect(others[0]?.sql).toEndWith('order by "jobs"."run_at" asc limit ?')
})

test('no statement of a transaction’s way through calls scans a table or sorts', async () => {
  await using store = testStore()
  const plans = plansOf(store, (it) => {
    createInbox(it, noCounts(), 4)
    createJobs(it, noCounts())
    prepareFind(it)
  })
  expect(plans.length).toBeGreaterThanOrEqual(16)
  // Of what is due longest and shortest, a bounded number, the least tried; once at a start, what the last
  // process left; the first entry of an index in its order.
  expect(scans(plans).map(({ steps }) => steps)).toEqual([
    [
      'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
      'LIST SUBQUERY 2',
      'CO-ROUTINE candidates',
      'SEARCH jobs USING INDEX jobs_due (run_at<?)',
      'SCAN candidates',
      'USE TEMP B-TREE FOR ORDER BY',
      'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)',
      'REUSE LIST SUBQUERY 2',
    ],
    [
      'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
      'LIST SUBQUERY 2',
      'CO-ROUTINE candidates',
      'SEARCH jobs USING INDEX jobs_due (run_at<?)',
      'SCAN candidates',
      'USE TEMP B-TREE FOR ORDER BY',
      'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)',
      'REUSE LIST SUBQUERY 2',
    ],
    ['SCAN jobs', 'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)'],
    ['SCAN jobs USING INDEX jobs_due'],
  ])
  expect(scans(plans)[2]?.sql).toEndWith('where "jobs"."claim" is not null')
  const steps = plans.filter((plan) => !scans(plans).includes(plan)).flatMap(({ steps }) => steps)
  for (const step of steps) expect(BY_KEY).toContain(step)
})

test('no statement of the waits scans a table or sorts, but for the set that it is given', async () => {
  await using store = testStore()
  const plans = plansOf(store, (it) => createWaits(it, noCounts()))
  expect(plans).toHaveLength(7)
  expect(scans(plans)).toEqual([])
  const [due, ...others] = plans
  expect(due?.sql).toEndWith('order by "jobs"."run_at" asc limit ?')
  expect(due?.steps).toEqual(['SEARCH jobs USING INDEX jobs_due (run_at<?)'])
  for (const { sql, steps } of others) {
    expect(sql).toContain('json_each')
    for (const step of steps) expect([...BY_KEY, ...OF_A_SET]).toContain(step)
  }
})

test('the oldest unfinished transaction is the first row of a table in its order', async () => {
  await using store = testStore()
  const plans = plansOf(store, prepareReadings)
  expect(plans).toMatchObject([
    { steps: ['SCAN jobs', 'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)'] },
  ])
  expect(plans[0]?.sql).toEndWith('order by "jobs"."id" asc limit ?')
})

test('a list reads a range of keys: of the transactions, of those FAILED, or of the jobs', async () => {
  await using store = testStore()
  const plans = plansOf(store, prepareScan)
  const steps = [
    ['SEARCH transactions USING INTEGER PRIMARY KEY (rowid<?)'],
    ['SEARCH transactions USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)'],
    ['SEARCH transactions USING COVERING INDEX transactions_failed (id<?)'],
    ['SEARCH transactions USING INDEX transactions_failed (id>? AND id<?)'],
    ['SEARCH jobs USING INTEGER PRIMARY KEY (rowid<?)'],
    [
      'SEARCH jobs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)',
      'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
    ],
  ]
  // Once for rows, and once for their keys alone.
  expect(plans.map((plan) => plan.steps)).toEqual([...steps, ...steps])
  for (const [i, { sql }] of plans.entries()) {
    const table = i % 6 < 4 ? 'transactions' : 'jobs'
    const end = i % 2 === 0 ? 'limit ? offset ?' : 'limit ?'
    expect(sql).toEndWith(`order by "${table}"."id" desc ${end}`)
  }
})

test('conflicts are read by a range of keys, those of one transaction by its index', async () => {
  await using store = testStore()
  const plans = plansOf(store, prepareConflicts)
  expect(plans.map(({ steps }) => steps)).toEqual([
    [
      'SEARCH conflicts USING INTEGER PRIMARY KEY (rowid<?)',
      'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
    ],
    [
      'SEARCH transactions USING COVERING INDEX transactions_transaction_id_unique (transaction_id=?)',
      'SEARCH conflicts USING INDEX conflicts_stored_id (stored_id=? AND rowid<?)',
    ],
  ])
  for (const { sql } of plans) expect(sql).toEndWith('order by "conflicts"."id" desc limit ?')
})

test('the attempts of a transaction are read by their keys, in the order of these', async () => {
  await using store = testStore()
  const plans = plansOf(store, prepareAttempts)
  expect(plans.map(({ steps }) => steps)).toEqual([
    ['SEARCH transactions USING INDEX transactions_transaction_id_unique (transaction_id=?)'],
    ['SEARCH attempts USING PRIMARY KEY (id=?)'],
  ])
  expect(plans[1]?.sql).toEndWith('order by "attempts"."attempt" asc')
})

test('a retry reads and writes the transactions of its set by their keys', async () => {
  await using store = testStore()
  const plans = plansOf(store, (it) =>
    createRetries(it, {
      counts: noCounts(),
      scan: prepareScan(store.database),
      scanQueue: new ScanQueue(),
      commits: { submit: store.commit, peek: (query) => query() },
      clock: store.clock,
    }),
  )
  expect(plans).toHaveLength(3)
  expect(scans(plans)).toEqual([])
  for (const step of plans.flatMap(({ steps }) => steps)) {
    expect([...BY_KEY, ...OF_A_SET]).toContain(step)
  }
})
