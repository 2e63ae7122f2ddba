/** The answers that several routes give. */

import type { StoredTransaction } from '../domain/transaction.ts'
import { transactionJson } from '../domain/transaction-json.ts'
import { jsonResponse } from './json-response.ts'
import { Problem } from './problem.ts'

/** A transaction. */
export function transactionResponse(
  status: number,
  stored: StoredTransaction,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return jsonResponse(transactionJson(stored), status, headers)
}

/** No transaction has the `transaction_id` in the path. */
export function throwNotFound(): never {
  throw new Problem('transaction_not_found', 'There is no transaction of this transaction_id.')
}

/** The transaction in the path is in another state than FAILED. */
export function throwNotFailed({ status }: StoredTransaction, detail: string): never {
  const errors = [{ path: 'status', code: 'not_failed', message: `is ${status}` }]
  throw new Problem('transaction_not_failed', detail, { errors })
}

/** A page of a list, each item as JSON text; `next` is the cursor of the next page, null on the last. */
export function pageResponse(data: readonly string[], next: string | null): Response {
  return jsonResponse(`{"data":[${data.join()}],"next_cursor":${JSON.stringify(next)}}`)
}
