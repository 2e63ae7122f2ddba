import { Elysia } from 'elysia'
import { isoTime } from '../clock.ts'
import type { Conflict } from '../store/lists.ts'
import type { Store } from '../store/store.ts'
import { CONFLICTS, describeGuarded, parametersOf } from './openapi.ts'
import { LIMIT_DEFAULT, readQuery } from './query.ts'
import { pageResponse } from './responses.ts'

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
      ...describeGuarded('invalid_parameters', 'storage_unavailable', 'shutting_down'),
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
