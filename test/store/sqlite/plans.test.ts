import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { createAccept } from '../../../src/store/sqlite/accept.ts'
import { createBacksteps } from '../../../src/store/sqlite/backsteps.ts'
import type { Connection } from '../../../src/store/sqlite/database/connection.ts'
import { createIds } from '../../../src/store/sqlite/ids.ts'
import { prepareConflicts } from '../../../src/store/sqlite/list.ts'
import { prepareAttempts, prepareFind, prepareReadings } from '../../../src/store/sqlite/reads.ts'
import { prepareScan } from '../../../src/store/sqlite/scan.ts'
import { createTransitions } from '../../../src/store/sqlite/transitions.ts'
import { createWork } from '../../../src/store/sqlite/work.ts'
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

const NO_IDS = { candidates: () => [], add: () => {} }

/** Those that read a table or an index from end to end, or sort. */
const scans = (plans: Plan[]) =>
  plans.filter(({ steps }) =>
    steps.some((step) => /SCAN (?!json_each|CONSTANT ROW)|TEMP B-TREE/.test(step)),
  )

const BY_KEY = [
  'SEARCH ids USING PRIMARY KEY (hash=?)',
  // The newest ids, once at a start.
  'SEARCH transactions USING INTEGER PRIMARY KEY (rowid>?)',
  'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
  'SEARCH attempts USING PRIMARY KEY (id=? AND attempt=?)',
  'SEARCH attempts USING PRIMARY KEY (id=?)',
  'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)',
  'SEARCH jobs USING INDEX jobs_due (run_at<?)',
  'SEARCH conflicts USING INDEX conflicts_stored_id (stored_id=?)',
  // How many conflicts of one transaction there are.
  'SCAN CONSTANT ROW',
  'SCALAR SUBQUERY 1',
  'SEARCH conflicts USING COVERING INDEX conflicts_stored_id (stored_id=?)',
  // The newest transaction, once at a start.
  'SEARCH transactions',
]

/** How a set of ids in JSON is read. */
const OF_A_SET = [
  ...[1, 2, 3].map((n) => `LIST SUBQUERY ${n}`),
  'SCAN json_each VIRTUAL TABLE INDEX 1:',
]

/** How a transaction's own job is found, for each row that is shown. */
const OWN_JOB = ['CORRELATED SCALAR SUBQUERY 1', 'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)']

const DUE = 'SEARCH jobs USING INDEX jobs_due (run_at<?)'
const TRANSACTION_BY_KEY = 'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)'

/** The statements that change states. */
const transitionPlans = (store: TestStore) =>
  plansOf(store, (it) => createTransitions(it, noCounts()))

/** The statements that find what is due. */
const workPlans = (store: TestStore) =>
  plansOf(store, (it) => {
    const { commits, clock } = store
    createWork(it, { transitions: createTransitions(store.database, noCounts()), commits, clock })
  })

test('what is due is found by its index, in its order, and joined by the primary key', async () => {
  await using store = testStore()
  const plans = workPlans(store).filter(({ sql }) => / limit \?$/.test(sql))
  expect(plans.map(({ steps }) => steps)).toEqual([
    // A scan of the index in its order, of which the limit reads one entry.
    ['SCAN jobs USING INDEX jobs_due'],
    [DUE],
    [DUE, TRANSACTION_BY_KEY],
  ])
  for (const { sql } of plans) expect(sql).toEndWith('order by "jobs"."run_at" asc limit ?')
})

test('of what is due longest and shortest, a bounded number is sorted for a probe', async () => {
  await using store = testStore()
  const probes = workPlans(store).filter(({ sql }) => !/ limit \?$/.test(sql))
  const steps = [
    TRANSACTION_BY_KEY,
    'LIST SUBQUERY 2',
    'CO-ROUTINE candidates',
    DUE,
    'SCAN candidates',
    'USE TEMP B-TREE FOR ORDER BY',
    'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)',
    'REUSE LIST SUBQUERY 2',
  ]
  expect(probes.map((plan) => plan.steps)).toEqual([steps, steps])
  for (const [i, end] of ['asc', 'desc'].entries()) {
    expect(probes[i]?.sql).toContain(`order by "jobs"."run_at" ${end} limit ?) "candidates"`)
  }
})

test('no statement of the way of a transaction through its states scans a table or sorts', async () => {
  await using store = testStore()
  const plans = [
    ...transitionPlans(store),
    ...plansOf(store, (it) => {
      const transitions = createTransitions(store.database, noCounts())
      const backsteps = createBacksteps(it)
      const { database } = store
      const deps = { transitions, backsteps, ids: NO_IDS, find: prepareFind(database, NO_IDS) }
      createAccept(it, { counts: noCounts(), maxBacklog: 4, ...deps })
    }),
    ...plansOf(store, (it) => prepareFind(it, NO_IDS)),
    ...plansOf(store, (it) => createIds(it)),
  ]
  expect(plans).toHaveLength(41)
  // Once at a start: what the last process left.
  const ofOneRow = (steps: string[]) => steps.every((step) => step === 'SCAN indexed')
  expect(scans(plans).filter(({ steps }) => !ofOneRow(steps))).toEqual([
    { sql: 'SELECT id, tries FROM jobs WHERE claim IS NOT NULL', steps: ['SCAN jobs'] },
  ])
  const others = plans.filter((plan) => !scans(plans).includes(plan))
  for (const step of others.flatMap(({ steps }) => steps)) {
    expect([...BY_KEY, ...OF_A_SET, ...OWN_JOB]).toContain(step)
  }
})

test('every change of a set of transactions finds each of them by its key', async () => {
  await using store = testStore()
  const plans = transitionPlans(store).filter(({ sql }) => sql.includes('json_each'))
  expect(plans.map(({ sql, steps }) => [sql.trim().split(/\s+/, 3).join(' '), steps[0]])).toEqual([
    ['UPDATE transactions SET', TRANSACTION_BY_KEY],
    ['INSERT INTO attempts', TRANSACTION_BY_KEY],
    ['INSERT INTO attempts', TRANSACTION_BY_KEY],
    ['UPDATE jobs SET', 'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)'],
    ['UPDATE jobs SET', 'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)'],
    ['DELETE FROM jobs', 'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)'],
    ['UPDATE jobs SET', 'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)'],
    ['UPDATE transactions SET', TRANSACTION_BY_KEY],
    ['UPDATE transactions SET', TRANSACTION_BY_KEY],
    ['INSERT INTO attempts', TRANSACTION_BY_KEY],
    ['INSERT INTO jobs', TRANSACTION_BY_KEY],
    ['UPDATE transactions SET', TRANSACTION_BY_KEY],
  ])
  // And the set is read once.
  for (const { steps } of plans) {
    expect(steps.filter((step) => step.includes('json_each'))).toHaveLength(1)
  }
})

test('the fence finds the job by its key', async () => {
  await using store = testStore()
  const plans = transitionPlans(store).filter(({ sql }) => /AND claim = \?/.test(sql))
  expect(plans.map(({ steps }) => steps)).toEqual([
    ['SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)'],
  ])
})

test('the oldest unfinished transaction is the first row of a table in its order', async () => {
  await using store = testStore()
  const plans = plansOf(store, prepareReadings)
  expect(plans.map(({ steps }) => steps)).toEqual([
    ['SEARCH jobs USING COVERING INDEX jobs_retried (retried_at>?)'],
    // The jobs that were not retried: from the first that may be one, with a limit.
    [
      'CO-ROUTINE next',
      'SEARCH jobs USING INTEGER PRIMARY KEY (rowid>?)',
      'SCAN next',
      'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
    ],
    [
      'CO-ROUTINE (subquery-1)',
      'SEARCH jobs USING INTEGER PRIMARY KEY (rowid>?)',
      'SEARCH (subquery-1)',
    ],
  ])
  expect(plans[0]?.sql).toEndWith('ORDER BY retried_at LIMIT 1')
})

test('a list reads a range of keys: of the transactions, of those FAILED, or of the jobs', async () => {
  await using store = testStore()
  const plans = plansOf(store, prepareScan)
  const steps = (job: string[]) => [
    ['SEARCH transactions USING INTEGER PRIMARY KEY (rowid<?)'],
    ['SEARCH transactions USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)', ...job],
    ['SEARCH transactions USING COVERING INDEX transactions_failed (id<?)'],
    ['SEARCH transactions USING INDEX transactions_failed (id>? AND id<?)', ...job],
    ['SEARCH jobs USING INTEGER PRIMARY KEY (rowid<?)'],
    [
      'SEARCH jobs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)',
      'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
      ...job,
    ],
  ]
  // The range of keys of a range of times is searched first.
  expect(plans.slice(0, 3).map((plan) => plan.steps)).toEqual([
    ['SCAN backsteps'],
    ['SEARCH transactions'],
    ['SEARCH transactions USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)'],
  ])
  // Once for rows, with when their jobs are due, and once for their keys alone.
  const scans = plans.slice(3)
  expect(scans.map((plan) => plan.steps)).toEqual([...steps(OWN_JOB), ...steps([])])
  for (const [i, { sql }] of scans.entries()) {
    const table = i % 6 < 4 ? 'transactions' : 'jobs'
    const end = i % 2 === 0 ? 'limit ? offset ?' : 'limit ?'
    expect(sql).toEndWith(`order by "${table}"."id" desc ${end}`)
  }
})

test('conflicts are read by a range of keys, those of one transaction by its index', async () => {
  await using store = testStore()
  const plans = plansOf(store, (it) => prepareConflicts(it, () => undefined))
  expect(plans.map(({ steps }) => steps)).toEqual([
    [
      'SEARCH conflicts USING INTEGER PRIMARY KEY (rowid<?)',
      'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
    ],
    [
      'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
      'SEARCH conflicts USING INDEX conflicts_stored_id (stored_id=? AND rowid<?)',
    ],
  ])
  for (const { sql } of plans) expect(sql).toEndWith('order by "conflicts"."id" desc limit ?')
})

test('the attempts of a transaction are read by their keys, in the order of these', async () => {
  await using store = testStore()
  const plans = plansOf(store, (it) => prepareAttempts(it, () => undefined))
  expect(plans.map(({ steps }) => steps)).toEqual([['SEARCH attempts USING PRIMARY KEY (id=?)']])
  expect(plans[0]?.sql).toEndWith('order by "attempts"."attempt" asc')
})
