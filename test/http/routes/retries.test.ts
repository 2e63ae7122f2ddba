import { Database } from 'bun:sqlite'
import { describe, expect, spyOn, test } from 'bun:test'
import { join } from 'node:path'
import { openDatabase } from '../../../src/store/sqlite/database/open-database.ts'
import { START } from '../../support/clock.ts'
import { transactionPath } from '../../support/contract-cases.ts'
import { type ScriptedService, scriptedService } from '../../support/scripted-service.ts'
import {
  type TestService,
  type TestServiceOptions,
  temporaryDirectory,
  testService,
  transactionBody,
} from '../../support/service.ts'
import { noCounts, rowsOf } from '../../support/store.ts'

type Json = Record<string, unknown>

type Operated = ScriptedService & {
  /** Posts to the path, with the body as JSON where there is one; returns status and body. */
  ask(path: string, body?: unknown): Promise<[status: number, body: Json]>
  retry(transactionId: string): Promise<[status: number, body: Json]>
  retryMany(filter: Json, dryRun?: boolean): Promise<[status: number, body: Json]>
}

function operated(options: TestServiceOptions = {}): Operated {
  const service = scriptedService(options)
  const ask: Operated['ask'] = async (path, body) => {
    const init = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
    const request = { method: 'POST', ...(body === undefined ? {} : init) }
    const response = await service.app.fetch(new Request(`http://localhost${path}`, request))
    return [response.status, (await response.json()) as Json]
  }
  return {
    ...service,
    ask,
    retry: (id) => ask(`${transactionPath(id)}/retry`),
    retryMany: (filter, dry_run = false) => ask('/v1/transactions/retry', { filter, dry_run }),
  }
}

/** A data directory with this many transactions, all FAILED without an attempt. */
function directoryOfFailed(count: number): ReturnType<typeof temporaryDirectory> {
  const directory = temporaryDirectory()
  const { client, close } = openDatabase(directory.path)
  client.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
     INSERT INTO transactions (transaction_id, source_account, destination_account, amount,
       currency, status, attempts, created_at)
     SELECT 'txn_' || i, 'A123', 'B456', 100, 'USD', 'FAILED', 0, i FROM n`,
  )
  close()
  return directory
}

/** The counts of the metrics, checked against the database. */
async function counted({ store, dataDir }: TestService): Promise<Record<string, number>> {
  const counts = (await store.readings()).transactions
  const sql = 'SELECT status, count(*) AS count FROM transactions GROUP BY status'
  const stored = rowsOf(dataDir, sql).map(({ status, count }) => [status, count])
  expect(counts).toEqual({ ...noCounts(), ...Object.fromEntries(stored) })
  return { ...counts }
}

/** Number and outcome of every attempt. */
function attempts({ dataDir }: TestService): string[] {
  const rows = rowsOf(dataDir, 'SELECT attempt, outcome FROM attempts ORDER BY id, attempt')
  return rows.map(({ attempt, outcome }) => `${attempt} ${outcome}`)
}

/** Keeps the database from growing. */
function fill({ store }: TestService): void {
  const { client } = store.database
  const { page_count } = client.query('PRAGMA page_count').get() as { page_count: number }
  client.run(`PRAGMA max_page_count = ${page_count}`)
}

function makeRoom({ store }: TestService): void {
  store.database.client.run('PRAGMA max_page_count = 1000000')
}

describe('a retry of one', () => {
  test('shows it PENDING, with its past attempts and error', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL', 'OK')
    service.clock.pass(40)
    await service.workOff()
    const failed = await service.shown('a')
    expect(failed).toMatchObject({ status: 'FAILED', attempts: 1, error: 'attempt 1 was refused' })

    const request = new Request('http://localhost/v1/transactions/a/retry', { method: 'POST' })
    const response = await service.app.fetch(request)
    expect(response.status).toBe(202)
    expect(response.headers.get('content-type')).toStartWith('application/json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('x-request-id')).not.toBeNull()
    const retried = (await response.json()) as Json
    expect(retried).toEqual({
      ...failed,
      status: 'PENDING',
      next_attempt_at: new Date(START + 40).toISOString(),
    })
    // A GET right after the 202 shows the same.
    expect(await service.shown('a')).toEqual(retried)
    expect(await counted(service)).toEqual({ ...noCounts(), PENDING: 1 })
  })

  test('is tried at once, and shows its error until it is PROCESSED', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL', 'HANG')
    await service.workOff()
    await service.retry('a')
    service.clock.pass(70)
    await service.workOff()
    const call = await service.processor.hanging()
    expect(call).toMatchObject({ attempt: 2, transaction: { attempts: 2 } })
    const error = 'attempt 1 was refused'
    const begun = '2026-01-01T00:00:00.000Z'
    const underWay = { status: 'PROCESSING', attempts: 2, error, processing_started_at: begun }
    expect(await service.shown('a')).toMatchObject(underWay)
    call.end()
    await service.workOff()
    expect(await service.shown('a')).toMatchObject({
      status: 'PROCESSED',
      attempts: 2,
      error: null,
      processing_started_at: begun,
      processed_at: '2026-01-01T00:00:00.070Z',
    })
    expect(await counted(service)).toEqual({ ...noCounts(), PROCESSED: 1 })
  })

  test('gets all its attempts again, however many there were before', async () => {
    await using service = operated({ flags: { '--max-attempts': '3' } })
    await service.accept('a', 'RETRY')
    const workUntilFailed = async () => {
      for (let rounds = 0; rounds < 4; rounds++) {
        await service.workOff()
        service.clock.pass(3_600_000)
      }
    }
    await workUntilFailed()
    for (const total of [3, 6, 9]) {
      const error = `attempt ${total} was put off`
      expect(await service.shown('a')).toMatchObject({ status: 'FAILED', attempts: total, error })
      const [status, retried] = await service.retry('a')
      expect(status).toBe(202)
      expect(retried).toMatchObject({ status: 'PENDING', attempts: total, error })
      await workUntilFailed()
    }
    const outcomes = ['retry', 'retry', 'fail']
    const expected = Array.from({ length: 12 }, (_, i) => `${i + 1} ${outcomes[i % 3]}`)
    expect(attempts(service)).toEqual(expected)
    expect(await counted(service)).toEqual({ ...noCounts(), FAILED: 1 })
  })

  test('is a 409 with its status where it is not FAILED, and changes nothing', async () => {
    await using service = operated()
    await service.accept('a', 'HANG')
    const refused = async (state: string) => {
      const before = await service.shown('a')
      const [status, problem] = await service.retry('a')
      expect([status, before.status]).toEqual([409, state])
      expect(problem).toMatchObject({
        title: 'Conflict',
        code: 'transaction_not_failed',
        errors: [{ path: 'status', code: 'not_failed', message: `is ${state}` }],
      })
      expect(await service.shown('a')).toEqual(before)
    }
    await refused('PENDING')
    await service.workOff()
    await refused('PROCESSING')
    const call = await service.processor.hanging()
    call.end()
    await service.workOff()
    await refused('PROCESSED')
    expect(attempts(service)).toEqual(['1 done'])
    expect(service.processor.attempts).toHaveLength(1)
  })

  test('is a 404 where there is no such transaction', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL')
    await service.workOff()
    for (const id of ['A', 'b', 'a ', 'a/retry']) {
      const [status, { code }] = await service.retry(id)
      expect([id, status, code]).toEqual([id, 404, 'transaction_not_found'])
    }
    expect(await counted(service)).toEqual({ ...noCounts(), FAILED: 1 })
  })

  test('succeeds once, of many at the same time', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL', 'OK')
    await service.workOff()
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => service.retry('a')))
    expect(answers.map(([status]) => status).sort()).toEqual([202, 409, 409, 409, 409])
    expect(await counted(service)).toEqual({ ...noCounts(), PENDING: 1 })
    await service.workOff()
    expect(attempts(service)).toEqual(['1 fail', '2 done'])
  })

  test.each(['retry', 'attempts', 'a/b?c#d%2Fe', '💶 é', '%', '...', '__proto__'])(
    'finds a transaction with the id %j',
    async (id) => {
      await using service = operated()
      await service.accept('other', 'FAIL')
      await service.accept(id, 'FAIL', 'OK')
      await service.workOff()
      expect(await service.retry(id)).toMatchObject([202, { transaction_id: id }])
      await service.workOff()
      expect(await service.shown(id)).toMatchObject({ status: 'PROCESSED', attempts: 2 })
      expect(await service.shown('other')).toMatchObject({ status: 'FAILED', attempts: 1 })
    },
  )

  test('ignores any body', async () => {
    await using service = operated()
    for (const [id, init] of [
      ['a', { body: '{' }],
      ['b', { body: 'x'.repeat(100_000), headers: { 'content-type': 'text/plain' } }],
      ['c', { headers: { 'content-type': 'application/json' } }],
    ] as const) {
      await service.accept(id, 'FAIL')
      await service.workOff()
      const request = new Request(`http://localhost/v1/transactions/${id}/retry`, {
        method: 'POST',
        ...init,
      })
      expect((await service.app.fetch(request)).status).toBe(202)
    }
  })

  test('survives a restart, and attempts are counted on', async () => {
    using directory = temporaryDirectory()
    const options = { dataDir: directory.path, flags: { '--max-attempts': '2' } }
    {
      await using first = operated(options)
      await first.accept('a', 'FAIL', 'RETRY', 'OK')
      await first.workOff()
      expect((await first.retry('a'))[0]).toBe(202)
    }
    await using second = operated(options)
    const error = 'attempt 1 was refused'
    expect(await second.shown('a')).toMatchObject({ status: 'PENDING', attempts: 1, error })
    expect(await counted(second)).toEqual({ ...noCounts(), PENDING: 1 })
    await second.workOff()
    expect(await second.shown('a')).toMatchObject({ status: 'PENDING', attempts: 2 })
    second.clock.pass(3_600_000)
    await second.workOff()
    expect(await second.shown('a')).toMatchObject({ status: 'PROCESSED', attempts: 3 })
  })

  test('of the simulated call lasts the whole delay again', async () => {
    using directory = directoryOfFailed(1)
    await using service = testService({ dataDir: directory.path })
    const path = '/v1/transactions/txn_1'
    const request = new Request(`http://localhost${path}/retry`, { method: 'POST' })
    expect((await service.app.fetch(request)).status).toBe(202)
    await service.work()
    const shown = async () => (await service.get(path)).json()
    service.clock.pass(29_999)
    await service.work()
    expect(await shown()).toMatchObject({ status: 'PROCESSING', attempts: 1 })
    service.clock.pass(1)
    await service.work()
    expect(await shown()).toMatchObject({ status: 'PROCESSED', attempts: 1 })
  })
})

describe('a late outcome of an attempt from before the retry', () => {
  /** A FAILED transaction whose first call is still under way. */
  async function superseded(service: Operated) {
    await service.accept('a', 'HANG')
    await service.workOff()
    const late = await service.processor.hanging()
    await service.store.work.start(1)
    expect(await service.shown('a')).toMatchObject({ status: 'FAILED', attempts: 1 })
    return late
  }

  const warned = ({ log }: Operated) =>
    log.entries.filter(({ message }) => message === 'ignored a late outcome').length

  test('changes nothing while the transaction is PENDING', async () => {
    await using service = operated()
    const late = await superseded(service)
    const [, retried] = await service.retry('a')
    late.end()
    await service.store.health()
    await service.store.health()
    expect(await service.shown('a')).toEqual(retried)
    expect(attempts(service)).toEqual(['1 interrupted'])
    expect(await counted(service)).toEqual({ ...noCounts(), PENDING: 1 })
    expect(warned(service)).toBe(1)
  })

  test.each([
    ['done', { kind: 'done' }],
    ['fail', { kind: 'fail', detail: 'too late' }],
    ['retry', { kind: 'retry', detail: 'too late' }],
    ['snooze', { kind: 'snooze', until: 0 }],
  ] as const)(
    'that is a %s changes nothing while the next attempt is under way',
    async (_name, outcome) => {
      await using service = operated()
      const late = await superseded(service)
      await service.retry('a')
      await service.workOff()
      const next = await service.processor.hanging()
      const before = await service.shown('a')
      expect(before).toMatchObject({ status: 'PROCESSING', attempts: 2 })
      late.end(outcome)
      await service.workOff()
      expect(await service.shown('a')).toEqual(before)
      expect(warned(service)).toBe(1)
      next.end({ kind: 'fail', detail: 'in time' })
      await service.workOff()
      const failed = { status: 'FAILED', attempts: 2, error: 'in time' }
      expect(await service.shown('a')).toMatchObject(failed)
      expect(attempts(service)).toEqual(['1 interrupted', '2 fail'])
      expect(await counted(service)).toEqual({ ...noCounts(), FAILED: 1 })
    },
  )
})

describe('a bulk retry', () => {
  /** Five FAILED transactions, and one of each other state. */
  async function fillWithAll(service: Operated): Promise<void> {
    const { post } = service
    const failing = { script: ['FAIL', 'OK'] }
    for (const [transaction_id, changes] of [
      ['usd', {}],
      ['eur', { currency: 'EUR' }],
      ['from X', { source_account: 'X' }],
      ['to Y', { destination_account: 'Y', currency: 'EUR' }],
      ['late', {}],
    ] as const) {
      service.clock.pass(1_000)
      await post(transactionBody({ transaction_id, ...failing, ...changes }))
    }
    await service.accept('processed', 'OK')
    await service.accept('processing', 'HANG')
    await service.workOff()
    await service.accept('pending', 'OK')
  }

  test.each([
    [{}, 5],
    [{ status: 'FAILED' }, 5],
    [{ currency: 'EUR' }, 2],
    [{ currency: 'JPY' }, 0],
    [{ source_account: 'X' }, 1],
    [{ source_account: 'x' }, 0],
    [{ destination_account: 'Y' }, 1],
    [{ created_from: '2026-01-01T00:00:05Z' }, 1],
    [{ created_to: '2026-01-01T00:00:05Z' }, 4],
    [{ created_from: '2026-01-01T01:00:02+01:00', created_to: '2025-12-31T23:00:04-01:00' }, 2],
    [{ currency: 'EUR', destination_account: 'Y', status: 'FAILED' }, 1],
    [{ currency: 'EUR', source_account: 'X' }, 0],
  ])('by %j counts and retries only what matches the filter', async (filter, matched) => {
    await using service = operated()
    await fillWithAll(service)
    const before = await counted(service)
    const tables = () =>
      ['transactions', 'jobs', 'attempts'].map((it) =>
        rowsOf(service.dataDir, `SELECT * FROM ${it}`),
      )
    const unchanged = tables()
    expect(await service.retryMany(filter, true)).toEqual([200, { matched, retried: 0 }])
    expect(tables()).toEqual(unchanged)

    const list = new URLSearchParams({ ...filter, status: 'FAILED' })
    const { data } = (await (await service.get(`/v1/transactions?${list}`)).json()) as {
      data: { transaction_id: string }[]
    }
    expect(data).toHaveLength(matched)
    expect(await service.retryMany(filter)).toEqual([200, { matched, retried: matched }])
    for (const { transaction_id } of data) {
      expect(await service.shown(transaction_id)).toMatchObject({ status: 'PENDING', attempts: 1 })
    }
    const PENDING = (before.PENDING ?? 0) + matched
    expect(await counted(service)).toEqual({ ...before, PENDING, FAILED: 5 - matched })
    await service.workOff()
    const done = { status: 'PROCESSED', attempts: 2, error: null }
    for (const { transaction_id } of data) {
      expect(await service.shown(transaction_id)).toMatchObject(done)
    }
    expect(await service.retryMany(filter)).toEqual([200, { matched: 0, retried: 0 }])
  })

  test('is not cacheable', async () => {
    await using service = operated()
    const request = new Request('http://localhost/v1/transactions/retry', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"filter":{},"dry_run":true}',
    })
    const { headers } = await service.app.fetch(request)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('content-type')).toStartWith('application/json')
    expect(headers.get('x-request-id')).not.toBeNull()
  })

  test('with an incomplete or unknown member is refused, and changes nothing', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL')
    await service.workOff()
    for (const body of [
      {},
      { filter: {} },
      { dry_run: false },
      { filter: {}, dry_run: 'false' },
      { filter: null, dry_run: false },
      { filter: { status: 'PROCESSED' }, dry_run: false },
      { filter: { nope: '' }, dry_run: false },
      { filter: {}, dry_run: false, dryRun: true },
      [],
    ]) {
      const [status, { code, errors }] = await service.ask('/v1/transactions/retry', body)
      expect([status, code]).toEqual([422, 'invalid_parameters'])
      expect(errors).not.toBeEmpty()
    }
    expect(await counted(service)).toEqual({ ...noCounts(), FAILED: 1 })
  })

  test('of more than one commit holds counts all of them', async () => {
    using directory = directoryOfFailed(2_300)
    await using service = operated({ dataDir: directory.path })
    expect(await counted(service)).toEqual({ ...noCounts(), FAILED: 2_300 })
    const [matched, retried] = [2_300, 2_300]
    expect(await service.retryMany({}, true)).toEqual([200, { matched, retried: 0 }])
    expect(await service.retryMany({})).toEqual([200, { matched, retried }])
    expect(await counted(service)).toEqual({ ...noCounts(), PENDING: 2_300 })
    expect(rowsOf(directory.path, 'SELECT count(*) AS count FROM jobs')).toEqual([{ count: 2_300 }])
    expect(await service.retryMany({})).toEqual([200, { matched: 0, retried: 0 }])
  })
})

describe('the scheduler', () => {
  test('is woken where something is retried, and only then', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL')
    await service.accept('b', 'FAIL')
    await service.workOff()
    const woken = spyOn(service.scheduler, 'wake')
    const wakes = async (answer: Promise<[number, Json]>) => {
      woken.mockClear()
      const [status] = await answer
      return [status, woken.mock.calls.length]
    }
    expect(await wakes(service.retryMany({}, true))).toEqual([200, 0])
    expect(await wakes(service.retryMany({ currency: 'EUR' }))).toEqual([200, 0])
    expect(await wakes(service.retry('nobody'))).toEqual([404, 0])
    expect(await wakes(service.retry('a'))).toEqual([202, 1])
    expect(await wakes(service.retry('a'))).toEqual([409, 0])
    expect(await wakes(service.retryMany({}))).toEqual([200, 1])
    expect(await wakes(service.retryMany({}))).toEqual([200, 0])
  })

  test('that sleeps begins by itself with what is retried', async () => {
    await using service = operated()
    await service.start()
    await service.accept('a', 'FAIL', 'HANG')
    const failed = async () => (await service.store.readings()).transactions.FAILED === 1
    while (!(await failed())) await service.store.health()
    expect((await service.retry('a'))[0]).toBe(202)
    expect(await service.processor.hanging()).toMatchObject({ attempt: 2 })
  })

  test('is woken for what was retried before the storage was full', async () => {
    using directory = directoryOfFailed(2_000)
    await using service = operated({ dataDir: directory.path })
    const { client } = service.store.database
    const { page_count } = client.query('PRAGMA page_count').get() as { page_count: number }
    const woken = spyOn(service.scheduler, 'wake')
    for (let pages = 0; (await counted(service)).PENDING === 0; pages++) {
      woken.mockClear()
      client.run(`PRAGMA max_page_count = ${page_count + pages}`)
      expect(await service.retryMany({})).toMatchObject([503, { code: 'storage_full' }])
    }
    expect((await counted(service)).FAILED).toBeGreaterThan(0)
    expect(woken).toHaveBeenCalled()
  })
})

describe('storage that refuses writes', () => {
  test('because it is full refuses retries as a whole until there is room', async () => {
    using directory = directoryOfFailed(600)
    await using service = operated({ dataDir: directory.path })
    fill(service)
    const many = await service.retryMany({})
    expect(many).toMatchObject([503, { code: 'storage_full', title: 'Service Unavailable' }])
    let answer = await service.retry('txn_1')
    let retried = 0
    // The rest of the last page has room for a few.
    for (; answer[0] === 202 && retried < 600; answer = await service.retry(`txn_${retried + 1}`)) {
      retried++
    }
    expect(answer).toMatchObject([503, { code: 'storage_full' }])
    expect(await service.shown(`txn_${retried + 1}`)).toMatchObject({ status: 'FAILED' })
    expect(await counted(service)).toEqual({
      ...noCounts(),
      PENDING: retried,
      FAILED: 600 - retried,
    })
    // Requests that write nothing are answered.
    const left = 600 - retried
    expect(await service.retryMany({}, true)).toEqual([200, { matched: left, retried: 0 }])
    const list = await service.get('/v1/transactions?status=FAILED&limit=1')
    expect([list.status, (await service.get('/v1/conflicts')).status]).toEqual([200, 200])
    if (retried > 0) expect((await service.retry('txn_1'))[0]).toBe(409)
    expect((await service.retry('nobody'))[0]).toBe(404)

    makeRoom(service)
    expect((await service.retry(`txn_${retried + 1}`))[0]).toBe(202)
    expect((await service.retryMany({}))[1]).toMatchObject({ retried: left - 1 })
    expect(await counted(service)).toEqual({ ...noCounts(), PENDING: 600 })
    expect(service.fatal).toBeEmpty()
  })

  test('because another program locks it refuses retries, and answers lists', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL')
    await service.workOff()
    service.store.database.client.run('PRAGMA busy_timeout = 0')
    using other = new Database(join(service.dataDir, 'txhook.db'))
    other.run('BEGIN IMMEDIATE')
    const unavailable = [503, { code: 'storage_unavailable' }]
    expect(await service.retry('a')).toMatchObject(unavailable)
    expect(await service.retryMany({})).toMatchObject(unavailable)
    expect(await service.retryMany({}, true)).toEqual([200, { matched: 1, retried: 0 }])
    expect((await service.get('/v1/transactions')).status).toBe(200)
    other.run('ROLLBACK')
    expect((await service.retry('a'))[0]).toBe(202)
    expect(service.fatal).toBeEmpty()
  })

  test('says when to try again', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL')
    await service.workOff()
    await service.stop()
    const request = new Request('http://localhost/v1/transactions/a/retry', { method: 'POST' })
    const response = await service.app.fetch(request)
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5'])
  })

  test('because of the stop refuses retries, and a dry run', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL')
    await service.workOff()
    await service.stop()
    const closed = [503, { code: 'shutting_down' }]
    expect(await service.retry('a')).toMatchObject(closed)
    expect(await service.retryMany({})).toMatchObject(closed)
    expect(await service.retryMany({}, true)).toMatchObject(closed)
    // Faults of the request are still named.
    expect((await service.ask('/v1/transactions/retry', {}))[0]).toBe(422)
  })
})
