import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { startTxhook } from '../support/executable.ts'
import {
  type TestService,
  type TestServiceOptions,
  temporaryDirectory,
  testService,
  transactionBody,
} from '../support/service.ts'

// One test starts a process, which takes long on a busy machine.
setDefaultTimeout(60_000)

/** So long that neither occurs anywhere by chance. */
const KEY = 'key-8d7fca12b1-one'
const OTHER_KEY = 'key-5e90bd44c7-two'
const FLAGS = { '--api-keys': `${KEY},${OTHER_KEY}` }

/** What needs no key by the contract. */
const EXEMPT = ['/', '/livez', '/readyz', '/webhook', '/v1/webhooks/transactions']
const DOCS = ['/swagger', '/swagger/json', '/swagger/start.js', '/swagger/ui.js', '/swagger/ui.css']

/** Part of what is stored: no answer may contain it without a key. */
const TREASURE = 'treasure-4711'

type Operation = { security?: unknown; responses: Record<string, { description: string }> }
type OpenApi = {
  paths: Record<string, Record<string, Operation>>
  security?: unknown
  components: { securitySchemes: Record<string, unknown> }
}
type Ask = { method?: string; headers?: Headers | Record<string, string>; body?: string }

/** A service with keys and a stored transaction. */
async function guarded(options: TestServiceOptions = {}): Promise<TestService> {
  const service = testService({ ...options, flags: { ...FLAGS, ...options.flags } })
  const stored = await service.post(transactionBody({ source_account: TREASURE }))
  expect(stored.status).toBe(202)
  return service
}

function ask({ app }: TestService, path: string, { method = 'GET', headers, body }: Ask = {}) {
  const init: RequestInit = { method }
  if (headers) init.headers = headers
  if (body !== undefined) init.body = body
  return app.fetch(new Request(`http://localhost${path}`, init))
}

const bearing = (value: string) => ({ authorization: value })
const WITH_KEY = bearing(`Bearer ${KEY}`)

async function expectRefused(response: Response): Promise<void> {
  const body = await response.text()
  expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expect(JSON.parse(body)).toMatchObject({ status: 401, code: 'invalid_api_key' })
  expect(body).not.toContain(TREASURE)
}

async function documentOf(service: TestService): Promise<OpenApi> {
  return (await (await ask(service, '/swagger/json')).json()) as OpenApi
}

/** Every operation of the document, with a path that names the stored transaction. */
async function operationsOf(service: TestService) {
  const { paths, security } = await documentOf(service)
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      path,
      url: path.replace(/\{\w+\}/g, 'txn_001'),
      method: method.toUpperCase(),
      operation,
      security: operation.security ?? security,
    })),
  )
}

describe('every documented path', () => {
  test('needs a key, except for those that the contract exempts', async () => {
    await using service = await guarded()
    const operations = await operationsOf(service)
    expect(operations.length).toBeGreaterThan(8)
    for (const { path, url, method } of operations) {
      const unknown = await ask(service, url, { method, headers: bearing('Bearer nope') })
      const none = await ask(service, url, { method })
      const where = `${method} ${path}`
      if (EXEMPT.includes(path)) {
        for (const { status } of [none, unknown]) expect([where, status]).not.toEqual([where, 401])
        continue
      }
      for (const response of [none, unknown]) {
        expect([where, response.status]).toEqual([where, 401])
        await expectRefused(response)
      }
      const passed = await ask(service, url, { method, headers: WITH_KEY })
      expect([where, passed.status]).not.toEqual([where, 401])
    }
  })

  test('has the security and the 401 in the document that it has in fact', async () => {
    await using service = await guarded()
    const { components } = await documentOf(service)
    expect(components.securitySchemes).toMatchObject({
      apiKey: { type: 'http', scheme: 'bearer' },
      webhookSignature: { type: 'apiKey', in: 'header', name: 'webhook-signature' },
    })
    const signed = [{ webhookSignature: [] }, {}]
    for (const { path, url, method, operation, security } of await operationsOf(service)) {
      const where = `${method} ${path}`
      const refusal = operation.responses['401']?.description ?? ''
      const { status } = await ask(service, url, { method })
      const needed = status === 401
      const open = path.includes('webhook') ? signed : []
      expect([where, security]).toEqual([where, needed ? [{ apiKey: [] }] : open])
      expect([where, refusal.includes('`invalid_api_key`')]).toEqual([where, needed])
    }
  })

  test('needs no key where none is configured', async () => {
    await using service = testService()
    await service.post(transactionBody())
    for (const { path, url, method } of await operationsOf(service)) {
      for (const headers of [{}, bearing('Bearer nope'), bearing('nonsense')]) {
        const { status } = await ask(service, url, { method, headers })
        expect([`${method} ${path}`, status]).not.toEqual([`${method} ${path}`, 401])
      }
    }
  })

  test('needs a key by HEAD where GET does', async () => {
    await using service = await guarded()
    const operations = await operationsOf(service)
    for (const { path, url } of operations.filter(({ method }) => method === 'GET')) {
      const get = await ask(service, url)
      const head = await ask(service, url, { method: 'HEAD' })
      expect([path, head.status]).toEqual([path, get.status])
      const passed = await ask(service, url, { method: 'HEAD', headers: WITH_KEY })
      expect([path, passed.status, await passed.text()]).toEqual([
        path,
        (await ask(service, url, { headers: WITH_KEY })).status,
        '',
      ])
    }
  })
})

describe('the docs', () => {
  test.each(DOCS)('need no key: %s', async (path) => {
    await using service = await guarded()
    for (const headers of [{}, bearing('Bearer nope')]) {
      expect((await ask(service, path, { headers })).status).toBe(200)
    }
  })
})

describe('an Authorization header', () => {
  test.each([
    ['with the first key', `Bearer ${KEY}`],
    ['with the second key', `Bearer ${OTHER_KEY}`],
    ['in lower case', `bearer ${KEY}`],
    ['in capitals', `BEARER ${KEY}`],
    ['with several spaces', `Bearer   ${KEY}`],
    ['with spaces around it', `  Bearer ${KEY}  `],
  ])('%s passes', async (_name, value) => {
    await using service = await guarded()
    for (const path of ['/v1/transactions', '/v1/transactions/txn_001', '/metrics']) {
      expect((await ask(service, path, { headers: bearing(value) })).status).toBe(200)
    }
  })

  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

  const REFUSED = [
    ['that is empty', ''],
    ['of another scheme', `Token ${KEY}`],
    ['with the key for a password', basic(`x:${KEY}`)],
    ['with the key for a user', basic(KEY)],
    ['with the key alone', KEY],
    ['with the scheme alone', 'Bearer'],
    ['with nothing behind the scheme', 'Bearer '],
    ['without a space', `Bearer${KEY}`],
    ['with a colon', `Bearer: ${KEY}`],
    ['with another scheme that ends alike', `xBearer ${KEY}`],
    ['with an unknown key', 'Bearer nope'],
    ['with a key in capitals', `Bearer ${KEY.toUpperCase()}`],
    ['with the beginning of a key', `Bearer ${KEY.slice(0, -1)}`],
    ['with the end of a key', `Bearer ${KEY.slice(1)}`],
    ['with a key and more', `Bearer ${KEY}x`],
    ['with more and a key', `Bearer x${KEY}`],
    ['with both keys, comma-separated', `Bearer ${KEY},${OTHER_KEY}`],
    ['with both keys, as they are configured', `Bearer ${FLAGS['--api-keys']}`],
    ['with both keys, space-separated', `Bearer ${KEY} ${OTHER_KEY}`],
    ['with a key twice', `Bearer ${KEY} ${KEY}`],
    ['with two schemes', `Bearer Bearer ${KEY}`],
    ['with quotes', `Bearer "${KEY}"`],
    ['with a parameter', `Bearer token=${KEY}`],
    ['with a key in base64', `Bearer ${Buffer.from(KEY).toString('base64')}`],
    ['with a wildcard', 'Bearer *'],
    ['with a no-break space', `Bearer\u00a0${KEY}`],
  ] as const

  test('in any other form is refused', async () => {
    await using service = await guarded()
    for (const [name, value] of REFUSED) {
      for (const path of ['/v1/transactions', '/v1/transactions/txn_001', '/metrics']) {
        const response = await ask(service, path, { headers: bearing(value) })
        expect([name, path, response.status]).toEqual([name, path, 401])
        await expectRefused(response)
      }
    }
  })

  test('that is sent twice is refused, even when both are right', async () => {
    await using service = await guarded()
    const right = `Bearer ${KEY}`
    for (const [first, second] of [
      [right, right],
      [right, `Bearer ${OTHER_KEY}`],
      [right, 'Bearer nope'],
      ['Bearer nope', right],
      ['', right],
      [right, ''],
    ] as const) {
      const headers = new Headers()
      headers.append('authorization', first)
      headers.append('authorization', second)
      await expectRefused(await ask(service, '/v1/transactions', { headers }))
    }
  })

  test('is the only place for a key: one elsewhere does not count', async () => {
    await using service = await guarded()
    for (const name of ['api_key', 'apiKey', 'access_token', 'key', 'authorization', 'token']) {
      const query = `?${name}=${encodeURIComponent(KEY)}`
      await expectRefused(await ask(service, `/v1/transactions${query}`))
      await expectRefused(await ask(service, `/v1/transactions?${name}=Bearer%20${KEY}`))
    }
    const elsewhere: Record<string, string>[] = [
      { 'x-api-key': KEY },
      { cookie: `session=${KEY}; authorization=Bearer ${KEY}` },
      { 'proxy-authorization': `Bearer ${KEY}` },
      { 'x-forwarded-for': '127.0.0.1', 'x-original-url': '/livez', 'x-rewrite-url': '/livez' },
    ]
    for (const headers of elsewhere) {
      await expectRefused(await ask(service, '/v1/transactions', { headers }))
    }
    const userInfo = new Request(`http://${KEY}:${KEY}@localhost/v1/transactions`)
    await expectRefused(await service.app.fetch(userInfo))
  })
})

describe('without a key', () => {
  test('nothing can be retried', async () => {
    await using service = await guarded()
    const json = { 'content-type': 'application/json' }
    const body = JSON.stringify({ filter: {}, dry_run: false })
    await expectRefused(
      await ask(service, '/v1/transactions/retry', { method: 'POST', headers: json, body }),
    )
    await expectRefused(await ask(service, '/v1/transactions/txn_001/retry', { method: 'POST' }))
  })

  test('an answer shows neither whether a transaction exists nor what is wrong with a query', async () => {
    await using service = await guarded()
    for (const path of [
      '/v1/transactions/txn_001',
      '/v1/transactions/no_such',
      '/v1/transactions/%zz',
      '/v1/transactions?limit=0',
      '/v1/transactions?no_such=1',
    ]) {
      expect(await (await ask(service, path)).json()).toEqual({
        type: 'about:blank',
        title: 'Unauthorized',
        status: 401,
        detail: 'The header Authorization is missing.',
        code: 'invalid_api_key',
        request_id: expect.any(String),
      })
    }
  })

  test('an unknown path is a 404, as with a key', async () => {
    await using service = await guarded()
    for (const path of ['/nope', '/v1', '/v1/', '/v2/transactions', '/swagger/nope.js', '/admin']) {
      for (const headers of [{}, bearing('Bearer nope'), WITH_KEY]) {
        const response = await ask(service, path, { headers })
        const { code } = (await response.json()) as { code: string }
        expect([path, response.status, code]).toEqual([path, 404, 'not_found'])
      }
    }
  })

  test('the methods of a path that needs a key are not shown, and with a key they are', async () => {
    await using service = await guarded()
    for (const [path, allow] of [
      ['/v1/transactions', 'GET, HEAD'],
      ['/v1/transactions/txn_001/attempts', 'GET, HEAD'],
      ['/v1/transactions/txn_001/retry', 'POST'],
      ['/v1/conflicts', 'GET, HEAD'],
      ['/metrics', 'GET, HEAD'],
    ] as const) {
      for (const method of ['DELETE', 'PUT', 'PATCH', 'OPTIONS']) {
        const refused = await ask(service, path, { method })
        expect(refused.headers.get('allow')).toBeNull()
        await expectRefused(refused)
        const passed = await ask(service, path, { method, headers: WITH_KEY })
        expect([path, passed.status, passed.headers.get('allow')]).toEqual([path, 405, allow])
      }
    }
    const open = await ask(service, '/livez', { method: 'DELETE' })
    expect([open.status, open.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  test('webhooks are accepted, whatever their Authorization', async () => {
    await using service = await guarded()
    for (const [i, authorization] of ['', 'Bearer nope', `Bearer ${KEY}`, 'Basic eA=='].entries()) {
      const body = transactionBody({ transaction_id: `open_${i}` })
      expect((await service.post(body, { authorization })).status).toBe(202)
    }
  })

  test('a webhook needs its signature, also with a key', async () => {
    const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
    await using service = testService({ flags: { ...FLAGS, '--webhook-secrets': secret } })
    const response = await service.post(transactionBody(), WITH_KEY)
    const { code } = (await response.json()) as { code: string }
    expect([response.status, code]).toEqual([401, 'invalid_signature'])
    await expectRefused(await ask(service, '/v1/transactions'))
  })
})

/** Spellings of paths that might bypass the check, and their status without a key. */
const SPELLINGS: [path: string, status: number][] = [
  ['/v1%2Ftransactions', 404],
  ['/v1%2ftransactions/txn_001', 404],
  ['/%76%31/transactions', 404],
  ['/v1/%74ransactions', 404],
  ['/v1/transactions%2Ftxn_001', 404],
  ['//v1/transactions', 404],
  ['/v1//transactions', 404],
  ['/v1/transactions//txn_001', 404],
  ['///v1/transactions/txn_001', 404],
  ['/v1/../v1/transactions', 401],
  ['/v1/./transactions', 401],
  ['/./v1/transactions/./txn_001', 401],
  ['/livez/../v1/transactions', 401],
  ['/swagger/../v1/transactions/txn_001', 401],
  ['/webhook/..%2fv1/transactions', 404],
  ['/v1/%2e%2e/v1/transactions', 401],
  ['/v1\\transactions', 401],
  ['/livez\\..\\v1\\transactions', 401],
  ['/v1/transactions/x\\..\\txn_001', 401],
  ['/v1/transactions/', 404],
  ['/v1/transactions/txn_001/', 404],
  ['/v1/transactions/.', 404],
  ['/v1/transactions;x', 404],
  ['/livez;/../v1/transactions', 401],
  ['/v1/transactions?', 401],
  ['/v1/transactions?/livez', 401],
  ['/v1/transactions#/livez', 401],
  ['/v1/transactions/txn_001?x=/../../../livez', 401],
  ['/v1/transactions/%74xn_001', 401],
  ['/v1/transactions/txn_001%00', 401],
  ['/v1/transactions/txn_001%2F..%2F..%2F..%2Flivez', 401],
  ['/v1/transactions/..%2f..%2flivez', 401],
  ['/v1/transactions/%5c..%5c..%5c..%5clivez', 401],
  ['/v1/transactions%3f', 404],
  ['/v1/transactions%00', 404],
  ['/V1/TRANSACTIONS', 404],
  ['/v1/Transactions/txn_001', 404],
  ['/METRICS', 404],
  ['/metrics/', 404],
  ['/metrics%20', 404],
  ['/%6detrics', 404],
  ['/livez/metrics', 404],
]

/** Targets and hosts that only a socket can send. */
const RAW: [target: string, host: string][] = [
  ...SPELLINGS.map(([path]): [string, string] => [path, 'localhost']),
  ['http://localhost/v1/transactions', 'localhost'],
  ['http://elsewhere.example/v1/transactions', 'localhost'],
  ['http://localhost#/v1/transactions', 'localhost'],
  ['http://localhost\\v1/transactions', 'localhost'],
  ['http:///v1/transactions', 'localhost'],
  ['https://localhost/v1/transactions', 'localhost'],
  ['/livez#/../v1/transactions', 'localhost'],
  ['/#/v1/transactions', 'localhost'],
  ['/v1/transactions#', 'localhost'],
  ['*', 'localhost'],
  ['v1/transactions', 'localhost'],
  // Hosts that change the path where host and target are joined to a URL.
  ...[
    'a#',
    'a?',
    'a/livez?',
    'a/livez#',
    'a\\livez?',
    'a/../livez?',
    '/livez#',
    '?',
    '#',
    '\\',
    'a@b',
    'livez',
    '[::1',
    'a:b',
    'a:99999',
    '%',
    '',
  ].flatMap((host): [string, string][] => [
    ['/v1/transactions', host],
    ['/v1/transactions/txn_001', host],
  ]),
]

describe('a path', () => {
  test('shows no data without a key, in any spelling', async () => {
    await using service = await guarded()
    for (const [path, status] of SPELLINGS) {
      for (const headers of [{}, bearing('Bearer nope')]) {
        const response = await ask(service, path, { headers })
        const body = await response.text()
        expect([path, response.status]).toEqual([path, status])
        expect(body).not.toContain(TREASURE)
        expect(body).not.toContain('txhook_')
      }
    }
  })

  test('of an id that looks like a path without a key needs a key', async () => {
    await using service = await guarded()
    for (const id of [
      'livez',
      'swagger',
      '/livez',
      '\\..\\..\\..\\livez',
      '../../livez',
      '?',
      '#',
    ]) {
      await service.post(transactionBody({ transaction_id: id, source_account: TREASURE }))
      for (const path of ['', '/attempts']) {
        const url = `/v1/transactions/${encodeURIComponent(id)}${path}`
        await expectRefused(await ask(service, url))
        expect((await ask(service, url, { headers: WITH_KEY })).status).toBe(200)
      }
    }
  })

  test('that only a socket can send shows no data either, on a real server', async () => {
    using directory = temporaryDirectory()
    const args = Object.entries(FLAGS).flat()
    await using txhook = await startTxhook({ variant: 'source', cwd: directory.path, args })
    expect((await txhook.post(transactionBody({ source_account: TREASURE }))).status).toBe(202)
    const close = 'Connection: close\r\n\r\n'
    const withKey = `GET /v1/transactions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEY}\r\n`
    expect(await exchange(txhook.url, withKey + close)).toContain(TREASURE)
    const twice = `${withKey}Authorization: Bearer ${KEY}\r\n`
    expect(await exchange(txhook.url, twice + close)).toStartWith('HTTP/1.1 401 ')

    const answers = await Promise.all(
      RAW.flatMap(([target, host]) => [
        exchange(txhook.url, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${close}`),
        exchange(txhook.url, `GET ${target} HTTP/1.0\r\n\r\n`),
      ]),
    )
    expect(answers.filter((answer) => /^HTTP\/1\.[01] (200|401|404|400) /.test(answer))).toEqual(
      answers,
    )
    // Most are refused for the missing key: they do reach a route.
    expect(answers.filter((answer) => answer.includes(' 401 ')).length).toBeGreaterThan(40)
    for (const answer of answers) {
      expect(answer).not.toContain(TREASURE)
      expect(answer).not.toContain('"data"')
      expect(answer).not.toContain('txhook_')
    }
  })
})

/** Sends bytes, and resolves with all that is received until the server closes the connection. */
async function exchange(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const { promise, resolve } = Promise.withResolvers<string>()
  let answer = ''
  const end = () => resolve(answer)
  await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (socket) => void socket.write(bytes),
      data: (_socket, data) => {
        answer += data.toString('latin1')
      },
      close: end,
      error: end,
    },
  })
  return promise
}

test('no answer, log entry or error shows a key', async () => {
  await using service = await guarded()
  const { client } = service.store.database
  const seen: string[] = []
  const values = [`Bearer ${KEY}`, `Bearer ${KEY}x`, KEY, `Bearer ${KEY},${OTHER_KEY}`]
  const askAll = async () => {
    for (const { url, method } of await operationsOf(service)) {
      for (const value of values) {
        const response = await ask(service, url, { method, headers: bearing(value) })
        seen.push(await response.text(), JSON.stringify([...response.headers]))
      }
    }
  }
  await askAll()
  // And during a fault that is logged.
  client.run('ALTER TABLE transactions RENAME TO hidden')
  await askAll()
  client.run('ALTER TABLE hidden RENAME TO transactions')
  await service.stop()
  await askAll()
  expect(service.log.entries.some(({ level }) => level === 'error')).toBe(true)
  const logged = service.log.entries.map((entry) => Bun.inspect(entry, { depth: 10 }))
  for (const text of [...seen, ...logged]) {
    for (const key of [KEY, OTHER_KEY]) expect(text).not.toContain(key)
  }
})

describe('without keys, the Host', () => {
  const LOOPBACK = [
    ...['localhost', 'LOCALHOST', 'localhost.', 'localhost:8000', 'a.b.localhost', '127.0.0.1'],
    ...['127.0.0.1:8000', '127.255.0.3', '[::1]', '[::1]:8000', '[0:0::1]', '[::ffff:127.0.0.1]'],
  ]
  const OTHERS = [
    ...['rebound.example', 'rebound.example:8000', 'localhost.rebound.example', 'notlocalhost'],
    ...['127.0.0.1.rebound.example', '10.0.0.1', '0.0.0.0', '128.0.0.1', '[::]', '[::2]', '::1'],
    ...[
      '[::ffff:10.0.0.1]',
      'localhost, localhost',
      'localhost:x',
      'localhost:80:80',
      '[::1',
      ':80',
    ],
    ...['hook.example.org', 'x-hook.example', 'x@localhost', 'x#localhost', 'x\\localhost', '*'],
  ]
  const EVERYWHERE = ['/', '/livez', '/readyz']
  const PATHS = ['/v1/transactions', '/metrics', '/swagger', '/swagger/json', '/no-such-path']

  async function statusesAt(service: TestService, host: string, paths: readonly string[]) {
    const answers = paths.map((path) => ask(service, path, { headers: { host } }))
    const post = {
      headers: { host, 'content-type': 'application/json' },
      method: 'POST',
      body: '{}',
    }
    const posts = ['/webhook', '/v1/transactions/retry'].map((path) => ask(service, path, post))
    return (await Promise.all([...answers, ...posts])).map(({ status }) => status)
  }

  test.each(LOOPBACK)('may be the loopback: %s', async (host) => {
    await using service = testService()
    expect(await statusesAt(service, host, PATHS)).toEqual([200, 200, 200, 200, 404, 422, 422])
  })

  test.each(OTHERS)('may not be anything else, but for health: %s', async (host) => {
    await using service = testService({ flags: { '--allow-host': 'hook.example' } })
    await service.start()
    expect(await statusesAt(service, host, PATHS)).toEqual(Array(7).fill(403))
    for (const path of EVERYWHERE) {
      expect((await ask(service, path, { headers: { host } })).status).toBe(200)
    }
    const refused = await ask(service, '/metrics', { headers: { host } })
    expect(await refused.json()).toMatchObject({
      code: 'host_not_allowed',
      detail: expect.stringContaining('--allow-host'),
    })
  })

  test('may be one that is allowed, with any port, also on a host that others reach', async () => {
    const flags = {
      '--allow-host': 'hook.example,10.0.0.1,[fe80::1]',
      '--host': '0.0.0.0',
      '--allow-insecure': 'true',
    }
    await using service = testService({ flags })
    for (const host of ['hook.example', 'HOOK.example:80', '10.0.0.1:8000', '[FE80:0::1]:8000']) {
      expect([host, await statusesAt(service, host, PATHS)]).toEqual([
        host,
        [200, 200, 200, 200, 404, 422, 422],
      ])
    }
    expect(await statusesAt(service, '0.0.0.0', PATHS)).toEqual(Array(7).fill(403))
  })

  test('may be missing or empty: no page can send such a request', async () => {
    await using service = testService()
    expect((await ask(service, '/v1/transactions')).status).toBe(200)
    expect((await ask(service, '/v1/transactions', { headers: { host: '' } })).status).toBe(200)
  })

  test('may be any where there are keys', async () => {
    await using service = await guarded()
    for (const host of OTHERS) {
      const headers = { ...WITH_KEY, host }
      expect((await ask(service, '/v1/transactions', { headers })).status).toBe(200)
    }
  })
})
