import { Elysia } from 'elysia'
import type { Exposition } from '../metrics.ts'
import type { Store } from '../store/store.ts'
import { describeGuarded } from './openapi.ts'

export type MetricsDeps = { store: Pick<Store, 'readings'>; exposition: Exposition }

/** What Prometheus scrapes. */
export function metrics({ store, exposition }: MetricsDeps) {
  return new Elysia({ name: 'metrics' }).get(
    '/metrics',
    async () => {
      const headers = { 'content-type': exposition.contentType, 'cache-control': 'no-store' }
      return new Response(await exposition.text(store.readings()), { headers })
    },
    {
      detail: {
        summary: 'Metrics for Prometheus',
        tags: ['Health'],
        responses: {
          200: { description: 'The metrics in the text format of Prometheus' },
          ...describeGuarded(),
        },
      },
    },
  )
}
