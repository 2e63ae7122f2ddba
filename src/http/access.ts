/**
 * API keys: whoever reads transactions or retries them bears one (RFC 6750, 2.1). Default deny:
 * a route needs a key unless its path is listed here.
 */

import { createHash, timingSafeEqual } from 'node:crypto'
import { Problem } from './problem.ts'

/** Health is for machines that have no key; webhooks are signed; the docs tell nothing secret. */
const OPEN_PATHS: ReadonlySet<string> = new Set([
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

/** Whether a path is for everyone. */
export function isOpen(pathname: string): boolean {
  return OPEN_PATHS.has(pathname)
}

/**
 * A function that lets a request pass which bears one of the keys, and throws otherwise. Keys are
 * compared by their SHA-256, so that the time it takes says nothing about them.
 *
 * @throws Problem invalid_api_key
 */
export function createKeyCheck(keys: readonly string[]): (headers: Headers) => void {
  const digests = keys.map(digestOf)
  return (headers) => {
    const authorization = headers.get('authorization')
    if (authorization === null) throw unauthorized('The header Authorization is missing.')
    const key = /^bearer +(\S+)$/i.exec(authorization)?.[1]
    if (key === undefined) throw unauthorized('The header Authorization must be "Bearer KEY".')
    const digest = digestOf(key)
    // All of them, whichever it is.
    const matches = digests.filter((candidate) => timingSafeEqual(candidate, digest))
    if (matches.length === 0) throw unauthorized('The API key is not known.')
  }
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** RFC 9110 wants the scheme to be named. */
function unauthorized(detail: string): Problem {
  return new Problem('invalid_api_key', detail, { headers: { 'www-authenticate': 'Bearer' } })
}
