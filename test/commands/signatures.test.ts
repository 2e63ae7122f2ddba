import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { systemClock } from '../../src/clock.ts'
import type { Environment } from '../../src/config/read-config.ts'
import { parseSecret } from '../../src/domain/standard-webhooks.ts'
import { manualClock } from '../support/clock.ts'
import { run as runLine } from '../support/command-line.ts'
import { runToEnd } from '../support/executable.ts'
import {
  type TestService,
  temporaryDirectory,
  testService,
  transactionBody,
} from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

const secretOf = (char: string) => `whsec_${Buffer.from(char.repeat(32)).toString('base64')}`
const [OLD, NEW, STRANGE] = ['a', 'b', 'c'].map(secretOf) as [string, string, string]

/** Runs a verb, and shows what it printed as the lines of one text. */
async function run(words: readonly string[], environment: Environment = {}) {
  const { exitCode, printed, errors } = await runLine(words, environment)
  return { exitCode, printed: printed.join('\n'), errors }
}

/** A service that listens, and keeps the time that the verbs sign with. */
async function listening(
  flags: Record<string, string> = {},
): Promise<
  { service: TestService; url: string; port: string; heard: Request[] } & AsyncDisposable
> {
  const clock = manualClock(systemClock().now().wall)
  const service = testService({ clock, flags: { '--port': '0', ...flags } })
  const heard: Request[] = []
  const { fetch: answer } = service.app
  service.app.fetch = (request) => {
    heard.push(request.clone() as Request)
    return answer(request)
  }
  await service.start()
  const url = service.listen()
  return {
    service,
    url,
    port: new URL(url).port,
    heard,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  }
}

/** An address where nobody listens. */
async function nowhere(): Promise<{ url: string; port: string }> {
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
  const { port } = server
  await server.stop(true)
  return { url: `http://127.0.0.1:${port}`, port: String(port) }
}

describe('secret', () => {
  test('prints a secret of 32 bytes, another one each time', async () => {
    const seen = new Set<string>()
    for (let i = 0; i < 20; i++) {
      const { exitCode, printed, errors } = await run(['secret'])
      expect([exitCode, errors]).toEqual([0, ''])
      expect(printed).toMatch(/^whsec_[A-Za-z0-9+/]{43}=\n$/)
      expect(parseSecret(printed.trimEnd())).toHaveLength(32)
      seen.add(printed)
    }
    expect(seen.size).toBe(20)
  })

  test('prints one that both clients sign with, and txhook takes', async () => {
    const secret = (await run(['secret'])).printed.trimEnd()
    await using service = testService({ flags: { '--webhook-secrets': secret } })
    const now = new Date(service.clock.now().wall)
    const timestamp = String(now.getTime() / 1000)
    for (const Webhook of [StandardWebhook, SvixWebhook]) {
      const body = JSON.stringify(transactionBody())
      const headers = {
        'webhook-id': 'msg_1',
        'webhook-timestamp': timestamp,
        'webhook-signature': new Webhook(secret).sign('msg_1', now, body),
      }
      expect((await service.post(body, headers)).status).toBe(202)
    }
  })
})

describe('send', () => {
  test('posts a transaction to the server that listens at --host and --port', async () => {
    await using server = await listening()
    const { port, heard } = server
    for (const [words, environment] of [
      [['send', '--port', port], {}],
      [['send', `--port=${port}`, '--host', 'localhost'], {}],
      [['send'], { PORT: port }],
      [['send'], { PORT: port, HOST: '127.0.0.1' }],
      [['send', '--port', port], { PORT: '1', HOST: '' }],
      [['send', '--port', port, '--host', '0.0.0.0'], {}],
    ] as const) {
      const { exitCode, printed, errors } = await run([...words], environment)
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

  test('posts what its options say', async () => {
    await using server = await listening()
    const { exitCode, printed } = await run([
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

  test('takes a URL: without a path it means the webhook’s, with one just that', async () => {
    await using server = await listening()
    for (const [path, asked] of [
      ['', '/v1/webhooks/transactions'],
      ['/', '/v1/webhooks/transactions'],
      ['?a=b', '/v1/webhooks/transactions'],
      ['/webhook', '/webhook'],
      ['/v1/webhooks/transactions', '/v1/webhooks/transactions'],
    ] as const) {
      // The URL wins over the address.
      const { exitCode } = await run(['send', `${server.url}${path}`, '--port', '1'])
      const request = server.heard.pop()
      expect([path, exitCode, new URL(request?.url ?? 'none:').pathname]).toEqual([path, 0, asked])
    }
  })

  test('signs with the first secret, as both clients verify', async () => {
    await using server = await listening({ '--webhook-secrets': `${STRANGE},${NEW}` })
    const { exitCode, errors } = await run(['send', '--port', server.port], {
      TXHOOK_WEBHOOK_SECRETS: `${NEW},${OLD}`,
    })
    expect([exitCode, errors]).toEqual([0, ''])
    const [request] = server.heard as [Request]
    const body = await request.text()
    const headers = Object.fromEntries(request.headers)
    expect(headers['webhook-id']).toMatch(/^msg_/)
    for (const Webhook of [StandardWebhook, SvixWebhook]) {
      expect(() => new Webhook(NEW).verify(body, headers)).not.toThrow()
      expect(() => new Webhook(OLD).verify(body, headers)).toThrow('No matching signature')
    }
    // Another one each time.
    await run(['send', '--port', server.port, '--webhook-secrets', NEW])
    expect(server.heard[1]?.headers.get('webhook-id')).not.toBe(headers['webhook-id'] as string)
  })

  test('that is refused ends with 1, and shows what the server said', async () => {
    await using server = await listening({ '--webhook-secrets': OLD })
    for (const environment of [{}, { TXHOOK_WEBHOOK_SECRETS: STRANGE }]) {
      const { exitCode, printed, errors } = await run(['send', server.url], environment)
      expect([exitCode, errors]).toEqual([
        1,
        `txhook: ${server.url}/v1/webhooks/transactions answers 401\n`,
      ])
      expect(JSON.parse(printed)).toMatchObject({ status: 401, code: 'invalid_signature' })
    }
    const amount = ['send', server.url, '--amount', '0', '--webhook-secrets', OLD]
    const invalid = await run(amount)
    expect(invalid.exitCode).toBe(1)
    expect(JSON.parse(invalid.printed)).toMatchObject({ status: 422, errors: [{ path: 'amount' }] })
    const elsewhere = await run(['send', `${server.url}/nope`])
    expect([elsewhere.exitCode, JSON.parse(elsewhere.printed).code]).toEqual([1, 'not_found'])
  })

  test('to where nobody listens ends with 1 and names the address', async () => {
    const { url, port } = await nowhere()
    for (const words of [
      ['send', url],
      ['send', '--port', port],
    ]) {
      const { exitCode, printed, errors } = await run(words)
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
  ])('takes %s for bad usage', async (_name, words) => {
    const { exitCode, printed, errors } = await run(words)
    expect([exitCode, printed]).toEqual([2, ''])
    expect(errors).not.toBeEmpty()
  })

  test('shows no secret in any of its complaints', async () => {
    const { url } = await nowhere()
    for (const words of [
      ['send', url, '--webhook-secrets', OLD],
      ['send', url, '--webhook-secrets', `${OLD},nonsense`],
      ['send', 'nonsense', '--webhook-secrets', OLD],
    ]) {
      const { exitCode, printed, errors } = await run(words)
      expect(exitCode).not.toBe(0)
      expect(printed + errors).not.toContain(OLD.slice(6, 20))
    }
  })
})

describe('verify', () => {
  const BODY = JSON.stringify(transactionBody())

  type Captured = { headers: Record<string, string> | string; body?: string; secrets?: string }

  /** Runs it on files with a captured webhook. */
  async function verify({ headers, body = BODY, secrets = `${NEW},${OLD}` }: Captured) {
    using directory = temporaryDirectory()
    const path = (name: string) => join(directory.path, name)
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\n`)
    writeFileSync(path('headers.txt'), typeof headers === 'string' ? headers : lines.join(''))
    writeFileSync(path('body.json'), body)
    const words = ['verify', path('headers.txt'), path('body.json'), '--webhook-secrets', secrets]
    return run(words)
  }

  function signed(how: { secret?: string; key?: string; body?: string; aheadS?: number } = {}) {
    const { secret = OLD, key, body = BODY, aheadS = 0 } = how
    const time = new Date(Date.now() + aheadS * 1000)
    const client =
      key === undefined ? new StandardWebhook(secret) : new StandardWebhook(key, { format: 'raw' })
    return {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(Math.floor(time.getTime() / 1000)),
      'webhook-signature': client.sign('msg_1', time, body),
    }
  }

  const REFUSED = 'Refused: '
  const MISMATCH = `${REFUSED}No signature in webhook-signature matches.`
  const AGED = 'The signature matches: only the timestamp is refused.'
  const LINE_END = 'The signature matches without the line end at the end of the body file.'
  const AS_TEXT = 'The sender signed with the text of the secret, not with the bytes it encodes.'

  test('says which of the secrets signed', async () => {
    for (const [secret, named] of [
      [NEW, '1'],
      [OLD, '2'],
    ] as const) {
      expect(await verify({ headers: signed({ secret }) })).toEqual({
        exitCode: 0,
        printed: `Accepted: signed by secret ${named} of 2.\n`,
        errors: '',
      })
    }
    const [first, second] = [signed({ secret: OLD }), signed({ secret: NEW })]
    const both = `${first['webhook-signature']} ${second['webhook-signature']}`
    const { printed } = await verify({ headers: { ...second, 'webhook-signature': both } })
    expect(printed).toBe('Accepted: signed by secret 1 and 2 of 2.\n')
  })

  test('takes the names that Svix gives the headers', async () => {
    const svix = (headers: Record<string, string>) =>
      Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name.replace('webhook', 'Svix'), value]),
      )
    expect((await verify({ headers: svix(signed()) })).exitCode).toBe(0)
    const { exitCode, errors } = await verify({ headers: svix(signed({ secret: STRANGE })) })
    expect(exitCode).toBe(1)
    expect(errors).toStartWith(`${REFUSED}No signature in svix-signature matches.`)
  })

  test('passes over request lines and other headers, and takes any line end', async () => {
    const headers = signed()
    const lines = [
      'POST /v1/webhooks/transactions HTTP/1.1',
      'Host: localhost:8000',
      ':method: POST',
      `Webhook-Id:${headers['webhook-id']}`,
      `WEBHOOK-TIMESTAMP: \t ${headers['webhook-timestamp']} `,
      `webhook-signature: ${headers['webhook-signature']}`,
      'Content-Type: application/json',
      '',
      'not a header at all',
    ]
    for (const end of ['\n', '\r\n']) {
      expect((await verify({ headers: lines.join(end) })).exitCode).toBe(0)
    }
  })

  test('tells a header that is missing or came twice', async () => {
    for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const) {
      const { [name]: value, ...others } = signed()
      const missing = await verify({ headers: others })
      expect(missing.exitCode).toBe(1)
      expect(missing.errors).toStartWith(`${REFUSED}The header ${name} is missing.`)
      const lines = Object.entries({ ...others, [name]: value }).map(
        ([it, text]) => `${it}: ${text}`,
      )
      const twice = await verify({ headers: [...lines, `${name}: ${value}`].join('\n') })
      expect(twice.exitCode).toBe(1)
      expect(twice.errors).toStartWith(`${REFUSED}The header ${name} came more than once.`)
    }
    expect((await verify({ headers: '' })).errors).toBe(
      `${REFUSED}The header webhook-id is missing.`,
    )
  })

  test('tells a webhook that is too old, or ahead, and whether it matches but for that', async () => {
    for (const [aheadS, told] of [
      [-1000, /is 100[0-9] s old\./],
      [1000, /is (?:1000|99[0-9]) s ahead\./],
    ] as const) {
      const { exitCode, errors } = await verify({ headers: signed({ aheadS }) })
      const [fault, ...hints] = errors.split('\n')
      expect([exitCode, hints]).toEqual([1, [AGED]])
      expect(fault).toMatch(told)
      const wrong = await verify({ headers: signed({ aheadS, secret: STRANGE }) })
      expect(wrong.exitCode).toBe(1)
      expect(wrong.errors).toMatch(told)
      expect(wrong.errors).toContain('\nThe signature does not match either.\n')
      expect(wrong.errors).not.toContain(AGED)
    }
  })

  test('tells a timestamp that is none', async () => {
    const { exitCode, errors } = await verify({
      headers: { ...signed(), 'webhook-timestamp': new Date().toISOString() },
    })
    expect([exitCode, errors]).toEqual([
      1,
      `${REFUSED}The header webhook-timestamp is not in unix seconds.`,
    ])
  })

  test('tells a mismatch, and what each secret would have given', async () => {
    const headers = signed({ secret: STRANGE })
    const { exitCode, printed, errors } = await verify({ headers })
    expect([exitCode, printed]).toEqual([1, ''])
    const time = new Date(Number(headers['webhook-timestamp']) * 1000)
    expect(errors.split('\n')).toEqual([
      MISMATCH,
      `Secret 1 of 2 gives: ${new StandardWebhook(NEW).sign('msg_1', time, BODY)}`,
      `Secret 2 of 2 gives: ${new StandardWebhook(OLD).sign('msg_1', time, BODY)}`,
    ])
    expect(errors).not.toContain(OLD.slice(6, 20))
  })

  test('tells a line end that an editor added to the body', async () => {
    for (const end of ['\n', '\r\n']) {
      const { exitCode, errors } = await verify({ headers: signed(), body: BODY + end })
      expect(exitCode).toBe(1)
      expect(errors).toStartWith(MISMATCH)
      expect(errors).toContain(LINE_END)
    }
    // One that was signed belongs to it, and of two only one is taken off.
    const body = `${BODY}\n`
    expect((await verify({ headers: signed({ body }), body })).exitCode).toBe(0)
    const two = await verify({ headers: signed(), body: `${body}\n` })
    expect(two.errors).not.toContain(LINE_END)
  })

  test('tells a sender that took the text of the secret for the key', async () => {
    for (const key of [OLD, OLD.slice('whsec_'.length)]) {
      const { exitCode, errors } = await verify({ headers: signed({ key }) })
      expect(exitCode).toBe(1)
      expect(errors).toStartWith(MISMATCH)
      expect(errors).toContain(AS_TEXT)
    }
    const other = await verify({ headers: signed({ key: STRANGE }) })
    expect(other.errors).not.toContain(AS_TEXT)
  })

  test('without secrets, files or with words too many is bad usage', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'it')
    writeFileSync(path, '')
    const secrets = ['--webhook-secrets', OLD]
    for (const [words, told] of [
      [['verify', path, path], 'verify needs the secrets: set --webhook-secrets'],
      [['verify', join(directory.path, 'none'), path, ...secrets], 'ENOENT'],
      [['verify', path, join(directory.path, 'none'), ...secrets], 'ENOENT'],
      [['verify', directory.path, path, ...secrets], 'EISDIR'],
      [['verify', path, path, '--webhook-secrets', 'x'], '--webhook-secrets must be'],
      [['verify', path, ...secrets], 'body-file'],
      [['verify', ...secrets], 'headers-file'],
      [['verify', path, path, path, ...secrets], 'too many arguments'],
      [['verify', path, path, '--port', '1', ...secrets], '--port'],
    ] as const) {
      const { exitCode, printed, errors } = await run([...words])
      expect([exitCode, printed]).toEqual([2, ''])
      expect(errors).toContain(told)
    }
  })

  test('takes the secrets from their variable, and from a file', async () => {
    using directory = temporaryDirectory()
    const path = (name: string) => join(directory.path, name)
    const lines = Object.entries(signed()).map(([name, value]) => `${name}: ${value}`)
    writeFileSync(path('headers'), lines.join('\n'))
    writeFileSync(path('body'), BODY)
    writeFileSync(path('secrets'), `${NEW}\n${OLD}\n`)
    for (const environment of [
      { TXHOOK_WEBHOOK_SECRETS: `${NEW},${OLD}` },
      { TXHOOK_WEBHOOK_SECRETS_FILE: path('secrets') },
    ]) {
      const { printed } = await run(['verify', path('headers'), path('body')], environment)
      expect(printed).toBe('Accepted: signed by secret 2 of 2.\n')
    }
  })
})

test('licenses prints whose work the executable contains', async () => {
  const { exitCode, printed, errors } = await run(['licenses'])
  expect([exitCode, errors]).toEqual([0, ''])
  // Line by line, so that a failure doesn't print all of it.
  const lines = printed.split('\n')
  expect(lines.filter((line) => /^ {2}(?:commander|elysia) \S+ \(MIT\)$/.test(line))).toHaveLength(
    2,
  )
  for (const heading of ['txhook', 'Bun']) {
    expect([heading, lines.includes(heading)]).toEqual([heading, true])
  }
  for (const name of ['`sqlite`', 'JavaScriptCore', 'Permission is hereby granted']) {
    expect([name, printed.includes(name)]).toEqual([name, true])
  }
})

describe('the verbs of operators', () => {
  const KEYS = 'key-8d7fca12b1,key-5e90bd44c7'
  const VERBS = [
    ['get', 'txn_001'],
    ['list'],
    ['retry', 'txn_001'],
    ['retry', '--status', 'FAILED', '--dry-run'],
  ]

  test('send the first of the API keys', async () => {
    await using server = await listening({ '--api-keys': KEYS })
    await server.service.post(transactionBody())
    using directory = temporaryDirectory()
    const file = join(directory.path, 'keys')
    writeFileSync(file, KEYS.replace(',', '\n'))
    for (const environment of [{ TXHOOK_API_KEYS: KEYS }, { TXHOOK_API_KEYS_FILE: file }]) {
      expect((await run(['get', 'txn_001', '--url', server.url], environment)).exitCode).toBe(0)
      expect((await run(['list', '--url', server.url], environment)).exitCode).toBe(0)
    }
    expect((await run(['list', '--url', server.url, '--api-keys', KEYS])).exitCode).toBe(0)
    server.heard.length = 0
    for (const words of VERBS) {
      const { errors } = await run([...words, '--url', server.url], { TXHOOK_API_KEYS: KEYS })
      expect(errors).not.toContain('answers 401')
      expect(server.heard.pop()?.headers.get('authorization')).toBe('Bearer key-8d7fca12b1')
    }
  })

  test('without one, or with a wrong one, end with 1 and say why', async () => {
    await using server = await listening({ '--api-keys': KEYS })
    await server.service.post(transactionBody())
    for (const words of VERBS) {
      const none = await run([...words, '--url', server.url])
      expect([none.exitCode, none.printed, none.errors]).toEqual([
        1,
        '',
        `txhook: ${server.url} answers 401: The header Authorization is missing.\n`,
      ])
      const wrong = await run([...words, '--url', server.url], { TXHOOK_API_KEYS: 'wrong-key-1' })
      expect([wrong.exitCode, wrong.printed, wrong.errors]).toEqual([
        1,
        '',
        `txhook: ${server.url} answers 401: The API key is not known.\n`,
      ])
    }
  })

  test('send none where there is none', async () => {
    await using server = await listening()
    expect((await run(['list', '--url', server.url])).exitCode).toBe(0)
    expect(server.heard.pop()?.headers.has('authorization')).toBe(false)
  })

  test('take a bad key for bad usage, and don’t show it', async () => {
    for (const words of VERBS) {
      const { exitCode, errors } = await run([...words, '--api-keys', 'a secret key'])
      expect(exitCode).toBe(2)
      expect(errors).toContain('--api-keys must be')
      expect(errors).not.toContain('a secret key')
    }
  })
})

describe('as a process of its own, txhook', () => {
  test('makes a secret, signs with it, and verifies what it signed', async () => {
    using directory = temporaryDirectory()
    const path = (name: string) => join(directory.path, name)
    const txhook = (args: string[], environment: Record<string, string> = {}) =>
      runToEnd({ variant: 'source', cwd: directory.path, args, environment })
    const made = await txhook(['secret'])
    expect([made.exitCode, made.stderr]).toEqual([0, ''])
    expect(made.stdout).toMatch(/^whsec_[A-Za-z0-9+/]{43}=\n$/)
    const secret = made.stdout.trimEnd()

    await using server = await listening({ '--webhook-secrets': secret })
    const environment = { TXHOOK_WEBHOOK_SECRETS: secret }
    const sent = await txhook(['send', server.url, '--transaction-id', 'own'], environment)
    expect([sent.exitCode, sent.stderr]).toEqual([0, ''])
    expect(JSON.parse(sent.stdout)).toMatchObject({ transaction_id: 'own', status: 'PENDING' })

    const [request] = server.heard as [Request]
    const lines = [...request.headers].map(([name, value]) => `${name}: ${value}`)
    writeFileSync(path('headers'), lines.join('\r\n'))
    writeFileSync(path('body'), await request.text())
    const verified = await txhook(['verify', 'headers', 'body'], environment)
    expect([verified.exitCode, verified.stdout]).toEqual([
      0,
      'Accepted: signed by secret 1 of 1.\n',
    ])
    writeFileSync(path('body'), `${readFileSync(path('body'), 'utf8')} `)
    const tampered = await txhook(['verify', 'headers', 'body'], environment)
    expect([tampered.exitCode, tampered.stdout]).toEqual([1, ''])
    expect(tampered.stderr).toStartWith('Refused: No signature')
    expect(tampered.stderr).toEndWith('\n')
  })

  test('is refused without a secret, and says what the server said', async () => {
    await using server = await listening({ '--webhook-secrets': OLD })
    using directory = temporaryDirectory()
    const args = ['send', server.url]
    const sent = await runToEnd({ variant: 'source', cwd: directory.path, args })
    expect(sent.exitCode).toBe(1)
    expect(JSON.parse(sent.stdout)).toMatchObject({ code: 'invalid_signature' })
    expect(sent.stderr).toContain('answers 401')
  })
})

test.each([
  [['list', '--api-key=hidden']],
  [['send', '--webhook-secret=hidden']],
  [['send', 'http://a/', 'hidden', 'hidden']],
  [['secret', 'hidden']],
  [['send', 'http://hidden:hidden@127.0.0.1:1/']],
  [['send', 'http://127.0.0.1:1/?token=hidden']],
])('a line that is no good is not shown with what may be a secret: %j', async (words) => {
  const { exitCode, errors } = await run(words)
  expect(exitCode).not.toBe(0)
  expect(errors).not.toBe('')
  expect(errors).not.toContain('hidden')
})
