/** The verbs that talk to a running server, as the command line takes them. */

import { type Command, Option } from 'commander'
import type { Config } from '../config/read-config.ts'
import { EXIT } from '../exit.ts'
import { urlOf } from './client.ts'
import { ADDRESS, configOf, type SettingsDeps, withSettings } from './flags.ts'
import { type Filter, get, list, type OperateDeps, retryMany, retryOne } from './operate.ts'

/** Where a server is, and what it asks for. */
const CLIENT = [...ADDRESS, 'apiKeys'] as const

/** The options of a verb that talks to a server, by commander's names. */
type Options = { url?: string; limit?: string; dryRun?: true } & Record<string, unknown>

/** The filter's flags, and the parameters of the list that they stand for. */
const FILTER_FLAGS = {
  status: ['--status <status>', 'PENDING, PROCESSING, PROCESSED or FAILED'],
  currency: ['--currency <code>', 'only this currency'],
  source_account: ['--source-account <account>', 'only from this account'],
  destination_account: ['--destination-account <account>', 'only to this account'],
  created_from: ['--from <time>', 'only accepted at this time or after it: 2026-01-31T12:00:00Z'],
  created_to: ['--to <time>', 'only accepted before this time'],
} as const

function withFilter(command: Command): Command {
  for (const [flag, help] of Object.values(FILTER_FLAGS)) command.option(flag, help)
  return command
}

function filterIn(options: Options): Filter {
  const given = Object.entries(FILTER_FLAGS).map(([parameter, [flag]]) => {
    const name = new Option(flag).attributeName()
    return [parameter, options[name]] as const
  })
  return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as Filter
}

function serverUrl(
  options: Options,
  config: Pick<Config, 'host' | 'port'>,
  printError: (text: string) => void,
): string | undefined {
  if (options.url === undefined) return urlOf(config)
  const url = URL.parse(options.url)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    printError('txhook: --url must be an http or https URL\n')
    return undefined
  }
  if (url.username !== '' || url.password !== '') {
    printError('txhook: --url must not have a user or a password in it\n')
    return undefined
  }
  return `${url.origin}${url.pathname.replace(/\/$/, '')}`
}

export type OperationsDeps = SettingsDeps & Pick<OperateDeps, 'print'>

/** Adds them to the program. `done` is told the exit code of the one that was run. */
export function addOperations(
  program: Command,
  deps: OperationsDeps,
  done: (exitCode: number) => void,
): void {
  const { printError } = deps
  /** A verb that talks to a running server. */
  function operation(
    usage: string,
    description: string,
    run: (words: readonly string[], options: Options, deps: OperateDeps) => Promise<number>,
  ): Command {
    const command = withSettings(program.command(usage), CLIENT)
      .description(description)
      .option('--url <url>', 'where the server is (default: as --host and --port say)')
    return command.action(async () => {
      const config = configOf(command, CLIENT, deps)
      const options = command.opts<Options>()
      const url = config === undefined ? undefined : serverUrl(options, config, printError)
      const words = command.args
      const apiKey = config?.apiKeys[0]
      done(url === undefined ? EXIT.usage : await run(words, options, { ...deps, url, apiKey }))
    })
  }

  operation('get <id>', 'show a transaction', ([id], _options, to) => get(id as string, to))

  withFilter(
    operation(
      'list',
      'list transactions, newest first, a line of JSON each',
      async (_, options, to) => {
        const limit = /^[1-9][0-9]{0,8}$/.test(options.limit ?? '50')
          ? Number(options.limit ?? '50')
          : 0
        if (limit > 0) return list(filterIn(options), limit, to)
        printError('txhook: --limit must be a whole number from 1 on\n')
        return EXIT.usage
      },
    ),
  ).option('--limit <count>', 'how many (default: 50)')

  withFilter(
    operation(
      'retry [id]',
      'try again what is FAILED: one transaction, or all of a filter',
      async ([id], options, to) => {
        const filter = filterIn(options)
        const filtered = Object.keys(filter).length > 0
        if (id !== undefined && !filtered && options.dryRun === undefined) return retryOne(id, to)
        if (id === undefined && filtered) return retryMany(filter, options.dryRun === true, to)
        printError(
          'txhook: retry takes an id, or a filter; --status FAILED alone means all of them\n',
        )
        return EXIT.usage
      },
    ),
  ).option('--dry-run', 'only count them')
}
