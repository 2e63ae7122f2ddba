/**
 * The contract of signed webhooks as cases for `checkCase`. `standardwebhooks` signs them: the
 * verification is tested against another implementation.
 */

import { Webhook } from 'standardwebhooks'
import {
  CONTRACT_BODY_BYTES_MAX,
  CONTRACT_FLAGS,
  type ContractCase,
  webhookRequest,
} from './contract-cases.ts'
import { transactionBody } from './service.ts'

export const secretOf = (char: string) => `whsec_${Buffer.from(char.repeat(32)).toString('base64')}`

/** The service accepts both; senders sign with either during a rotation. */
export const SIGNATURE_SECRETS = [secretOf('a'), secretOf('b')] as const
const [OLD_SECRET, NEW_SECRET] = SIGNATURE_SECRETS
const UNKNOWN_SECRET = secretOf('c')

/** The flags that the cases need; all others may have any value. */
export const SIGNATURE_FLAGS = {
  ...CONTRACT_FLAGS,
  '--webhook-secrets': SIGNATURE_SECRETS.join(','),
} as const

type Signed = {
  id?: string
  secret?: string
  /** How far the timestamp is ahead of now. */
  aheadMs?: number
  /** What is signed, where that is not the body. */
  signedBody?: string | Buffer
}

/** The headers that a sender makes. */
export function signedHeaders(body: string | Buffer, now: number, signed: Signed = {}) {
  const { id = 'msg_1', secret = OLD_SECRET, aheadMs = 0, signedBody = body } = signed
  const time = new Date(now + aheadMs)
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(time.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign(id, time, signedBody),
  }
}

/** As `standardwebhooks` signs, but also bytes that are no text and malformed timestamps. */
function signatureOfBytes(id: string, timestamp: string, body: string | Buffer): string {
  const key = Buffer.from(OLD_SECRET.slice('whsec_'.length), 'base64')
  const hmac = new Bun.CryptoHasher('sha256', key).update(`${id}.${timestamp}.`).update(body)
  return `v1,${hmac.digest('base64')}`
}

type SignedHeaders = ReturnType<typeof signedHeaders>

/** `webhook-` headers under the names that Svix gives them. */
function svixNames(headers: Record<string, string>): Record<string, string> {
  const entries = Object.entries(headers)
  return Object.fromEntries(
    entries.map(([name, value]) => [name.replace('webhook-', 'svix-'), value]),
  )
}

function without(headers: Record<string, string>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([other]) => other !== name))
}

/**
 * The cases, signed at `now` (wall time in ms). None is near the bounds of the tolerance: they are
 * right for a minute where the clock of the service runs.
 *
 * @param prefix of the transaction ids; with another one the cases can run again
 */
export function signatureCases(now: number, prefix = 'signed'): ContractCase[] {
  let count = 0

  function make(
    name: string,
    passes: boolean,
    headersOf: (body: string) => Record<string, string>,
  ): ContractCase {
    const id = `${prefix}_${++count}`
    const fields = transactionBody({ transaction_id: id })
    const body = JSON.stringify(fields)
    return {
      name: `${passes ? 'accepted' : '401'}: ${name}`,
      request: webhookRequest(body, headersOf(body)),
      ...(passes ? { status: 202 } : { status: 401, code: 'invalid_signature' }),
      transactionId: id,
      stored: passes,
      shown: { ...fields, extra: {} },
    }
  }

  const signed = (name: string, passes: boolean, how: Signed) =>
    make(name, passes, (body) => signedHeaders(body, now, how))
  const edited = (
    name: string,
    passes: boolean,
    edit: (headers: SignedHeaders, body: string) => Record<string, string>,
  ) => make(name, passes, (body) => edit(signedHeaders(body, now), body))
  /** Edits the valid value of the signature header. */
  const signature = (
    name: string,
    passes: boolean,
    edit: (value: string, body: string) => string,
  ) =>
    edited(name, passes, (headers, body) => ({
      ...headers,
      'webhook-signature': edit(headers['webhook-signature'], body),
    }))
  const timestamp = (name: string, value: (seconds: number) => string) =>
    make(name, false, (body) => {
      const text = value(Math.floor(now / 1000))
      const headers = { ...signedHeaders(body, now), 'webhook-timestamp': text }
      // The signature is valid: only the timestamp is refused.
      return { ...headers, 'webhook-signature': signatureOfBytes('msg_1', text, body) }
    })
  /** A request with several faults, and the answer to the first. */
  const first = (
    name: string,
    headersOf: (body: string | Buffer, at: number) => Record<string, string>,
    body: string | Buffer,
    status: number,
    code: string,
    errors?: [string, string][],
  ): ContractCase => ({
    name: `${status}, the first of several faults: ${name}`,
    request: webhookRequest(body, headersOf(body, now)),
    status,
    code,
    ...(errors ? { errors } : {}),
    stored: false,
  })

  const unsigned = { 'content-type': 'application/json' }
  const other = `v1,${Buffer.from('x'.repeat(32)).toString('base64')}`
  const tooLong = 'x'.repeat(CONTRACT_BODY_BYTES_MAX + 1)
  const standard = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const

  return [
    signed('signed with the first secret', true, { secret: OLD_SECRET }),
    signed('signed with the second secret', true, { secret: NEW_SECRET }),
    signed('signed with an unknown secret', false, { secret: UNKNOWN_SECRET }),
    signed('an id with dots, slashes and spaces', true, { id: 'msg.1/ü ?,x' }),
    signed('200 s old', true, { aheadMs: -200_000 }),
    signed('200 s ahead', true, { aheadMs: 200_000 }),
    signed('400 s old', false, { aheadMs: -400_000 }),
    signed('400 s ahead', false, { aheadMs: 400_000 }),
    signed('a year old', false, { aheadMs: -365 * 86_400_000 }),
    signed('signed over another body', false, { signedBody: '{}' }),
    signed('signed over no body', false, { signedBody: '' }),

    make('without any signature header', false, () => unsigned),
    ...standard.map((name) => edited(`without ${name}`, false, (it) => without(it, name))),
    ...standard.map((name) =>
      edited(`with an empty ${name}`, false, (it) => ({ ...it, [name]: '' })),
    ),
    ...standard.map((name) =>
      // A repeated header arrives in this form.
      edited(`with ${name} twice`, false, (it) => ({ ...it, [name]: `${it[name]}, ${it[name]}` })),
    ),
    edited('with another id', false, (it) => ({ ...it, 'webhook-id': 'msg_2' })),
    edited('with another timestamp', false, (it) => ({
      ...it,
      'webhook-timestamp': String(Number(it['webhook-timestamp']) + 1),
    })),
    timestamp('a timestamp in milliseconds', (seconds) => `${seconds}000`),
    timestamp('a timestamp with a fraction', (seconds) => `${seconds}.0`),
    timestamp('a timestamp with a sign', (seconds) => `+${seconds}`),
    timestamp('a negative timestamp', (seconds) => `-${seconds}`),
    timestamp('a timestamp with an exponent', (seconds) => `${seconds / 10}e1`),
    timestamp('a timestamp in hex', (seconds) => `0x${seconds.toString(16)}`),
    timestamp('a timestamp that is a date', () => new Date(now).toISOString()),
    timestamp('a timestamp that is no number', () => 'NaN'),

    signature('a wrong signature before the right one', true, (it) => `${other} ${it}`),
    signature('a wrong signature behind the right one', true, (it) => `${it} ${other}`),
    signature('other versions beside the right one', true, (it) => `v1a,x v2,y ${it}`),
    signature('the right one as the 32nd', true, (it) => `${`${other} `.repeat(31)}${it}`),
    signature('the right one after 64 others', true, (it) => `${`${other} `.repeat(64)}${it}`),
    signature('signatures of an unknown and of a known secret', true, (it, body) => {
      const unknown = signedHeaders(body, now, { secret: UNKNOWN_SECRET })
      return `${unknown['webhook-signature']} ${it}`
    }),
    signature('two wrong signatures', false, () => `${other} ${other}`),
    signature('a space behind the comma, as a proxy adds it', true, (it) => it.replace(',', ', ')),
    signature('spaces and tabs behind the comma', true, (it) => it.replace(',', ', \t ')),
    signature('a space behind the comma of a wrong one', false, () => other.replace(',', ', ')),
    signature('a space behind the comma, of two', false, (it) =>
      `${it} ${it}`.replaceAll(',', ', '),
    ),
    signature('a space behind the comma, and another header', false, (it) => {
      return `${it.replace(',', ', ')}, ${other}`
    }),
    signature('a space before the comma', false, (it) => it.replace(',', ' ,')),
    signature('a space behind the comma of another version', false, (it) => {
      return it.replace('v1,', 'v1a, ')
    }),
    signature('a comma-separated list', false, (it) => `${other},${it}`),
    signature('another version of the right one', false, (it) => it.replace('v1,', 'v2,')),
    signature('no version', false, (it) => it.replace('v1,', '')),
    signature('the version in capitals', false, (it) => it.replace('v1,', 'V1,')),
    signature('the version alone', false, () => 'v1,'),
    signature('a signature cut off', false, (it) => it.slice(0, -5)),
    signature('a signature with a character after it', false, (it) => `${it}A`),
    signature('a signature in hex', false, (it) => {
      return `v1,${Buffer.from(it.slice(3), 'base64').toString('hex')}`
    }),
    signature('one bit flipped', false, (it) => `v1,${it[3] === 'A' ? 'B' : 'A'}${it.slice(4)}`),

    edited('the svix names', true, svixNames),
    edited('the svix names, tampered', false, (it) => ({ ...svixNames(it), 'svix-id': 'msg_2' })),
    ...standard.map((name) =>
      edited(`the svix names but for ${name}`, false, (it) => ({
        ...without(svixNames(it), name.replace('webhook-', 'svix-')),
        [name]: it[name],
      })),
    ),
    edited('a right webhook set, beside a wrong svix one', true, (it, body) => ({
      ...svixNames(signedHeaders(body, now, { secret: UNKNOWN_SECRET })),
      ...it,
    })),
    edited('a wrong webhook set, beside a right svix one', false, (it, body) => ({
      ...svixNames(it),
      ...signedHeaders(body, now, { secret: UNKNOWN_SECRET }),
    })),
    edited('the svix names, beside an empty webhook-id', false, (it) => ({
      ...svixNames(it),
      'webhook-id': '',
    })),

    first('the type, before the signature', () => ({}), '{}', 415, 'unsupported_media_type'),
    first('the size, before the signature', () => unsigned, tooLong, 413, 'body_too_large'),
    first('the signature, before JSON', () => unsigned, '{', 401, 'invalid_signature'),
    first('the signature, before fields', () => unsigned, '{}', 401, 'invalid_signature'),
    first(
      'a signature of the bytes as they are, before UTF-8',
      (body, at) => {
        const headers = signedHeaders('', at)
        const timestamp = headers['webhook-timestamp']
        return { ...headers, 'webhook-signature': signatureOfBytes('msg_1', timestamp, body) }
      },
      Buffer.of(0x22, 0xff, 0x22),
      400,
      'invalid_json',
    ),
    first(
      'a signature of what the bytes would be as text, before UTF-8',
      (_, at) => signedHeaders('"\ufffd"', at),
      Buffer.of(0x22, 0xff, 0x22),
      401,
      'invalid_signature',
    ),
    first('a good signature, before JSON', signedHeaders, '{', 400, 'invalid_json'),
    first('a good signature of nothing', signedHeaders, '', 400, 'invalid_json'),
    first('a good signature, before fields', signedHeaders, '[]', 422, 'invalid_transaction', [
      ['', 'type'],
    ]),
    first(
      'a signature of what the bytes mean, before JSON',
      (_, at) => signedHeaders('{"a":1}', at),
      '{ "a": 1 }',
      401,
      'invalid_signature',
    ),
  ]
}
