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
  await service.start()
  const asleep = service.clock.nextTimer()
  await service.post(transactionBody())
  await asleep
  expect(service.clock.timers).toBe(1)

  // A transaction that is posted at the end of the first one's delay is what wakes the loop next.
  service.clock.pass(30_000)
  const asleepAgain = service.clock.nextTimer()
  await service.post(transactionBody({ transaction_id: 'txn_002' }))
  await asleepAgain
  const first = await service.get('/v1/transactions/txn_001')
  expect(await first.json()).toMatchObject({ status: 'PROCESSED', attempts: 1 })
})
