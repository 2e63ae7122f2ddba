import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Config } from '../config/read-config.ts'

/** How long the server may take to answer. A retry of a million transactions takes its time. */
const TIMEOUT_MS = 255_000

/** What a server answered: the status, and the body as it came. */
export type Answer = { status: number; body: string }

export type ApiRequest = {
  method?: 'GET' | 'POST'
  /** JSON. */
  body?: string
  headers?: Readonly<Record<string, string>>
  timeoutMs?: number
}

/**
 * Asks a server. Not by fetch, which would ask a proxy that the environment names.
 *
 * @throws Error where there is no answer
 */
export function ask(
  url: URL,
  { method = 'GET', body, headers: given = {}, timeoutMs }: ApiRequest,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const timeout = timeoutMs ?? TIMEOUT_MS
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  const headers = body === undefined ? given : { ...given, 'content-type': 'application/json' }
  const request = send(url, { method, headers, timeout }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () => {
      resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() })
    })
  })
  request.on('timeout', () => request.destroy(new Error(`no answer in ${timeout} ms`)))
  request.on('error', reject)
  request.end(body)
  return promise
}

/** Where the server of a configuration is; one that listens on every address, on the loopback. */
export function urlOf({ host, port }: Pick<Config, 'host' | 'port'>): string {
  return `http://${reachable(host)}:${port}`
}

function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::' || host === '[::]') return '[::1]'
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
}
