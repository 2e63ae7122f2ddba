/**
 * Signatures of Standard Webhooks (https://www.standardwebhooks.com, the symmetric scheme v1):
 * HMAC-SHA256 over `id.timestamp.body`, with the bytes of the body as received.
 */

import { createHmac, timingSafeEqual } from 'node:crypto'

const PREFIX = 'whsec_'
/** By the specification. */
const SECRET_BYTES_MIN = 24
const SECRET_BYTES_MAX = 64
/** How far a timestamp may be off, in either direction: limits replays. */
const TOLERANCE_S = 300

/** The key of a `whsec_…` secret; undefined where the text is no such secret. */
export function parseSecret(text: string): Uint8Array | undefined {
  const encoded = text.slice(PREFIX.length)
  if (!text.startsWith(PREFIX) || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return undefined
  const key = Buffer.from(encoded, 'base64')
  return key.length >= SECRET_BYTES_MIN && key.length <= SECRET_BYTES_MAX ? key : undefined
}

/** The `whsec_…` secret of a key. */
export function encodeSecret(key: Uint8Array): string {
  return `${PREFIX}${Buffer.from(key).toString('base64')}`
}

/** The `v1` signature of a body. The timestamp is in unix seconds. */
export function signatureOf(
  key: Uint8Array,
  id: string,
  timestamp: string,
  body: Uint8Array,
): string {
  const hmac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body)
  return `v1,${hmac.digest('base64')}`
}

/**
 * The three headers of a signed webhook.
 *
 * @param now wall time in ms
 */
export function signedHeaders(key: Uint8Array, id: string, now: number, body: Uint8Array) {
  const timestamp = String(Math.floor(now / 1000))
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatureOf(key, id, timestamp, body),
  }
}

/**
 * Verifies the signature of a webhook.
 *
 * @param body the bytes as received
 * @param keys a signature by any of them passes
 * @param now wall time in ms
 * @returns why it does not pass; undefined where it passes
 */
export function signatureFault(
  headers: Headers,
  body: Uint8Array,
  keys: readonly Uint8Array[],
  now: number,
): string | undefined {
  const names = headerNames(headers)
  const [, timestampName, signatureName] = names
  const values: string[] = []
  for (const name of names) {
    const received = headers.get(name)
    if (received === null || received === '') return `The header ${name} is missing.`
    const value = name === signatureName ? unfolded(received) : received
    // Repeated headers arrive joined by ", ": none of the three may contain it.
    if (value.includes(', ')) {
      const fault = `The header ${name} came more than once.`
      if (name !== signatureName) return fault
      return `${fault} Or a proxy changed it: it must look like "v1,BASE64 v1,BASE64".`
    }
    values.push(value)
  }
  const [id, timestamp, signatures] = values as [string, string, string]

  if (!/^[0-9]{1,12}$/.test(timestamp)) return `The header ${timestampName} is not in unix seconds.`
  const age = Math.floor(now / 1000) - Number(timestamp)
  if (age > TOLERANCE_S) return `The header ${timestampName} is ${age} s old.`
  if (-age > TOLERANCE_S) return `The header ${timestampName} is ${-age} s ahead.`

  const candidates = signatures.split(' ')
  for (const key of keys) {
    const expected = Buffer.from(signatureOf(key, id, timestamp, body))
    if (candidates.some((candidate) => equal(Buffer.from(candidate), expected))) return undefined
  }
  return `No signature in ${signatureName} matches.`
}

/** A proxy that takes the comma for that of a list adds a space: of one signature that is harmless. */
function unfolded(value: string): string {
  return value.replace(/^v1,[ \t]+([A-Za-z0-9+/]+={0,2})$/, 'v1,$1')
}

/** The names of the three headers: `svix-*` where some are sent and no `webhook-*` is. */
export function headerNames(headers: Headers): readonly [string, string, string] {
  const standard = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const
  const svix = ['svix-id', 'svix-timestamp', 'svix-signature'] as const
  const sent = (names: readonly string[]) => names.some((name) => headers.has(name))
  return sent(svix) && !sent(standard) ? svix : standard
}

/** Takes the same time wherever they differ. */
function equal(candidate: Buffer, expected: Buffer): boolean {
  return candidate.length === expected.length && timingSafeEqual(candidate, expected)
}
