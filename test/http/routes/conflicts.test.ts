import { describe, expect, test } from 'bun:test'
import { pageAt, pagedAt } from '../../support/pages.ts'
import { type TestService, testService, transactionBody } from '../../support/service.ts'

type ShownConflict = {
  transaction_id: string
  received_at: string
  last_received_at: string
  count: number
  differences: unknown[]
}
const PATH = '/v1/conflicts'
const page = (service: TestService, query = '') => pageAt<ShownConflict>(service, PATH, query)
const paged = (
  service: TestService,
  limit: number,
  filter?: Record<string, string>,
  between?: () => Promise<unknown>,
) => pagedAt<ShownConflict>(service, PATH, limit, filter, between)

const txn = (transaction_id: string, changes: Record<string, unknown> = {}) =>
  transactionBody({ transaction_id, ...changes })

/** Posts the transaction with an amount that differs from the stored one. */
async function conflict(service: TestService, transactionId: string, amount: number) {
  expect((await service.post(txn(transactionId, { amount }))).status).toBe(409)
}

/** By transaction, the amounts that were received instead of the stored one. */
const amounts = (conflicts: ShownConflict[]) =>
  conflicts.map(({ transaction_id, differences: [difference] }) => [
    transaction_id,
    (difference as { received: number }).received,
  ])

const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms).toISOString()

describe('the conflicts', () => {
  test('are an empty list where there was none', async () => {
    await using service = testService()
    await service.post(transactionBody())
    await service.post(transactionBody())
    const response = await service.get('/v1/conflicts')
    expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store'])
    expect(response.headers.get('content-type')).toStartWith('application/json')
    expect(await response.json()).toEqual({ data: [], next_cursor: null })
  })

  test('show what is stored and what was received, as JSON', async () => {
    await using service = testService()
    await service.post(transactionBody())
    service.clock.pass(1_500)
    const received = {
      currency: 'KWD',
      amount: '0.250',
      destination_account: '€/„',
      source_account: 'a123',
    }
    const response = await service.post(transactionBody({ ...received, note: 'an extra' }))
    expect(response.status).toBe(409)
    expect(await page(service)).toEqual({
      data: [
        {
          transaction_id: 'txn_001',
          received_at: at(1_500),
          last_received_at: at(1_500),
          count: 1,
          differences: [
            { field: 'source_account', stored: 'A123', received: 'a123' },
            { field: 'destination_account', stored: 'B456', received: '€/„' },
            { field: 'amount', stored: 100, received: 0.25 },
            { field: 'currency', stored: 'USD', received: 'KWD' },
          ],
        },
      ],
      next_cursor: null,
    })
  })

  test('name only fields that differ by value', async () => {
    await using service = testService()
    await service.post(transactionBody())
    await service.post(transactionBody({ amount: '100.00', currency: 'JPY' }))
    expect((await page(service)).data).toMatchObject([
      { differences: [{ field: 'currency', stored: 'USD', received: 'JPY' }] },
    ])
  })

  test('are listed newest first, by the time they were received', async () => {
    await using service = testService()
    for (const id of ['a', 'b', 'c']) await service.post(txn(id))
    for (const [id, amount] of [
      ['c', 1],
      ['a', 2],
      ['b', 3],
      ['a', 4],
      ['c', 5],
    ] as const) {
      service.clock.pass(1_000)
      await conflict(service, id, amount)
    }
    const { data } = await page(service)
    const expected = [
      ['c', 5],
      ['a', 4],
      ['b', 3],
      ['a', 2],
      ['c', 1],
    ]
    expect(amounts(data)).toEqual(expected)
    const times = [5, 4, 3, 2, 1].map((seconds) => at(seconds * 1_000))
    expect(data.map(({ received_at }) => received_at)).toEqual(times)
  })

  test('that are identical are one row, with how many there were and when', async () => {
    await using service = testService()
    await service.post(txn('a'))
    for (const amount of [1, 2, 1, 1]) {
      service.clock.pass(1_000)
      await conflict(service, 'a', amount)
    }
    const { data } = await page(service)
    expect(data.map(({ differences: _, ...row }) => row)).toEqual([
      { transaction_id: 'a', received_at: at(2_000), last_received_at: at(2_000), count: 1 },
      { transaction_id: 'a', received_at: at(1_000), last_received_at: at(4_000), count: 3 },
    ])
  })

  test('of one transaction are found by its id, whatever it is', async () => {
    await using service = testService()
    const ids = ['a', 'A', 'a&b=c', '%', '💶', "' OR 1=1 --", 'x y']
    for (const [i, id] of ids.entries()) {
      await service.post(txn(id))
      await conflict(service, id, i + 1)
      await conflict(service, id, i + 1_000)
    }
    for (const [i, id] of ids.entries()) {
      const { data } = await page(service, `?transaction_id=${encodeURIComponent(id)}`)
      expect(amounts(data)).toEqual([
        [id, i + 1_000],
        [id, i + 1],
      ])
    }
    for (const id of ['nobody', 'b', '%25']) {
      const nothing = { data: [], next_cursor: null }
      expect(await page(service, `?transaction_id=${encodeURIComponent(id)}`)).toEqual(nothing)
    }
  })

  test('are kept in every state of the transaction, and over a restart', async () => {
    await using first = testService()
    await first.post(txn('a'))
    for (const [ms, amount] of [
      [0, 1],
      [5, 2],
      [30_000, 3],
    ] as const) {
      first.clock.pass(ms)
      if (ms > 0) await first.work()
      await conflict(first, 'a', amount)
    }
    const before = await page(first)
    expect(before.data).toHaveLength(3)
    await first.stop()
    await using second = testService({ dataDir: first.dataDir })
    expect(await page(second)).toEqual(before)
  })
})

describe('the pages', () => {
  /** Conflicts of three transactions in turn, each with another amount. */
  async function fill(service: TestService, count: number): Promise<[string, number][]> {
    const ids = ['a', 'b', 'c'] as const
    for (const id of ids) await service.post(txn(id, { amount: 1_000_000 }))
    const posted = Array.from({ length: count }, (_, i) => {
      const id = ids[i % 3] as string
      return [id, i + 1] as [string, number]
    })
    for (const [id, amount] of posted) await conflict(service, id, amount)
    return posted.reverse()
  }

  test('have each conflict once, newest first, while others are received', async () => {
    await using service = testService()
    const expected = await fill(service, 60)
    const ofA = expected.filter(([id]) => id === 'a')
    let more = 1_000
    const between = async () => {
      await conflict(service, 'a', ++more)
      await service.post(txn(`new_${more}`))
      await conflict(service, `new_${more}`, more)
    }
    // What is received after the first page is on none of them.
    expect(amounts(await paged(service, 7, {}, between))).toEqual(expected)
    const [{ differences: [newest] = [] } = {}] = (await page(service)).data
    expect(newest).toMatchObject({ received: more })
    const laterOfA = (await paged(service, 4, { transaction_id: 'a' }, between)).slice(-ofA.length)
    expect(amounts(laterOfA)).toEqual(ofA)
  })

  test('end with the last conflict', async () => {
    await using service = testService()
    const expected = await fill(service, 30)
    for (const limit of [1, 10, 15, 29, 30, 31, 250]) {
      expect(amounts(await paged(service, limit))).toEqual(expected)
      const ofB = expected.filter(([id]) => id === 'b')
      expect(amounts(await paged(service, limit, { transaction_id: 'b' }))).toEqual(ofB)
    }
    expect((await page(service, '?limit=30')).next_cursor).toBeNull()
    expect((await page(service, '?limit=29')).next_cursor).not.toBeNull()
    expect((await page(service, '?limit=10&transaction_id=b')).next_cursor).toBeNull()
  })

  test('have 50 conflicts by default', async () => {
    await using service = testService()
    await fill(service, 51)
    const { data, next_cursor } = await page(service)
    expect([data.length, next_cursor]).toEqual([50, expect.any(String)])
    expect((await page(service, `?cursor=${next_cursor}`)).data).toHaveLength(1)
  })
})

test('the conflicts are answered on a full disk, and refused after the stop', async () => {
  await using service = testService()
  await service.post(txn('a'))
  await conflict(service, 'a', 1)
  service.store.database.client.run('PRAGMA max_page_count = 1')
  expect(amounts((await page(service)).data)).toEqual([['a', 1]])
  await service.stop()
  const response = await service.get('/v1/conflicts')
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ code: 'shutting_down' })
})
