/** Lists of the API, page by page. */

import type { Command } from 'commander'
import { parseNamed } from '../config/read-config.ts'
import { wholeNumber } from '../domain/values.ts'
import { LIMIT_MAX } from '../http/query.ts'
import { printable } from '../telemetry/escape.ts'
import { callApi, type Server } from './client.ts'
import type { VerbDeps } from './flags.ts'

const ROWS_MAX = 999_999_999

type Page = { data: unknown[]; next_cursor: string | null }

export type List = {
  /** Of the API. */
  path: string
  /** Its parameters but for `limit` and `cursor`. */
  parameters: Readonly<Record<string, string>>
  /** The flags that gave the parameters. */
  flags: Readonly<Record<string, string>>
  /** How many rows at most, as it was given. */
  limit: string
  /** What the rows are, for people. */
  rows: string
}

/** Adds the flag of how many rows to print. */
export function withLimit(command: Command): Command {
  return command.option('--limit <count>', 'how many at most', '50')
}

/**
 * Prints the rows of a list, a line of JSON each, and says so where there are more.
 *
 * @throws ExitError, BadValue
 */
export async function printPages(server: Server, list: List, deps: VerbDeps): Promise<void> {
  const { path, parameters, flags, rows } = list
  let left = parseNamed('--limit', list.limit, wholeNumber(1, ROWS_MAX))
  let cursor: string | null = null
  do {
    const limit = String(Math.min(left, LIMIT_MAX))
    const query = new URLSearchParams({ ...parameters, limit, ...(cursor && { cursor }) })
    const page: Page = await callApi<Page>(server, `${path}?${query}`, { flags })
    if (!printRows(page.data, deps)) return
    left -= page.data.length
    cursor = page.next_cursor
  } while (cursor !== null && left > 0)
  if (cursor !== null) deps.printError(`txhook: there are more ${rows}: set a higher --limit\n`)
}

/** Prints a line of JSON each. Returns false where the pipe is closed. */
export function printRows(rows: readonly unknown[], { print }: VerbDeps): boolean {
  return rows.every((row) => print(printable(JSON.stringify(row))))
}
