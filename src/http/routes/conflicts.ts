import { Elysia } from 'elysia'
import { isoTime } from '../../clock.ts'
import type { Conflict } from '../../store/sqlite/list.ts'
import type { Store } from '../../store/sqlite/open-store.ts'
import { authenticatedErrors, CONFLICTS, parametersOf } from '../openapi/responses.ts'
import { LIMIT_DEFAULT, readQuery } from '../query.ts'
import { pageResponse } from '../response.ts'

export type ConflictsDeps = { store: Pick<Store, 'conflicts'> }

const LIST = ['transaction_id', 'limit', 'cursor'] as const

/** Webhooks that came under a known `transaction_id` with other content. */
export function conflicts({ store }: ConflictsDeps) {
  const detail = {
    summary: 'Conflicting webhooks, newest first',
    tags: ['Conflicts'],
    parameters: parametersOf(LIST),
    responses: {
      200: { description: 'A page of them', content: CONFLICTS },
      ...authenticatedErrors('invalid_parameters', 'storage_unavailable', 'shutting_down'),
    },
  }
  return new Elysia({ name: 'conflicts' }).get(
    '/v1/conflicts',
    async ({ request }) => {
      const query = readQuery(request.url, LIST)
      const { transaction_id, cursor: before, limit = LIMIT_DEFAULT } = query
      const { data, next } = await store.conflicts(transaction_id, { before, limit })
      return pageResponse(data.map(conflictJson), next)
    },
    { detail },
  )
}

function conflictJson({ transactionId, receivedAt, differences }: Conflict) {
  return { transaction_id: transactionId, received_at: isoTime(receivedAt), differences }
}
