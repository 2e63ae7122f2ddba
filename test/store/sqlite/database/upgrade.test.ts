import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { EXIT } from '../../../../src/exit.ts'
import { APPLICATION_ID, MIGRATIONS } from '../../../../src/store/sqlite/database/migrations.ts'
import { openStore } from '../../../../src/store/sqlite/open-store.ts'
import { manualClock, START } from '../../../support/clock.ts'
import { recordingLog } from '../../../support/log.ts'
import { recordingMetrics } from '../../../support/metrics.ts'
import { temporaryDirectory } from '../../../support/service.ts'
import { countsOf, rowsOf, sentTransaction, testStore } from '../../../support/store.ts'

/** A data directory as a txhook with the first two migrations left it. */
function oldDirectory(...statements: string[]) {
  const directory = temporaryDirectory()
  using database = new Database(join(directory.path, 'txhook.db'))
  for (const { sql } of MIGRATIONS.slice(0, 2)) database.run(sql)
  database.run(`PRAGMA application_id = ${APPLICATION_ID}`)
  database.run('PRAGMA user_version = 2')
  for (const statement of statements) database.run(statement)
  return directory
}

/** A transaction, with its key and the ms after START at which it was accepted. */
const transaction = (id: number, status: string, at: number) =>
  `INSERT INTO transactions VALUES (${id}, 'txn_${id}', 'A123', 'B456', 10000, 'USD', NULL,
    '${status}', 1, ${START + at}, ${START + at}, NULL, NULL)`

const conflict = (id: number, storedId: number, at: number, received: number) =>
  `INSERT INTO conflicts VALUES (${id}, ${storedId}, ${START + at},
    '[{"field":"amount","stored":100,"received":${received}}]')`

test('a database of the version before keeps its rows, and goes on', async () => {
  using directory = oldDirectory(
    transaction(1, 'PROCESSED', 0),
    transaction(2, 'FAILED', 5_000),
    transaction(4, 'PROCESSING', 6_000),
    `INSERT INTO jobs VALUES (4, ${START + 36_000}, NULL, ${START + 6_000}, 1, ${START + 6_000})`,
    `INSERT INTO attempts VALUES (1, 1, ${START}, ${START + 9}, 'done', NULL, NULL)`,
    `INSERT INTO attempts VALUES (4, 1, ${START + 6_000}, NULL, NULL, NULL, NULL)`,
    conflict(1, 1, 1_000, 5),
    conflict(2, 1, 2_000, 6),
    conflict(3, 1, 3_000, 5),
    conflict(4, 2, 4_000, 5),
  )
  await using store = testStore({ dataDir: directory.path, clock: manualClock(START + 10_000) })
  expect(await countsOf(store)).toEqual({ PENDING: 0, PROCESSING: 1, PROCESSED: 1, FAILED: 1 })
  // The old file was readable by others.
  expect(store.log.entries.map(({ message }) => message)).toEqual([
    'migrated the database',
    'others can no longer read the database: its files are for this user alone',
  ])
  const { data } = await store.list({}, { cursor: undefined, limit: 10 })
  expect(data.map(({ transactionId, status }) => [transactionId, status])).toEqual([
    ['txn_4', 'PROCESSING'],
    ['txn_2', 'FAILED'],
    ['txn_1', 'PROCESSED'],
  ])
  expect(data).toMatchObject([{ handled: null, nextAttemptAt: null }, {}, {}])
  expect(store.rows('attempts')).toHaveLength(2)

  const conflicts = await store.conflicts(undefined, { cursor: undefined, limit: 10 })
  const shown = conflicts.data.map(({ receivedAt, lastReceivedAt, count, ...rest }) => {
    return [rest.transactionId, rest.differences[0]?.received, receivedAt, lastReceivedAt, count]
  })
  expect(shown).toEqual([
    ['txn_2', 5, START + 4_000, START + 4_000, 1],
    ['txn_1', 6, START + 2_000, START + 2_000, 1],
    ['txn_1', 5, START + 1_000, START + 3_000, 2],
  ])
  // Its transactions are known.
  expect(await store.accept(sentTransaction({ transactionId: 'txn_1' }))).toMatchObject({
    kind: 'replayed',
    stored: { status: 'PROCESSED' },
  })
  // The wait goes on, and what is new takes part.
  expect(await store.work.tick(8)).toEqual({ interrupted: 0, dueInMs: 26_000 })
  await store.acceptAll('txn_5')
  expect(await store.handled('txn_2', 'note', 'x')).toMatchObject({ kind: 'handled' })
  expect(store.rows('transactions').at(-1)).toMatchObject({ id: 5 })
  await store.close()
  await using again = testStore({ dataDir: directory.path, clock: store.clock })
  expect(await countsOf(again)).toEqual({ PENDING: 1, PROCESSING: 1, PROCESSED: 1, FAILED: 1 })
})

test('an old database whose clock was stepped still finds all by their times', async () => {
  const times = [0, 3_600_000, 3_600_500, 1_000, 900, 2_000, 1_500, 3_600_600, 3_600_000, 10]
  using directory = oldDirectory(...times.map((time, i) => transaction(i + 1, 'PROCESSED', time)))
  await using store = testStore({ dataDir: directory.path })
  // Each step back until the time of before is reached again; not those within a second.
  expect(store.rows('backsteps')).toEqual([{ id: 4 }, { id: 5 }, { id: 7 }, { id: 10 }])
  for (const from of times) {
    for (const to of times) {
      const filter = { created_from: START + from, created_to: START + to + 1 }
      const { data } = await store.list(filter, { cursor: undefined, limit: 50 })
      const expected = times.filter((time) => time >= from && time <= to).reverse()
      expect(data.map(({ createdAt }) => createdAt - START)).toEqual(expected)
    }
  }
})

test.each([
  ['an attempt with a status of a target', `'done', 200, NULL`, false],
  ['an attempt that was tried again', `'retry', NULL, 'no answer'`, false],
  ['an attempt that was interrupted', `'interrupted', NULL, NULL`, false],
  ['nothing but waits', `'done', NULL, NULL`, true],
])('an old database with %s', async (_, columns, startsWithoutTarget) => {
  using directory = oldDirectory(
    transaction(1, 'PROCESSED', 0),
    `INSERT INTO attempts VALUES (1, 1, ${START}, ${START}, ${columns})`,
    // As a start without a target left it: the target was forgotten.
    'INSERT INTO deployment VALUES (1, 0)',
  )
  const start = async () => {
    const parts = { clock: manualClock(), log: recordingLog(), metrics: recordingMetrics() }
    const deps = { ...parts, dataDir: directory.path, maxBacklog: 10, onFatal: () => {} }
    await openStore({ ...deps, processing: 'waits' }).close()
  }
  if (startsWithoutTarget) await start()
  else await expect(start()).rejects.toMatchObject({ exitCode: EXIT.usage })
  expect(rowsOf(directory.path, 'SELECT calls FROM deployment')).toEqual([
    { calls: startsWithoutTarget ? 0 : 1 },
  ])
})

test('the first start indexes the ids of an old database, however many', async () => {
  const count = 140_000
  const rows = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO transactions SELECT i, 'txn_' || i, 'A123', 'B456', 10000, 'USD', NULL, 'PROCESSED', 1,
      ${START}, ${START}, ${START}, NULL FROM n`
  using directory = oldDirectory(rows)
  const options = { dataDir: directory.path, clock: manualClock(START + 10_000) }
  await using store = testStore(options)
  expect(store.log.entries).toContainEqual({
    level: 'info',
    message: 'indexes the ids of the database, a million in some seconds',
    fields: { transactions: count },
  })
  expect(rowsOf(directory.path, 'SELECT up_to FROM indexed')).toEqual([{ up_to: count }])
  expect(rowsOf(directory.path, 'SELECT count(*) AS count FROM ids')).toEqual([{ count }])
  for (const n of [1, 70_000, count]) {
    const again = sentTransaction({ transactionId: `txn_${n}` })
    expect(await store.accept(again)).toMatchObject({ kind: 'replayed' })
  }
  await store.acceptAll('new')
  // Its pages stay as they are.
  expect(rowsOf(directory.path, 'PRAGMA page_size')).toEqual([{ page_size: 4096 }])
})
