import { Elysia } from 'elysia'
import { FILTER_NAMES } from '../../domain/filter.ts'
import { isoTime, isoTimeOrNull } from '../../domain/iso-time.ts'
import { transactionJson } from '../../domain/transaction-json.ts'
import type { Store } from '../../store/sqlite/open-store.ts'
import type { Attempt } from '../../store/sqlite/reads.ts'
import {
  ATTEMPTS,
  authenticatedErrors,
  parametersOf,
  TRANSACTION,
  TRANSACTIONS,
} from '../openapi/responses.ts'
import { filterOf, LIMIT_DEFAULT, readQuery } from '../query.ts'
import {
  dataResponse,
  decodedId,
  pageResponse,
  transactionResponse,
  unknownTransaction,
} from '../response.ts'

export type TransactionsDeps = { store: Pick<Store, 'find' | 'list' | 'attempts'> }

/** The transactions, for whoever wants to know how far they are. */
export function transactions({ store }: TransactionsDeps) {
  const list = {
    summary: 'Transactions, newest first',
    tags: ['Transactions'],
    parameters: parametersOf(LIST),
    responses: {
      200: { description: 'A page of them', content: TRANSACTIONS },
      ...authenticatedErrors(
        'invalid_parameters',
        'overloaded',
        'storage_unavailable',
        'shutting_down',
      ),
    },
  }
  const ofOne = authenticatedErrors(
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

const LIST = [...FILTER_NAMES, 'limit', 'cursor'] as const

function attemptJson(stored: Attempt) {
  return {
    attempt: stored.attempt,
    started_at: isoTime(stored.startedAt),
    finished_at: isoTimeOrNull(stored.finishedAt),
    outcome: stored.outcome,
    http_status: stored.httpStatus,
    detail: stored.detail,
  }
}
