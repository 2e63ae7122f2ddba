/** An example of every error, as it is answered. */

import { STATUS_CODES } from 'node:http'
import { PROBLEMS, type ProblemCode, type ProblemPart } from '../problem.ts'

type Example = { detail: string; errors?: readonly ProblemPart[] }

const part = (path: string, code: string, message: string): ProblemPart => ({
  path,
  code,
  message,
})

const EXAMPLES: Record<ProblemCode, Example> = {
  invalid_json: { detail: 'The body is not JSON: it ends too early, at character offset 1.' },
  invalid_path: { detail: 'The transaction_id in the path is not percent-encoded UTF-8.' },
  invalid_signature: { detail: 'The header webhook-id is missing.' },
  invalid_api_key: { detail: 'The header Authorization is missing.' },
  host_not_allowed: {
    detail: 'Without API keys the Host must be the loopback or one of --allow-host.',
  },
  cross_site: { detail: 'Requests from pages of other sites are refused.' },
  not_found: { detail: 'There is no such path.' },
  transaction_not_found: { detail: 'There is no transaction of this transaction_id.' },
  method_not_allowed: { detail: 'The methods of this path are GET, HEAD.' },
  transaction_conflict: {
    detail: 'A transaction of this transaction_id is stored with other content.',
    errors: [part('amount', 'differs', 'differs from the stored transaction')],
  },
  transaction_not_failed: {
    detail: 'Only a FAILED transaction can be tried again.',
    errors: [part('status', 'not_failed', 'is PENDING')],
  },
  body_too_large: { detail: 'The body must have at most 65536 bytes.' },
  uri_too_long: { detail: 'The URI must have at most 8000 characters.' },
  unsupported_media_type: { detail: 'The Content-Type must be application/json.' },
  invalid_transaction: {
    detail: 'The body is not a valid transaction: `errors` names every fault.',
    errors: [part('currency', 'required', 'is missing')],
  },
  invalid_parameters: {
    detail: 'The query is not valid for this path: `errors` names every fault.',
    errors: [part('limit', 'value', 'must be a whole number from 1 to 250, not "0"')],
  },
  internal_error: { detail: 'The service failed to answer the request.' },
  backlog_full: { detail: 'Too many transactions are unfinished. Send it again later.' },
  storage_full: { detail: 'The storage is full.' },
  storage_unavailable: { detail: 'The storage is unavailable now.' },
  shutting_down: { detail: 'The service is shutting down.' },
  overloaded: { detail: 'Too many requests are under way.' },
  not_alive: { detail: 'The process must be restarted.' },
  not_ready: {
    detail: 'The service accepts no transactions now.',
    errors: [part('scheduler', 'not_ready', 'not running')],
  },
}

/** An example for the document. */
export function exampleOf(code: ProblemCode) {
  const { status, meaning } = PROBLEMS[code]
  const { detail, errors } = EXAMPLES[code]
  const request_id = '0c6f1a4e-5f0e-4a53-9c39-0d6a3c3b7f10'
  const title = STATUS_CODES[status]
  const problem = { type: 'about:blank', title, status, detail, code, request_id }
  return { summary: meaning, value: errors === undefined ? problem : { ...problem, errors } }
}
