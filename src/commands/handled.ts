import type { Command } from 'commander'
import { callApi, serverOf, toJsonText, transactionPath, withServer } from './client.ts'
import type { VerbDeps } from './flags.ts'

/** Adds `handled`. */
export function addHandled(program: Command, deps: VerbDeps): void {
  withServer(program.command('handled <id>'))
    .description('note that a FAILED transaction has been dealt with elsewhere')
    .requiredOption('--note <text>', 'what was done, 1 to 500 characters')
    .action(async (id: string, { note }: { note: string }, command: Command) => {
      const server = serverOf(command, deps)
      const path = `${transactionPath(id)}/handled`
      const body = JSON.stringify({ note })
      const flags = { note: '--note' }
      deps.print(toJsonText(await callApi(server, path, { method: 'POST', body, flags })))
    })
}
