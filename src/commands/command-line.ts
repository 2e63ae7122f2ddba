/** The program: its verbs, and how a command line ends. */

import { Command, CommanderError } from 'commander'
import { BadValue } from '../domain/values.ts'
import { EXIT, ExitError } from '../exit.ts'
import { VERSION } from '../version.ts'
import { addGet } from './get.ts'
import { addHealthcheck } from './healthcheck.ts'
import licenses from './licenses.txt' with { type: 'text' }
import { addList } from './list.ts'
import { addRetry } from './retry.ts'
import { addSecret } from './secret.ts'
import { addSend } from './send.ts'
import { addServe, type ServeDeps } from './serve.ts'
import { addVerify } from './verify.ts'

const VERBS = [
  ...[addServe, addHealthcheck, addGet, addList, addRetry],
  ...[addSecret, addSend, addVerify, addVersion, addLicenses],
]

/** What the command line needs of the process that it runs in. */
export type CommandLineDeps = ServeDeps

/** Runs a command line (without the program's name) and returns the exit code. */
export async function runCommandLine(
  words: readonly string[],
  deps: CommandLineDeps,
): Promise<number> {
  const { print, printError } = deps
  const program = new Command('txhook')
    .description('Takes transaction webhooks durably and processes them in the background.')
    .version(VERSION)
    .exitOverride()
    .configureOutput({
      writeOut: print,
      writeErr: printError,
      outputError: (message, write) => write(withoutValues(message)),
    })
  for (const addVerb of VERBS) addVerb(program, deps)
  try {
    await program.parseAsync(words, { from: 'user' })
    return EXIT.done
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
    const isUsage = error instanceof BadValue
    if (!isUsage && !(error instanceof ExitError)) throw error
    if (error.message !== '') printError(`txhook: ${error.message}\n`)
    return isUsage ? EXIT.usage : error.exitCode
  }
}

/** An error message of commander, without the words that may be secrets. */
function withoutValues(message: string): string {
  return message.replace(/(--?[\w-]+)=[^'\n]*/g, '$1').replace(/(but got \d+):.*/s, '$1.\n')
}

function addVersion(program: Command, { print }: CommandLineDeps): void {
  const version = program.command('version').description('print the version')
  version.action(() => print(`${VERSION}\n`))
}

function addLicenses(program: Command, { print }: CommandLineDeps): void {
  const text = 'print what the executable contains, and under which licenses'
  program
    .command('licenses')
    .description(text)
    .action(() => print(licenses))
}
