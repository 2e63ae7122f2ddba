import { Problem } from './problem.ts'

/** `application/json` or `application/…+json`, with or without parameters (RFC 9110, 8.3). */
const JSON_TYPE = /^application\/(?:json|[a-z0-9!#$&^_.+-]+\+json)[ \t]*(?:;(.*))?$/i
const CHARSET = /(?:^|;)[ \t]*charset[ \t]*=([^;]*)/gi
const UTF_8 = /^(?:utf-?8|"utf-?8")$/i

/**
 * Refuses a request whose headers do not say that its body is JSON in UTF-8.
 *
 * @throws Problem unsupported_media_type
 */
export function requireJson(headers: Headers): void {
  const encoding = headers.get('content-encoding')
  if (encoding !== null && encoding.toLowerCase() !== 'identity') {
    throw unsupported('The body must not have a Content-Encoding.')
  }
  const type = headers.get('content-type')
  if (type === 'application/json') return
  const match = JSON_TYPE.exec(type ?? '')
  if (match === null) throw unsupported('The Content-Type must be application/json.')
  for (const [, charset = ''] of (match[1] ?? '').matchAll(CHARSET)) {
    if (!UTF_8.test(charset.trim()))
      throw unsupported('The charset of the Content-Type must be utf-8.')
  }
}

/**
 * Reads a body of at most `bytesMax` bytes, whatever its Content-Length.
 *
 * @throws Problem body_too_large; invalid_json where the connection ended before the body
 */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const length = request.headers.get('content-length')
  if (Number(length) > bytesMax) throw tooLarge(bytesMax)
  let body: Uint8Array
  try {
    body =
      length === null
        ? await readChunks(request.body ?? [], bytesMax)
        : new Uint8Array(await request.arrayBuffer())
  } catch {
    throw new Problem('invalid_json', 'The body is incomplete.')
  }
  if (body.byteLength > bytesMax) throw tooLarge(bytesMax)
  return body
}

/** Stops reading where there are more than `bytesMax` bytes. */
async function readChunks(
  stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  bytesMax: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of stream) {
    chunks.push(chunk)
    bytes += chunk.byteLength
    if (bytes > bytesMax) break
  }
  return Buffer.concat(chunks)
}

function unsupported(detail: string): Problem {
  return new Problem('unsupported_media_type', detail)
}

function tooLarge(bytesMax: number): Problem {
  return new Problem('body_too_large', `The body must have at most ${bytesMax} bytes.`)
}
