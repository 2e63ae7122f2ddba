import { Elysia } from 'elysia'
import type { Clock } from '../../clock.ts'
import type { Config } from '../../config/read-config.ts'
import { isoTime } from '../../domain/iso-time.ts'
import type { Health } from '../../telemetry/health.ts'
import { headersOf } from '../openapi/headers.ts'
import { NO_AUTH, problemResponses, success } from '../openapi/responses.ts'
import { Problem, RETRY_AFTER } from '../problem.ts'
import { statusPage, wantsHtml } from '../status-page.ts'

export type HealthDeps = {
  clock: Clock
  config: Pick<Config, 'apiKeys'>
  /** Checks all parts now; the storage by a write. */
  health(): Promise<Health>
  /** False where only a restart of the process helps. */
  alive(): boolean
}

/** For load balancers, orchestrators and people. */
export function healthRoutes({ clock, config, health, alive }: HealthDeps) {
  return new Elysia({ detail: { tags: ['Health'], ...NO_AUTH } })
    .get(
      '/',
      async ({ request }) => {
        const { ok } = await health()
        const httpStatus = ok ? 200 : 503
        const status = ok ? 'HEALTHY' : 'UNHEALTHY'
        const currentTime = isoTime(clock.now().wall)
        const hasKeys = config.apiKeys.length > 0
        const response = wantsHtml(request.headers)
          ? statusPage({ httpStatus, status, currentTime, hasKeys })
          : Response.json({ status, current_time: currentTime }, { status: httpStatus })
        response.headers.set('vary', 'Accept')
        return response
      },
      {
        detail: {
          summary: 'Health: can the service work?',
          description: 'With `text/html` in `Accept`, the same as a page with links.',
          responses: {
            200: healthAnswer('`status` is `HEALTHY`'),
            ...problemResponses(),
            503: healthAnswer('`status` is `UNHEALTHY`'),
          },
        },
      },
    )
    .get(
      '/livez',
      () => {
        if (alive()) return Response.json({ status: 'LIVE' })
        throw new Problem('not_alive', 'The process must be restarted.')
      },
      {
        detail: {
          summary: 'Liveness: restart the process on 503',
          description: 'Only a restart helps where this is 503.',
          responses: { 200: success('It is alive', 'Liveness'), ...problemResponses('not_alive') },
        },
      },
    )
    .get(
      '/readyz',
      async () => {
        const { ok, checks, backlog, target } = await health()
        if (ok) return Response.json({ status: 'READY', checks: { ...checks, backlog, target } })
        const failing = Object.entries(checks).filter(([, state]) => state !== 'ok')
        throw new Problem('not_ready', 'The service accepts no transactions now.', {
          headers: RETRY_AFTER,
          errors: failing.map(([path, message]) => ({ path, code: 'not_ready', message })),
        })
      },
      {
        detail: {
          summary: 'Readiness: send no requests on 503',
          description: 'On 503, `errors` names the checks that fail.',
          responses: {
            200: success(
              'It accepts transactions, also while the target (`checks.target`) fails; new ones only ' +
                'where there is room (`checks.backlog`)',
              'Readiness',
            ),
            ...problemResponses('not_ready'),
          },
        },
      },
    )
}

/** An answer of `GET /`. */
function healthAnswer(description: string) {
  const { headers, content } = success(description, 'Health', 'Vary')
  return {
    description,
    headers: { ...headers, ...headersOf('Content-Security-Policy', 'Referrer-Policy') },
    content: { ...content, 'text/html': { schema: { type: 'string' as const } } },
  }
}
