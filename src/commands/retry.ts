import type { Command } from 'commander'
import { EXIT, ExitError } from '../exit.ts'
import { callApi, serverOf, toJsonText, transactionPath, withServer } from './client.ts'
import { filterFlags, filtersOf, type VerbDeps, withFilters } from './flags.ts'

/** Adds `retry`. */
export function addRetry(program: Command, deps: VerbDeps): void {
  withFilters(withServer(program.command('retry [id]')))
    .description('retry one FAILED transaction, or all that a filter selects')
    .option('--dry-run', 'only count them')
    .action(async (id: string | undefined, options: { dryRun?: true }, command: Command) => {
      const server = serverOf(command, deps)
      const filter = filtersOf(command)
      const { dryRun = false } = options
      const filtered = Object.keys(filter).length > 0
      if (id !== undefined && !filtered && !dryRun) {
        const path = `${transactionPath(id)}/retry`
        deps.print(toJsonText(await callApi(server, path, { method: 'POST' })))
      } else if (id === undefined && filtered) {
        const body = JSON.stringify({ filter, dry_run: dryRun })
        const request = { method: 'POST', body, flags: filterFlags('filter.') } as const
        const counts = await callApi(server, '/v1/transactions/retry', request)
        deps.print(JSON.stringify(counts))
      } else {
        const usage = 'retry takes an id, or a filter; --status FAILED alone selects all'
        throw new ExitError(EXIT.usage, usage)
      }
    })
}
