import type { Command } from 'commander'
import { serverOf, withServer } from './client.ts'
import { filterFlags, filtersOf, type VerbDeps, withFilters } from './flags.ts'
import { printPages, withLimit } from './pages.ts'

/** Adds `list`. */
export function addList(program: Command, deps: VerbDeps): void {
  withLimit(withFilters(withServer(program.command('list'))))
    .description('list transactions, newest first, a line of JSON each')
    .action(async ({ limit }: { limit: string }, command: Command) => {
      const server = serverOf(command, deps)
      const parameters = filtersOf(command)
      const list = { path: '/v1/transactions', parameters, flags: filterFlags(''), limit }
      await printPages(server, { ...list, rows: 'transactions' }, deps)
    })
}
