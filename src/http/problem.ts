/**
 * Errors as `application/problem+json` (RFC 9457), with a `code` for programs and a `detail` for
 * people. The `type` stays about:blank, its default, so the `title` is the phrase of the status.
 */

import { STATUS_CODES } from 'node:http'
import type { Clock } from '../clock.ts'
import { InvalidCursor, StorageUnavailable } from '../store/store.ts'
import type { Log } from '../telemetry/log.ts'
import { jsonResponse, REQUEST_ID } from './json-response.ts'
import { createRefusalLog } from './refusals.ts'

/** Every error that is answered: its code, status and meaning. */
export const PROBLEMS = {
  invalid_json: { status: 400, meaning: 'Invalid JSON' },
  invalid_path: { status: 400, meaning: 'Invalid path' },
  invalid_signature: { status: 401, meaning: 'Invalid signature' },
  invalid_api_key: { status: 401, meaning: 'Missing or unknown API key' },
  host_not_allowed: { status: 403, meaning: 'Host not allowed without API keys' },
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
  overloaded: { status: 503, meaning: 'Too many requests at once' },
  not_alive: { status: 503, meaning: 'Not alive' },
  not_ready: { status: 503, meaning: 'Not ready' },
} as const

export type ProblemCode = keyof typeof PROBLEMS

/** What is wrong with one part of the request. */
export type ProblemPart = { path: string; code: string; message: string }

/** The part for a parameter or member that its path does not take. */
export function unknownPart(path: string): ProblemPart {
  return { path, code: 'unknown', message: 'is unknown here' }
}

/** An error to throw from anywhere below a route: it becomes the answer. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: ProblemCode
  readonly errors: readonly ProblemPart[] | undefined
  readonly headers: Readonly<Record<string, string>>

  /** @param detail a sentence for the sender, without internals */
  constructor(
    code: ProblemCode,
    detail: string,
    options: { errors?: readonly ProblemPart[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail)
    this.code = code
    this.errors = options.errors
    this.headers = options.headers ?? {}
  }
}

/** For errors that pass without a change of the request. In seconds (RFC 9110, 10.2.3). */
export const RETRY_AFTER = { 'retry-after': '5' } as const

/** There is no route at the path. */
export function notFound(): Problem {
  return new Problem('not_found', 'There is no such path.')
}

export const INVALID_CURSOR = 'must be the next_cursor of an earlier answer'

/** The query has these faults. */
export function invalidQuery(errors: readonly ProblemPart[]): Problem {
  const detail = 'The query is not valid for this path: `errors` names every fault.'
  return new Problem('invalid_parameters', detail, { errors })
}

/** The answer to a request with a problem. */
export function problemResponse({ code, message: detail, errors, headers }: Problem): Response {
  const { status } = PROBLEMS[code]
  const title = STATUS_CODES[status]
  const request_id = crypto.randomUUID()
  const body = { type: 'about:blank', title, status, detail, code, request_id, errors }
  return jsonResponse(JSON.stringify(body), status, {
    ...headers,
    'content-type': 'application/problem+json',
    [REQUEST_ID]: request_id,
  })
}

export type FailureDeps = { clock: Clock; log: Pick<Log, 'warn' | 'error'> }

/** A function that answers a request with any error, and logs what operators should know of it. */
export function createFailureResponse(deps: FailureDeps): (error: unknown) => Response {
  const logRefusal = createRefusalLog(deps)
  return (error) => {
    const problem = problemOf(error)
    const { code, message: detail, errors = [] } = problem
    const response = problemResponse(problem)
    const request_id = response.headers.get(REQUEST_ID)
    if (code === 'internal_error') deps.log.error('a request failed', { request_id, error })
    else if (error instanceof StorageUnavailable)
      logRefusal(code, { request_id, reason: error.reason })
    // It says which header is wrong, and by how much a clock is.
    else if (code === 'invalid_signature') logRefusal(code, { request_id, detail })
    else if (code === 'invalid_transaction' || code === 'transaction_conflict')
      logRefusal(code, { request_id, fields: errors.map(({ path }) => path) })
    else logRefusal(code, { request_id })
    return response
  }
}

/** The problem that an error is to the sender. What is not meant for senders is `internal_error`. */
function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof InvalidCursor) {
    return invalidQuery([{ path: 'cursor', code: 'value', message: INVALID_CURSOR }])
  }
  if (!(error instanceof StorageUnavailable)) {
    return new Problem('internal_error', 'The service failed to answer the request.')
  }
  const options = { headers: RETRY_AFTER }
  switch (error.reason) {
    case 'full':
      return new Problem('storage_full', 'The storage is full.', options)
    case 'overloaded':
      return new Problem('overloaded', 'Too many requests are under way.', options)
    case 'closed':
      return new Problem('shutting_down', 'The service is shutting down.', options)
    case 'busy':
    case 'failed':
      return new Problem('storage_unavailable', 'The storage is unavailable now.', options)
    default:
      return error.reason satisfies never
  }
}
