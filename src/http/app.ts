import { Elysia } from 'elysia'
import type { Config } from '../config/read-config.ts'
import { createAccessCheck, pathOf } from './access.ts'
import {
  createFailureResponse,
  type FailureDeps,
  notFound,
  Problem,
  problemResponse,
  REQUEST_ID,
} from './problem.ts'
import { type ConflictDeps, conflictRoutes } from './routes/conflicts.ts'
import { docsRoutes } from './routes/docs.ts'
import { type HealthDeps, healthRoutes } from './routes/health.ts'
import { type MetricsDeps, metricsRoute } from './routes/metrics.ts'
import { type RetryDeps, retryRoutes } from './routes/retries.ts'
import { type TransactionDeps, transactionRoutes } from './routes/transactions.ts'
import { type WebhookDeps, webhookRoutes } from './routes/webhooks.ts'

export type AppDeps = HealthDeps &
  MetricsDeps &
  TransactionDeps &
  Omit<RetryDeps, 'extendTimeout'> &
  ConflictDeps &
  WebhookDeps &
  FailureDeps & { version: string; config: Pick<Config, 'apiKeys'> }

/**
 * The HTTP API as a function from request to response, without a listener. `extendTimeout` is
 * called where the answer may take long, after the body has arrived.
 */
export type App = { fetch(request: Request, extendTimeout?: () => void): Promise<Response> }

/** Puts the routes together. */
export function createApp(deps: AppDeps): App {
  const failureResponse = createFailureResponse(deps)
  const extensions = new WeakMap<Request, () => void>()
  // By default Elysia expects host names of at least four characters.
  const app = new Elysia({ strictPath: true, handler: { standardHostname: false } })
    // Before all routes: it applies to those that come after it.
    .onError(({ code, error, request }) =>
      code === 'NOT_FOUND' ? problemResponse(noRoute(request)) : failureResponse(error),
    )
    .use(healthRoutes(deps))
    .use(webhookRoutes(deps))
    .use(transactionRoutes(deps))
    .use(retryRoutes({ ...deps, extendTimeout: (request) => extensions.get(request)?.() }))
    .use(conflictRoutes(deps))
    .use(metricsRoute(deps))
    .use(docsRoutes(deps.version))

  const checkAccess = createAccessCheck(
    deps.config,
    (path) => methodsOf(app.routes, path).length > 0,
  )

  function noRoute({ method, url }: Request): Problem {
    const methods = methodsOf(app.routes, pathOf(url))
    if (methods.length === 0 || methods.includes(method)) return notFound()
    const allow = methods.join(', ')
    const detail = `The methods of this path are ${allow}.`
    return new Problem('method_not_allowed', detail, { headers: { allow } })
  }

  return {
    async fetch(received, extendTimeout) {
      try {
        const request = withHost(received)
        checkAccess(request)
        if (extendTimeout) extensions.set(request, extendTimeout)
        return withCommonHeaders(await app.fetch(request))
      } catch (error) {
        return withCommonHeaders(failureResponse(error))
      }
    },
  }
}

/** The headers of every answer. */
function withCommonHeaders(response: Response): Response {
  const { headers } = response
  if (!headers.has(REQUEST_ID)) headers.set(REQUEST_ID, crypto.randomUUID())
  if (!headers.has('cache-control')) headers.set('cache-control', 'no-store')
  headers.set('x-content-type-options', 'nosniff')
  return response
}

/** Without a Host header, as in health checks by HTTP/1.0, Bun's URL is the path alone. */
function withHost(request: Request): Request {
  if (request.url.startsWith('http')) return request
  const url = URL.parse(request.url, 'http://localhost')
  return new Request(url?.href ?? 'http://localhost/no-path', request)
}

/** The methods of a path; none where there is no route. */
function methodsOf(routes: readonly { method: string; path: string }[], path: string): string[] {
  const segments = path.split('/')
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
