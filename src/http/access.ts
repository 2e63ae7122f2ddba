/**
 * The checks that come before a route: the length of the URL, the host that it is sent to, the site
 * that sent it, and the API key (RFC 6750, 2.1). A path needs a key unless it is listed here.
 */

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Config } from '../config/read-config.ts'
import { hostName, isLoopback } from '../domain/host.ts'
import type { Actor } from '../store/store.ts'
import { notFound, Problem } from './problem.ts'

/** Health checks have no key, webhooks are signed, and the docs contain no data. */
const PATHS_WITHOUT_KEY: ReadonlySet<string> = new Set([
  '/',
  '/livez',
  '/readyz',
  '/webhook',
  '/v1/webhooks/transactions',
  '/swagger',
  '/swagger/json',
  '/swagger/start.js',
  '/swagger/ui.js',
  '/swagger/ui.css',
])

/** Load balancers ask for these by any address. They tell nothing of transactions. */
const PATHS_OF_ANY_HOST: ReadonlySet<string> = new Set(['/', '/livez', '/readyz'])

/** The longest id has 255 characters, which are 2,295 when percent-encoded. */
const URL_LENGTH_MAX = 8_000

/**
 * A function that throws where a request must not reach its route.
 *
 * @param config its API keys may change; none: every request to one of the hosts is allowed
 * @param isRoute whether there is a route at a path: an unknown one is 404 with and without a key
 * @throws Problem uri_too_long, host_not_allowed, cross_site, not_found, invalid_api_key
 */
export function createAccessCheck(
  config: Pick<Config, 'apiKeys' | 'allowHost'>,
  isRoute: (path: string) => boolean,
): (request: Request) => void {
  const digestsOf = lastResult((keys: readonly string[]) => keys.map(digestOf))
  const isAllowed = lastResult((host: string) => isAllowedHost(host, config.allowHost))
  return ({ url, method, headers }) => {
    if (url.length > URL_LENGTH_MAX) {
      const detail = `The URI must have at most ${URL_LENGTH_MAX} characters.`
      throw new Problem('uri_too_long', detail)
    }
    const digests = digestsOf(config.apiKeys)
    const host = headers.get('host')
    if (digests.length === 0 && host && !isAllowed(host)) checkHealthPath(pathOf(url))
    // Browsers send this header. A page of another site could otherwise post for its visitors.
    const site = method === 'POST' ? headers.get('sec-fetch-site') : null
    if (site !== null && site !== 'same-origin' && site !== 'none') {
      throw new Problem('cross_site', 'Requests from pages of other sites are refused.')
    }
    if (digests.length === 0) return
    const path = pathOf(url)
    if (PATHS_WITHOUT_KEY.has(path)) return
    if (!isRoute(path)) throw notFound()
    checkKey(headers.get('authorization'), digests)
  }
}

/** The path of a URL; empty where the URL is not valid, as with a malformed Host header. */
export function pathOf(url: string): string {
  return URL.parse(url)?.pathname ?? ''
}

/**
 * A page can let its own name resolve to this machine (DNS rebinding), and is then of the same site
 * as the service. The name stands in Host, which browsers always send: without it, or with an empty
 * one, a request comes from no page.
 */
function isAllowedHost(host: string, allowed: readonly string[]): boolean {
  const name = hostName(host)
  return name !== undefined && (isLoopback(name) || allowed.includes(name))
}

/** The only paths that are served under any Host. */
function checkHealthPath(path: string): void {
  if (PATHS_OF_ANY_HOST.has(path)) return
  const detail = 'Without API keys the Host must be the loopback or one of --allow-host.'
  throw new Problem('host_not_allowed', detail)
}

/** Keys are compared by their SHA-256: the time that this takes does not depend on the keys. */
function checkKey(authorization: string | null, digests: readonly Buffer[]): void {
  if (authorization === null) throw unauthorized('The header Authorization is missing.')
  const key = bearerKey(authorization)
  if (key === undefined) throw unauthorized('The header Authorization must be "Bearer KEY".')
  const digest = digestOf(key)
  // All are compared, also after a match.
  const matches = digests.filter((candidate) => timingSafeEqual(candidate, digest))
  if (matches.length === 0) throw unauthorized('The API key is not known.')
}

/** Calls a function anew only for another value than the last. */
function lastResult<T, R>(of: (value: T) => R): (value: T) => R {
  let last: { value: T; result: R } | undefined
  return (value) => {
    if (last?.value !== value) last = { value, result: of(value) }
    return last.result
  }
}

/** In bytes: two keys of an operator differ in it. */
const FINGERPRINT_BYTES = 4

/**
 * Who sent a request that has passed the access check, for the records: the first 8 hex digits of the
 * SHA-256 of its API key; `anonymous` where none is needed.
 */
export function actorOf({ headers }: Request, apiKeys: readonly string[]): Actor {
  const key = bearerKey(headers.get('authorization') ?? '')
  if (apiKeys.length === 0 || key === undefined) return 'anonymous'
  return digestOf(key).toString('hex', 0, FINGERPRINT_BYTES)
}

function bearerKey(authorization: string): string | undefined {
  return /^bearer +(\S+)$/i.exec(authorization)?.[1]
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** RFC 9110, 15.5.2: a 401 names the scheme. */
function unauthorized(detail: string): Problem {
  return new Problem('invalid_api_key', detail, { headers: { 'www-authenticate': 'Bearer' } })
}
