import { Elysia } from 'elysia'
import type { Config } from '../config/read-config.ts'
import type { Log } from '../telemetry/log.ts'
import { createAccessCheck, pathOf } from './access.ts'
import { createBodyRoom } from './body.ts'
import { commonHeaders, REQUEST_ID } from './json-response.ts'
import {
  createFailureResponse,
  type FailureDeps,
  notFound,
  Problem,
  problemResponse,
} from './problem.ts'
import { type ConflictDeps, conflictRoutes } from './routes/conflicts.ts'
import { docsRoutes } from './routes/docs.ts'
import { type HandledDeps, handledRoute } from './routes/handled.ts'
import { type HealthDeps, healthRoutes } from './routes/health.ts'
import { type MetricsDeps, metricsRoute } from './routes/metrics.ts'
import { type RetryDeps, retryRoutes } from './routes/retries.ts'
import { type TransactionDeps, transactionRoutes } from './routes/transactions.ts'
import { type WebhookDeps, webhookRoutes } from './routes/webhooks.ts'

export type AppDeps = HealthDeps &
  MetricsDeps &
  TransactionDeps &
  Omit<RetryDeps, 'extendTimeout' | 'holdBody'> &
  Omit<HandledDeps, 'holdBody'> &
  ConflictDeps &
  Omit<WebhookDeps, 'holdBody'> &
  FailureDeps & {
    version: string
    config: Pick<Config, 'apiKeys' | 'allowHost' | 'logLevel'>
    log: Pick<Log, 'debug'>
  }

/**
 * The HTTP API as a function from request to response, without a listener. `onLong` is
 * called where the answer may take long, after the body has arrived.
 */
export type App = { fetch(request: Request, onLong?: () => void): Promise<Response> }

/** Puts the routes together. */
export function createApp(deps: AppDeps): App {
  const { clock, config, log } = deps
  const failureResponse = createFailureResponse(deps)
  const holdBody = createBodyRoom()
  const extensions = new WeakMap<Request, () => void>()
  const extendTimeout = (request: Request) => extensions.get(request)?.()
  // By default Elysia expects host names of at least four characters.
  const app = new Elysia({ strictPath: true, handler: { standardHostname: false } })
    // Before all routes: it applies to those that come after it.
    .onError(({ code, error, request }) =>
      code === 'NOT_FOUND' ? problemResponse(noRoute(request)) : failureResponse(error),
    )
    .use(healthRoutes(deps))
    .use(webhookRoutes({ ...deps, holdBody }))
    .use(transactionRoutes(deps))
    .use(retryRoutes({ ...deps, holdBody, extendTimeout }))
    .use(handledRoute({ ...deps, holdBody }))
    .use(conflictRoutes(deps))
    .use(metricsRoute(deps))
    .use(docsRoutes(deps.version))

  const checkAccess = createAccessCheck(config, (path) => methodsOf(app.routes, path).length > 0)

  function noRoute({ method, url }: Request): Problem {
    const methods = methodsOf(app.routes, pathOf(url))
    if (methods.length === 0 || methods.includes(method)) return notFound()
    const allow = methods.join(', ')
    const detail = `The methods of this path are ${allow}.`
    return new Problem('method_not_allowed', detail, { headers: { allow } })
  }

  async function answer(request: Request, onLong?: () => void): Promise<Response> {
    try {
      checkAccess(request)
      if (onLong) extensions.set(request, onLong)
      return withCommonHeaders(withoutBody(request, await app.fetch(request)))
    } catch (error) {
      return withCommonHeaders(failureResponse(error))
    }
  }

  /** Logs a line for the request: its path without the query, which may contain what is private. */
  async function answerLogged(request: Request, onLong?: () => void): Promise<Response> {
    const beganAt = clock.monotonic()
    const { method, url } = request
    const response = await answer(request, onLong)
    const { status, headers } = response
    const ms = Math.round((clock.monotonic() - beganAt) * 1000) / 1000
    log.debug('request', {
      method,
      path: pathOf(url),
      status,
      ms,
      request_id: headers.get(REQUEST_ID),
    })
    return response
  }

  const answerAny = config.logLevel === 'debug' ? answerLogged : answer
  return { fetch: (received, onLong) => answerAny(withHost(received), onLong) }
}

/** An answer by `jsonResponse`, and no other, has a request id, and then all of them. */
function withCommonHeaders(response: Response): Response {
  const { headers } = response
  if (headers.has(REQUEST_ID)) return response
  for (const [name, value] of Object.entries(commonHeaders())) {
    if (!headers.has(name)) headers.set(name, value)
  }
  return response
}

/** Of a HEAD whose answer is a stream, Bun would say that the body is chunked. */
function withoutBody({ method }: Request, response: Response): Response {
  if (method !== 'HEAD' || !response.headers.has('content-length')) return response
  return new Response(null, response)
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
