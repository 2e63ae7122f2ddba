/**
 * Errors as RFC 9457 has them: `application/problem+json`, with a `code` for programs and a
 * `detail` for people. The `type` is left at its default, about:blank, since the code says it all;
 * the `title` then is the phrase of the status.
 */

import { STATUS_CODES } from 'node:http'

/** Every error that txhook answers with: the code, its status and what it means. */
export const PROBLEMS = {
  invalid_json: { status: 400, meaning: 'Invalid JSON' },
  invalid_path: { status: 400, meaning: 'Invalid path' },
  invalid_signature: { status: 401, meaning: 'Invalid signature' },
  invalid_api_key: { status: 401, meaning: 'Missing or unknown API key' },
  cross_site: { status: 403, meaning: 'Cross-site request' },
  not_found: { status: 404, meaning: 'Not found' },
  transaction_not_found: { status: 404, meaning: 'Transaction not found' },
  method_not_allowed: { status: 405, meaning: 'Method not allowed' },
  transaction_conflict: { status: 409, meaning: 'Conflicting transaction' },
  transaction_not_failed: { status: 409, meaning: 'The transaction is not FAILED' },
  body_too_large: { status: 413, meaning: 'Body too large' },
  uri_too_long: { status: 414, meaning: 'URI too long' },
  unsupported_media_type: { status: 415, meaning: 'Unsupported media type' },
  invalid_transaction: { status: 422, meaning: 'Invalid transaction' },
  invalid_parameters: { status: 422, meaning: 'Invalid parameters' },
  internal_error: { status: 500, meaning: 'Internal error' },
  backlog_full: { status: 503, meaning: 'Backlog full' },
  storage_full: { status: 503, meaning: 'Storage full' },
  storage_unavailable: { status: 503, meaning: 'Storage unavailable' },
  shutting_down: { status: 503, meaning: 'Shutting down' },
  overloaded: { status: 503, meaning: 'Too many requests under way' },
  not_alive: { status: 503, meaning: 'Not alive' },
  not_ready: { status: 503, meaning: 'Not ready' },
} as const

export type ProblemCode = keyof typeof PROBLEMS

/** What is wrong with one part of the request. */
export type ProblemPart = { path: string; code: string; message: string }

/** An answer that isn't a success, as an error to throw from wherever it shows. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: ProblemCode
  readonly errors: readonly ProblemPart[] | undefined
  readonly headers: Readonly<Record<string, string>>

  /** @param detail a sentence for the sender; it must not tell anything of the inside */
  constructor(
    code: ProblemCode,
    detail: string,
    {
      errors,
      headers = {},
    }: { errors?: readonly ProblemPart[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail)
    this.code = code
    this.errors = errors
    this.headers = headers
  }
}

/** The answer that tells of a problem. `request_id` is in the log too, where there is an entry. */
export function problemResponse(problem: Problem): Response {
  const { code, message: detail, errors } = problem
  const { status } = PROBLEMS[code]
  const requestId = newRequestId()
  const body = {
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    detail,
    code,
    request_id: requestId,
    errors,
  }
  return Response.json(body, {
    status,
    headers: {
      ...problem.headers,
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      [REQUEST_ID]: requestId,
    },
  })
}

export const REQUEST_ID = 'x-request-id'

/** Names one answer, so that sender and operator can speak of the same one. */
export function newRequestId(): string {
  return crypto.randomUUID()
}

/** For what passes by itself. In seconds, as RFC 9110 has it. */
export const RETRY_AFTER = { 'retry-after': '5' } as const
