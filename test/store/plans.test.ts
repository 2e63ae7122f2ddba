import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { createInbox } from '../../src/store/inbox.ts'
import { prepareJobStatements } from '../../src/store/job-statements.ts'
import { createJobs } from '../../src/store/jobs.ts'
import { prepareFind } from '../../src/store/queries.ts'
import * as schema from '../../src/store/schema.ts'
import { START } from '../support/clock.ts'
import { sentTransaction, type TestStore, testStore } from '../support/store.ts'

/**
 * How SQLite does a statement, each step a line; asked on a connection of its own, since to explain
 * a write on the store's one would break later commits.
 */
function plan(store: TestStore, sql: string): string[] {
  using other = new Database(join(store.dataDir, 'txhook.db'), { readonly: true })
  const steps = other.query(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]
  return steps.map(({ detail }) => detail)
}

test('what is due is found by its index, in its order, and joined by the primary key', async () => {
  await using store = testStore()
  const { due, earliest } = prepareJobStatements(store.database.orm)
  expect(due.getQuery().sql).toEndWith('order by "jobs"."run_at" asc limit ?')
  expect(plan(store, due.getQuery().sql)).toEqual([
    'SEARCH jobs USING INDEX jobs_due (run_at<?)',
    'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
  ])
  // A scan of the index in its order, of which the limit reads one entry.
  expect(earliest.getQuery().sql).toEndWith('order by "jobs"."run_at" asc limit ?')
  expect(plan(store, earliest.getQuery().sql)).toEqual(['SCAN jobs USING INDEX jobs_due'])
})

test('no statement of a transaction’s way through scans a table or sorts', async () => {
  await using store = testStore()
  const { client } = store.database
  const run = new Set<string>()
  const logger = { logQuery: (sql: string) => void run.add(sql) }
  const orm = drizzle(client, { schema, logger })
  const backlog = { size: 0 }
  const inbox = createInbox(orm, backlog, 4)
  const jobs = createJobs(orm, backlog)
  const find = prepareFind(orm)
  const now = { wall: START, steady: START }

  for (const transactionId of ['a', 'b', 'c', 'd', 'e', 'a']) {
    inbox.accept(sentTransaction({ transactionId }), now)
  }
  inbox.accept(sentTransaction({ transactionId: 'a', amount: 1 }), now)
  find('a')
  jobs.nextRunAt()
  const [a, b, c, d] = jobs.take(now, 10, 1)
  if (!a || !b || !c || !d) throw new Error('Four jobs were to be had.')
  jobs.settle(a, { kind: 'done' }, now)
  jobs.settle(b, { kind: 'fail', detail: '' }, now)
  jobs.settle(c, { kind: 'retry', runAt: START, detail: '' }, now)
  jobs.settle(d, { kind: 'snooze', runAt: START }, now)
  jobs.take(now, 10, 2)
  expect(backlog.size).toBe(2)
  expect(run.size).toBeGreaterThanOrEqual(14)

  const steps = [...run].flatMap((sql) => plan(store, sql))
  const { earliest } = prepareJobStatements(orm)
  const scans = [...run].filter((sql) => plan(store, sql).some((step) => /SCAN|TEMP/.test(step)))
  expect(scans).toEqual([earliest.getQuery().sql])
  expect(new Set(steps)).toEqual(
    new Set([
      'SEARCH transactions USING INDEX transactions_transaction_id_unique (transaction_id=?)',
      'SEARCH transactions USING INTEGER PRIMARY KEY (rowid=?)',
      'SEARCH attempts USING PRIMARY KEY (id=? AND attempt=?)',
      'SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)',
      'SEARCH jobs USING INDEX jobs_due (run_at<?)',
      'SCAN jobs USING INDEX jobs_due',
    ]),
  )
})
