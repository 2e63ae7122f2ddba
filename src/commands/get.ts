import type { Command } from 'commander'
import { callApi, serverOf, toJsonText, transactionPath, withServer } from './client.ts'
import type { VerbDeps } from './flags.ts'

/** Adds `get`. */
export function addGet(program: Command, deps: VerbDeps): void {
  withServer(program.command('get <id>'))
    .description('show a transaction')
    .action(async (id: string, _options, command: Command) => {
      const server = serverOf(command, deps)
      deps.print(toJsonText(await callApi(server, transactionPath(id))))
    })
}
