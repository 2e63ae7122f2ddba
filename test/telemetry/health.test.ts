import { describe, expect, test } from 'bun:test'
import { PAGE_BYTES } from '../../src/store/sqlite/database/connection.ts'
import { type TestService, testService, transactionBody } from '../support/service.ts'
import { firstValue } from '../support/store.ts'

const txn = (transaction_id: string, bytes: number) =>
  transactionBody({ transaction_id, note: 'x'.repeat(bytes) })

/** Lets the database grow by so many KiB. */
function limitGrowth({ store }: TestService, more: number): void {
  const { client } = store.database
  const pages = ((kibOf(store) + more) * 1024) / PAGE_BYTES
  client.run(`PRAGMA max_page_count = ${pages}`)
}

function kibOf({ database }: TestService['store']): number {
  return (Number(firstValue(database.client, 'PRAGMA page_count')) * PAGE_BYTES) / 1024
}

/** What `GET /` and `GET /readyz` say. */
async function health(service: TestService): Promise<unknown[]> {
  const [root, ready] = await Promise.all([service.get('/'), service.get('/readyz')])
  const { status } = (await root.json()) as { status: string }
  expect(root.status).toBe(status === 'HEALTHY' ? 200 : 503)
  return [status, ready.status]
}

const WELL = ['HEALTHY', 200]
const ILL = ['UNHEALTHY', 503]

/** One whose disk has room for small webhooks alone; it began to process. */
async function nearlyFull(): Promise<TestService> {
  const service = testService()
  await service.start()
  expect((await service.post(txn('first', 10))).status).toBe(202)
  limitGrowth(service, 24)
  return service
}

describe('a disk with room for a page, but not for the webhooks that come in', () => {
  test('is not ready from the first refusal on, until a write of that size went through', async () => {
    await using service = await nearlyFull()
    expect(await health(service)).toEqual(WELL)
    expect((await service.post(txn('large', 60_000))).status).toBe(503)
    // At once, although it was well less than a second ago.
    expect(await health(service)).toEqual(ILL)
    // Smaller ones are accepted, and change nothing.
    expect((await service.post(txn('small', 10))).status).toBe(202)
    for (let second = 0; second < 3; second++) {
      service.clock.pass(1_000)
      expect(await health(service)).toEqual(ILL)
    }
    limitGrowth(service, 4_000)
    service.clock.pass(1_000)
    expect(await health(service)).toEqual(WELL)
  })

  test('is ready again when a webhook as large was accepted', async () => {
    await using service = await nearlyFull()
    expect((await service.post(txn('large', 60_000))).status).toBe(503)
    limitGrowth(service, 72)
    expect((await service.post(txn('large', 60_000))).status).toBe(202)
    // There is no room for another one, but none was refused since.
    expect(await health(service)).toEqual(WELL)
  })

  test('that has no room for a smaller one either waits for the larger one’s', async () => {
    await using service = await nearlyFull()
    expect((await service.post(txn('large', 60_000))).status).toBe(503)
    expect((await service.post(txn('smaller', 40_000))).status).toBe(503)
    limitGrowth(service, 88)
    service.clock.pass(1_000)
    expect(await health(service)).toEqual(ILL)
    limitGrowth(service, 4_000)
    service.clock.pass(1_000)
    expect(await health(service)).toEqual(WELL)
  })

  test('gets no larger by being asked, and has nothing left of it', async () => {
    await using service = await nearlyFull()
    const counts = await service.store.readings()
    const refuse = async () => expect((await service.post(txn('large', 60_000))).status).toBe(503)
    await refuse()
    const before = kibOf(service.store)
    for (let second = 0; second < 5; second++) {
      service.clock.pass(1_000)
      expect(await health(service)).toEqual(ILL)
    }
    expect(kibOf(service.store)).toBe(before)
    limitGrowth(service, 4_000)
    service.clock.pass(1_000)
    expect(await health(service)).toEqual(WELL)
    // The room of that write takes the next webhook.
    const after = kibOf(service.store)
    expect(after - before).toBeLessThan(160)
    expect((await service.post(txn('large', 60_000))).status).toBe(202)
    expect(kibOf(service.store)).toBe(after)
    const tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'scratch'"
    expect(firstValue(service.store.database.client, tables)).toBe(0)
    const { transactions } = await service.store.readings()
    expect(transactions.PENDING + transactions.PROCESSING).toBe(2)
    expect(counts.transactions.FAILED).toBe(0)
  })

  test('really writes that much: all of it goes into the log', async () => {
    await using service = await nearlyFull()
    expect((await service.post(txn('large', 60_000))).status).toBe(503)
    limitGrowth(service, 4_000)
    service.clock.pass(1_000)
    const written = (await service.store.readings()).walBytes
    expect(await health(service)).toEqual(WELL)
    expect((await service.store.readings()).walBytes - written).toBeGreaterThan(60_000)
  })
})

test('while all is well health writes a page a second at most, however often it is asked', async () => {
  await using service = testService()
  await service.start()
  await health(service)
  const before = (await service.store.readings()).walBytes
  for (let asked = 0; asked < 20; asked++) await health(service)
  expect((await service.store.readings()).walBytes).toBe(before)
})
