import { describe, expect, test } from 'bun:test'
import { WEBHOOK_RESULTS } from '../../../src/telemetry/metrics.ts'
import { VERSION } from '../../../src/version.ts'
import { type Family, histogramOf, parseExposition, valuesOf } from '../../support/metrics.ts'
import { scriptedCalls } from '../../support/scheduler.ts'
import {
  type TestService,
  temporaryDirectory,
  testService,
  transactionBody,
} from '../../support/service.ts'

const WEBHOOKS = 'txhook_webhooks_received_total'
const STATES = 'txhook_transactions'
const AGE = 'txhook_oldest_unfinished_age_seconds'

const txn = (transaction_id: string, changes: Record<string, unknown> = {}) =>
  transactionBody({ transaction_id, ...changes })

async function scrape(service: TestService): Promise<Map<string, Family>> {
  return parseExposition(await (await service.get('/metrics')).text())
}

/** How many webhooks had each result; results without a webhook are left out. */
async function results(service: TestService): Promise<Record<string, number>> {
  const values = Object.entries(valuesOf(await scrape(service), WEBHOOKS))
  return Object.fromEntries(values.filter(([, count]) => count > 0))
}

/** Leaves the database no room for a body of many KiB. */
function fillDisk({ store }: TestService): void {
  const { client } = store.database
  const { page_count } = client.query('PRAGMA page_count').get() as { page_count: number }
  client.run(`PRAGMA max_page_count = ${page_count}`)
}

test('the metrics are in Prometheus’ text format, and not cacheable', async () => {
  await using service = testService()
  const response = await service.get('/metrics')
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(response.headers.get('x-request-id')).not.toBeNull()
  const ofFiles = process.platform === 'linux' ? 2 : 0
  expect(parseExposition(await response.text()).size).toBe(18 + ofFiles)
})

test('a new service shows each result with 0, and its version', async () => {
  await using service = testService()
  const families = await scrape(service)
  const none = Object.fromEntries(WEBHOOK_RESULTS.map((result) => [result, 0]))
  expect(valuesOf(families, WEBHOOKS)).toEqual(none)
  expect(valuesOf(families, STATES)).toEqual({ PENDING: 0, PROCESSING: 0, PROCESSED: 0, FAILED: 0 })
  expect(valuesOf(families, AGE)).toEqual({ '': 0 })
  expect(families.get('txhook_build_info')?.samples).toEqual([
    { name: 'txhook_build_info', labels: { version: VERSION, bun: Bun.version }, value: 1 },
  ])
})

test('the limit of the backlog is there, to compare the unfinished transactions with', async () => {
  await using service = testService({ flags: { '--max-backlog': '7' } })
  expect(valuesOf(await scrape(service), 'txhook_backlog_max')).toEqual({ '': 7 })
})

describe('a webhook is counted as', () => {
  test('accepted once, then as replayed', async () => {
    await using service = testService()
    for (let i = 0; i < 3; i++) await service.post(txn('a'))
    await service.work()
    await service.post(txn('a'))
    expect(await results(service)).toEqual({ accepted: 1, replayed: 3 })
  })

  test('a conflict', async () => {
    await using service = testService()
    await service.post(txn('a'))
    await service.post(txn('a', { amount: 7 }))
    expect(await results(service)).toEqual({ accepted: 1, conflict: 1 })
  })

  test.each([
    ['text that is no JSON', '{', undefined],
    ['JSON that is no transaction', {}, undefined],
    ['another type of content', txn('a'), 'text/plain'],
  ])('invalid: %s', async (_, body, contentType) => {
    await using service = testService()
    await service.post(body, contentType ? { 'content-type': contentType } : {})
    expect(await results(service)).toEqual({ invalid: 1 })
  })

  test('too large', async () => {
    await using service = testService({ flags: { '--max-body-bytes': '1024' } })
    await service.post(txn('a', { more: 'x'.repeat(2000) }))
    expect(await results(service)).toEqual({ too_large: 1 })
  })

  test('unauthorized', async () => {
    const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
    await using service = testService({ flags: { '--webhook-secrets': secret } })
    await service.post(txn('a'))
    expect(await results(service)).toEqual({ unauthorized: 1 })
  })

  test('unavailable where the backlog is full', async () => {
    await using service = testService({ flags: { '--max-backlog': '1' } })
    expect((await service.post(txn('a'))).status).toBe(202)
    expect((await service.post(txn('b'))).status).toBe(503)
    expect(await results(service)).toEqual({ accepted: 1, unavailable: 1 })
  })

  test('unavailable where the storage refuses the write', async () => {
    await using service = testService()
    fillDisk(service)
    expect((await service.post(txn('a', { more: 'x'.repeat(50_000) }))).status).toBe(503)
    expect(await results(service)).toEqual({ unavailable: 1 })
  })

  test('the same at both of its paths, and other requests are not counted', async () => {
    await using service = testService()
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(txn('a')) }
    await service.app.fetch(new Request('http://localhost/webhook', init))
    await service.app.fetch(new Request('http://localhost/webhooks', init))
    await service.app.fetch(new Request('http://localhost/webhook'))
    for (const path of ['/', '/readyz', '/v1/transactions/a', '/metrics']) await service.get(path)
    expect(await results(service)).toEqual({ accepted: 1 })
  })
})

describe('the duration of a webhook', () => {
  test('is measured for every result', async () => {
    await using service = testService({ flags: { '--max-body-bytes': '1024' } })
    await service.post(txn('a'))
    await service.post(txn('a', { amount: 7 }))
    await service.post('{')
    await service.post(txn('b', { more: 'x'.repeat(2000) }))
    const families = await scrape(service)
    expect(histogramOf(families, 'txhook_ingest_duration_seconds').count).toBe(4)
  })

  test('is the time until the answer, with that of a slow body', async () => {
    await using service = testService()
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    const request = new Request('http://localhost/webhook', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: readable,
    })
    const answer = service.app.fetch(request)
    const bytes = new TextEncoder().encode(JSON.stringify(txn('a')))
    await writer.write(bytes.subarray(0, 20))
    service.clock.pass(1500)
    await writer.write(bytes.subarray(20))
    await writer.close()
    expect((await answer).status).toBe(202)
    const measured = histogramOf(await scrape(service), 'txhook_ingest_duration_seconds')
    expect(measured).toMatchObject({ count: 1, sum: 1.5 })
  })
})

describe('the transactions by state', () => {
  test('are shown after every transition, and after a restart', async () => {
    using directory = temporaryDirectory()
    const dataDir = directory.path
    await using first = testService({ processor: scriptedCalls(), dataDir })
    const state = async (service: TestService) => valuesOf(await scrape(service), STATES)
    await first.post(txn('ok', { script: ['OK'] }))
    await first.post(txn('fails', { script: ['FAIL'] }))
    await first.post(txn('fails too', { script: ['FAIL'] }))
    await first.post(txn('is put off', { script: ['RETRY'] }))
    await first.post(txn('goes on', { script: ['SNOOZE'] }))
    expect(await state(first)).toEqual({ PENDING: 5, PROCESSING: 0, PROCESSED: 0, FAILED: 0 })
    await first.scheduler.runOnce()
    await first.store.health()
    await first.post(txn('waits'))
    const states = { PENDING: 2, PROCESSING: 1, PROCESSED: 1, FAILED: 2 }
    expect(await state(first)).toEqual(states)
    const ended = valuesOf(await scrape(first), 'txhook_attempts_total')
    expect(ended).toMatchObject({ done: 1, fail: 2, retry: 1 })
    await first.stop()

    await using second = testService({ processor: scriptedCalls(), dataDir })
    expect(await state(second)).toEqual(states)
    // Counters begin with the process.
    expect(await results(second)).toEqual({})
    const none = { done: 0, retry: 0, fail: 0, interrupted: 0 }
    expect(valuesOf(await scrape(second), 'txhook_attempts_total')).toEqual(none)
    await second.work()
    expect(await state(second)).toEqual({ ...states, PENDING: 1, PROCESSING: 2 })
  })

  test('don’t show what a full disk rolled back', async () => {
    await using service = testService()
    fillDisk(service)
    const [big, small] = await Promise.all([
      service.post(txn('big', { more: 'x'.repeat(50_000) })),
      service.post(txn('small')),
    ])
    expect([big?.status, small?.status]).toEqual([503, 202])
    expect(valuesOf(await scrape(service), STATES)).toMatchObject({ PENDING: 1 })
    expect(await results(service)).toEqual({ accepted: 1, unavailable: 1 })
  })
})

describe('the processing', () => {
  test('shows how late attempts began, how they ended, and the age of the oldest transaction', async () => {
    await using service = testService()
    await service.post(txn('a'))
    service.clock.pass(2000)
    await service.post(txn('b'))
    service.clock.pass(500)
    expect(valuesOf(await scrape(service), AGE)).toEqual({ '': 2.5 })
    await service.work()
    let families = await scrape(service)
    const lateness = () => histogramOf(families, 'txhook_job_lateness_seconds')
    expect(lateness()).toMatchObject({ count: 2, sum: 3 })
    expect(lateness().buckets).toMatchObject({ '0.1': 0, '0.5': 1, '1': 1, '5': 2 })
    expect(valuesOf(families, AGE)).toEqual({ '': 2.5 })
    service.clock.pass(30_000)
    await service.work()
    families = await scrape(service)
    expect(lateness()).toMatchObject({ count: 4, sum: 3 })
    expect(valuesOf(families, 'txhook_attempts_total')).toMatchObject({ done: 2 })
    expect(valuesOf(families, AGE)).toEqual({ '': 0 })
  })

  test('that a crash ended shows as interrupted in the next process', async () => {
    using directory = temporaryDirectory()
    const dataDir = directory.path
    await using first = testService({ dataDir })
    await first.post(txn('a'))
    await first.store.work.claim(1, 'earliest')
    await first.stop()
    await using second = testService({ dataDir })
    await second.start()
    const attempts = valuesOf(await scrape(second), 'txhook_attempts_total')
    expect(attempts).toMatchObject({ interrupted: 1 })
  })
})

describe('the storage', () => {
  test('shows how many writes each commit had, and how long it took', async () => {
    await using service = testService()
    const post = (name: string) => service.store.accept({ ...ACCEPTED, transactionId: name })
    await post('alone')
    await Promise.all(Array.from({ length: 20 }, (_, i) => post(`${i}`)))
    const families = await scrape(service)
    const works = histogramOf(families, 'txhook_commit_batch_size')
    expect(works).toMatchObject({ count: 2, sum: 21 })
    expect(works.buckets).toMatchObject({ '1': 1, '16': 1, '32': 2 })
    expect(histogramOf(families, 'txhook_commit_duration_seconds').count).toBe(2)
  })

  test('shows the bytes of the log and of the database as they grow', async () => {
    await using service = testService()
    const bytes = async () => {
      const families = await scrape(service)
      const names = ['txhook_wal_bytes', 'txhook_database_bytes']
      return names.map((name) => valuesOf(families, name)[''] ?? 0) as [number, number]
    }
    const [logBefore, databaseBefore] = await bytes()
    await service.post(txn('a', { more: 'x'.repeat(50_000) }))
    const [log, database] = await bytes()
    expect(log - logBefore).toBeGreaterThan(50_000)
    expect(database - databaseBefore).toBeGreaterThan(45_000)
    expect(await service.store.readings()).toMatchObject({ walBytes: log, databaseBytes: database })
    // A scrape writes nothing.
    expect(await bytes()).toEqual([log, database])
  })

  test('that is busy has the lag of the event loop watched, for some time', async () => {
    await using service = testService()
    const stalls = async () =>
      histogramOf(await scrape(service), 'txhook_event_loop_lag_seconds').count
    expect(await stalls()).toBe(0)
    expect(service.clock.timers).toBe(0)
    await service.post(txn('a'))
    for (let ms = 0; ms < 2000; ms += 10) service.clock.pass(10)
    expect(await stalls()).toBe(100)
    expect(service.clock.timers).toBe(0)
  })
})

const ACCEPTED = {
  transactionId: '',
  sourceAccount: 'A123',
  destinationAccount: 'B456',
  amount: 1,
  currency: 'USD',
  extra: null,
}

test('no label contains a transaction, an account or a request', async () => {
  await using service = testService({ processor: scriptedCalls() })
  const secret = { source_account: 'ACCOUNT-1', destination_account: 'ACCOUNT-2' }
  for (const line of ['OK', 'FAIL', 'ERROR', 'RETRY']) {
    await service.post(txn(`SECRET-${line}`, { ...secret, script: [line] }))
    await service.post(txn(`SECRET-${line}`, { ...secret, amount: 7 }))
  }
  await service.post(txn('SECRET-bad', { ...secret, currency: 'NONE' }))
  await service.scheduler.runOnce()
  await service.store.health()
  const text = await (await service.get('/metrics')).text()
  expect(text).not.toMatch(/SECRET|ACCOUNT|NONE|USD/)
  const labels = [...parseExposition(text).values()].flatMap(({ samples }) =>
    samples.flatMap((sample) => Object.keys(sample.labels)),
  )
  expect(new Set(labels)).toEqual(new Set(['result', 'outcome', 'status', 'le', 'version', 'bun']))
})
