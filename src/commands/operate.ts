/** What operators do with a running server from the command line, by its HTTP API. */

import { EXIT } from '../exit.ts'
import { LIMIT_MAX } from '../http/query.ts'
import { plain, printable } from '../telemetry/escape.ts'
import { type ApiRequest, ask } from './client.ts'

export type OperateDeps = {
  /** Where the server is; without a slash at its end. */
  url: string
  /** Where the server wants one. */
  apiKey: string | undefined
  print(text: string): void
  printError(text: string): void
}

/** A filter as the command line takes it: parameters of the list by their names, as text. */
export type Filter = Readonly<Record<string, string>>

/** Shows a transaction. Returns the exit code, as all of these do. */
export async function get(transactionId: string, deps: OperateDeps): Promise<number> {
  const found = await answer(pathOf(transactionId), {}, deps)
  if (found !== undefined) deps.print(shown(found))
  return found === undefined ? EXIT.fault : EXIT.done
}

/** Lists transactions, newest first, each as a line of JSON. */
export async function list(filter: Filter, limit: number, deps: OperateDeps): Promise<number> {
  let cursor: string | null = null
  for (let left = limit; left > 0; ) {
    const page = new URLSearchParams({ ...filter, limit: String(Math.min(left, LIMIT_MAX)) })
    if (cursor !== null) page.set('cursor', cursor)
    const found = await answer<Page>(`/v1/transactions?${page}`, {}, deps)
    if (found === undefined) return EXIT.fault
    for (const transaction of found.data) deps.print(printable(JSON.stringify(transaction)))
    left -= found.data.length
    cursor = found.next_cursor
    if (cursor === null) return EXIT.done
  }
  deps.printError('txhook: there are more: --limit says how many are shown\n')
  return EXIT.done
}

/** Tries a FAILED transaction again. */
export async function retryOne(transactionId: string, deps: OperateDeps): Promise<number> {
  const retried = await answer(`${pathOf(transactionId)}/retry`, { method: 'POST' }, deps)
  if (retried !== undefined) deps.print(shown(retried))
  return retried === undefined ? EXIT.fault : EXIT.done
}

/** Tries again what is FAILED of a filter, or counts it. */
export async function retryMany(
  filter: Filter,
  dryRun: boolean,
  deps: OperateDeps,
): Promise<number> {
  const body = JSON.stringify({ filter, dry_run: dryRun })
  const done = await answer('/v1/transactions/retry', { method: 'POST', body }, deps)
  if (done !== undefined) deps.print(JSON.stringify(done))
  return done === undefined ? EXIT.fault : EXIT.done
}

/** The path of a transaction; an id that no URL can carry is no transaction's. */
function pathOf(transactionId: string): string {
  return `/v1/transactions/${encodeURIComponent(transactionId).replace(/^\.{0,2}$/, '%00')}`
}

type Page = { data: unknown[]; next_cursor: string | null }

/** The body of a success; undefined after a complaint about anything else. */
async function answer<T = unknown>(
  path: string,
  request: ApiRequest,
  { url, apiKey, printError }: OperateDeps,
): Promise<T | undefined> {
  try {
    const headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
    const { status, body } = await ask(new URL(`${url}${path}`), { ...request, headers })
    if (status >= 200 && status <= 299) return JSON.parse(body) as T
    printError(`txhook: ${url} answers ${status}: ${explained(body)}\n`)
  } catch (error) {
    const what = error instanceof SyntaxError ? 'answers no JSON' : "doesn't answer"
    const hint = request.method === 'POST' ? '; it may do what it was asked all the same' : ''
    printError(`txhook: ${url} ${what}: ${(error as Error).message}${hint}\n`)
  }
  return undefined
}

/** What a problem says, part by part. */
function explained(body: string): string {
  try {
    const { detail, errors = [] } = JSON.parse(body) as Explanation
    const lines = [detail, ...errors.map(({ path, message }) => `  ${path} ${message}`)]
    return lines.map(plain).join('\n')
  } catch {
    return printable(JSON.stringify(body.slice(0, 200)))
  }
}

type Explanation = { detail: string; errors?: { path: string; message: string }[] }

function shown(value: unknown): string {
  return printable(JSON.stringify(value, null, 2))
}
