/** The answers that several routes give, and what they read of a path. */

import type { StoredTransaction } from '../domain/transaction.ts'
import { transactionJson } from '../domain/transaction-json.ts'
import { Problem } from './problem.ts'
import { cursorBefore } from './query.ts'

/** There is no transaction of the `transaction_id` that the path names. */
export function unknownTransaction(): never {
  throw new Problem('transaction_not_found', 'There is no transaction of this transaction_id.')
}

/**
 * Elysia hands on an id that doesn't decode as null, whatever its types say. And bytes that are no
 * UTF-8 and not encoded either come as a replacement character, which nobody can have meant.
 */
export function decodedId(id: string | null, url: string): string {
  if (id !== null && !url.includes('\ufffd')) return id
  throw new Problem('invalid_path', 'The transaction_id in the path is not percent-encoded UTF-8.')
}

/** The answer that shows a page, and says before which row the next one begins. */
export function pageResponse(data: readonly unknown[], next: number | null): Response {
  return dataResponse({ data, next_cursor: next === null ? null : cursorBefore(next) })
}

/** An answer with data that nobody may keep. */
export function dataResponse(body: unknown): Response {
  return Response.json(body, { headers: { 'cache-control': 'no-store' } })
}

/** The answer that shows a transaction. */
export function transactionResponse(
  status: number,
  stored: StoredTransaction,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return Response.json(transactionJson(stored), {
    status,
    headers: { 'cache-control': 'no-store', ...headers },
  })
}
