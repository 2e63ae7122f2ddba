import { describe, expect, test } from 'bun:test'
import { type TestService, testService, transactionBody } from '../support/service.ts'

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
/** So long that it occurs nowhere by chance. */
const PRIVATE = 'private-71c0a9d2'

const refusals = ({ log }: TestService, code: string) =>
  log.entries.filter(({ fields }) => fields.code === code)
const countsOf = (service: TestService, code: string) =>
  refusals(service, code).map(({ fields }) => fields.count)

describe('refused requests are logged', () => {
  test('at once, and then every ten seconds with how many there were', async () => {
    await using service = testService({ flags: { '--api-keys': 'key-1' } })
    const refuse = async (times: number) => {
      for (let n = 1; n < times; n++) await service.get('/v1/transactions')
      return (await service.get('/v1/transactions')).headers.get('x-request-id')
    }
    await refuse(1)
    expect(countsOf(service, 'invalid_api_key')).toEqual([1])
    await refuse(500)
    service.clock.pass(9_999)
    const last = await refuse(500)
    expect(countsOf(service, 'invalid_api_key')).toEqual([1])
    service.clock.pass(1)
    expect(countsOf(service, 'invalid_api_key')).toEqual([1, 1000])
    expect(refusals(service, 'invalid_api_key').at(-1)).toMatchObject({
      level: 'warn',
      fields: { request_id: last },
    })
    // One that comes less than ten seconds later is not lost.
    await refuse(1)
    service.clock.pass(10_000)
    expect(countsOf(service, 'invalid_api_key')).toEqual([1, 1000, 1])
    service.clock.pass(10_000)
    await refuse(1)
    expect(countsOf(service, 'invalid_api_key')).toEqual([1, 1000, 1, 1])
  })

  test('in few lines, where there are 10,000 in a second', async () => {
    await using service = testService({ flags: { '--max-backlog': '1' } })
    await service.post(transactionBody())
    const before = service.log.entries.length
    for (let n = 0; n < 2_500; n++) {
      await service.post(transactionBody({ transaction_id: `txn_${n}` }))
      await service.post(transactionBody({ amount: n + 1 }))
      await service.post({})
      await service.post('{')
    }
    service.clock.pass(1_000)
    expect(service.log.entries.length - before).toBe(4)
    service.clock.pass(9_000)
    expect(service.log.entries.length - before).toBe(8)
    // The 100th amount is the stored one.
    expect(countsOf(service, 'transaction_conflict')).toEqual([1, 2_498])
    expect(countsOf(service, 'backlog_full')).toEqual([1, 2_499])
  })

  test('each code by itself, with what is wrong and nothing that was sent', async () => {
    await using service = testService({
      flags: { '--webhook-secrets': SECRET, '--api-keys': PRIVATE },
    })
    await service.post({ note: PRIVATE }, { 'webhook-id': PRIVATE })
    await service.get(`/v1/transactions?source_account=${PRIVATE}`)
    await using open = testService()
    await open.post(transactionBody())
    await open.post(transactionBody({ amount: 7, source_account: PRIVATE }))
    await open.post(transactionBody({ currency: PRIVATE, [PRIVATE]: 1 }))
    await open.post(`{"${PRIVATE}": 1, "${PRIVATE}": 2}`)
    await open.post(transactionBody(), { host: PRIVATE })
    const logged = [service, open].flatMap(({ log }) =>
      log.entries.filter(({ fields }) => 'code' in fields).map(({ fields }) => fields),
    )
    expect(logged).toMatchObject([
      { code: 'invalid_signature', detail: 'The header webhook-timestamp is missing.' },
      { code: 'invalid_api_key' },
      { code: 'transaction_conflict', fields: ['source_account', 'amount'] },
      { code: 'invalid_transaction', fields: ['currency'] },
      { code: 'invalid_json' },
      { code: 'host_not_allowed' },
    ])
    for (const fields of logged) {
      expect(fields).toMatchObject({
        count: 1,
        request_id: expect.stringMatching(/^[\da-f-]{36}$/),
      })
      expect(JSON.stringify(fields)).not.toContain(PRIVATE)
    }
  })
})

describe('with --log-level debug', () => {
  const requestsIn = ({ log }: TestService) =>
    log.entries.filter(({ message }) => message === 'request')

  test('each request is a line, without its query', async () => {
    await using service = testService({ flags: { '--log-level': 'debug', '--api-keys': 'key-1' } })
    const answers = [
      await service.post(transactionBody()),
      await service.get(`/v1/transactions?source_account=${PRIVATE}`),
      await service.get('/livez?'),
      await service.get('/v1/transactions/%zz'),
      await service.app.fetch(new Request('http://localhost/nothing', { method: 'HEAD' })),
    ]
    expect(requestsIn(service).map(({ level, fields }) => ({ level, ...fields }))).toEqual(
      [
        ['POST', '/v1/webhooks/transactions', 202],
        ['GET', '/v1/transactions', 401],
        ['GET', '/livez', 200],
        ['GET', '/v1/transactions/%zz', 401],
        ['HEAD', '/nothing', 404],
      ].map(([method, path, status], n) => ({
        level: 'debug',
        method,
        path,
        status,
        ms: 0,
        request_id: answers[n]?.headers.get('x-request-id'),
      })),
    )
    expect(JSON.stringify(requestsIn(service))).not.toContain(PRIVATE)
  })

  test('and the time that it took', async () => {
    await using service = testService({ flags: { '--log-level': 'debug' } })
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: readable }
    const answer = service.app.fetch(new Request('http://localhost/webhook', init))
    service.clock.pass(1_500)
    await writable.getWriter().close()
    expect((await answer).status).toBe(400)
    expect(requestsIn(service).map(({ fields }) => fields.ms)).toEqual([1_500])
  })

  test('but not without', async () => {
    await using service = testService()
    await service.post(transactionBody())
    expect(service.log.entries.filter(({ level }) => level === 'debug')).toBeEmpty()
  })
})
