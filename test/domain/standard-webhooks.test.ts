import { describe, expect, test } from 'bun:test'
import { Webhook } from 'standardwebhooks'
import { parseSecret } from '../../src/domain/standard-webhooks.ts'
import { START } from '../support/clock.ts'
import { checkCase } from '../support/contract-cases.ts'
import { testService, transactionBody } from '../support/service.ts'
import {
  SIGNATURE_FLAGS,
  SIGNATURE_SECRETS,
  signatureCases,
  signedHeaders,
} from '../support/signature-cases.ts'

describe('the signatures of the contract', () => {
  test.each(signatureCases(START).map((it) => [it.name, it] as const))('%s', async (_name, it) => {
    await using service = testService({ flags: SIGNATURE_FLAGS })
    const send = (path: string, init: RequestInit) =>
      service.app.fetch(new Request(`http://localhost${path}`, init))
    await checkCase(send, it)
  })
})

test.each([
  [-301, 401],
  [-300, 202],
  [-299, 202],
  [299, 202],
  [300, 202],
  [301, 401],
])('a timestamp %i s from the wall clock is answered with %i', async (seconds, status) => {
  await using service = testService({ flags: SIGNATURE_FLAGS })
  // Only whole seconds count.
  for (const ms of [0, 999]) {
    service.clock.stepWall(ms - (service.clock.now().wall % 1000))
    const body = JSON.stringify(transactionBody({ transaction_id: `ms_${ms}` }))
    const headers = signedHeaders(body, START, { aheadMs: seconds * 1000 })
    expect((await service.post(body, headers)).status).toBe(status)
  }
})

test('a timestamp is compared with the wall clock, also after a step', async () => {
  await using service = testService({ flags: SIGNATURE_FLAGS })
  const body = JSON.stringify(transactionBody())
  const headers = signedHeaders(body, START)
  service.clock.stepWall(3_600_000)
  const late = await service.post(body, headers)
  expect(late.status).toBe(401)
  expect(await late.json()).toMatchObject({ detail: 'The header webhook-timestamp is 3600 s old.' })
  service.clock.stepWall(-3_600_000)
  expect((await service.post(body, headers)).status).toBe(202)
})

test('a repeated header is refused, with the same value or another', async () => {
  await using service = testService({ flags: SIGNATURE_FLAGS })
  const body = JSON.stringify(transactionBody())
  const signed = signedHeaders(body, START)
  for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const) {
    for (const second of [signed[name], '', 'x']) {
      for (const values of [
        [signed[name], second],
        [second, signed[name]],
      ]) {
        const headers = new Headers(signed)
        headers.delete(name)
        for (const value of values) headers.append(name, value)
        const request = new Request('http://localhost/webhook', { method: 'POST', headers, body })
        expect([name, second, (await service.app.fetch(request)).status]).toEqual([
          name,
          second,
          401,
        ])
      }
    }
  }
})

test('a signature header that is not in its form is refused with that form', async () => {
  await using service = testService({ flags: SIGNATURE_FLAGS })
  const body = JSON.stringify(transactionBody())
  const signed = signedHeaders(body, START)
  const { 'webhook-signature': right } = signed
  for (const folded of [`${right}, ${right}`, `${right} ${right}`.replaceAll(',', ', ')]) {
    const response = await service.post(body, { ...signed, 'webhook-signature': folded })
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({
      detail: expect.stringMatching(/webhook-signature .* must look like "v1,BASE64 v1,BASE64"\.$/),
    })
  }
})

test('without secrets signatures are not checked', async () => {
  await using service = testService()
  const headers = { 'webhook-id': '', 'webhook-signature': 'nonsense' }
  expect((await service.post(transactionBody(), headers)).status).toBe(202)
})

test('a signed webhook that is sent again is a replay', async () => {
  await using service = testService({ flags: SIGNATURE_FLAGS })
  const body = JSON.stringify(transactionBody())
  const headers = signedHeaders(body, START)
  expect((await service.post(body, headers)).headers.get('idempotent-replayed')).toBeNull()
  expect((await service.post(body, headers)).headers.get('idempotent-replayed')).toBe('true')
})

test('reading needs no signature', async () => {
  await using service = testService({ flags: SIGNATURE_FLAGS })
  const body = JSON.stringify(transactionBody())
  await service.post(body, signedHeaders(body, START))
  expect((await service.get('/v1/transactions/txn_001')).status).toBe(200)
})

test('a refusal names the header, and shows neither secret nor signature', async () => {
  await using service = testService({ flags: SIGNATURE_FLAGS })
  const body = JSON.stringify(transactionBody())
  const [secret] = SIGNATURE_SECRETS
  const right = new Webhook(secret).sign('msg_1', new Date(START), body)
  const headers = { ...signedHeaders(body, START), 'webhook-signature': 'v1,wrong' }
  const response = await service.post(body, headers)
  const text = await response.text()
  expect(text).toContain('webhook-signature')
  expect(text).not.toContain(right.slice(3))
  expect(text).not.toContain(secret.slice(6))
})

describe('a secret', () => {
  const encoded = (bytes: number) => Buffer.alloc(bytes, 7).toString('base64')

  test.each([24, 25, 32, 63, 64])('may have %i bytes', (bytes) => {
    expect(parseSecret(`whsec_${encoded(bytes)}`)).toEqual(Buffer.alloc(bytes, 7))
  })

  test('may come without padding', () => {
    expect(parseSecret(`whsec_${encoded(25).replaceAll('=', '')}`)).toEqual(Buffer.alloc(25, 7))
  })

  test.each([
    ['too short', `whsec_${encoded(23)}`],
    ['too long', `whsec_${encoded(65)}`],
    ['empty', 'whsec_'],
    ['without its prefix', encoded(32)],
    ['with its prefix in capitals', `WHSEC_${encoded(32)}`],
    ['for asymmetric signatures', `whsk_${encoded(64)}`],
    ['in base64url', `whsec_${'-_'.repeat(20)}`],
    ['with a line feed', `whsec_${encoded(32)}\n`],
    ['with a space', `whsec_ ${encoded(32)}`],
    ['with padding inside', `whsec_${encoded(25)}${encoded(25)}`],
  ])('%s is refused', (_name, text) => {
    expect(parseSecret(text)).toBeUndefined()
  })
})
