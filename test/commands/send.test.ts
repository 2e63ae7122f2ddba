import { describe, expect, test } from 'bun:test'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { recordingService, runText } from '../support/command-line.ts'
import { secretOf } from '../support/signature-cases.ts'

const [OLD, NEW, UNKNOWN] = ['a', 'b', 'c'].map(secretOf) as [string, string, string]

/** An address without a server. */
async function nowhere(): Promise<{ url: string; port: string }> {
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
  const { port } = server
  await server.stop(true)
  return { url: `http://127.0.0.1:${port}`, port: String(port) }
}

describe('send', () => {
  test('posts a transaction to the server that listens at --host and --port', async () => {
    await using server = await recordingService()
    const { port, requests: heard } = server
    for (const [words, environment] of [
      [['send', '--port', port], {}],
      [['send', `--port=${port}`, '--host', 'localhost'], {}],
      [['send'], { PORT: port }],
      [['send'], { PORT: port, HOST: '127.0.0.1' }],
      [['send', '--port', port], { PORT: '1', HOST: '' }],
      [['send', '--port', port, '--host', '0.0.0.0'], {}],
    ] as const) {
      const { exitCode, printed, errors } = await runText([...words], environment)
      expect([exitCode, errors]).toEqual([0, ''])
      const { transaction_id, ...rest } = JSON.parse(printed) as Record<string, unknown>
      expect(transaction_id).toMatch(/^test_[\da-f-]{36}$/)
      expect(rest).toMatchObject({
        source_account: 'test_source',
        destination_account: 'test_destination',
        amount: 1,
        currency: 'USD',
        status: 'PENDING',
      })
      expect(await server.service.store.find(String(transaction_id))).toBeDefined()
    }
    expect(new Set(heard.map(({ method }) => method))).toEqual(new Set(['POST']))
    expect(new Set(heard.map(({ url }) => new URL(url).pathname))).toEqual(
      new Set(['/v1/webhooks/transactions']),
    )
    for (const { headers } of heard) expect(headers.has('webhook-signature')).toBe(false)
  })

  test('posts the values of its options', async () => {
    await using server = await recordingService()
    const { exitCode, printed } = await runText([
      'send',
      '--port',
      server.port,
      '--transaction-id',
      'txn ü/1',
      '--source-account=S1',
      '--destination-account',
      'D1',
      '--amount',
      '12.345',
      '--currency',
      'KWD',
    ])
    expect(exitCode).toBe(0)
    const stored = await server.service.get(`/v1/transactions/${encodeURIComponent('txn ü/1')}`)
    expect(await stored.json()).toMatchObject({
      transaction_id: 'txn ü/1',
      source_account: 'S1',
      destination_account: 'D1',
      amount: 12.345,
      currency: 'KWD',
    })
    expect(JSON.parse(printed)).toMatchObject({ transaction_id: 'txn ü/1' })
  })

  test('takes a URL, and adds the path of the webhook where it has none', async () => {
    await using server = await recordingService()
    for (const [path, asked] of [
      ['', '/v1/webhooks/transactions'],
      ['/', '/v1/webhooks/transactions'],
      ['?a=b', '/v1/webhooks/transactions'],
      ['/webhook', '/webhook'],
      ['/v1/webhooks/transactions', '/v1/webhooks/transactions'],
    ] as const) {
      // The URL wins over the address.
      const { exitCode } = await runText(['send', `${server.url}${path}`, '--port', '1'])
      const request = server.requests.pop()
      expect([path, exitCode, new URL(request?.url ?? 'none:').pathname]).toEqual([path, 0, asked])
    }
  })

  test('signs with the first secret, as both clients verify', async () => {
    await using server = await recordingService({ '--webhook-secrets': `${UNKNOWN},${NEW}` })
    const { exitCode, errors } = await runText(['send', '--port', server.port], {
      TXHOOK_WEBHOOK_SECRETS: `${NEW},${OLD}`,
    })
    expect([exitCode, errors]).toEqual([0, ''])
    const [request] = server.requests as [Request]
    const body = await request.text()
    const headers = Object.fromEntries(request.headers)
    expect(headers['webhook-id']).toMatch(/^msg_/)
    for (const Webhook of [StandardWebhook, SvixWebhook]) {
      expect(() => new Webhook(NEW).verify(body, headers)).not.toThrow()
      expect(() => new Webhook(OLD).verify(body, headers)).toThrow('No matching signature')
    }
    // The id is new each time.
    await runText(['send', '--port', server.port, '--webhook-secrets', NEW])
    expect(server.requests[1]?.headers.get('webhook-id')).not.toBe(headers['webhook-id'] as string)
  })

  test('is exit 1 where the server refuses, and prints the answer', async () => {
    await using server = await recordingService({ '--webhook-secrets': OLD })
    for (const environment of [{}, { TXHOOK_WEBHOOK_SECRETS: UNKNOWN }]) {
      const { exitCode, printed, errors } = await runText(['send', server.url], environment)
      expect([exitCode, errors]).toEqual([
        1,
        `txhook: ${server.url}/v1/webhooks/transactions answers 401\n`,
      ])
      expect(JSON.parse(printed)).toMatchObject({ status: 401, code: 'invalid_signature' })
    }
    const amount = ['send', server.url, '--amount', '0', '--webhook-secrets', OLD]
    const invalid = await runText(amount)
    expect(invalid.exitCode).toBe(1)
    expect(JSON.parse(invalid.printed)).toMatchObject({ status: 422, errors: [{ path: 'amount' }] })
    const elsewhere = await runText(['send', `${server.url}/nope`])
    expect([elsewhere.exitCode, JSON.parse(elsewhere.printed).code]).toEqual([1, 'not_found'])
  })

  test('is exit 1 with the URL where no server listens', async () => {
    const { url, port } = await nowhere()
    for (const words of [
      ['send', url],
      ['send', '--port', port],
    ]) {
      const { exitCode, printed, errors } = await runText(words)
      expect([exitCode, printed]).toEqual([1, ''])
      expect(errors).toStartWith(`txhook: ${url}/v1/webhooks/transactions doesn't answer: `)
    }
  })

  test.each([
    ['no URL', ['send', 'nonsense']],
    ['a host alone', ['send', 'localhost:8000']],
    ['another scheme', ['send', 'ftp://localhost/']],
    ['a file', ['send', 'file:///etc/passwd']],
    ['two URLs', ['send', 'http://localhost:1', 'http://localhost:2']],
    ['an unknown flag', ['send', '--bogus']],
    ['a flag of another verb', ['send', '--max-attempts', '1']],
    ['a bad port', ['send', '--port', 'x']],
    ['a bad secret', ['send', '--webhook-secrets', 'x']],
    ['an option without its value', ['send', '--amount']],
  ])('is exit 2 for %s', async (_name, words) => {
    const { exitCode, printed, errors } = await runText(words)
    expect([exitCode, printed]).toEqual([2, ''])
    expect(errors).not.toBeEmpty()
  })

  test('shows no secret in an error', async () => {
    const { url } = await nowhere()
    for (const words of [
      ['send', url, '--webhook-secrets', OLD],
      ['send', url, '--webhook-secrets', `${OLD},nonsense`],
      ['send', 'nonsense', '--webhook-secrets', OLD],
    ]) {
      const { exitCode, printed, errors } = await runText(words)
      expect(exitCode).not.toBe(0)
      expect(printed + errors).not.toContain(OLD.slice(6, 20))
    }
  })
})
