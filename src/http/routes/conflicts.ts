import { Elysia } from 'elysia'
import { isoTime } from '../../domain/iso-time.ts'
import type { Conflict, Store } from '../../store/store.ts'
import { authenticatedErrors, parametersOf, success } from '../openapi/responses.ts'
import { LIMIT_DEFAULT, readQuery } from '../query.ts'
import { pageResponse } from '../response.ts'

export type ConflictDeps = { store: Pick<Store, 'conflicts'> }

const LIST_PARAMETERS = ['transaction_id', 'limit', 'cursor'] as const

/** Webhooks with a known `transaction_id` and other content. */
export function conflictRoutes({ store }: ConflictDeps) {
  return new Elysia().get(
    '/v1/conflicts',
    async ({ request }) => {
      const query = readQuery(request.url, LIST_PARAMETERS)
      const { transaction_id, cursor, limit = LIMIT_DEFAULT } = query
      const { data, next } = await store.conflicts(transaction_id, { cursor, limit })
      return pageResponse(data.map(conflictJson), next)
    },
    {
      detail: {
        summary: 'Conflicting webhooks, newest first',
        description:
          'The stored transaction is as it was; `differences` names what was sent instead.',
        tags: ['Conflicts'],
        parameters: parametersOf(LIST_PARAMETERS),
        responses: {
          200: success('A page of conflicts', 'Conflicts'),
          ...authenticatedErrors('invalid_parameters', 'storage_unavailable', 'shutting_down'),
        },
      },
    },
  )
}

function conflictJson(conflict: Conflict): string {
  return JSON.stringify({
    transaction_id: conflict.transactionId,
    received_at: isoTime(conflict.receivedAt),
    last_received_at: isoTime(conflict.lastReceivedAt),
    count: conflict.count,
    differences: conflict.differences,
  })
}
