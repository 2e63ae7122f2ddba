import { Elysia } from 'elysia'
import type { Store } from '../store/store.ts'
import type { StoredTransaction } from '../transaction.ts'
import { transactionJson } from '../transaction-json.ts'
import { describeProblems, TRANSACTION } from './openapi.ts'
import { Problem } from './problem.ts'

export type TransactionsDeps = { store: Pick<Store, 'find'> }

/** The transactions, for whoever wants to know how far they are. */
export function transactions({ store }: TransactionsDeps) {
  return new Elysia({ name: 'transactions' }).get(
    '/v1/transactions/:transaction_id',
    async ({ params, request }) => {
      const stored = await store.find(decodedId(params.transaction_id, request.url))
      if (stored) return transactionResponse(200, stored)
      throw new Problem('transaction_not_found', 'There is no transaction of this transaction_id.')
    },
    {
      detail: {
        summary: 'A transaction as it now is',
        tags: ['Transactions'],
        responses: {
          200: { description: 'The transaction', content: TRANSACTION },
          ...describeProblems('invalid_path', 'transaction_not_found', 'storage_unavailable'),
        },
      },
    },
  )
}

/**
 * Elysia hands on an id that doesn't decode as null, whatever its types say. And bytes that are no
 * UTF-8 and not encoded either come as a replacement character, which nobody can have meant.
 */
function decodedId(id: string | null, url: string): string {
  if (id !== null && !url.includes('\ufffd')) return id
  throw new Problem('invalid_path', 'The transaction_id in the path is not percent-encoded UTF-8.')
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
