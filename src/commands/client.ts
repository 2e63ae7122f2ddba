/** The HTTP client of a running server. */

import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Command } from 'commander'
import { type Config, parseNamed } from '../config/read-config.ts'
import { httpUrl } from '../domain/values.ts'
import { EXIT, ExitError } from '../exit.ts'
import { plain, printable } from '../telemetry/escape.ts'
import { parseExact } from './exact-json.ts'
import { ADDRESS, ADDRESS_HELP, configOf, type VerbDeps, withSettings } from './flags.ts'

/** For the server to answer: a retry of a million transactions takes minutes. */
const TIMEOUT_MS = 255_000

/** The body is text as it came. */
export type Answer = { status: number; body: string }

export type ApiRequest = {
  method?: 'GET' | 'POST'
  /** JSON. */
  body?: string
  headers?: Readonly<Record<string, string>>
  timeoutMs?: number
  /** By the path that a problem names, the flag that gave the value. */
  flags?: Readonly<Record<string, string>>
}

/**
 * Sends a request. Not by fetch, which would use the proxy that the environment names.
 *
 * @throws Error where there is no answer
 */
export async function ask(
  url: string | URL,
  { method = 'GET', body, headers: given = {}, timeoutMs: timeout = TIMEOUT_MS }: ApiRequest,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const target = new URL(url)
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest
  const headers = body === undefined ? given : { ...given, 'content-type': 'application/json' }
  const request = send(target, { method, headers, timeout }, (response) => {
    const answer = (chunks: Buffer[]) =>
      resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() })
    Array.fromAsync<Buffer>(response).then(answer, reject)
  })
  request.on('timeout', () => request.destroy(new Error(`no answer in ${timeout} ms`)))
  request.on('error', reject)
  request.end(body)
  return promise
}

/** The URL of a configuration's server: the loopback address where it listens on every address. */
export function urlOf({ host, port }: Pick<Config, 'host' | 'port'>): string {
  return `http://${reachable(host)}:${port}`
}

function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::' || host === '[::]') return '[::1]'
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
}

/** A server, and the API key to send, if any. The URL has no slash at its end. */
export type Server = { url: string; apiKey: string | undefined }

const SERVER = [...ADDRESS, 'apiKeys'] as const

const SERVER_HELP = { ...ADDRESS_HELP, apiKeys: 'comma-separated; the first is sent' }

/** Adds the flags of a server's URL and API key. */
export function withServer(command: Command): Command {
  const help = 'URL of the server (default: from --host and --port)'
  return withSettings(command, SERVER, SERVER_HELP).option('--url <url>', help)
}

/** @throws ExitError, BadValue */
export function serverOf(command: Command, deps: VerbDeps): Server {
  const config = configOf(command, SERVER, deps)
  const { url: given } = command.opts<{ url?: string }>()
  const [apiKey] = config.apiKeys
  if (given === undefined) return { url: urlOf(config), apiKey }
  const { origin, pathname } = parseNamed('--url', given, httpUrl)
  return { url: `${origin}${pathname.replace(/\/$/, '')}`, apiKey }
}

/** The path of a transaction. An id that a path can't carry becomes one that never exists. */
export function transactionPath(id: string): string {
  return `/v1/transactions/${encodeURIComponent(id).replace(/^\.{0,2}$/, '%00')}`
}

/**
 * Calls the API of a server, and returns the body of the answer, its numbers with all their digits.
 *
 * @throws ExitError where there is no answer, or one that is not a success
 */
export async function callApi<T = unknown>(
  { url, apiKey }: Server,
  path: string,
  request: ApiRequest = {},
): Promise<T> {
  const headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
  let problem: string
  try {
    const { status, body } = await ask(`${url}${path}`, { ...request, headers })
    if (status >= 200 && status <= 299) return parseExact(body) as T
    problem = `answers ${status}: ${problemText(body, request.flags)}`
  } catch (error) {
    const what = error instanceof SyntaxError ? 'answers no JSON' : "doesn't answer"
    const hint = request.method === 'POST' ? '; the request may have taken effect' : ''
    problem = `${what}: ${(error as Error).message}${hint}`
  }
  throw new ExitError(EXIT.fault, `${url} ${problem}`)
}

type ProblemBody = { detail: string; errors?: { path: string; message: string }[] }

/** The detail of a problem and a line for each of its parts; of any other body the beginning. */
function problemText(body: string, flags: Readonly<Record<string, string>> = {}): string {
  try {
    const { detail, errors = [] } = JSON.parse(body) as ProblemBody
    const lines = [
      detail,
      ...errors.map(({ path, message }) => `  ${flags[path] ?? path} ${message}`),
    ]
    return lines.map(plain).join('\n')
  } catch {
    return printable(JSON.stringify(body.slice(0, 200)))
  }
}

/** Indented JSON that is safe to print on a terminal. */
export function toJsonText(value: unknown): string {
  return printable(JSON.stringify(value, null, 2))
}
