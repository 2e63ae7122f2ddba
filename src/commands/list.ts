import type { Command } from 'commander'
import { parseFrom } from '../config/read-config.ts'
import { wholeNumber } from '../domain/values.ts'
import { LIMIT_MAX as PAGE_LIMIT_MAX } from '../http/query.ts'
import { printable } from '../telemetry/escape.ts'
import { callApi, type Server, serverOf, withServer } from './client.ts'
import { filtersOf, type VerbDeps, withFilters } from './flags.ts'

const LIMIT_MAX = 999_999_999

/** Adds `list`. */
export function addList(program: Command, deps: VerbDeps): void {
  withFilters(withServer(program.command('list')))
    .description('list transactions, newest first, a line of JSON each')
    .option('--limit <count>', 'how many at most', '50')
    .action(async (options: { limit: string }, command: Command) => {
      const server = serverOf(command, deps)
      const limit = parseFrom('--limit', options.limit, wholeNumber(1, LIMIT_MAX))
      await list(server, filtersOf(command), limit, deps)
    })
}

type Page = { data: unknown[]; next_cursor: string | null }

async function list(
  server: Server,
  filters: Record<string, string>,
  limit: number,
  { print, printError }: VerbDeps,
): Promise<void> {
  let cursor: string | null = null
  for (let left = limit; left > 0; ) {
    const query = new URLSearchParams({ ...filters, limit: `${Math.min(left, PAGE_LIMIT_MAX)}` })
    if (cursor !== null) query.set('cursor', cursor)
    const page: Page = await callApi<Page>(server, `/v1/transactions?${query}`)
    for (const transaction of page.data) print(printable(JSON.stringify(transaction)))
    left -= page.data.length
    cursor = page.next_cursor
    if (cursor === null) return
  }
  printError('txhook: there are more transactions: set a higher --limit\n')
}
