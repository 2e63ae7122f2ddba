import { Problem, RETRY_AFTER } from './problem.ts'

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
 * Bytes of all bodies under way: those being read, and those that wait for the disk. While a sync
 * hangs, 10,000 webhooks may wait, of 64 KiB each by default. Twice the largest --max-body-bytes, so
 * that there is room for any body beside others.
 */
const UNDER_WAY_BYTES_MAX = 128 * 1024 * 1024

/** A body that is under way. */
export type BodyHold = {
  /** @throws Problem overloaded */
  add(bytes: number): void
  /** The body is needed no more. */
  release(): void
}

/** Returns a function that begins to count a body with all others under way. */
export function createBodyRoom(): () => BodyHold {
  let total = 0
  return () => {
    let held = 0
    return {
      add(bytes) {
        if (total + bytes > UNDER_WAY_BYTES_MAX) {
          const detail = 'Too many bytes of bodies are under way.'
          throw new Problem('overloaded', detail, { headers: RETRY_AFTER })
        }
        total += bytes
        held += bytes
      },
      release() {
        total -= held
        held = 0
      },
    }
  }
}

/**
 * A body of this length is read at once, which takes half the time, and counts as a whole before it
 * has come in. A longer one counts as it comes in: its announcement costs a sender nothing.
 */
const READ_AT_ONCE_BYTES_MAX = 8 * 1024

/**
 * Reads a body of at most `bytesMax` bytes, whatever its Content-Length.
 *
 * @param hold counts the body; the caller releases it, also after an error
 * @throws Problem body_too_large; overloaded; invalid_json where the connection ended before the body
 */
export async function readBody(
  request: Request,
  bytesMax: number,
  hold: BodyHold,
): Promise<Uint8Array> {
  const length = Number(request.headers.get('content-length') ?? Number.NaN)
  if (length > bytesMax) throw tooLarge(bytesMax)
  const incomplete = 'The body is incomplete.'
  let body: Uint8Array
  try {
    if (length <= READ_AT_ONCE_BYTES_MAX) {
      hold.add(length)
      body = new Uint8Array(await request.arrayBuffer())
    } else body = await readChunks(request.body ?? [], bytesMax, hold)
  } catch (error) {
    if (error instanceof Problem) throw error
    throw new Problem('invalid_json', incomplete)
  }
  if (body.byteLength < length) throw new Problem('invalid_json', incomplete)
  if (body.byteLength > bytesMax) throw tooLarge(bytesMax)
  return body
}

/** Stops reading where there are more than `bytesMax` bytes. */
async function readChunks(
  stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  bytesMax: number,
  hold: BodyHold,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of stream) {
    hold.add(chunk.byteLength)
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
