import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { systemClock } from '../clock.ts'
import { parseNamed } from '../config/read-config.ts'
import { signedHeaders } from '../domain/standard-webhooks.ts'
import { httpUrl } from '../domain/values.ts'
import { EXIT, ExitError } from '../exit.ts'
import { printable } from '../telemetry/escape.ts'
import { ask, urlOf } from './client.ts'
import { ADDRESS, ADDRESS_HELP, configOf, type VerbDeps, withSettings } from './flags.ts'

const SENDER = [...ADDRESS, 'webhookSecrets'] as const

const SENDER_HELP = { ...ADDRESS_HELP, webhookSecrets: 'comma-separated whsec_…; the first signs' }

type Options = Readonly<Record<string, string>>

/** Adds `send`. */
export function addSend(program: Command, deps: VerbDeps): void {
  withSettings(program.command('send [url]'), SENDER, SENDER_HELP)
    .description('post a test transaction, signed with the first secret where there is one')
    .option('--transaction-id <id>', 'its id (default: a new one)')
    .option('--source-account <account>', 'where it comes from', 'test_source')
    .option('--destination-account <account>', 'where it goes', 'test_destination')
    .option('--amount <amount>', 'in major units', '1.00')
    .option('--currency <code>', 'ISO 4217 code', 'USD')
    .action(async (given: string | undefined, options: Options, command: Command) => {
      const config = configOf(command, SENDER, deps)
      const url = parseNamed('the URL', given ?? urlOf(config), httpUrl)
      if (url.pathname === '/') url.pathname = '/v1/webhooks/transactions'
      const body = JSON.stringify({
        transaction_id: options.transactionId ?? `test_${randomUUID()}`,
        source_account: options.sourceAccount,
        destination_account: options.destinationAccount,
        amount: options.amount,
        currency: options.currency,
      })
      const id = `msg_${randomUUID()}`
      const [secret] = config.webhookSecrets
      const headers = secret
        ? signedHeaders(secret, id, systemClock().now().wall, Buffer.from(body))
        : {}
      // Without the query, which may contain a token.
      const where = `${url.origin}${url.pathname}`
      const answer = await ask(url, { method: 'POST', body, headers }).catch((error: Error) => {
        throw new ExitError(EXIT.fault, `${where} doesn't answer: ${error.message}`)
      })
      deps.print(printable(answer.body))
      if (answer.status < 200 || answer.status > 299)
        throw new ExitError(EXIT.fault, `${where} answers ${answer.status}`)
    })
}
