import {
  encodeSecret,
  headerNames,
  signatureFault,
  signatureOf,
} from '../domain/standard-webhooks.ts'
import { EXIT } from '../exit.ts'

export type VerifyDeps = {
  keys: readonly Uint8Array[]
  /** Wall time in ms. */
  now: number
  print(text: string): void
  printError(text: string): void
}

/**
 * Says whether a webhook passes, and if not, why and what is likely to have gone wrong. Meant for
 * whoever has the secrets: it shows what the signature should have been.
 *
 * @returns the exit code: 0 where it passes
 */
export function verify(headers: Headers, body: Uint8Array, deps: VerifyDeps): number {
  const { keys, now, print, printError } = deps
  const fault = signatureFault(headers, body, keys, now)
  if (fault === undefined) {
    const signers = keys.flatMap((key, i) => {
      return signatureFault(headers, body, [key], now) === undefined ? [`${i + 1}`] : []
    })
    print(`It passes: signed by secret ${signers.join(' and ')} of ${keys.length}.\n`)
    return EXIT.done
  }
  printError([`It does not pass: ${fault}`, ...hints(headers, body, keys, now)].join('\n'))
  return EXIT.fault
}

/** What would have passed instead. */
function hints(
  headers: Headers,
  body: Uint8Array,
  keys: readonly Uint8Array[],
  now: number,
): string[] {
  const [id, timestamp] = headerNames(headers).map((name) => headers.get(name))
  if (!id || !timestamp || !/^[0-9]{1,12}$/.test(timestamp)) return []
  const then = Number(timestamp) * 1000
  const passes = (bytes: Uint8Array, by: readonly Uint8Array[]) =>
    signatureFault(headers, bytes, by, then) === undefined
  const tooLate =
    signatureFault(headers, body, keys, now) !== signatureFault(headers, body, keys, then)
  if (passes(body, keys)) return ['But for its time it would pass: the signature matches.']

  const found: string[] = []
  if (tooLate) found.push('Nor does the signature match.')
  const text = Buffer.from(body).toString('latin1')
  const cut = Buffer.from(text.replace(/\r?\n$/, ''), 'latin1')
  if (passes(cut, keys)) found.push('It matches without the line end at the end of the body file.')
  const asText = keys.flatMap((key) => {
    const secret = encodeSecret(key)
    return [Buffer.from(secret), Buffer.from(secret.slice('whsec_'.length))]
  })
  if (passes(body, asText))
    found.push('It was signed with the text of the secret, not with the bytes that it encodes.')
  const expected = keys.map((key) => signatureOf(key, id, timestamp, body))
  return [...found, ...expected.map((it, i) => `By secret ${i + 1} of ${keys.length}: ${it}`)]
}

/**
 * Reads headers as they are captured: a line each, `name: value`; other lines (the request line) are
 * passed over. One that comes twice is joined by a comma, as HTTP has it.
 */
export function parseHeaders(text: string): Headers {
  const headers = new Headers()
  for (const line of text.split(/\r?\n/)) {
    const [, name = '', value = ''] =
      /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name !== '') headers.append(name, value)
  }
  return headers
}
