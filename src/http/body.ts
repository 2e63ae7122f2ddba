import { Problem } from './problem.ts'

/** `application/json` or `application/…+json`, with parameters or without (RFC 9110, 8.3). */
const JSON_TYPE = /^application\/(?:json|[a-z0-9!#$&^_.-]+\+json)[ \t]*(?:;(.*))?$/i
const CHARSET = /(?:^|;)[ \t]*charset[ \t]*=([^;]*)/gi
const UTF_8 = /^(?:utf-?8|"utf-?8")$/i

/**
 * Refuses a body that isn't JSON in UTF-8, as its headers say.
 *
 * @throws Problem unsupported_media_type
 */
export function requireJson(headers: Headers): void {
  const encoding = headers.get('content-encoding')
  if (encoding !== null && encoding.toLowerCase() !== 'identity') {
    throw unsupported('The body must not be content-encoded.')
  }
  const type = headers.get('content-type')
  if (type === 'application/json') return
  const match = JSON_TYPE.exec(type ?? '')
  if (match === null) throw unsupported('The Content-Type must be application/json.')
  for (const [, charset = ''] of (match[1] ?? '').matchAll(CHARSET)) {
    if (!UTF_8.test(charset.trim())) throw unsupported('The charset must be utf-8.')
  }
}

/**
 * Reads a body of at most `bytesMax` bytes, whatever its headers say of its length.
 *
 * @throws Problem body_too_large
 */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const length = request.headers.get('content-length')
  if (length !== null) {
    if (Number(length) > bytesMax) throw tooLarge(bytesMax)
    return new Uint8Array(await request.arrayBuffer())
  }
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) throw tooLarge(bytesMax)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function unsupported(detail: string): Problem {
  return new Problem('unsupported_media_type', detail)
}

function tooLarge(bytesMax: number): Problem {
  return new Problem('body_too_large', `The body must have at most ${bytesMax} bytes.`)
}
