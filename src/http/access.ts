/**
 * The checks that come before a route: the length of the URL, the site that sent the request, and
 * the API key (RFC 6750, 2.1). A path needs a key unless it is listed here.
 */

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Config } from '../config/read-config.ts'
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

/** The longest id has 255 characters, which are 2,295 when percent-encoded. */
const URL_LENGTH_MAX = 8_000

/**
 * A function that throws where a request must not reach its route.
 *
 * @param config its API keys may change; none: every request is allowed
 * @param isRoute whether there is a route at a path: an unknown one is 404 with and without a key
 * @throws Problem uri_too_long, cross_site, not_found, invalid_api_key
 */
export function createAccessCheck(
  config: Pick<Config, 'apiKeys'>,
  isRoute: (path: string) => boolean,
): (request: Request) => void {
  const digestsOf = lastResult((keys: readonly string[]) => keys.map(digestOf))
  return ({ url, method, headers }) => {
    if (url.length > URL_LENGTH_MAX) {
      const detail = `The URI must have at most ${URL_LENGTH_MAX} characters.`
      throw new Problem('uri_too_long', detail)
    }
    // Browsers send this header. A page of another site could otherwise post for its visitors.
    const site = method === 'POST' ? headers.get('sec-fetch-site') : null
    if (site !== null && site !== 'same-origin' && site !== 'none') {
      throw new Problem('cross_site', 'Requests from pages of other sites are refused.')
    }
    const digests = digestsOf(config.apiKeys)
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

/** Keys are compared by their SHA-256: the time that this takes does not depend on the keys. */
function checkKey(authorization: string | null, digests: readonly Buffer[]): void {
  if (authorization === null) throw unauthorized('The header Authorization is missing.')
  const key = /^bearer +(\S+)$/i.exec(authorization)?.[1]
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

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** RFC 9110, 15.5.2: a 401 names the scheme. */
function unauthorized(detail: string): Problem {
  return new Problem('invalid_api_key', detail, { headers: { 'www-authenticate': 'Bearer' } })
}
