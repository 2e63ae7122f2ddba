/**
 * The two official clients, `standardwebhooks` and `svix`, against txhook in both directions:
 * txhook accepts what they sign, and they verify what txhook signs.
 */

import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import fc from 'fast-check'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { parseSecret, signatureFault, signatureOf } from '../src/domain/standard-webhooks.ts'
import { START } from './support/clock.ts'
import { type TestService, testService, transactionBody } from './support/service.ts'
import { secretOf } from './support/signature-cases.ts'
import { type TargetRequest, testTarget } from './support/target.ts'

const [OLD, NEW, UNKNOWN] = ['a', 'b', 'c'].map(secretOf) as [string, string, string]

/** What both clients have in common. */
type Client = {
  sign(id: string, time: Date, body: string): string
  verify(body: string, headers: Record<string, string>): unknown
}

const CLIENTS: [name: string, client: (secret: string) => Client][] = [
  ['standardwebhooks', (secret) => new StandardWebhook(secret)],
  ['svix', (secret) => new SvixWebhook(secret)],
]

type Sender = [name: string, client: (secret: string) => Client, prefix: 'webhook' | 'svix']

/** Every client with each set of header names that it may send. */
const SENDERS: Sender[] = [
  ['standardwebhooks', (secret) => new StandardWebhook(secret), 'webhook'],
  ['svix, by its own names', (secret) => new SvixWebhook(secret), 'svix'],
  ['svix, by the standard’s names', (secret) => new SvixWebhook(secret), 'webhook'],
]

function headersOf(prefix: string, id: string, time: Date, signature: string) {
  return {
    [`${prefix}-id`]: id,
    [`${prefix}-timestamp`]: String(Math.floor(time.getTime() / 1000)),
    [`${prefix}-signature`]: signature,
  }
}

const NOW = new Date(START)

/** Any text that JSON can hold. */
const unicode = fc.string({ unit: 'binary', maxLength: 60 })
const messageId = fc.stringMatching(/^[!-~]{1,60}$/)

// The clients verify by the real clock.
afterEach(() => void setSystemTime())

describe('the specification’s example', () => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek'
  const timestamp = '1614265330'
  const body = '{"test": 2432232314}'
  const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
  const key = parseSecret(secret) as Uint8Array

  test('is signed as it says', () => {
    expect(signatureOf(key, id, timestamp, Buffer.from(body))).toBe(signature)
    for (const [, client] of CLIENTS) {
      expect(client(secret).sign(id, new Date(1_614_265_330_000), body)).toBe(signature)
    }
  })

  test('passes, and with any other part does not', () => {
    const time = new Date(1_614_265_330_000)
    const fault = (headers: Record<string, string>, text = body, keys = [key]) =>
      signatureFault(new Headers(headers), Buffer.from(text), keys, time.getTime())
    for (const prefix of ['webhook', 'svix']) {
      const headers = headersOf(prefix, id, time, signature)
      const mismatch = `No signature in ${prefix}-signature matches.`
      expect(fault(headers)).toBeUndefined()
      expect(fault(headers, '{"test":2432232314}')).toBe(mismatch)
      expect(fault(headers, body, [Buffer.alloc(24)])).toBe(mismatch)
      expect(fault({ ...headers, [`${prefix}-id`]: `${id}x` })).toBe(mismatch)
      expect(fault({ ...headers, [`${prefix}-timestamp`]: '1614265331' })).toBe(mismatch)
    }
  })
})

describe.each(SENDERS)('a webhook signed by %s', (_name, client, prefix) => {
  const signed = (body: string, id: string, ...secrets: string[]) => {
    const signatures = secrets.map((secret) => client(secret).sign(id, NOW, body))
    return headersOf(prefix, id, NOW, signatures.join(' '))
  }

  test('passes, whatever characters are in it', async () => {
    await using service = testService({ flags: { '--webhook-secrets': OLD } })
    let count = 0
    const property = fc.asyncProperty(unicode, unicode, messageId, async (name, note, id) => {
      const transaction_id = `txn_${++count}`
      const body = JSON.stringify({ ...transactionBody({ transaction_id }), [`_${name}`]: note })
      const response = await service.post(body, signed(body, id, OLD))
      expect(response.status).toBe(202)
      expect(await response.json()).toMatchObject({ transaction_id, extra: { [`_${name}`]: note } })
    })
    await fc.assert(property, { numRuns: 30 })
  })

  test('passes whatever its body is, but with any other body it does not', async () => {
    await using service = testService({ flags: { '--webhook-secrets': OLD } })
    const property = fc.asyncProperty(unicode, unicode, async (body, other) => {
      const headers = signed(body, 'msg_1', OLD)
      // The text is no transaction, but that is checked after the signature.
      expect([400, 422]).toContain((await service.post(body, headers)).status)
      if (other !== body) expect((await service.post(other, headers)).status).toBe(401)
    })
    await fc.assert(property, { numRuns: 30 })
  })

  test('passes by any of several secrets with any of several signatures', async () => {
    await using service = testService({ flags: { '--webhook-secrets': `${NEW},${OLD}` } })
    const body = JSON.stringify(transactionBody())
    for (const [secrets, status] of [
      [[OLD], 202],
      [[NEW], 202],
      [[OLD, NEW], 202],
      [[NEW, OLD], 202],
      [[UNKNOWN, OLD], 202],
      [[NEW, UNKNOWN], 202],
      [[UNKNOWN], 401],
      [[UNKNOWN, UNKNOWN], 401],
    ] as const) {
      const response = await service.post(body, signed(body, 'msg_1', ...secrets))
      expect([secrets, response.status]).toEqual([secrets, status])
    }
  })
})

/** The requests that a target receives for these transactions, signed, and the wall time. */
async function posted(bodies: unknown[], secret: string): Promise<[TargetRequest[], number]> {
  await using target = await testTarget()
  await using service = testService({
    flags: { '--target-url': target.url, '--target-secret': secret },
  })
  await service.start()
  const requests: TargetRequest[] = []
  for (const body of bodies) {
    expect((await service.post(body)).status).toBe(202)
    requests.push((await target.next()).request)
  }
  return [requests, wallTime(service)]
}

function wallTime({ clock }: TestService): number {
  return clock.now().wall
}

function signatureHeaders({ headers }: TargetRequest): Record<string, string> {
  const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature']
  return Object.fromEntries(names.map((name) => [name, headers[name] ?? '']))
}

describe.each(CLIENTS)('a request to the target, for %s', (_name, client) => {
  test('is verified, whatever characters are in it', async () => {
    const ids = fc.stringMatching(/^[!-~\u00a1-\u02ff\u4e00-\u4eff]{1,40}$/)
    const distinct = fc.uniqueArray(fc.tuple(ids, unicode), {
      selector: ([id]) => id,
      minLength: 20,
      maxLength: 20,
    })
    const [drawn = []] = fc.sample(distinct, { numRuns: 1, seed: 20260101 })
    const bodies = drawn
      .filter(([id]) => id !== '.' && id !== '..')
      .map(([transaction_id, note]) => transactionBody({ transaction_id, note }))
    const [requests, wall] = await posted(bodies, OLD)
    expect(requests).toHaveLength(bodies.length)
    setSystemTime(wall)
    for (const [i, request] of requests.entries()) {
      const { transaction_id, note } = bodies[i] as Record<string, unknown>
      expect(() => client(OLD).verify(request.body, signatureHeaders(request))).not.toThrow()
      expect(JSON.parse(request.body)).toMatchObject({ transaction_id, extra: { note } })
    }
  })

  test('is refused under another secret, with another body, and when it is old', async () => {
    const [[request], wall] = await posted([transactionBody()], OLD)
    if (request === undefined) throw new Error('nothing came')
    const headers = signatureHeaders(request)
    setSystemTime(wall)
    expect(() => client(OLD).verify(request.body, headers)).not.toThrow()
    expect(() => client(NEW).verify(request.body, headers)).toThrow('No matching signature')
    expect(() => client(OLD).verify(`${request.body}\n`, headers)).toThrow('No matching signature')
    setSystemTime(wall + 301_000)
    expect(() => client(OLD).verify(request.body, headers)).toThrow('too old')
  })

  test('is signed at the time of the call, not of the webhook', async () => {
    await using target = await testTarget()
    await using service = testService({
      flags: { '--target-url': target.url, '--target-secret': OLD },
    })
    await service.post(transactionBody())
    service.clock.pass(3_600_000)
    await service.start()
    const { request } = await target.next()
    expect(request.headers['webhook-timestamp']).toBe(String((START + 3_600_000) / 1000))
    setSystemTime(wallTime(service))
    expect(() => client(OLD).verify(request.body, signatureHeaders(request))).not.toThrow()
  })
})

test('without a secret the requests to the target have no signature', async () => {
  await using target = await testTarget()
  await using service = testService({ flags: { '--target-url': target.url } })
  await service.start()
  await service.post(transactionBody())
  const { headers } = (await target.next()).request
  expect(headers['webhook-id']).toBe('txn_001')
  expect(headers).not.toContainKey('webhook-signature')
})
