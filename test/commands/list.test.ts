import { describe, expect, test } from 'bun:test'
import { listeningService, type Ran } from '../support/command-line.ts'
import { transactionBody } from '../support/service.ts'

const ids = ({ printed }: Ran) =>
  printed.map((line) => (JSON.parse(line) as { transaction_id: string }).transaction_id)

describe('list', () => {
  test('prints the newest 50, a line of JSON each', async () => {
    await using server = listeningService()
    for (let i = 0; i < 52; i++) await server.accept(`txn_${i}`)
    const ran = await server.run('list')
    expect(ran.exitCode).toBe(0)
    // A list that is cut off must not look complete.
    expect(ran.errors).toBe('txhook: there are more transactions: set a higher --limit\n')
    expect(ids(ran)).toEqual(Array.from({ length: 50 }, (_, i) => `txn_${51 - i}`))
    expect(JSON.parse(ran.printed[0] as string)).toEqual(await server.shown('txn_51'))
    for (const line of ran.printed) expect(line).not.toContain('\n')
    expect(server.requests).toEqual(['GET /v1/transactions?limit=50'])
  })

  test('prints numbers with the digits that were sent', async () => {
    await using server = listeningService()
    const numbers = '"n":9007199254740993,"a":[1.10,{"b":1e2}],"z":-0'
    await server.post(`{${numbers},${JSON.stringify(transactionBody()).slice(1)}`)
    const { printed } = await server.run('list')
    expect(printed).toEqual([expect.stringContaining(`,"extra":{${numbers}}}`)])
  })

  test('prints nothing where there are no transactions', async () => {
    await using server = listeningService()
    expect(await server.run('list')).toEqual({ exitCode: 0, printed: [], errors: '' })
  })

  test.each([
    [1, [1]],
    [249, [249]],
    [250, [250]],
    [251, [250, 1]],
    [500, [250, 250]],
    [599, [250, 250, 99]],
    [600, [250, 250, 100]],
    [601, [250, 250, 101]],
    [999_999_999, [250, 250, 250]],
  ])('requests pages for a limit of %i: %j', async (limit, pages) => {
    await using server = listeningService()
    const all = Array.from({ length: 600 }, (_, i) => `txn_${i}`)
    await Promise.all(all.map((id) => server.accept(id)))
    const shown = await server.run('list', '--limit', String(limit))
    expect(shown.exitCode).toBe(0)
    // They were accepted concurrently: their order is known from the database alone.
    const order = server.store.database.client
      .query('SELECT transaction_id FROM transactions ORDER BY id DESC')
      .values()
      .map(([id]) => id)
    expect(ids(shown)).toEqual(order.slice(0, limit) as string[])
    expect(order).toHaveLength(600)
    const asked = server.requests.map((it) => Number(/limit=(\d+)/.exec(it)?.[1]))
    expect(asked).toEqual(pages)
    expect(server.requests.filter((it) => it.includes('cursor='))).toHaveLength(pages.length - 1)
  })

  test('sends each filter as the parameter of its name', async () => {
    await using server = listeningService()
    const flags = [
      ...['--status', 'FAILED', '--currency', 'EUR', '--source-account', 'a&b=+é'],
      ...['--destination-account', '100%', '--from', '2026-01-01T00:00:00+02:00'],
      ...['--to', '2026-02-01T00:00Z', '--limit', '7'],
    ]
    expect(await server.run('list', ...flags)).toEqual({ exitCode: 0, printed: [], errors: '' })
    const [request = ''] = server.requests
    expect(Object.fromEntries(new URL(request.slice(4), server.url).searchParams)).toEqual({
      status: 'FAILED',
      currency: 'EUR',
      source_account: 'a&b=+é',
      destination_account: '100%',
      created_from: '2026-01-01T00:00:00+02:00',
      created_to: '2026-02-01T00:00Z',
      limit: '7',
    })
  })

  test('keeps its filter from page to page', async () => {
    await using server = listeningService()
    for (let i = 0; i < 600; i++) {
      const currency = i % 2 ? 'EUR' : 'USD'
      await server.post(transactionBody({ transaction_id: `${i}`, currency }))
    }
    const ran = await server.run('list', '--currency', 'EUR', '--limit', '400')
    expect(ids(ran)).toEqual(Array.from({ length: 300 }, (_, i) => `${599 - 2 * i}`))
    expect(server.requests).toHaveLength(2)
  })

  test('is exit 1 with every fault of the filters, by flag', async () => {
    await using server = listeningService()
    const ran = await server.run(
      ...['list', '--status', 'x', '--currency', 'usd', '--source-account', ''],
      ...['--destination-account', 'x'.repeat(129), '--from', 'now', '--to', '2026-02-30T00:00Z'],
    )
    expect([ran.exitCode, ran.printed]).toEqual([1, []])
    const [first, ...faults] = ran.errors.trimEnd().split('\n')
    expect(first).toStartWith(`txhook: ${server.url} answers 422: `)
    expect(faults.map((line) => line.split(' ')[2]).sort()).toEqual([
      '--currency',
      '--destination-account',
      '--from',
      '--source-account',
      '--status',
      '--to',
    ])
  })

  test('is exit 1 after the pages that it printed where a later one fails', async () => {
    await using server = listeningService()
    for (let i = 0; i < 260; i++) await server.accept(`txn_${i}`)
    let asked = 0
    server.before = async () => {
      if (asked++ !== 1) return
      // The disk fails between the first page and the second.
      server.store.database.client.run('PRAGMA query_only = ON')
      await server.store.health()
    }
    const ran = await server.run('list', '--limit', '260')
    expect([ran.exitCode, ran.printed.length]).toEqual([1, 250])
    expect(ran.errors).toStartWith(`txhook: ${server.url} answers 503: `)
  })
})
