/** In every answer, in the body of a problem, and in its log entry where there is one. */
export const REQUEST_ID = 'x-request-id'

/** The headers of every answer, each with a request id of its own. */
export const commonHeaders = (requestId: string = crypto.randomUUID()) => ({
  [REQUEST_ID]: requestId,
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
})

/** In UTF-16 code units: with its head this always fits into the 16 KB that Bun gathers. */
const SHORT_LENGTH_MAX = 4_000

/**
 * An answer of JSON text.
 *
 * Bun 1.4.5 sends a long body that is ready only after an `await` as some 20 segments: each name and
 * each value of the head is one (oven-sh/bun#41341). A direct stream whose buffer holds all of the
 * body is one segment.
 */
export function jsonResponse(
  json: string,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const all: Record<string, string> = {
    ...commonHeaders(headers[REQUEST_ID]),
    'content-type': 'application/json;charset=utf-8',
    ...headers,
  }
  if (json.length <= SHORT_LENGTH_MAX) return new Response(json, { status, headers: all })
  const bytes = Buffer.from(json)
  const body = new ReadableStream(
    {
      type: 'direct',
      pull(controller) {
        controller.write(bytes)
        controller.end()
      },
    },
    { highWaterMark: bytes.byteLength + 1 },
  )
  // For a HEAD.
  all['content-length'] = String(bytes.byteLength)
  return new Response(body, { status, headers: all })
}
