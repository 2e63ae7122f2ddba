import { Elysia } from 'elysia'
import { FILTER_NAMES } from '../../domain/filter.ts'
import { isoTime, isoTimeOrNull } from '../../domain/iso-time.ts'
import { transactionJson } from '../../domain/transaction-json.ts'
import type { AttemptRecord, Store } from '../../store/store.ts'
import { jsonResponse } from '../json-response.ts'
import { authenticatedErrors, parametersOf, success } from '../openapi/responses.ts'
import { LIMIT_DEFAULT, readQuery, readTransactionId } from '../query.ts'
import { pageResponse, throwNotFound, transactionResponse } from '../response.ts'

export type TransactionDeps = { store: Pick<Store, 'find' | 'list' | 'attempts'> }

const LIST_PARAMETERS = [...FILTER_NAMES, 'limit', 'cursor'] as const

const ERRORS_OF_ONE = authenticatedErrors(
  'invalid_path',
  'transaction_not_found',
  'invalid_parameters',
  'storage_unavailable',
  'shutting_down',
)

/** The transactions and their attempts. */
export function transactionRoutes({ store }: TransactionDeps) {
  return new Elysia({ detail: { tags: ['Transactions'] } })
    .get(
      '/v1/transactions',
      async ({ request }) => {
        const query = readQuery(request.url, LIST_PARAMETERS)
        const { cursor, limit = LIMIT_DEFAULT, ...filter } = query
        const { data, next } = await store.list(filter, { cursor, limit }, request.signal)
        return pageResponse(data.map(transactionJson), next)
      },
      {
        detail: {
          summary: 'Transactions, newest first',
          description:
            'No row is missed or repeated while others are added. A page may end early, also empty, ' +
            'where the search takes long: `next_cursor` continues it.',
          parameters: parametersOf(LIST_PARAMETERS),
          responses: {
            200: success('A page of transactions', 'Transactions'),
            ...authenticatedErrors(
              'invalid_parameters',
              'overloaded',
              'storage_unavailable',
              'shutting_down',
            ),
          },
        },
      },
    )
    .get(
      '/v1/transactions/:transaction_id',
      async ({ params, request }) => {
        const stored = await store.find(readTransactionId(params, request))
        return stored ? transactionResponse(200, stored) : throwNotFound()
      },
      {
        detail: {
          summary: 'A transaction',
          description: 'As it now is. One that was answered with 202 is always found.',
          responses: { 200: success('The transaction', 'Transaction'), ...ERRORS_OF_ONE },
        },
      },
    )
    .get(
      '/v1/transactions/:transaction_id/attempts',
      async ({ params, request }) => {
        const attempts = await store.attempts(readTransactionId(params, request))
        if (attempts === undefined) throwNotFound()
        return jsonResponse(JSON.stringify({ data: attempts.map(attemptJson) }))
      },
      {
        detail: {
          summary: 'The attempts of a transaction, first to last',
          description: 'An attempt is on disk before its call goes out.',
          responses: { 200: success('All attempts begun', 'Attempts'), ...ERRORS_OF_ONE },
        },
      },
    )
}

function attemptJson(stored: AttemptRecord) {
  return {
    attempt: stored.attempt,
    started_at: isoTime(stored.startedAt),
    finished_at: isoTimeOrNull(stored.finishedAt),
    outcome: stored.outcome,
    http_status: stored.httpStatus,
    detail: stored.detail,
  }
}
