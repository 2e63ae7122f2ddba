import type { Command } from 'commander'
import { EXIT, ExitError } from '../exit.ts'
import { ask, urlOf } from './client.ts'
import {
  ADDRESS,
  ADDRESS_HELP,
  allowUnknown,
  configOf,
  type VerbDeps,
  withSettings,
} from './flags.ts'

const TIMEOUT_MS = 5_000

/** Adds `healthcheck`. */
export function addHealthcheck(program: Command, deps: VerbDeps): void {
  allowUnknown(withSettings(program.command('healthcheck'), ADDRESS, ADDRESS_HELP))
    .description('ask the server whether it is ready; exit 0 or 1')
    .action(async (_options, command: Command) => {
      const url = `${urlOf(configOf(command, ADDRESS, deps))}/readyz`
      const { status } = await ask(url, { timeoutMs: TIMEOUT_MS }).catch((error: Error) => {
        throw new ExitError(EXIT.fault, `${url} doesn't answer: ${error.message}`)
      })
      if (status !== 200) throw new ExitError(EXIT.fault, `${url} answers ${status}`)
    })
}
