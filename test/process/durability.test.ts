import { Database } from 'bun:sqlite'
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { openDatabase } from '../../src/store/sqlite/database/open-database.ts'
import { manualClock } from '../support/clock.ts'
import { type RunningTxhook, startTxhook, until, VARIANTS } from '../support/executable.ts'
import {
  type ShownTransaction,
  temporaryDirectory,
  testService,
  transactionBody,
} from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

const numbered = (n: number) => transactionBody({ transaction_id: `txn_${n}`, amount: n + 1 })
const ids = (count: number) => Array.from({ length: count }, (_, n) => n)

async function stateOf(txhook: RunningTxhook, n: number): Promise<ShownTransaction> {
  const response = await txhook.fetch(`/v1/transactions/txn_${n}`)
  return (await response.json()) as ShownTransaction
}

const processed = (txhook: RunningTxhook, n: number) =>
  until(
    () => stateOf(txhook, n),
    ({ status }) => status === 'PROCESSED',
  )

describe('kill -9', () => {
  test('in a burst of webhooks: nothing acknowledged is missing, everything is completed', async () => {
    using directory = temporaryDirectory()
    const args = ['--processing-delay-ms', '200']
    const acknowledged: number[] = []
    {
      await using txhook = await startTxhook({ cwd: directory.path, args })
      const posts = ids(3_000).map(async (n) => {
        const { status } = await txhook.post(numbered(n))
        if (status === 202) acknowledged.push(n)
        // In the middle: some are PENDING, some PROCESSING, some PROCESSED, some not yet there.
        if (acknowledged.length === 1_500) await txhook.end('SIGKILL')
      })
      await Promise.allSettled(posts)
    }
    expect(acknowledged.length).toBeWithin(1_500, 3_000)

    await using txhook = await startTxhook({ cwd: directory.path, args })
    for (const n of acknowledged) {
      const done = await processed(txhook, n)
      expect(done).toMatchObject({ ...numbered(n), attempts: 1 })
    }
    // Every id can be posted again, acknowledged or not, and is the same transaction.
    const again = await Promise.all(ids(3_000).map((n) => txhook.post(numbered(n))))
    expect(again.every(({ status }) => status === 202)).toBeTrue()
    const replayed = again.filter(({ headers }) => headers.has('idempotent-replayed'))
    expect(replayed.length).toBeGreaterThanOrEqual(acknowledged.length)
  })

  test('while ids go into their index: every one that was acknowledged is known', async () => {
    using directory = temporaryDirectory()
    const dataDir = join(directory.path, 'data')
    // A few hundred fewer than begin to go into the index together.
    const before = 65_000
    const fill = `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${before - 1})
      INSERT INTO transactions (transaction_id, source_account, destination_account, amount, currency,
        status, attempts, created_at)
      SELECT 'txn_' || i, 'A123', 'B456', (i + 1) * 100, 'USD', 'PROCESSED', 1, 0 FROM n`
    const database = openDatabase(dataDir)
    database.client.run(fill)
    database.close()

    let known = before
    for (const round of [1, 2, 3]) {
      await using txhook = await startTxhook({ cwd: directory.path })
      const next = ids(2_000 * round).map((n) => known + n)
      const posts = next.map(async (n) => {
        const { status, headers } = await txhook.post(numbered(n))
        expect([status, headers.has('idempotent-replayed')]).toEqual([202, false])
      })
      await Promise.all(posts)
      known += next.length
      await txhook.end('SIGKILL')
    }
    const rowsOf = (sql: string) => {
      using it = new Database(join(dataDir, 'txhook.db'))
      return it.query(sql).values()
    }
    // It was under way, and had not come to its end.
    expect(rowsOf('SELECT up_to FROM indexed')).toEqual([[0]])
    expect(Number(rowsOf('SELECT count(*) FROM ids')[0]?.[0])).toBeGreaterThan(10_000)

    await using txhook = await startTxhook({ cwd: directory.path })
    const sample = [...ids(before).filter((n) => n % 50 === 0), ...ids(known).slice(before)]
    const again = await Promise.all(sample.map((n) => txhook.post(numbered(n))))
    expect(again.filter(({ headers }) => headers.has('idempotent-replayed'))).toHaveLength(
      sample.length,
    )
    expect(rowsOf('SELECT count(*) FROM transactions')).toEqual([[known]])
  })

  test('while PROCESSING: the delay goes on and does not begin anew', async () => {
    using directory = temporaryDirectory()
    const args = ['--processing-delay-ms', '1500']
    await using first = await startTxhook({ cwd: directory.path, args })
    await first.post(numbered(1))
    const before = await until(
      () => stateOf(first, 1),
      ({ status }) => status === 'PROCESSING',
    )
    await first.end('SIGKILL')

    await using second = await startTxhook({ cwd: directory.path, args })
    expect(await stateOf(second, 1)).toEqual(before)
    const done = await processed(second, 1)
    expect(done).toMatchObject({
      processing_started_at: before.processing_started_at,
      attempts: 1,
    })
    const took = Date.parse(done.processed_at) - Date.parse(done.processing_started_at)
    expect(took).toBeWithin(1_500, 2_500)
  })

  test('while PROCESSING, for longer than the delay: it is not waited again', async () => {
    using directory = temporaryDirectory()
    const dataDir = join(directory.path, 'data')
    {
      // Left half done a minute ago, by a process that ran then.
      const clock = manualClock(Date.now() - 60_000)
      await using before = testService({ dataDir, clock })
      await before.post(numbered(1))
      expect(await before.work()).toBe(30_000)
      await before.post(numbered(2))
    }
    const started = Date.now()
    await using txhook = await startTxhook({ cwd: directory.path, args: [] })
    const done = await processed(txhook, 1)
    expect(done.attempts).toBe(1)
    expect(Date.parse(done.processed_at) - started).toBeLessThan(5_000)
    // The one that was still PENDING has its whole delay before it.
    expect(await stateOf(txhook, 2)).toMatchObject({ status: 'PROCESSING', attempts: 1 })
  })

  test('after PROCESSED: it stays so, and nothing is processed twice', async () => {
    using directory = temporaryDirectory()
    const args = ['--processing-delay-ms', '0']
    await using first = await startTxhook({ cwd: directory.path, args })
    await first.post(numbered(1))
    const done = await processed(first, 1)
    await first.end('SIGKILL')

    await using second = await startTxhook({ cwd: directory.path, args })
    expect(await stateOf(second, 1)).toEqual(done)
    expect((await second.post(numbered(1))).headers.get('idempotent-replayed')).toBe('true')
    expect(await stateOf(second, 1)).toEqual(done)
  })

  test('again and again: the database stays whole', async () => {
    using directory = temporaryDirectory()
    const args = ['--processing-delay-ms', '20']
    for (const round of ids(5)) {
      await using txhook = await startTxhook({ cwd: directory.path, args })
      const posts = ids(200).map(async (n) => {
        await txhook.post(numbered(round * 200 + n))
        if (n === 100) await txhook.end('SIGKILL')
      })
      await Promise.allSettled(posts)
    }
    await using txhook = await startTxhook({ cwd: directory.path, args })
    await txhook.end('SIGTERM')
    using database = new Database(join(directory.path, 'data', 'txhook.db'))
    expect(database.query('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
    expect(database.query('PRAGMA foreign_key_check').all()).toEqual([])
  })
})

test.each([...VARIANTS])(
  'the log of a long run starts over beside the webhooks (%s)',
  async (variant) => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ variant, cwd: directory.path })
    const database = join(directory.path, 'data', 'txhook.db')
    const metric = async (name: string) =>
      Number(
        new RegExp(`^${name} (\\d+)$`, 'm').exec(
          await (await txhook.fetch('/metrics')).text(),
        )?.[1],
      )
    const note = 'x'.repeat(60_000)
    let posted = 0
    // The log is due at 64 MB, that is after some thousand of these.
    while (statSync(database).size < 32_000_000 && posted < 4_000) {
      const numbers = ids(50).map((n) => posted + n)
      posted += 50
      for (const { status } of await Promise.all(
        numbers.map((n) => txhook.post({ ...numbered(n), note })),
      )) {
        expect(status).toBe(202)
      }
    }
    expect(statSync(database).size).toBeGreaterThan(32_000_000)
    // A log that is copied whole starts over with the next commit.
    await until(
      async () => {
        await txhook.post(numbered(posted++))
        return metric('txhook_wal_bytes')
      },
      (bytes) => bytes < 64_000_000,
    )
    await txhook.end('SIGKILL')

    await using again = await startTxhook({ variant, cwd: directory.path })
    for (const n of ids(posted)) expect((await stateOf(again, n)).attempts).toBe(1)
    expect((await again.end('SIGTERM')).exitCode).toBe(0)
  },
)

test('10,000 transactions in a burst are all PROCESSED within the delay and 5 s', async () => {
  using directory = temporaryDirectory()
  const delay = 2_000
  const args = ['--processing-delay-ms', String(delay)]
  await using txhook = await startTxhook({ cwd: directory.path, args })
  const threads = () =>
    /^Threads:\s*(\d+)$/m.exec(readFileSync(`/proc/${txhook.pid}/status`, 'utf8'))
  const before = Number(threads()?.[1])

  let slowest = 0
  const post = async (n: number) => {
    const began = performance.now()
    const { status } = await txhook.post(numbered(n))
    slowest = Math.max(slowest, performance.now() - began)
    return status
  }
  const statuses = new Set<number>()
  for (let n = 0; n < 10_000; n += 100) {
    for (const status of await Promise.all(ids(100).map((k) => post(n + k)))) statuses.add(status)
  }
  const lastPosted = Date.now()
  expect([...statuses]).toEqual([202])
  expect(slowest).toBeLessThan(500)
  // The pool that syncs the commits is all that came along.
  expect(Number(threads()?.[1]) - before).toBeLessThan(16)

  let latest = 0
  for (const n of ids(10_000)) {
    const { processed_at, attempts } = await processed(txhook, n)
    expect(attempts).toBe(1)
    latest = Math.max(latest, Date.parse(processed_at))
  }
  expect(latest - lastPosted).toBeLessThan(delay + 5_000)
})
