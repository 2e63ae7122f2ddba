import type { Command } from 'commander'
import { serverOf, withServer } from './client.ts'
import type { VerbDeps } from './flags.ts'
import { printPages, withLimit } from './pages.ts'

type Options = { limit: string; transactionId?: string }

/** Adds `conflicts`. */
export function addConflicts(program: Command, deps: VerbDeps): void {
  withLimit(withServer(program.command('conflicts')))
    .description('list webhooks with a known id and other content, newest first')
    .option('--transaction-id <id>', 'only of this transaction')
    .action(async ({ limit, transactionId }: Options, command: Command) => {
      const server = serverOf(command, deps)
      const parameters = transactionId === undefined ? {} : { transaction_id: transactionId }
      const flags = { transaction_id: '--transaction-id' }
      const list = { path: '/v1/conflicts', parameters, flags, limit, rows: 'conflicts' }
      await printPages(server, list, deps)
    })
}
