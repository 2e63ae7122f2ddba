import type { Command } from 'commander'
import { parseNamed } from '../config/read-config.ts'
import { wholeNumber } from '../domain/values.ts'
import { LIMIT_MAX } from '../http/query.ts'
import { printable } from '../telemetry/escape.ts'
import { callApi, serverOf, withServer } from './client.ts'
import { filtersOf, type VerbDeps, withFilters } from './flags.ts'

type Page = { data: unknown[]; next_cursor: string | null }

/** Adds `list`. */
export function addList(program: Command, deps: VerbDeps): void {
  withFilters(withServer(program.command('list')))
    .description('list transactions, newest first, a line of JSON each')
    .option('--limit <count>', 'how many at most', '50')
    .action(async (options: { limit: string }, command: Command) => {
      const server = serverOf(command, deps)
      const filters = filtersOf(command)
      let left = parseNamed('--limit', options.limit, wholeNumber(1, 999_999_999))
      let cursor: string | null = null
      do {
        const limit = String(Math.min(left, LIMIT_MAX))
        const query = new URLSearchParams({ ...filters, limit, ...(cursor && { cursor }) })
        const page: Page = await callApi<Page>(server, `/v1/transactions?${query}`)
        for (const transaction of page.data)
          if (!deps.print(printable(JSON.stringify(transaction)))) return
        left -= page.data.length
        cursor = page.next_cursor
      } while (cursor !== null && left > 0)
      if (cursor !== null)
        deps.printError('txhook: there are more transactions: set a higher --limit\n')
    })
}
