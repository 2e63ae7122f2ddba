import { Command, CommanderError } from 'commander'
import type { Environment } from '../config/read-config.ts'
import { ALL_SETTINGS } from '../config/settings.ts'
import { EXIT } from '../exit.ts'
import { createLog } from '../telemetry/log.ts'
import { VERSION } from '../version.ts'
import { ADDRESS, allowUnknown, configOf, withSettings } from './flags.ts'
import { healthcheck } from './healthcheck.ts'
import licenses from './licenses.txt' with { type: 'text' }
import { addOperations } from './operations.ts'
import { serve } from './serve.ts'
import { addSignatures } from './signatures.ts'

/** What the command line needs of the process that it runs in. */
export type CommandLineDeps = {
  environment: Environment
  /** Whether standard output is a terminal. */
  terminal: boolean
  print(text: string): void
  printError(text: string): void
  /** Resolves with the name of the first signal that asks for an end. */
  stopSignal(): Promise<string>
  /** Ends the process on the spot. */
  exit(code: number): never
}

/** Runs a command line (without the program's name) and returns the exit code. */
export async function runCommandLine(
  words: readonly string[],
  deps: CommandLineDeps,
): Promise<number> {
  const { print, printError, terminal } = deps
  let exitCode: number = EXIT.done
  const program = new Command('txhook')
    .description('Takes transaction webhooks durably and processes them in the background.')
    .version(VERSION)
    .exitOverride()
    .configureOutput({
      writeOut: print,
      writeErr: printError,
      outputError: (message, write) => write(withoutValues(message)),
    })

  allowUnknown(withSettings(program.command('serve', { isDefault: true }), ALL_SETTINGS))
    .description('start the server (the default)')
    .action(async (_options, command: Command) => {
      const config = configOf(command, ALL_SETTINGS, deps)
      if (config === undefined) {
        exitCode = EXIT.usage
        return
      }
      const log = createLog({ level: config.logLevel, terminal, write: print })
      exitCode = await serve(config, { ...deps, log })
    })

  allowUnknown(withSettings(program.command('healthcheck'), ADDRESS))
    .description('ask the server whether it is ready; exit 0 or 1')
    .action(async (_options, command: Command) => {
      const config = configOf(command, ADDRESS, deps)
      exitCode = config === undefined ? EXIT.usage : await healthcheck(config, printError)
    })

  const done = (code: number) => {
    exitCode = code
  }
  addOperations(program, deps, done)
  addSignatures(program, deps, done)

  program
    .command('version')
    .description('print the version')
    .action(() => print(`${VERSION}\n`))

  program
    .command('licenses')
    .description('print what the executable contains, and under which licenses')
    .action(() => print(licenses))

  try {
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? EXIT.done : EXIT.usage
  }
  return exitCode
}

/** What commander says of a line that is no good, without the words of it that may be secrets. */
function withoutValues(message: string): string {
  return message.replace(/(--?[\w-]+)=[^'\n]*/g, '$1').replace(/(but got \d+):.*/s, '$1.\n')
}
