import { Elysia } from 'elysia'
import { isoTime } from '../clock.ts'
import type { Attempt } from '../store/queries.ts'
import type { Store } from '../store/store.ts'
import type { StoredTransaction } from '../transaction.ts'
import { timeOrNull, transactionJson } from '../transaction-json.ts'
import { ATTEMPTS, describeGuarded, parametersOf, TRANSACTION, TRANSACTIONS } from './openapi.ts'
import { Problem } from './problem.ts'
import { cursorBefore, FILTER, filterOf, LIMIT_DEFAULT, readQuery } from './query.ts'

export type TransactionsDeps = { store: Pick<Store, 'find' | 'list' | 'attempts'> }

/** The transactions, for whoever wants to know how far they are. */
export function transactions({ store }: TransactionsDeps) {
  const list = {
    summary: 'Transactions, newest first',
    tags: ['Transactions'],
    parameters: parametersOf(LIST),
    responses: {
      200: { description: 'A page of them', content: TRANSACTIONS },
      ...describeGuarded('invalid_parameters', 'storage_unavailable', 'shutting_down'),
    },
  }
  const ofOne = describeGuarded(
    'invalid_path',
    'transaction_not_found',
    'invalid_parameters',
    'storage_unavailable',
    'shutting_down',
  )
  const one = {
    summary: 'A transaction as it now is',
    tags: ['Transactions'],
    responses: { 200: { description: 'The transaction', content: TRANSACTION }, ...ofOne },
  }
  const attempts = {
    summary: 'The attempts of a transaction, first to last',
    tags: ['Transactions'],
    responses: { 200: { description: 'All that were begun', content: ATTEMPTS }, ...ofOne },
  }
  return new Elysia({ name: 'transactions' })
    .get(
      '/v1/transactions',
      async ({ request }) => {
        const { cursor: before, limit = LIMIT_DEFAULT, ...rest } = readQuery(request.url, LIST)
        const { data, next } = await store.list(filterOf(rest), { before, limit }, request.signal)
        return pageResponse(data.map(transactionJson), next)
      },
      { detail: list },
    )
    .get(
      '/v1/transactions/:transaction_id',
      async ({ params, request }) => {
        readQuery(request.url, [])
        const stored = await store.find(decodedId(params.transaction_id, request.url))
        return stored ? transactionResponse(200, stored) : unknownTransaction()
      },
      { detail: one },
    )
    .get(
      '/v1/transactions/:transaction_id/attempts',
      async ({ params, request }) => {
        readQuery(request.url, [])
        const found = await store.attempts(decodedId(params.transaction_id, request.url))
        return found ? dataResponse({ data: found.map(attemptJson) }) : unknownTransaction()
      },
      { detail: attempts },
    )
}

const LIST = [...FILTER, 'limit', 'cursor'] as const

function attemptJson(stored: Attempt) {
  return {
    attempt: stored.attempt,
    started_at: isoTime(stored.startedAt),
    finished_at: timeOrNull(stored.finishedAt),
    outcome: stored.outcome,
    http_status: stored.httpStatus,
    detail: stored.detail,
  }
}

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
