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
  const type = { 'content-type': 'application/json;charset=utf-8' }
  if (json.length <= SHORT_LENGTH_MAX) {
    return new Response(json, { status, headers: { ...type, ...headers } })
  }
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
  const length = { 'content-length': String(bytes.byteLength) }
  return new Response(body, { status, headers: { ...type, ...length, ...headers } })
}
