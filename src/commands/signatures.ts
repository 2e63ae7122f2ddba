/** The verbs about signatures, as the command line takes them. */

import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { encodeSecret } from '../domain/standard-webhooks.ts'
import { EXIT } from '../exit.ts'
import { urlOf } from './client.ts'
import { ADDRESS, configOf, type SettingsDeps, withSettings } from './flags.ts'
import { send } from './send.ts'
import { parseHeaders, verify } from './verify.ts'

/** Within the 24 to 64 bytes of the specification, and as long as the hash. */
const SECRET_BYTES = 32

const WEBHOOK_PATH = '/v1/webhooks/transactions'

const SENDER = [...ADDRESS, 'webhookSecrets'] as const
const VERIFIER = ['webhookSecrets'] as const

export type SignaturesDeps = SettingsDeps & { print(text: string): void }

/** Adds them to the program. `done` is told the exit code of the one that was run. */
export function addSignatures(
  program: Command,
  deps: SignaturesDeps,
  done: (exitCode: number) => void,
): void {
  const { print, printError } = deps

  program
    .command('secret')
    .description('make a new secret, for a sender and for --webhook-secrets')
    .action(() => print(`${encodeSecret(randomBytes(SECRET_BYTES))}\n`))

  withSettings(program.command('send [url]'), SENDER)
    .description('post a test transaction, signed with the first secret where there is one')
    .option('--transaction-id <id>', 'its id (default: a new one)')
    .option('--source-account <account>', 'where it comes from', 'test_source')
    .option('--destination-account <account>', 'where it goes', 'test_destination')
    .option('--amount <amount>', 'how much, in major units', '1.00')
    .option('--currency <code>', 'of which currency', 'USD')
    .action(async (given: string | undefined, options: SendOptions, command: Command) => {
      const config = configOf(command, SENDER, deps)
      const url = config && webhookUrl(given ?? urlOf(config))
      if (config === undefined) return done(EXIT.usage)
      if (url === undefined) {
        printError('txhook: the URL must be an http or https one, without a user in it\n')
        return done(EXIT.usage)
      }
      const transaction = {
        transaction_id: options.transactionId ?? `test_${randomUUID()}`,
        source_account: options.sourceAccount,
        destination_account: options.destinationAccount,
        amount: options.amount,
        currency: options.currency,
      }
      const [secret] = config.webhookSecrets
      done(await send(transaction, { ...deps, url, secret, now: Date.now() }))
    })

  withSettings(program.command('verify <headers-file> <body-file>'), VERIFIER)
    .description(
      'say why a captured webhook passes or fails: its headers, a line each, and its body',
    )
    .action((headersFile: string, bodyFile: string, _options: unknown, command: Command) => {
      const config = configOf(command, VERIFIER, deps)
      if (config === undefined) return done(EXIT.usage)
      if (config.webhookSecrets.length === 0) {
        printError('txhook: verify needs the secrets: --webhook-secrets, or its variable\n')
        return done(EXIT.usage)
      }
      try {
        const headers = parseHeaders(readFileSync(headersFile, 'utf8'))
        const body = readFileSync(bodyFile)
        done(verify(headers, body, { ...deps, keys: config.webhookSecrets, now: Date.now() }))
      } catch (error) {
        printError(`txhook: ${(error as Error).message}\n`)
        done(EXIT.usage)
      }
    })
}

type SendOptions = {
  transactionId?: string
  sourceAccount: string
  destinationAccount: string
  amount: string
  currency: string
}

/** A URL without a path means that of the webhook. */
function webhookUrl(text: string): URL | undefined {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined
  if (url.username !== '' || url.password !== '') return undefined
  if (url.pathname === '/') url.pathname = WEBHOOK_PATH
  return url
}
