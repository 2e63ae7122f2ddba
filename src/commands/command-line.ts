import { Command, CommanderError } from 'commander'
import { type Config, type Environment, readConfig, SETTINGS } from '../config.ts'
import { EXIT } from '../exit.ts'
import { createLog } from '../log.ts'
import { VERSION } from '../version.ts'
import { healthcheck } from './healthcheck.ts'
import { serve } from './serve.ts'

/** What the command line needs of the process that it runs in. */
export type CommandLineDeps = {
  environment: Environment
  /** Whether standard output is a terminal. */
  terminal: boolean
  print(text: string): void
  complain(text: string): void
  /** Resolves with the name of the first signal that asks for an end. */
  stopSignal: Promise<string>
  /** Ends the process on the spot. */
  exit(code: number): never
}

/** Runs a command line (without the program's name) and returns the exit code. */
export async function runCommandLine(
  words: readonly string[],
  deps: CommandLineDeps,
): Promise<number> {
  const { print, complain, terminal } = deps
  let exitCode: number = EXIT.done
  const program = new Command('txhook')
    .description('Takes transaction webhooks durably and processes them in the background.')
    .version(VERSION)
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: complain })

  withSettings(program.command('serve', { isDefault: true }))
    .description('start the server (the default)')
    .action(async (_options, command: Command) => {
      const config = configOf(command, deps)
      if (config === undefined) {
        exitCode = EXIT.usage
        return
      }
      const log = createLog({ level: config.logLevel, terminal, write: print })
      exitCode = await serve(config, { ...deps, log })
    })

  withSettings(program.command('healthcheck'))
    .description('ask the server with this configuration whether it is ready; exit 0 or 1')
    .action(async (_options, command: Command) => {
      const config = configOf(command, deps)
      exitCode = config === undefined ? EXIT.usage : await healthcheck(config, complain)
    })

  program
    .command('version')
    .description('print the version')
    .action(() => print(`${VERSION}\n`))

  try {
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? EXIT.done : EXIT.usage
  }
  return exitCode
}

/**
 * The flags of the configuration. Commander would stop at the first fault; told to let everything
 * pass, it leaves it to `configOf` to name all of them.
 */
function withSettings(command: Command): Command {
  for (const { flag, help, variable, default: fallback } of Object.values(SETTINGS)) {
    const otherwise = fallback === undefined ? 'none' : fallback
    command.option(`${flag} [value]`, `${help} (${variable}; default: ${otherwise})`)
  }
  return command.allowUnknownOption().allowExcessArguments()
}

function configOf(
  command: Command,
  { environment, complain }: CommandLineDeps,
): Config | undefined {
  const flags: Record<string, string | true> = {}
  for (const option of command.options) {
    const value = command.getOptionValue(option.attributeName())
    if (option.long && value !== undefined) flags[option.long] = value
  }
  const config = readConfig(flags, environment)
  const faults = [...strangers(command.args), ...(Array.isArray(config) ? config : [])]
  if (faults.length === 0) return config as Config
  complain(`txhook: can't start:\n${faults.map((fault) => `  ${fault}\n`).join('')}`)
  return undefined
}

const TOO_MANY = 'there is a word too many; a value with spaces needs quotes'

/** What the command line has that txhook doesn't know; a word after a strange flag is its value. */
function strangers(words: readonly string[]): string[] {
  return words.flatMap((word, i) => {
    if (word.startsWith('-')) return [`${word.split('=')[0]} is not a flag of txhook`]
    if (words[i - 1]?.startsWith('-')) return []
    // Only what looks like a verb is shown: anything else could be a secret.
    return [/^[a-z-]{1,20}$/.test(word) ? `"${word}" is not a verb of txhook` : TOO_MANY]
  })
}
