/** The headers of answers, in the OpenAPI document. */

const text = { type: 'string' as const }
const oneOf = (...values: string[]) => ({ ...text, enum: values })

/** `documentation.components.headers` of the document. */
export const headers = {
  'X-Request-Id': {
    required: true,
    description: 'Also in the body of a problem, and in the log where the answer has an entry.',
    schema: { ...text, format: 'uuid' },
  },
  'Cache-Control': {
    required: true,
    description: 'No answer may be stored.',
    schema: oneOf('no-store'),
  },
  'X-Content-Type-Options': { required: true, schema: oneOf('nosniff') },
  'Retry-After': {
    description: 'In seconds: when to send the same request again.',
    schema: { type: 'integer' as const, minimum: 0 },
  },
  Location: {
    description: 'The transaction.',
    schema: { ...text, format: 'uri-reference' },
  },
  'Idempotent-Replayed': {
    description: 'The transaction was posted before; nothing is processed twice.',
    schema: oneOf('true'),
  },
  'WWW-Authenticate': {
    description: '`Bearer` where an API key is needed, `Webhook-Signature` where a signature is.',
    schema: oneOf('Bearer', 'Webhook-Signature'),
  },
  Allow: { description: 'The methods of the path.', schema: text },
  Vary: { schema: oneOf('Accept') },
  'Content-Security-Policy': { description: 'Of the page.', schema: text },
  'Referrer-Policy': { description: 'Of the page.', schema: text },
}

export type HeaderName = keyof typeof headers

const OF_EVERY_ANSWER = ['X-Request-Id', 'Cache-Control', 'X-Content-Type-Options'] as const

/** The headers of an answer: those of every answer, and these. */
export function headersOf(...names: readonly HeaderName[]) {
  return Object.fromEntries(
    [...OF_EVERY_ANSWER, ...names].map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  )
}
