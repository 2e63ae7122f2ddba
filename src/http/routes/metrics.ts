import { Elysia } from 'elysia'
import type { Store } from '../../store/store.ts'
import type { Exposition } from '../../telemetry/metrics.ts'
import { headersOf } from '../openapi/headers.ts'
import { authenticatedErrors } from '../openapi/responses.ts'

export type MetricsDeps = { store: Pick<Store, 'readings'>; exposition: Exposition }

/** What Prometheus scrapes. */
export function metricsRoute({ store, exposition }: MetricsDeps) {
  return new Elysia().get(
    '/metrics',
    async () => {
      const headers = { 'content-type': exposition.contentType }
      return new Response(await exposition.text(await store.readings()), { headers })
    },
    {
      detail: {
        summary: 'Metrics for Prometheus',
        description: 'In version 0.0.4 of its text format.',
        tags: ['Health'],
        responses: {
          200: {
            description: "The metrics in Prometheus' text format",
            headers: headersOf(),
            content: { 'text/plain': { schema: { type: 'string' } } },
          },
          ...authenticatedErrors(),
        },
      },
    },
  )
}
