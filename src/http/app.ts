import { Elysia } from 'elysia'
import type { Config } from '../config/read-config.ts'
import { StorageUnavailable } from '../store/store.ts'
import type { Log } from '../telemetry/log.ts'
import { throttle } from '../telemetry/throttle.ts'
import { createKeyCheck, isOpen } from './access.ts'
import { components, DESCRIPTION } from './openapi/schemas.ts'
import { newRequestId, Problem, problemResponse, REQUEST_ID, RETRY_AFTER } from './problem.ts'
import { type ConflictsDeps, conflicts } from './routes/conflicts.ts'
import { docs } from './routes/docs.ts'
import { type HealthDeps, health } from './routes/health.ts'
import { type MetricsDeps, metrics } from './routes/metrics.ts'
import { type RetriesDeps, retries } from './routes/retries.ts'
import { type TransactionsDeps, transactions } from './routes/transactions.ts'
import { type WebhooksDeps, webhooks } from './routes/webhooks.ts'

export type AppDeps = HealthDeps &
  MetricsDeps &
  TransactionsDeps &
  Omit<RetriesDeps, 'extendTimeout'> &
  ConflictsDeps &
  WebhooksDeps & { log: Log; version: string; config: Pick<Config, 'apiKeys'> }

/** A storage that refuses refuses thousands a second: one entry in so many ms tells of it. */
const REFUSAL_LOG_MS = 10_000

/** No id is nearly as long: 255 characters make 2,295 when percent-encoded. */
const URL_LENGTH_MAX = 8_000

/**
 * The whole of the HTTP side: a function from request to response. It never listens. `patience` is
 * called where an answer may take long, once the request has come in and may ask for it.
 */
export type App = { fetch(request: Request, extendTimeout?: () => void): Promise<Response> }

/** Puts the routes together. */
export function createApp(deps: AppDeps): App {
  const { clock, log, version, config } = deps
  const checkKey = createKeyCheck(config.apiKeys)
  const documentation = {
    info: { title: 'txhook', version, description: DESCRIPTION },
    components,
    security: [{ apiKey: [] }],
  }
  const patient = new WeakMap<Request, () => void>()
  // Unless told, Elysia takes every host name to have four characters or more.
  const app = new Elysia({ strictPath: true, handler: { standardHostname: false } })
    // Before every route, so that it has the errors of all of them.
    .onError(({ code, error, request }) =>
      code === 'NOT_FOUND'
        ? problemResponse(noRoute(request.method, pathOf(request.url)))
        : failure(error),
    )
    .use(health(deps))
    .use(webhooks(deps))
    .use(transactions(deps))
    .use(retries({ ...deps, extendTimeout: (request) => patient.get(request)?.() }))
    .use(conflicts(deps))
    .use(metrics(deps))
    .use(docs(documentation))

  const shouldLogRefusal = throttle(clock, REFUSAL_LOG_MS)

  /** The answer to a request that failed, and what operators should know of it. */
  function failure(error: unknown): Response {
    const problem = problemOf(error)
    const response = problemResponse(problem)
    const request_id = response.headers.get(REQUEST_ID)
    if (problem.code === 'internal_error') log.error('a request failed', { request_id, error })
    const refused = error instanceof StorageUnavailable && error.reason !== 'closed'
    if (refused && shouldLogRefusal()) {
      const { reason } = error
      if (reason === 'overloaded') log.warn('there are too many requests', { request_id })
      else log.error('the storage refuses requests', { request_id, reason })
    }
    return response
  }

  function noRoute(method: string, path: string): Problem {
    const methods = methodsOf(app.routes, path)
    if (methods.length === 0 || methods.includes(method))
      return new Problem('not_found', 'There is nothing at this path.')
    const allow = methods.join(', ')
    const detail = `This path takes ${allow}.`
    return new Problem('method_not_allowed', detail, { headers: { allow } })
  }

  /** Refuses what needs no look at the request's meaning. */
  function checkAccess({ url, method, headers }: Request): void {
    if (url.length > URL_LENGTH_MAX) {
      const detail = `The URI must have at most ${URL_LENGTH_MAX} characters.`
      throw new Problem('uri_too_long', detail)
    }
    // Browsers say where a request comes from. No page of another site has any business here.
    const site = method === 'POST' ? headers.get('sec-fetch-site') : null
    if (site !== null && site !== 'same-origin' && site !== 'none') {
      throw new Problem('cross_site', 'A page of another site must not do this.')
    }
    if (config.apiKeys.length === 0) return
    const path = pathOf(url)
    if (isOpen(path)) return
    if (methodsOf(app.routes, path).length === 0) throw noRoute(method, path)
    checkKey(headers)
  }

  return {
    async fetch(request, extendTimeout) {
      try {
        const asked = withHost(request)
        checkAccess(asked)
        if (extendTimeout) patient.set(asked, extendTimeout)
        return withCommonHeaders(await app.fetch(asked))
      } catch (error) {
        return withCommonHeaders(failure(error))
      }
    },
  }
}

/** What every answer bears. */
function withCommonHeaders(response: Response): Response {
  const { headers } = response
  if (!headers.has(REQUEST_ID)) headers.set(REQUEST_ID, newRequestId())
  if (!headers.has('cache-control')) headers.set('cache-control', 'no-store')
  headers.set('x-content-type-options', 'nosniff')
  return response
}

function pathOf(url: string): string {
  return URL.parse(url)?.pathname ?? ''
}

/** A request without a Host header, as health checks by HTTP/1.0 are, has but a path for a URL. */
function withHost(request: Request): Request {
  if (request.url.startsWith('http')) return request
  const url = URL.parse(request.url, 'http://localhost')
  return new Request(url?.href ?? 'http://localhost/no-path', request)
}

/** The methods that a path has a route for; none: nobody knows the path. */
function methodsOf(
  routes: readonly { method: string; path: string }[],
  pathname: string,
): string[] {
  const segments = pathname.split('/')
  const methods = new Set<string>()
  for (const route of routes) {
    const parts = route.path.split('/')
    const matches =
      parts.length === segments.length &&
      parts.every((part, i) => (part.startsWith(':') ? segments[i] !== '' : part === segments[i]))
    if (!matches) continue
    methods.add(route.method)
    if (route.method === 'GET') methods.add('HEAD')
  }
  return [...methods].sort()
}

/** What a sender is told of an error. Of those that aren't meant for senders: nothing. */
function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof StorageUnavailable) {
    const options = { headers: RETRY_AFTER }
    switch (error.reason) {
      case 'full':
        return new Problem('storage_full', 'The storage has no room.', options)
      case 'overloaded':
        return new Problem('overloaded', 'There are too many requests under way.', options)
      case 'closed':
        return new Problem('shutting_down', 'The service is shutting down.', options)
      case 'busy':
      case 'failed':
        return new Problem('storage_unavailable', 'The storage takes no writes now.', options)
      default:
        return error.reason satisfies never
    }
  }
  return new Problem('internal_error', 'The service has a fault.')
}
