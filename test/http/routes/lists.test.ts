import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { STATUSES } from '../../../src/domain/transaction.ts'
import { PROBLEMS, type ProblemCode } from '../../../src/http/problem.ts'
import { openDatabase } from '../../../src/store/sqlite/database/open-database.ts'
import { START } from '../../support/clock.ts'
import { transactionPath } from '../../support/contract-cases.ts'
import { pageAt, pagedAt } from '../../support/pages.ts'
import type { Line } from '../../support/scheduler.ts'
import { type ScriptedService, scriptedService } from '../../support/scripted-service.ts'
import {
  type TestService,
  type TestServiceOptions,
  temporaryDirectory,
  testService,
  transactionBody,
} from '../../support/service.ts'
import { noCounts, rowsOf } from '../../support/store.ts'

type Shown = { transaction_id: string; status: string; created_at: string; attempts: number }
const PATH = '/v1/transactions'
const page = (service: TestService, query = '') => pageAt<Shown>(service, PATH, query)
const paged = (
  service: TestService,
  limit: number,
  filter?: Record<string, string>,
  between?: () => Promise<unknown>,
) => pagedAt<Shown>(service, PATH, limit, filter, between)

const idsOf = (shown: readonly Shown[]) => shown.map(({ transaction_id }) => transaction_id)

type Operated = ScriptedService & { retry(transactionId: string): Promise<number> }

function operated(options: TestServiceOptions = {}): Operated {
  const service = scriptedService(options)
  return {
    ...service,
    async retry(id) {
      const url = `http://localhost${transactionPath(id)}/retry`
      return (await service.app.fetch(new Request(url, { method: 'POST' }))).status
    },
  }
}

const ORIGINALS = 1_000

/** Accepts 1,000 transactions, and returns their ids, newest first. */
async function acceptOriginals(service: Operated, scriptOf: (i: number) => Line[]) {
  for (let i = 0; i < ORIGINALS; i += 50) {
    service.clock.pass(1)
    const fifty = Array.from({ length: 50 }, (_, j) => i + j)
    await Promise.all(fifty.map((it) => service.accept(`old_${it}`, ...scriptOf(it))))
  }
  const rows = rowsOf(service.dataDir, 'SELECT transaction_id FROM transactions ORDER BY id DESC')
  return rows.map(({ transaction_id }) => String(transaction_id))
}

/** Makes as many calls as are allowed at once, and waits until their outcomes are recorded. */
async function workALittle(service: Operated): Promise<void> {
  await service.scheduler.runOnce()
  await service.recorded()
}

const idsIn = ({ dataDir }: TestService, status: string) =>
  rowsOf(
    dataDir,
    `SELECT transaction_id AS id FROM transactions WHERE status = '${status}' ORDER BY id`,
  ).map(({ id }) => String(id))

describe('the pages of 1,000 transactions', () => {
  test.each([1, 7, 50, 249, 250])(
    'by %i have each once, newest first, while others are accepted and states change',
    async (limit) => {
      // The oldest are claimed first and the newest listed first: both meet before the last page.
      const concurrency = String(20 + Math.min(limit, 200))
      await using service = operated({ flags: { '--concurrency': concurrency } })
      const scripts: Line[][] = [['OK'], ['FAIL', 'OK'], ['FAIL']]
      const originals = await acceptOriginals(service, (i) =>
        i % 50 === 0 ? ['HANG'] : (scripts[i % 3] as Line[]),
      )
      expect(originals).toHaveLength(ORIGINALS)
      let pages = 0
      const changed = { added: 0, retried: 0 }
      const shown = await paged(service, limit, {}, async () => {
        // With small pages, changes happen between some of them only.
        if (pages++ % Math.ceil(50 / limit) > 0) return
        service.clock.pass(1)
        for (let i = 0; i < 3; i++) await service.accept(`new_${changed.added++}`, 'OK')
        for (const id of idsIn(service, 'FAILED').slice(0, 5)) {
          expect(await service.retry(id)).toBe(202)
          changed.retried++
        }
        await workALittle(service)
      })
      expect(idsOf(shown)).toEqual(originals)
      const times = shown.map(({ created_at }) => created_at)
      expect(times).toEqual(times.toSorted().reverse())
      expect(changed.added).toBeGreaterThan(5)
      expect(changed.retried).toBeGreaterThan(9)
      // Some were listed before they were claimed, some after.
      expect(new Set(shown.map(({ status }) => status))).toEqual(new Set(STATUSES))
      const newest = await page(service, '?limit=1')
      expect(idsOf(newest.data)).toEqual([`new_${changed.added - 1}`])
    },
  )

  test.each([7, 50, 250])(
    'by %i of FAILED ones have each that stays FAILED once, while others change',
    async (limit) => {
      await using service = operated({ flags: { '--concurrency': '20' } })
      await acceptOriginals(service, (i) => (i % 3 === 0 ? ['OK'] : ['FAIL', 'FAIL', 'OK']))
      // All but the newest third have been tried; these become FAILED while they are listed.
      for (let round = 0; round < 34; round++) await workALittle(service)
      const before = idsIn(service, 'FAILED')
      expect(before.length).toBeGreaterThan(400)
      const retried = new Set<string>()
      let added = 0
      const shown = await paged(service, limit, { status: 'FAILED' }, async () => {
        for (const place of [0.1, 0.5, 0.9]) {
          const failed = idsIn(service, 'FAILED')
          const id = failed[Math.floor(place * failed.length)] as string
          expect(await service.retry(id)).toBe(202)
          retried.add(id)
        }
        await service.accept(`new_${added++}`, 'FAIL')
        await workALittle(service)
      })
      const ids = idsOf(shown)
      expect(new Set(shown.map(({ status }) => status))).toEqual(new Set(['FAILED']))
      expect(new Set(ids).size).toBe(ids.length)
      const order = new Map(
        rowsOf(service.dataDir, 'SELECT transaction_id, id FROM transactions').map((row) => [
          row.transaction_id,
          Number(row.id),
        ]),
      )
      const keys = ids.map((id) => order.get(id) ?? 0)
      expect(keys).toEqual(keys.toSorted((a, b) => b - a))
      const stayed = before.filter((id) => !retried.has(id))
      expect(stayed.length).toBeGreaterThan(200)
      expect(stayed.filter((id) => !ids.includes(id))).toBeEmpty()
      expect(ids.filter((id) => id.startsWith('new_'))).toBeEmpty()
      expect(retried.size).toBeGreaterThan(2)
    },
  )
})

type Model = {
  transaction_id: string
  source_account: string
  destination_account: string
  currency: string
  status: string
  created_at: number
}
type FilterParameters = Record<string, string>

/** Replaces all rows by these; the last one is the newest. */
function replaceAll({ store }: TestService, rows: readonly Model[]): void {
  const { client } = store.database
  client.transaction(() => {
    client.run('DELETE FROM jobs')
    client.run('DELETE FROM transactions')
    const insert = client.query(
      `INSERT INTO transactions (transaction_id, source_account, destination_account, amount,
         currency, status, attempts, created_at) VALUES (?, ?, ?, 100, ?, ?, 0, ?) RETURNING id`,
    )
    for (const row of rows) {
      const { id } = insert.get(
        row.transaction_id,
        row.source_account,
        row.destination_account,
        row.currency,
        row.status,
        row.created_at,
      ) as { id: number }
      if (row.status !== 'PENDING' && row.status !== 'PROCESSING') continue
      client.run('INSERT INTO jobs (id, run_at, tries, changed_at) VALUES (?, 0, 0, 0)', [id])
    }
  })()
}

/** What a list must show: the filter applied to each row. */
function modelled(rows: readonly Model[], filter: FilterParameters): string[] {
  const { created_from, created_to, ...equal } = filter
  return rows
    .filter((row) => Object.entries(equal).every(([name, it]) => row[name as keyof Model] === it))
    .filter((row) => created_from === undefined || row.created_at >= Date.parse(created_from))
    .filter((row) => created_to === undefined || row.created_at < Date.parse(created_to))
    .map(({ transaction_id }) => transaction_id)
    .reverse()
}

const ACCOUNTS = ['A', 'é&=+%'] as const
const CURRENCIES = ['USD', 'EUR'] as const
/** Few, so that rows are before, at and after the limits of filters. */
const TIMES = fc.nat(3).map((ms) => START + ms)

const rowsOfAnyKind = fc
  .array(
    fc.record({
      source_account: fc.constantFrom(...ACCOUNTS),
      destination_account: fc.constantFrom(...ACCOUNTS),
      currency: fc.constantFrom(...CURRENCIES),
      status: fc.constantFrom(...STATUSES),
      created_at: TIMES,
    }),
    { maxLength: 60, size: 'max' },
  )
  .map((rows) => rows.map((row, i) => ({ transaction_id: `txn_${i}`, ...row })))

const timeText = fc.tuple(TIMES, fc.constantFrom(-330, 0, 60, 1439)).map(([ms, zone]) => {
  const local = new Date(ms + zone * 60_000).toISOString().slice(0, -1)
  const hours = String(Math.floor(Math.abs(zone) / 60)).padStart(2, '0')
  const minutes = String(Math.abs(zone) % 60).padStart(2, '0')
  return `${local}${zone < 0 ? '-' : '+'}${hours}:${minutes}`
})

const anyFilter = fc.record(
  {
    status: fc.constantFrom<string>(...STATUSES),
    currency: fc.constantFrom<string>(...CURRENCIES, 'CHF'),
    source_account: fc.constantFrom<string>(...ACCOUNTS, 'nobody'),
    destination_account: fc.constantFrom<string>(...ACCOUNTS, 'nobody'),
    created_from: timeText,
    created_to: timeText,
  },
  { requiredKeys: [] },
)

describe('a filter', () => {
  test('finds the same rows as a check of each row, for any rows and parameters', async () => {
    await using service = testService()
    let found = 0
    await fc.assert(
      fc.asyncProperty(
        rowsOfAnyKind,
        fc.array(anyFilter, { minLength: 3, maxLength: 6 }),
        fc.integer({ min: 1, max: 12 }),
        async (rows, filters, limit) => {
          replaceAll(service, rows)
          for (const filter of filters as FilterParameters[]) {
            const expected = modelled(rows, filter)
            expect(idsOf(await paged(service, limit, filter))).toEqual(expected)
            if (expected.length > 0 && Object.keys(filter).length > 1) found++
          }
        },
      ),
      { numRuns: 300 },
    )
    // Otherwise this would prove little.
    expect(found).toBeGreaterThan(50)
  })

  test('finds what matches each parameter alone, and what matches all of them', async () => {
    await using service = testService()
    const base = {
      source_account: 'A',
      destination_account: 'a',
      currency: 'USD',
      status: 'FAILED',
      created_at: START + 3,
    }
    const rows = [
      {},
      { source_account: 'a' },
      { destination_account: 'A' },
      { currency: 'EUR' },
      ...['PENDING', 'PROCESSING', 'PROCESSED'].map((status) => ({ status })),
      { created_at: START + 2 },
      { created_at: START + 4 },
      {},
    ].map((changes, i) => ({ transaction_id: `txn_${i}`, ...base, ...changes }))
    replaceAll(service, rows)
    const ids = async (filter: FilterParameters) => idsOf(await paged(service, 250, filter))
    const all = rows.map(({ transaction_id }) => transaction_id).reverse()
    const but = (...indexes: number[]) => all.filter((id) => !indexes.includes(Number(id.slice(4))))
    const [early, late] = ['2026-01-01T00:00:00.003Z', '2026-01-01T00:00:00.004Z']
    expect(await ids({})).toEqual(all)
    expect(await ids({ source_account: 'A' })).toEqual(but(1))
    expect(await ids({ destination_account: 'a' })).toEqual(but(2))
    expect(await ids({ currency: 'USD' })).toEqual(but(3))
    expect(await ids({ status: 'FAILED' })).toEqual(but(4, 5, 6))
    expect(await ids({ status: 'PENDING' })).toEqual(['txn_4'])
    expect(await ids({ status: 'PROCESSING' })).toEqual(['txn_5'])
    expect(await ids({ status: 'PROCESSED' })).toEqual(['txn_6'])
    expect(await ids({ created_from: early })).toEqual(but(7))
    expect(await ids({ created_from: late })).toEqual(['txn_8'])
    expect(await ids({ created_to: late })).toEqual(but(8))
    expect(await ids({ created_to: early })).toEqual(['txn_7'])
    const { created_at: _, ...equal } = base
    const both = { ...equal, created_from: early, created_to: late }
    expect(await ids(both)).toEqual(['txn_9', 'txn_0'])
    for (const name of Object.keys(both)) {
      const { [name as keyof typeof both]: _, ...others } = both
      expect((await ids(others)).length).toBeGreaterThan(2)
    }
  })

  test.each([
    ['2026-01-01T00:00:00.001Z', [1, 2]],
    ['2026-01-01T01:00:00.001+01:00', [1, 2]],
    ['2025-12-31T19:30:00,001-0430', [1, 2]],
    // A fraction of a millisecond is rounded up.
    ['2026-01-01T00:00:00.0000001Z', [1, 2]],
    ['2026-01-01T00:00:00.0010000Z', [1, 2]],
    ['2026-01-01T00:00:00.0010001Z', [2]],
    ['2026-01-01T00:00:00.0019999Z', [2]],
    ['2025-12-31T23:59:59.9999Z', [0, 1, 2]],
    ['2026-01-01T00:00Z', [0, 1, 2]],
    ['2026-01-01T00:00:01Z', []],
  ])('by the time %s has rows from then on, or before then', async (time, later) => {
    await using service = testService()
    for (let ms = 0; ms < 3; ms++) {
      await service.post(transactionBody({ transaction_id: `${ms}` }))
      service.clock.pass(1)
    }
    const ids = async (filter: FilterParameters) =>
      idsOf(await paged(service, 250, filter))
        .map(Number)
        .reverse()
    expect(await ids({ created_from: time })).toEqual(later)
    expect(await ids({ created_to: time })).toEqual([0, 1, 2].filter((it) => !later.includes(it)))
    expect(await ids({ created_from: time, created_to: time })).toEqual([])
  })

  test('finds few rows among thousands, with any limit', async () => {
    await using service = testService()
    const count = 5_300
    service.store.database.client.run(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
       INSERT INTO transactions (transaction_id, source_account, destination_account, amount,
         currency, status, attempts, created_at)
       SELECT i, iif(i % 661 = 1, 'rare', 'A'), 'B', 100, 'USD', 'PROCESSED', 1, ${START} FROM n`,
    )
    const rare = [5_289, 4_628, 3_967, 3_306, 2_645, 1_984, 1_323, 662, 1].map(String)
    for (const limit of [1, 2, 3, 8, 9, 10, 250]) {
      expect(idsOf(await paged(service, limit, { source_account: 'rare' }))).toEqual(rare)
    }
    const none = { source_account: 'nobody' }
    expect(await page(service, `?${new URLSearchParams(none)}`)).toEqual({
      data: [],
      next_cursor: null,
    })
  })

  test('by a status finds the transaction in each of its states', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL', 'HANG')
    const states = async () => {
      const found = await Promise.all(STATUSES.map((it) => page(service, `?status=${it}`)))
      return STATUSES.filter((_, i) => found[i]?.data.length === 1)
    }
    expect(await states()).toEqual(['PENDING'])
    await workALittle(service)
    expect(await states()).toEqual(['FAILED'])
    await service.retry('a')
    expect(await states()).toEqual(['PENDING'])
    await workALittle(service)
    expect(await states()).toEqual(['PROCESSING'])
    const call = await service.processor.hanging()
    call.end()
    await service.recorded()
    expect(await states()).toEqual(['PROCESSED'])
  })
})

describe('a page', () => {
  test('shows each transaction as GET does', async () => {
    await using service = operated()
    await service.accept('a', 'FAIL')
    await service.accept('b/💶', 'OK')
    await workALittle(service)
    await service.accept('c', 'OK')
    const { data } = await page(service)
    expect(idsOf(data)).toEqual(['c', 'b/💶', 'a'])
    for (const transaction of data) {
      const one = await service.get(transactionPath(transaction.transaction_id))
      expect<unknown>(await one.json()).toEqual(transaction)
    }
  })

  test('is not cacheable, and has no body for HEAD', async () => {
    await using service = testService()
    await service.post(transactionBody())
    for (const method of ['GET', 'HEAD']) {
      const request = new Request('http://localhost/v1/transactions?limit=1', { method })
      const response = await service.app.fetch(request)
      expect(response.status).toBe(200)
      expect(response.headers.get('cache-control')).toBe('no-store')
      expect(response.headers.get('content-type')).toStartWith('application/json')
      expect(response.headers.get('x-request-id')).not.toBeNull()
      expect((await response.text()).length > 0).toBe(method === 'GET')
    }
  })

  test('has 50 transactions by default, and 250 at most', async () => {
    await using service = testService()
    const ids = Array.from({ length: 251 }, (_, i) => `txn_${i}`)
    await Promise.all(
      ids.map((transaction_id) => service.post(transactionBody({ transaction_id }))),
    )
    const pages = await Promise.all(['', '?limit=250'].map((query) => page(service, query)))
    expect(pages.map(({ data }) => data.length)).toEqual([50, 250])
    const rest = await page(service, `?limit=250&cursor=${pages[1]?.next_cursor}`)
    expect([rest.data.length, rest.next_cursor]).toEqual([1, null])
  })

  test('that is exactly full is the last where no row is left', async () => {
    await using service = testService()
    for (const transaction_id of ['a', 'b', 'c', 'd']) {
      await service.post(transactionBody({ transaction_id }))
    }
    for (const limit of [1, 2, 4]) {
      const shown = await paged(service, limit)
      expect(idsOf(shown)).toEqual(['d', 'c', 'b', 'a'])
    }
    expect((await page(service, '?limit=4')).next_cursor).toBeNull()
    expect((await page(service, '?limit=3')).next_cursor).not.toBeNull()
  })

  test('without rows has no data and no next page', async () => {
    await using service = testService()
    expect(await page(service)).toEqual({ data: [], next_cursor: null })
  })

  test('is the same again by the same cursor, whatever was accepted meanwhile', async () => {
    await using service = testService()
    const ids = ['a', 'b', 'c', 'd', 'e']
    for (const transaction_id of ids) await service.post(transactionBody({ transaction_id }))
    const { next_cursor } = await page(service, '?limit=2')
    const second = await page(service, `?limit=2&cursor=${next_cursor}`)
    expect(idsOf(second.data)).toEqual(['c', 'b'])
    await service.post(transactionBody({ transaction_id: 'f' }))
    expect(await page(service, `?limit=2&cursor=${next_cursor}`)).toEqual(second)
    // A cursor names a row: it is valid for another limit and another filter too.
    const others = await page(service, `?currency=USD&cursor=${next_cursor}`)
    expect(idsOf(others.data)).toEqual(['c', 'b', 'a'])
  })

  test('is shown after a restart by a cursor from before', async () => {
    await using first = testService()
    for (const transaction_id of ['a', 'b', 'c'])
      await first.post(transactionBody({ transaction_id }))
    const { next_cursor } = await page(first, '?limit=1')
    await first.stop()
    await using second = testService({ dataDir: first.dataDir })
    expect(idsOf((await page(second, `?cursor=${next_cursor}`)).data)).toEqual(['b', 'a'])
  })

  test('is answered on a full disk, and refused after the stop', async () => {
    await using service = testService()
    await service.post(transactionBody())
    service.store.database.client.run('PRAGMA max_page_count = 1')
    const note = 'x'.repeat(20_000)
    expect((await service.post(transactionBody({ transaction_id: 'b', note }))).status).toBe(503)
    expect(idsOf((await page(service)).data)).toEqual(['txn_001'])
    await service.stop()
    const response = await service.get('/v1/transactions')
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5'])
    expect(await response.json()).toMatchObject({ code: 'shutting_down' })
  })

  test('is refused once the storage has failed', async () => {
    await using service = testService()
    await service.post(transactionBody())
    service.store.database.client.run('PRAGMA query_only = ON')
    expect((await service.post(transactionBody({ transaction_id: 'b' }))).status).toBe(503)
    const response = await service.get('/v1/transactions')
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({ code: 'storage_unavailable' })
  })
})

test('thousands of rows from before the start are listed and counted', async () => {
  using directory = temporaryDirectory()
  const { client, close } = openDatabase(directory.path)
  client.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
     INSERT INTO transactions (transaction_id, source_account, destination_account, amount,
       currency, status, attempts, created_at)
     SELECT i, 'A', 'B', 100, 'USD', iif(i % 2, 'FAILED', 'PROCESSED'), 1, ${START} FROM n`,
  )
  close()
  await using service = testService({ dataDir: directory.path })
  const counts = { ...noCounts(), FAILED: 1_500, PROCESSED: 1_500 }
  expect((await service.store.readings()).transactions).toEqual(counts)
  for (const status of ['FAILED', 'PROCESSED']) {
    const shown = idsOf(await paged(service, 250, { status })).map(Number)
    expect(shown).toHaveLength(1_500)
    expect(shown).toEqual(shown.toSorted((a, b) => b - a))
    expect(new Set(shown.map((id) => id % 2)).size).toBe(1)
  }
})

type Described = {
  parameters?: { name: string; in: string; required?: boolean; schema: Record<string, unknown> }[]
  requestBody?: { required: boolean; content: Record<string, { schema: unknown }> }
  responses: Record<string, { description: string; content: Record<string, { schema: unknown }> }>
}
type Schema = { properties: Record<string, unknown>; required: string[]; [member: string]: unknown }
type Document = {
  paths: Record<string, Record<string, Described>>
  components: { schemas: Record<string, Schema> }
}

async function openApi(service: TestService): Promise<Document> {
  return (await (await service.get('/swagger/json')).json()) as Document
}

function described({ paths }: Document, method: string, path: string): Described {
  const found = paths[path]?.[method]
  if (found === undefined) throw new Error(`There is no ${method} ${path}.`)
  return found
}

const FILTERS = ['status', 'currency', 'source_account', 'destination_account']
const OF_A_LIST = [...FILTERS, 'created_from', 'created_to', 'limit', 'cursor']
const ALWAYS = [
  'host_not_allowed',
  'internal_error',
  'invalid_api_key',
  'method_not_allowed',
  'shutting_down',
  'storage_unavailable',
  'uri_too_long',
]
const ID = ['transaction_id']

describe('the OpenAPI document', () => {
  test.each([
    [
      'get',
      '/v1/transactions',
      [],
      OF_A_LIST,
      '200 Transactions',
      ['invalid_parameters', 'overloaded'],
    ],
    [
      'get',
      '/v1/transactions/{transaction_id}/attempts',
      ID,
      [],
      '200 Attempts',
      ['invalid_path', 'transaction_not_found', 'invalid_parameters'],
    ],
    [
      'get',
      '/v1/conflicts',
      [],
      ['transaction_id', 'limit', 'cursor'],
      '200 Conflicts',
      ['invalid_parameters'],
    ],
    [
      'post',
      '/v1/transactions/{transaction_id}/retry',
      ID,
      [],
      '202 Transaction',
      [
        ...['invalid_path', 'transaction_not_found', 'transaction_not_failed'],
        ...['invalid_parameters', 'storage_full', 'cross_site', 'overloaded'],
      ],
    ],
    [
      'post',
      '/v1/transactions/retry',
      [],
      [],
      '200 Retries',
      [
        ...['invalid_json', 'body_too_large', 'unsupported_media_type', 'invalid_parameters'],
        ...['storage_full', 'cross_site', 'overloaded'],
      ],
    ],
  ] as const)(
    'describes %s %s with its parameters, its success and its problems',
    async (method, path, inPath, inQuery, answer, problems) => {
      await using service = testService()
      const { parameters = [], responses } = described(await openApi(service), method, path)
      const where = (place: string) => parameters.filter((it) => it.in === place)
      expect(where('path').map(({ name }) => name)).toEqual([...inPath])
      expect(where('query').map(({ name }) => name)).toEqual([...inQuery])
      expect(where('query').some(({ required }) => required)).toBe(false)

      const successes = Object.entries(responses).filter(([status]) => status < '300')
      expect(successes).toHaveLength(1)
      const [status, name] = answer.split(' ') as [string, string]
      expect(successes[0]?.[0]).toBe(status)
      expect(successes[0]?.[1].content).toEqual({
        'application/json': { schema: { $ref: `#/components/schemas/${name}` } },
      })
      const codes = Object.entries(responses).flatMap(([status, { description }]) =>
        [...description.matchAll(/\(`(\w+)`\)/g)].map(([, code = '']) => `${status} ${code}`),
      )
      const expected = [...problems, ...ALWAYS].map(
        (code) => `${PROBLEMS[code as ProblemCode].status} ${code}`,
      )
      expect(codes.sort()).toEqual(expected.sort())
    },
  )

  test('has the schema of each parameter', async () => {
    await using service = testService()
    const document = await openApi(service)
    const { parameters = [] } = described(document, 'get', '/v1/transactions')
    const schemas = Object.fromEntries(parameters.map(({ name, schema }) => [name, schema]))
    expect(schemas).toMatchObject({
      status: { type: 'string', enum: [...STATUSES] },
      limit: { type: 'integer', minimum: 1, maximum: 250, default: 50 },
      created_from: { type: 'string', format: 'date-time' },
      created_to: { type: 'string', format: 'date-time' },
      cursor: { type: 'string' },
    })
    const { requestBody } = described(document, 'post', '/v1/transactions/retry')
    expect(requestBody).toMatchObject({ required: true })
    expect(Object.keys(requestBody?.content ?? {})).toEqual(['application/json'])
    const { Retry } = document.components.schemas
    expect(Retry).toMatchObject({ required: ['filter', 'dry_run'], additionalProperties: false })
    const filter = Retry?.properties.filter as Schema
    expect(filter).toMatchObject({ additionalProperties: false })
    expect(Object.keys(filter.properties)).toEqual([...FILTERS, 'created_from', 'created_to'])
  })

  test('names the members of the answers', async () => {
    await using service = operated()
    const { schemas } = (await openApi(service)).components
    await service.accept('a', 'FAIL')
    await workALittle(service)
    await service.post(transactionBody({ transaction_id: 'a', amount: 7 }))
    const itemsOf = (schema: unknown) => (schema as { items: Schema }).items
    const check = (schema: Schema | undefined, value: unknown) => {
      const members = Object.keys(value as object)
      expect(members).not.toBeEmpty()
      expect(Object.keys(schema?.properties ?? {})).toEqual(members)
      expect(schema?.required).toEqual(members)
    }
    const json = async (path: string) =>
      (await (await service.get(path)).json()) as { data: { differences: unknown[] }[] }
    const rowOf = (page: Schema | undefined) => itemsOf(page?.properties.data).$ref
    expect(rowOf(schemas.Transactions)).toBe('#/components/schemas/Transaction')
    expect(rowOf(schemas.Conflicts)).toBe('#/components/schemas/Conflict')
    const list = await json('/v1/transactions')
    check(schemas.Transactions, list)
    check(schemas.Transaction, list.data[0])
    const attempts = await json('/v1/transactions/a/attempts')
    check(schemas.Attempts, attempts)
    check(itemsOf(schemas.Attempts?.properties.data), attempts.data[0])
    const conflicts = await json('/v1/conflicts')
    check(schemas.Conflicts, conflicts)
    check(schemas.Conflict, conflicts.data[0])
    check(itemsOf(schemas.Conflict?.properties.differences), conflicts.data[0]?.differences[0])
    check(schemas.Retries, await service.store.retryAll({}, { dryRun: true, by: 'anonymous' }))
  })
})
