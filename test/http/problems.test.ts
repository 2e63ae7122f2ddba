import { Database } from 'bun:sqlite'
import { describe, expect, spyOn, test } from 'bun:test'
import { STATUS_CODES } from 'node:http'
import { join } from 'node:path'
import { PROBLEMS, type ProblemCode } from '../../src/http/problem.ts'
import { answersOf, type OpenApi, type Operation } from '../support/openapi.ts'
import { type TestService, testService, transactionBody } from '../support/service.ts'
import { sentTransaction } from '../support/store.ts'

const CODES = Object.keys(PROBLEMS) as ProblemCode[]
const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/
const JSON_TYPE = { 'content-type': 'application/json' }
/** Makes a URL longer than any id does. */
const TOO_LONG = 'x'.repeat(8_000)
/** Internals in the message of an error: no answer may contain them. */
const INSIDE = 'no such table: /var/lib/inside.db'

function ask({ app }: TestService, method: string, path: string, init: RequestInit = {}) {
  return app.fetch(new Request(`http://localhost${path}`, { ...init, method }))
}

const note = 'x'.repeat(20_000)
const noted = (transaction_id: string) => transactionBody({ transaction_id, note })

/** Keeps the database from growing: there is no room for a transaction with a long note. */
async function fill(service: TestService): Promise<void> {
  await service.post(noted('before'))
  const { client } = service.store.database
  const { page_count } = client.query('PRAGMA page_count').get() as { page_count: number }
  client.run(`PRAGMA max_page_count = ${page_count}`)
}

/** Locks the database, as another program that writes. */
function lock({ store, dataDir }: TestService): Disposable {
  store.database.client.run('PRAGMA busy_timeout = 0')
  const other = new Database(join(dataDir, 'txhook.db'))
  other.run('BEGIN IMMEDIATE')
  return { [Symbol.dispose]: () => other.close() }
}

/** Keeps this many requests under way: their bodies do not end before `end()`. */
function crowd(service: TestService, count: number) {
  const bodies: ReadableStreamDefaultController[] = []
  const answers = Array.from({ length: count }, () => {
    const body = new ReadableStream({ start: (controller) => void bodies.push(controller) })
    return ask(service, 'POST', '/webhook', { headers: JSON_TYPE, body })
  })
  return {
    end() {
      for (const body of bodies) body.close()
      return Promise.all(answers)
    },
  }
}

type Provocation = {
  flags?: Record<string, string>
  provoke(service: TestService): Promise<Response>
  /** The message of its log entry, where there is one. */
  logged?: string
}

/** How to provoke each error. The compiler asks for it where one is added. */
const PROVOCATIONS: Record<ProblemCode, Provocation> = {
  invalid_json: {
    provoke: (service) => service.post('{'),
    logged: 'requests are refused',
  },
  invalid_path: { provoke: (service) => service.get('/v1/transactions/%zz') },
  invalid_signature: {
    logged: 'requests are refused',
    flags: { '--webhook-secrets': SECRET },
    provoke: (service) => service.post(transactionBody()),
  },
  invalid_api_key: {
    logged: 'requests are refused',
    flags: { '--api-keys': 'k1' },
    provoke: (service) => service.get('/v1/transactions'),
  },
  host_not_allowed: {
    logged: 'requests are refused',
    provoke: (service) => service.post(transactionBody(), { host: 'rebound.example' }),
  },
  cross_site: {
    logged: 'requests are refused',
    provoke: (service) => service.post(transactionBody(), { 'sec-fetch-site': 'cross-site' }),
  },
  not_found: { provoke: (service) => service.get('/nope') },
  transaction_not_found: { provoke: (service) => service.get('/v1/transactions/no_such') },
  method_not_allowed: { provoke: (service) => ask(service, 'DELETE', '/livez') },
  transaction_conflict: {
    logged: 'requests are refused',
    async provoke(service) {
      await service.post(transactionBody())
      return service.post(transactionBody({ amount: 1 }))
    },
  },
  transaction_not_failed: {
    async provoke(service) {
      await service.post(transactionBody())
      return ask(service, 'POST', '/v1/transactions/txn_001/retry')
    },
  },
  body_too_large: {
    logged: 'requests are refused',
    flags: { '--max-body-bytes': '10' },
    provoke: (service) => service.post(transactionBody()),
  },
  uri_too_long: { provoke: (service) => service.get(`/v1/transactions/${TOO_LONG}`) },
  unsupported_media_type: {
    logged: 'requests are refused',
    provoke: (service) => service.post(transactionBody(), { 'content-type': 'text/plain' }),
  },
  invalid_transaction: {
    provoke: (service) => service.post({}),
    logged: 'requests are refused',
  },
  invalid_parameters: { provoke: (service) => service.get('/v1/transactions?limit=0') },
  internal_error: {
    async provoke(service) {
      const find = spyOn(service.store, 'find').mockRejectedValue(new Error(INSIDE))
      const response = await service.get('/v1/transactions/txn_001')
      find.mockRestore()
      return response
    },
    logged: 'a request failed',
  },
  backlog_full: {
    logged: 'the backlog is full',
    flags: { '--max-backlog': '1' },
    async provoke(service) {
      await service.post(transactionBody())
      return service.post(transactionBody({ transaction_id: 'second' }))
    },
  },
  storage_full: {
    async provoke(service) {
      await fill(service)
      return service.post(noted('full'))
    },
    logged: 'the storage refuses requests',
  },
  storage_unavailable: {
    async provoke(service) {
      using _locked = lock(service)
      return await service.post(transactionBody())
    },
    logged: 'the storage refuses requests',
  },
  shutting_down: {
    async provoke(service) {
      await service.stop()
      return service.post(transactionBody())
    },
  },
  overloaded: {
    logged: 'there are too many requests',
    async provoke(service) {
      const lists = Array.from({ length: 101 }, () => service.get('/v1/transactions'))
      const answers = await Promise.all(lists)
      return answers.find(({ status }) => status !== 200) as Response
    },
  },
  not_alive: {
    async provoke(service) {
      await service.start()
      await service.store.accept(sentTransaction({ transactionId: 'a' }))
      service.store.database.client.run('PRAGMA query_only = ON')
      const ended = Promise.withResolvers<void>()
      const log = spyOn(service.log, 'error').mockImplementation(() => ended.resolve())
      service.clock.pass(30_000)
      service.scheduler.wake()
      await ended.promise
      log.mockRestore()
      return service.get('/livez')
    },
  },
  not_ready: { provoke: (service) => service.get('/readyz') },
}

async function provoked(code: ProblemCode): Promise<{ response: Response; service: TestService }> {
  const { flags = {}, provoke } = PROVOCATIONS[code]
  const service = testService({ flags })
  try {
    return { response: await provoke(service), service }
  } finally {
    await service[Symbol.asyncDispose]()
  }
}

describe('the error', () => {
  test.each(CODES)('%s can occur, and is answered as in RFC 9457', async (code) => {
    const { response, service } = await provoked(code)
    const { status } = PROBLEMS[code]
    const text = await response.text()
    const problem = JSON.parse(text) as Record<string, unknown>
    expect([response.status, problem.code]).toEqual([status, code])
    const { detail, request_id, errors, ...rest } = problem
    expect(rest).toEqual({ type: 'about:blank', title: STATUS_CODES[status], status, code })
    expect(detail).toMatch(/^[A-Z`].*\.$/)
    for (const part of (errors ?? []) as Record<string, unknown>[]) {
      expect(Object.keys(part).sort()).toEqual(['code', 'message', 'path'])
    }
    if (status === 409 || status === 422) expect(errors).not.toBeEmpty()

    const { headers } = response
    expect(request_id).toMatch(UUID)
    expect(headers.get('x-request-id')).toBe(String(request_id))
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    // Errors that pass by themselves say when to try again; `not_alive` does not pass.
    const passes = status === 503 && code !== 'not_alive'
    expect(headers.get('retry-after')).toBe(passes ? '5' : null)
    const challenge = headers.get('www-authenticate')
    expect(challenge === null).toBe(status !== 401)

    for (const inside of [INSIDE, service.dataDir, 'SQLITE', 'node_modules', '.ts:']) {
      expect(text).not.toContain(inside)
    }

    // What operators should know is logged, with the id that the sender has.
    const entries = service.log.entries.filter(({ fields }) => 'request_id' in fields)
    const { logged } = PROVOCATIONS[code]
    // What is refused for its content or its number is no fault of the service.
    const level = /failed|the storage/.test(logged ?? '') ? 'error' : 'warn'
    expect(
      entries.map(({ level, message, fields }) => [level, message, fields.request_id]),
    ).toEqual(logged === undefined ? [] : [[level, logged, request_id]])
  })
})

test('an internal error is in the log, and in no answer', async () => {
  await using service = testService()
  const find = spyOn(service.store, 'find').mockRejectedValue(
    Object.assign(new Error(INSIDE, { cause: new Error('the cause') }), { code: 'SQLITE_ERROR' }),
  )
  const response = await service.get('/v1/transactions/txn_001')
  const answered = `${await response.text()}${JSON.stringify([...response.headers])}`
  find.mockRestore()
  expect(response.status).toBe(500)
  for (const inside of [INSIDE, 'the cause', 'SQLITE']) expect(answered).not.toContain(inside)
  const [entry] = service.log.entries.filter(({ level }) => level === 'error')
  expect(entry?.fields.error).toMatchObject({ message: INSIDE })
  expect(entry?.fields.request_id).toBe(response.headers.get('x-request-id') as string)
})

test('health is answered and webhooks are accepted beside 12,000 bodies that do not end', async () => {
  await using service = testService()
  const others = crowd(service, 12_000)
  expect((await service.get('/livez')).status).toBe(200)
  expect((await service.post(transactionBody())).status).toBe(202)
  await others.end()
})

test('lists beyond those that may be under way are 503 and a warning in the log', async () => {
  await using service = testService()
  const lists = Array.from({ length: 150 }, () => service.get('/v1/transactions'))
  const statuses = (await Promise.all(lists)).map(({ status }) => status)
  expect(statuses.filter((status) => status === 503)).toHaveLength(50)
  expect(service.log.entries.slice(1)).toMatchObject([
    { level: 'warn', message: 'there are too many requests' },
  ])
})

test.each(['cross-site', 'same-site'])(
  'POSTs by a page of another site (%s) are refused',
  async (site) => {
    await using service = testService()
    for (const path of ['/v1/transactions/a/retry', '/v1/transactions/retry', '/webhook']) {
      const headers = { 'sec-fetch-site': site, 'content-type': 'text/plain' }
      const request = new Request(`http://localhost${path}`, { method: 'POST', headers })
      expect([path, (await service.app.fetch(request)).status]).toEqual([path, 403])
    }
    expect(
      (await service.post(transactionBody(), { 'sec-fetch-site': 'same-origin' })).status,
    ).toBe(202)
  },
)

async function documentOf(service: TestService): Promise<OpenApi> {
  return (await (await service.get('/swagger/json')).json()) as OpenApi
}

describe('the docs', () => {
  test('name exactly these errors, in the schema and in the table', async () => {
    await using service = testService()
    const { info, components } = await documentOf(service)
    expect(components.schemas.Problem.properties.code.enum).toEqual(CODES)
    const rows = [...info.description.matchAll(/^\| `(\w+)` \| (\d+) \| (.+) \|$/gm)]
    expect(rows.map(([, code, status, meaning]) => [code, Number(status), meaning])).toEqual(
      Object.entries(PROBLEMS).map(([code, { status, meaning }]) => [code, status, meaning]),
    )
    expect(info.description).toContain('\n|---|---|---|\n')
  })

  /** Requests and states of the service that every operation is tried with. */
  const SITUATIONS: [
    name: string,
    how: {
      flags?: Record<string, string>
      /** No transaction is there. */
      isEmpty?: boolean
      method?: string
      path?: (path: string) => string
      headers?: Record<string, string>
      body?: string
      before?: (service: TestService) => Disposable | Promise<AsyncDisposable | undefined>
    },
  ][] = [
    ['nothing special', {}],
    ['another method', { method: 'DELETE' }],
    ['a browser', { headers: { accept: 'text/html' } }],
    ['a service that runs', { before: started }],
    ['a browser, and a service that runs', { headers: { accept: 'text/html' }, before: started }],
    [
      'a service whose scheduler has crashed',
      {
        isEmpty: true,
        async before(service) {
          await PROVOCATIONS.not_alive.provoke(service)
          return undefined
        },
      },
    ],
    ['a bug', { headers: JSON_TYPE, body: JSON.stringify(noted('g')), before: breakStore }],
    [
      'a bug, with a retry',
      { headers: JSON_TYPE, body: '{"filter":{},"dry_run":false}', before: breakStore },
    ],
    [
      'a FAILED transaction, and a retry',
      { headers: JSON_TYPE, body: '{"filter":{},"dry_run":true}', before: fail },
    ],
    [
      'a conflict and attempts that are listed',
      {
        async before(service) {
          await service.post(transactionBody({ amount: 1, source_account: 'C' }))
          return fail(service)
        },
      },
    ],
    ['an empty object', { headers: JSON_TYPE, body: '{}' }],
    ['text that is no JSON', { headers: JSON_TYPE, body: '{' }],
    ['a webhook', { headers: JSON_TYPE, body: JSON.stringify(noted('txn_001')) }],
    ['a conflict', { headers: JSON_TYPE, body: JSON.stringify(transactionBody({ amount: 1 })) }],
    ['a retry', { headers: JSON_TYPE, body: '{"filter":{},"dry_run":false}' }],
    ['another type', { headers: { 'content-type': 'text/plain' }, body: '{}' }],
    [
      'a long body',
      { flags: { '--max-body-bytes': '9' }, headers: JSON_TYPE, body: ' '.repeat(9e4) },
    ],
    ['a query', { path: (path) => `${path}?no_such=1` }],
    ['a long query', { path: (path) => `${path}?${TOO_LONG}` }],
    ['an unknown id', { path: (path) => path.replace('txn_001', 'no_such') }],
    [
      'a FAILED transaction, and a note',
      {
        headers: JSON_TYPE,
        body: '{"note":"paid"}',
        path: (path) => path.replace('txn_001/retry', 'no_such/retry'),
        before: fail,
      },
    ],
    [
      'an unknown id, and a note',
      {
        headers: JSON_TYPE,
        body: '{"note":"paid"}',
        path: (path) => path.replace('txn_001', 'no_such'),
      },
    ],
    ['an id that doesn’t decode', { path: (path) => path.replace('txn_001', '%zz') }],
    ['another host', { headers: { ...JSON_TYPE, host: 'rebound.example' }, body: '{}' }],
    ['keys', { flags: { '--api-keys': 'k1' } }],
    ['secrets', { flags: { '--webhook-secrets': SECRET }, headers: JSON_TYPE, body: '{}' }],
    [
      'a full backlog',
      { flags: { '--max-backlog': '1' }, headers: JSON_TYPE, body: JSON.stringify(noted('b')) },
    ],
    [
      'a full disk',
      {
        headers: JSON_TYPE,
        body: JSON.stringify(noted('c')),
        before: (service) => fill(service).then(() => undefined),
      },
    ],
    ['a lock', { headers: JSON_TYPE, body: JSON.stringify(noted('d')), before: lock }],
    [
      'a lock, with a retry',
      { headers: JSON_TYPE, body: '{"filter":{},"dry_run":false}', before: lock },
    ],
    [
      'a failed storage',
      {
        headers: JSON_TYPE,
        body: '{"filter":{},"dry_run":false}',
        async before(service) {
          service.store.database.client.run('PRAGMA query_only = ON')
          await service.post(noted('e'))
          return undefined
        },
      },
    ],
    [
      'a stop',
      {
        headers: JSON_TYPE,
        body: '{"filter":{},"dry_run":false}',
        before: (service) => service.stop().then(() => undefined),
      },
    ],
    [
      'an internal error',
      {
        headers: JSON_TYPE,
        body: JSON.stringify(noted('f')),
        async before({ store }) {
          store.database.client.run('ALTER TABLE transactions RENAME TO hidden')
          return undefined
        },
      },
    ],
  ]

  async function started(service: TestService): Promise<undefined> {
    await service.start()
  }

  /** Makes the transaction FAILED. */
  async function fail({ store }: TestService): Promise<undefined> {
    const [claimed] = await store.work.claim(1, 'earliest')
    if (claimed === undefined) throw new Error('Nothing is due.')
    await store.work.settle(claimed.claim, { kind: 'fail', httpStatus: 422, detail: 'It says no.' })
  }

  /** What no verb of the store is meant to do. */
  async function breakStore({ store }: TestService): Promise<undefined> {
    const verbs = [
      ...(['accept', 'find', 'list', 'attempts', 'conflicts'] as const),
      ...(['retry', 'retryAll', 'handled'] as const),
    ] as const
    for (const verb of verbs) spyOn(store, verb).mockRejectedValue(new Error(INSIDE))
  }

  /** Operations with a status that they were seen to answer, in this order of tests. */
  const seen = new Set<string>()

  /** The codes of an operation in the document, each with its status. */
  function documented({ responses }: Operation): string[] {
    return Object.entries(responses).flatMap(([status, { description }]) =>
      [...description.matchAll(/\(`(\w+)`\)/g)].map(([, code]) => `${status} ${code}`),
    )
  }

  test.each(SITUATIONS)('name every answer of every operation: %s', async (_name, how) => {
    const { flags = {}, path = (it) => it, headers = {}, body, before } = how
    await using service = testService({ flags })
    if (!how.isEmpty) await service.post(transactionBody())
    const document = await documentOf(service)
    const answers = answersOf(document)
    await using _state = await before?.(service)
    for (const [template, item] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        const url = path(template.replace(/\{\w+\}/, 'txn_001'))
        // What is valid for one operation is no valid note for another.
        const fitting =
          template.endsWith('/handled') && body?.includes(':') ? '{"note":"paid"}' : body
        const sent =
          method === 'get' || fitting === undefined ? { headers } : { headers, body: fitting }
        const response = await ask(service, how.method ?? method.toUpperCase(), url, sent)
        const where = `${method} ${template}`
        const text = await response.text()
        answers.expectDocumented(method, template, response, text)
        seen.add(`${where} ${response.status}`)
        expect([where, response.headers.get('x-request-id')]).toEqual([
          where,
          expect.stringMatching(UUID),
        ])
        expect([where, response.headers.get('x-content-type-options')]).toEqual([where, 'nosniff'])
        expect([where, response.headers.get('cache-control')]).toEqual([where, 'no-store'])
        if (response.headers.get('content-type') !== 'application/problem+json') continue
        const { code } = JSON.parse(text) as { code: string }
        expect([where, documented(operation)]).toEqual([
          where,
          expect.arrayContaining([`${response.status} ${code}`]),
        ])
      }
    }
  })

  test('name no status that none of these was', async () => {
    await using service = testService()
    const { paths } = await documentOf(service)
    const documented = Object.entries(paths).flatMap(([path, item]) =>
      Object.entries(item).flatMap(([method, { responses }]) =>
        Object.keys(responses).map((status) => `${method} ${path} ${status}`),
      ),
    )
    // No test knows how these could fail.
    const unexpected = ['get / 500', 'get /livez 500', 'get /readyz 500']
    expect(documented.filter((it) => !seen.has(it) && !unexpected.includes(it))).toEqual([])
  })

  test('have examples of every error, which are as it is answered', async () => {
    await using service = testService()
    const document = await documentOf(service)
    const answers = answersOf(document)
    const examples = new Map<string, Record<string, unknown>>()
    for (const operation of Object.values(document.paths).flatMap((item) => Object.values(item))) {
      for (const { content = {} } of Object.values(operation.responses)) {
        for (const { schema, examples: these = {} } of Object.values(content)) {
          for (const [code, { value }] of Object.entries(these)) {
            answers.expectValid(code, schema, value)
            examples.set(code, value as Record<string, unknown>)
          }
        }
      }
    }
    // It answers requests without an operation.
    expect([...examples.keys(), 'not_found'].sort()).toEqual(CODES.toSorted())
    const withoutNumbers = (detail: unknown) => String(detail).replace(/\d+/g, 'n')
    for (const [code, example] of examples) {
      const { response } = await provoked(code as ProblemCode)
      const real = (await response.json()) as Record<string, unknown>
      expect(Object.keys(example)).toEqual(Object.keys(real))
      expect(withoutNumbers(example.detail)).toBe(withoutNumbers(real.detail))
      expect({ ...example, request_id: '', detail: '', errors: [] }).toEqual({
        ...real,
        request_id: '',
        detail: '',
        errors: [],
      })
    }
  })

  test('describe webhooks that are accepted', async () => {
    await using service = testService()
    const document = await documentOf(service)
    const answers = answersOf(document)
    const webhook = { $ref: '#/components/schemas/Webhook' }
    for (const more of [{}, { more: { a: [1] } }, { amount: '100.00' }]) {
      answers.expectValid('a webhook', webhook, transactionBody(more))
    }
  })
})

test('every answer has a request id and X-Content-Type-Options', async () => {
  await using service = testService()
  await service.post(transactionBody())
  for (const [method, path, status] of [
    ['GET', '/swagger', 200],
    ['GET', '/swagger/json', 200],
    ['GET', '/swagger/start.js', 200],
    ['GET', '/swagger/ui.js', 200],
    ['GET', '/swagger/ui.css', 200],
    ['HEAD', '/livez', 200],
    ['HEAD', '/swagger', 200],
    ['HEAD', '/v1/transactions/txn_001', 200],
    ['HEAD', '/nope', 404],
    ['GET', '/metrics', 200],
    ['OPTIONS', '/livez', 405],
    ['GET', '/v1/transactions/%zz', 400],
  ] as const) {
    const response = await ask(service, method, path)
    expect([path, response.status]).toEqual([path, status])
    expect(response.headers.get('x-request-id')).toMatch(UUID)
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  }
})
