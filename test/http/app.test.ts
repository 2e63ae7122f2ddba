import { describe, expect, test } from 'bun:test'
import { manualClock } from '../support/clock.ts'
import { recordingLog } from '../support/log.ts'
import { testService, transactionBody } from '../support/service.ts'

test.each(['a', 'ab', 'api', 'host', 'a:80', '[::1]', '127.0.0.1:8000', 'x.example'])(
  'a request reaches its route with any Host: %s',
  async (host) => {
    await using service = testService()
    await service.post(transactionBody())
    for (const [path, status] of [
      ['/livez', 200],
      ['/livez?x=/y', 200],
      ['/v1/transactions/txn_001', 200],
      ['/v1/transactions/txn_001?x=1', 422],
      ['/v1/transactions/txn_002', 404],
      ['/nope', 404],
    ] as const) {
      const response = await service.app.fetch(new Request(`http://${host}${path}`))
      expect([path, response.status]).toEqual([path, status])
    }
    const wrong = new Request(`http://${host}/livez`, { method: 'DELETE' })
    expect((await service.app.fetch(wrong)).headers.get('allow')).toBe('GET, HEAD')
  },
)

describe('HEAD', () => {
  test.each(['/livez', '/v1/transactions/txn_001', '/swagger', '/swagger/json', '/swagger/ui.css'])(
    'answers for %s as GET does, without the body',
    async (path) => {
      await using service = testService()
      await service.post(transactionBody())
      const url = `http://localhost${path}`
      const get = await service.app.fetch(new Request(url))
      const head = await service.app.fetch(new Request(url, { method: 'HEAD' }))
      expect(await head.text()).toBe('')
      expect(head.status).toBe(get.status)
      for (const name of ['content-type', 'cache-control', 'etag', 'content-security-policy']) {
        expect([name, head.headers.get(name)]).toEqual([name, get.headers.get(name)])
      }
      const bytes = (await get.bytes()).length
      expect(Number(head.headers.get('content-length') ?? bytes)).toBe(bytes)
    },
  )

  test('has the Content-Length of a long answer, on the wire too', async () => {
    await using service = testService({ flags: { '--port': '0' } })
    await service.post(transactionBody({ note: 'é😀'.repeat(5_000) }))
    const url = service.listen()
    for (const path of ['/v1/transactions/txn_001', '/v1/transactions']) {
      const { length } = await (await fetch(`${url}${path}`)).bytes()
      const head = await fetch(`${url}${path}`, { method: 'HEAD' })
      expect(length).toBeGreaterThan(30_000)
      expect([path, head.headers.get('content-length')]).toEqual([path, String(length)])
    }
  })
})

describe('an id in the path', () => {
  test('is read as percent-encoded UTF-8, whether all or little of it is encoded', async () => {
    await using service = testService()
    for (const id of ['a/b', 'a+b c', '100%', 'é💶', '%2F', 'x']) {
      await service.post(transactionBody({ transaction_id: id }))
      const encoded = encodeURIComponent(id)
      const lowerCase = encoded.replace(/%../g, (octet) => octet.toLowerCase())
      const all = [...Buffer.from(id)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`)
      for (const spelling of [encoded, lowerCase, all.join('')]) {
        const response = await service.get(`/v1/transactions/${spelling}`)
        const body = await response.json()
        expect([spelling, response.status]).toEqual([spelling, 200])
        expect(body).toMatchObject({ transaction_id: id })
      }
    }
  })

  test('keeps a plus as a plus', async () => {
    await using service = testService()
    await service.post(transactionBody({ transaction_id: 'a+b' }))
    expect((await service.get('/v1/transactions/a+b')).status).toBe(200)
    expect((await service.get('/v1/transactions/a%20b')).status).toBe(404)
  })

  test('is decoded once', async () => {
    await using service = testService()
    await service.post(transactionBody({ transaction_id: 'a/b' }))
    expect((await service.get('/v1/transactions/a%252Fb')).status).toBe(404)
  })

  test('is compared byte by byte', async () => {
    await using service = testService()
    await service.post(transactionBody({ transaction_id: 'Straße é' }))
    for (const other of ['straße é', 'STRASSE É', 'Strasse é', 'Straße e\u0301', 'Straße é ']) {
      const response = await service.get(`/v1/transactions/${encodeURIComponent(other)}`)
      expect([other, response.status]).toEqual([other, 404])
    }
  })
})

describe('health', () => {
  const states = async (service: ReturnType<typeof testService>) => {
    const answers = await Promise.all(['/', '/livez', '/readyz'].map((path) => service.get(path)))
    return answers.map(({ status }) => status)
  }

  test('is 200 once the service has started', async () => {
    await using service = testService()
    expect(await states(service)).toEqual([503, 200, 503])
    await service.start()
    expect(await states(service)).toEqual([200, 200, 200])
    service.clock.pass(1234)
    const root = await service.get('/')
    expect(root.headers.get('content-type')).toStartWith('application/json')
    expect(root.headers.get('cache-control')).toBe('no-store')
    expect(await root.json()).toEqual({
      status: 'HEALTHY',
      current_time: '2026-01-01T00:00:01.234Z',
    })
    expect(await (await service.get('/readyz')).json()).toMatchObject({ status: 'READY' })
  })

  test('shows the wall time, also after a step', async () => {
    await using service = testService({ clock: manualClock() })
    await service.start()
    service.clock.stepWall(-3_600_000)
    expect(await (await service.get('/')).json()).toMatchObject({
      current_time: '2025-12-31T23:00:00.000Z',
    })
  })

  test('is 503 while the storage refuses writes, with the reason', async () => {
    await using service = testService()
    await service.start()
    service.store.database.client.run('PRAGMA query_only = ON')
    expect(await states(service)).toEqual([503, 200, 503])
    const root = await service.get('/')
    expect(await root.json()).toEqual({
      status: 'UNHEALTHY',
      current_time: '2026-01-01T00:00:00.000Z',
    })
    const ready = await service.get('/readyz')
    expect(ready.headers.get('retry-after')).toBe('5')
    expect(await ready.json()).toMatchObject({
      status: 503,
      code: 'not_ready',
      errors: [{ path: 'storage', code: 'not_ready' }],
    })
  })

  test('is 200 with a full backlog, which readiness names until there is room', async () => {
    await using service = testService({ flags: { '--max-backlog': '1' } })
    await service.start()
    const ready = async () => (await service.get('/readyz')).json()
    expect(await ready()).toMatchObject({ status: 'READY', checks: { backlog: 'ok' } })
    await service.post(transactionBody())
    expect((await service.post(transactionBody({ transaction_id: 'b' }))).status).toBe(503)
    expect(await states(service)).toEqual([200, 200, 200])
    expect(await ready()).toMatchObject({
      status: 'READY',
      checks: { storage: 'ok', backlog: 'full: new transactions are refused' },
    })
    service.clock.pass(30_000)
    await service.work()
    service.clock.pass(30_000)
    await service.work()
    expect(await ready()).toMatchObject({ checks: { backlog: 'ok' } })
  })

  test('is 503 after the stop, and live', async () => {
    await using service = testService()
    await service.start()
    await service.stop()
    expect(await states(service)).toEqual([503, 200, 503])
    const { errors } = (await (await service.get('/readyz')).json()) as {
      errors: { path: string }[]
    }
    expect(errors.map(({ path }) => path)).toContain('shutdown')
  })

  test('is 503 while a stop is under way', async () => {
    await using service = testService()
    await service.start()
    const stopped = service.stop()
    expect((await service.get('/readyz')).status).toBe(503)
    await stopped
  })

  test('needs no key and no signature, and ignores the query', async () => {
    const secrets = `whsec_${Buffer.alloc(32).toString('base64')}`
    await using service = testService({ flags: { '--webhook-secrets': secrets } })
    await service.start()
    expect((await service.get('/?x=1')).status).toBe(200)
    expect((await service.get('/readyz?x')).status).toBe(200)
  })
})

test('two services in one process are independent', async () => {
  await using one = testService({ log: recordingLog() })
  await using other = testService({ log: recordingLog() })
  await one.post(transactionBody())
  expect((await other.get('/v1/transactions/txn_001')).status).toBe(404)
  expect((await one.get('/v1/transactions/txn_001')).status).toBe(200)
})
