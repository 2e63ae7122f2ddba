/** The program: its verbs, and how a command line ends. */

import { Command, CommanderError } from 'commander'
import { BadValue } from '../domain/values.ts'
import { EXIT, EXIT_CODES, ExitError } from '../exit.ts'
import { VERSION } from '../version.ts'
import { addAttempts } from './attempts.ts'
import { addConflicts } from './conflicts.ts'
import { addGet } from './get.ts'
import { addHandled } from './handled.ts'
import { addHealthcheck } from './healthcheck.ts'
import licenses from './licenses.txt' with { type: 'text' }
import { addList } from './list.ts'
import { addRetry } from './retry.ts'
import { addSecret } from './secret.ts'
import { addSend } from './send.ts'
import { addServe, type ServeDeps } from './serve.ts'
import { addTargetDemo } from './target-demo.ts'
import { addVerify } from './verify.ts'

const VERBS = [
  ...[addServe, addHealthcheck],
  ...[addGet, addAttempts, addList, addConflicts, addRetry, addHandled],
  ...[addSecret, addSend, addVerify, addTargetDemo],
]

export type CommandLineDeps = ServeDeps & {
  /** Lets a signal end the process, as for any verb but `serve`. */
  endOnSignals(): void
}

/** Runs a command line (without the program's name) and returns the exit code. */
export async function runCommandLine(
  words: readonly string[],
  deps: CommandLineDeps,
): Promise<number> {
  const { print, printError } = deps
  const program = new Command('txhook')
    .description('Takes transaction webhooks durably and processes them in the background.')
    .version(VERSION)
    .addHelpText('after', `\n${EXIT_CODES}`)
    .exitOverride()
    .configureOutput({
      writeOut: print,
      writeErr: printError,
      outputError: (message, write) => write(withoutValues(message)),
    })
  program.hook('preAction', (_, verb) => {
    if (verb.name() !== 'serve') deps.endOnSignals()
  })
  for (const addVerb of VERBS) addVerb(program, deps)
  const versionVerb = program.command('version').description('print the version')
  versionVerb.action(() => void print(`${VERSION}\n`))
  const about = 'print the licenses of what the executable contains'
  const licensesVerb = program.command('licenses').description(about)
  licensesVerb.action(() => void print(licenses))
  try {
    await program.parseAsync(words, { from: 'user' })
    return EXIT.done
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
    if (!(error instanceof ExitError || error instanceof BadValue)) throw error
    if (error.message !== '') printError(`txhook: ${error.message}\n`)
    return error instanceof ExitError ? error.exitCode : EXIT.usage
  }
}

/** An error message of commander, without the words that may be secrets. */
function withoutValues(message: string): string {
  return message.replace(/(--?[\w-]+)=[^'\n]*/g, '$1').replace(/(but got \d+):.*/s, '$1.\n')
}
