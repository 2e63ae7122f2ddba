import type { Command } from 'commander'
import { callApi, serverOf, transactionPath, withServer } from './client.ts'
import type { VerbDeps } from './flags.ts'
import { printRows } from './pages.ts'

/** Adds `attempts`. */
export function addAttempts(program: Command, deps: VerbDeps): void {
  withServer(program.command('attempts <id>'))
    .description('list the attempts of a transaction, a line of JSON each')
    .action(async (id: string, _options, command: Command) => {
      const path = `${transactionPath(id)}/attempts`
      const { data } = await callApi<{ data: unknown[] }>(serverOf(command, deps), path)
      printRows(data, deps)
    })
}
