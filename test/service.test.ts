import { expect, test } from 'bun:test'
import { testService, transactionBody } from './support/service.ts'

test('a transaction goes from PENDING through PROCESSING to PROCESSED', async () => {
  await using service = testService()
  const state = async () => (await service.get('/v1/transactions/txn_001')).json()

  const posted = await service.post(transactionBody())
  expect(posted.status).toBe(202)
  expect(posted.headers.get('location')).toBe('/v1/transactions/txn_001')
  expect(await posted.json()).toEqual({
    ...transactionBody(),
    status: 'PENDING',
    attempts: 0,
    created_at: '2026-01-01T00:00:00.000Z',
    processing_started_at: null,
    processed_at: null,
    next_attempt_at: '2026-01-01T00:00:00.000Z',
    handled: null,
    error: null,
    extra: {},
  })

  service.clock.pass(4)
  expect(await service.work()).toBe(30_000)
  expect(await state()).toMatchObject({
    status: 'PROCESSING',
    attempts: 1,
    processing_started_at: '2026-01-01T00:00:00.004Z',
    processed_at: null,
  })

  service.clock.pass(29_999)
  expect(await service.work()).toBe(1)
  expect(await state()).toMatchObject({ status: 'PROCESSING' })

  service.clock.pass(1)
  expect(await service.work()).toBeUndefined()
  expect(await state()).toMatchObject({
    status: 'PROCESSED',
    attempts: 1,
    processing_started_at: '2026-01-01T00:00:00.004Z',
    processed_at: '2026-01-01T00:00:30.004Z',
    error: null,
  })
})

test('started, the service processes by itself and waits on one timer', async () => {
  await using service = testService()
  const { clock, store } = service
  /** Lets so much time pass at once, and the loop do what it then has to do. */
  async function pass(ms: number): Promise<void> {
    clock.pass(ms)
    await store.health()
    await store.health()
  }
  /** Lets the watch over the event loop end, which goes on for a second after the last commit. */
  function calmDown(): void {
    for (let ms = 0; ms < 1000; ms += 10) clock.pass(10)
  }
  const shown = async (id: string) => (await service.get(`/v1/transactions/${id}`)).json()

  await service.start()
  await service.post(transactionBody())
  await pass(0)
  expect(await shown('txn_001')).toMatchObject({ status: 'PROCESSING', attempts: 1 })
  await pass(10)
  calmDown()
  expect(clock.timers).toBe(1)

  await service.post(transactionBody({ transaction_id: 'txn_002' }))
  await pass(0)
  await pass(10)
  calmDown()
  expect(clock.timers).toBe(1)

  await pass(30_000 - 2020)
  expect(await shown('txn_001')).toMatchObject({ status: 'PROCESSED', attempts: 1 })
  expect(await shown('txn_002')).toMatchObject({ status: 'PROCESSING', attempts: 1 })
  await pass(1010)
  expect(await shown('txn_002')).toMatchObject({ status: 'PROCESSED', attempts: 1 })
  await pass(10)
  calmDown()
  expect(clock.timers).toBe(0)
})

test('only a retry by filter that has come in gets more time', async () => {
  await using service = testService({ flags: { '--api-keys': 'key-1' } })
  const patient = async (path: string, headers: Record<string, string> = {}) => {
    let asked = false
    const request = new Request(`http://localhost${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{"filter": {}, "dry_run": false}',
    })
    await service.app.fetch(request, () => {
      asked = true
    })
    return asked
  }
  const authorization = 'Bearer key-1'
  expect(await patient('/v1/transactions/retry', { authorization })).toBe(true)
  expect(await patient('/v1/transactions/retry')).toBe(false)
  expect(await patient('/webhook?/v1/transactions/retry')).toBe(false)
  expect(await patient('/v1/transactions/retry?x=1', { authorization })).toBe(false)
  expect(await patient('/v1/transactions/a/retry', { authorization })).toBe(false)
})
