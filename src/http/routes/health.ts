import { Elysia } from 'elysia'
import { type Clock, isoTime } from '../../clock.ts'
import { OPEN, problemResponses } from '../openapi/responses.ts'
import { Problem, RETRY_AFTER } from '../problem.ts'

/** What the service needs in order to do its work, each found in order (`ok`) or not. */
export type Health = {
  ok: boolean
  checks: Readonly<Record<string, string>>
  /** How the target is, where there is one: `ok`, or since when it has been failing. */
  target?: string
}

export type HealthDeps = {
  clock: Clock
  /** Looks now: the storage is asked to take a write. */
  health(): Promise<Health>
  /** False where only a new process can do the work again. */
  alive(): boolean
}

/** For load balancers, orchestrators and people. */
export function health({ clock, health, alive }: HealthDeps) {
  const always = problemResponses()
  const noStore = { headers: { 'cache-control': 'no-store' } }
  return new Elysia({ name: 'health', detail: { tags: ['Health'], ...OPEN } })
    .get(
      '/',
      async () => {
        const { ok } = await health()
        const body = {
          status: ok ? 'HEALTHY' : 'UNHEALTHY',
          current_time: isoTime(clock.now().wall),
        }
        return Response.json(body, { ...noStore, status: ok ? 200 : 503 })
      },
      {
        detail: {
          summary: 'Can the service do its work?',
          responses: {
            200: { description: 'It can: `status` is `HEALTHY`' },
            ...always,
            503: { description: 'It can not: `status` is `UNHEALTHY`' },
          },
        },
      },
    )
    .get(
      '/livez',
      () => {
        if (alive()) return Response.json({ status: 'LIVE' }, noStore)
        throw new Problem('not_alive', 'The service must be started anew.')
      },
      {
        detail: {
          summary: 'Should the process go on? If not, start it anew.',
          responses: { 200: { description: 'It should' }, ...problemResponses('not_alive') },
        },
      },
    )
    .get(
      '/readyz',
      async () => {
        const { ok, checks, target } = await health()
        if (ok) return Response.json({ status: 'READY', checks: { ...checks, target } }, noStore)
        const faulty = Object.entries(checks).filter(([, state]) => state !== 'ok')
        throw new Problem('not_ready', 'The service takes no transactions now.', {
          headers: RETRY_AFTER,
          errors: faulty.map(([path, message]) => ({ path, code: 'not_ready', message })),
        })
      },
      {
        detail: {
          summary: 'Does the service take transactions now?',
          responses: {
            200: {
              description:
                'It does. `checks.target` says since when the target has been failing, where it is: ' +
                'transactions are taken all the same.',
            },
            ...problemResponses('not_ready'),
          },
        },
      },
    )
}
