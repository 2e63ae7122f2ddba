import { describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { runText } from '../support/command-line.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'
import { secretOf } from '../support/signature-cases.ts'

const [OLD, NEW, UNKNOWN] = ['a', 'b', 'c'].map(secretOf) as [string, string, string]

describe('verify', () => {
  const BODY = JSON.stringify(transactionBody())

  type Captured = { headers: Record<string, string> | string; body?: string; secrets?: string }

  /** Runs `verify` on the files of a captured webhook. */
  async function verify({ headers, body = BODY, secrets = `${NEW},${OLD}` }: Captured) {
    using directory = temporaryDirectory()
    const path = (name: string) => join(directory.path, name)
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\n`)
    writeFileSync(path('headers.txt'), typeof headers === 'string' ? headers : lines.join(''))
    writeFileSync(path('body.json'), body)
    const words = ['verify', path('headers.txt'), path('body.json'), '--webhook-secrets', secrets]
    return runText(words)
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

  test('prints which of the secrets signed', async () => {
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

  test('accepts the svix- names of the headers', async () => {
    const svix = (headers: Record<string, string>) =>
      Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name.replace('webhook', 'Svix'), value]),
      )
    expect((await verify({ headers: svix(signed()) })).exitCode).toBe(0)
    const { exitCode, errors } = await verify({ headers: svix(signed({ secret: UNKNOWN })) })
    expect(exitCode).toBe(1)
    expect(errors).toStartWith(`${REFUSED}No signature in svix-signature matches.`)
  })

  test('skips request lines and other headers, and accepts any line end', async () => {
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

  test('reports a header that is missing or repeated', async () => {
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

  test('reports a timestamp out of range, and whether the signature matches', async () => {
    for (const [aheadS, message] of [
      [-1000, /is 100[0-9] s old\./],
      [1000, /is (?:1000|99[0-9]) s ahead\./],
    ] as const) {
      const { exitCode, errors } = await verify({ headers: signed({ aheadS }) })
      const [fault, ...hints] = errors.split('\n')
      expect([exitCode, hints]).toEqual([1, [AGED]])
      expect(fault).toMatch(message)
      const wrong = await verify({ headers: signed({ aheadS, secret: UNKNOWN }) })
      expect(wrong.exitCode).toBe(1)
      expect(wrong.errors).toMatch(message)
      expect(wrong.errors).toContain('\nThe signature does not match either.\n')
      expect(wrong.errors).not.toContain(AGED)
    }
  })

  test('reports a malformed timestamp', async () => {
    const { exitCode, errors } = await verify({
      headers: { ...signed(), 'webhook-timestamp': new Date().toISOString() },
    })
    expect([exitCode, errors]).toEqual([
      1,
      `${REFUSED}The header webhook-timestamp is not in unix seconds.`,
    ])
  })

  test('reports a mismatch, and the signature that each secret gives', async () => {
    const headers = signed({ secret: UNKNOWN })
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

  test('reports a line end that an editor added to the body', async () => {
    for (const end of ['\n', '\r\n']) {
      const { exitCode, errors } = await verify({ headers: signed(), body: BODY + end })
      expect(exitCode).toBe(1)
      expect(errors).toStartWith(MISMATCH)
      expect(errors).toContain(LINE_END)
    }
    // A line end that was signed is part of the body; of two only one is removed.
    const body = `${BODY}\n`
    expect((await verify({ headers: signed({ body }), body })).exitCode).toBe(0)
    const two = await verify({ headers: signed(), body: `${body}\n` })
    expect(two.errors).not.toContain(LINE_END)
  })

  test('reports a sender that used the text of the secret as the key', async () => {
    for (const key of [OLD, OLD.slice('whsec_'.length)]) {
      const { exitCode, errors } = await verify({ headers: signed({ key }) })
      expect(exitCode).toBe(1)
      expect(errors).toStartWith(MISMATCH)
      expect(errors).toContain(AS_TEXT)
    }
    const other = await verify({ headers: signed({ key: UNKNOWN }) })
    expect(other.errors).not.toContain(AS_TEXT)
  })

  test('is exit 2 without secrets or files, or with too many arguments', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'it')
    writeFileSync(path, '')
    const binary = join(directory.path, 'binary')
    writeFileSync(binary, 'x: 中')
    const secrets = ['--webhook-secrets', OLD]
    for (const [words, message] of [
      [['verify', path, path], 'verify needs the secrets: set --webhook-secrets'],
      [['verify', join(directory.path, 'none'), path, ...secrets], 'ENOENT'],
      [['verify', path, join(directory.path, 'none'), ...secrets], 'ENOENT'],
      [['verify', directory.path, path, ...secrets], 'EISDIR'],
      [['verify', binary, path, ...secrets], "Header 'x' has invalid value"],
      [['verify', path, path, '--webhook-secrets', 'x'], '--webhook-secrets must be'],
      [['verify', path, ...secrets], 'body-file'],
      [['verify', ...secrets], 'headers-file'],
      [['verify', path, path, path, ...secrets], 'too many arguments'],
      [['verify', path, path, '--port', '1', ...secrets], '--port'],
    ] as const) {
      const { exitCode, printed, errors } = await runText([...words])
      expect([exitCode, printed]).toEqual([2, ''])
      expect(errors).toContain(message)
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
      const { printed } = await runText(['verify', path('headers'), path('body')], environment)
      expect(printed).toBe('Accepted: signed by secret 2 of 2.\n')
    }
  })
})
