import { runCommandLine } from '../../src/commands/command-line.ts'
import type { Environment } from '../../src/config/read-config.ts'

/** How a command line ended: what it printed, entry by entry, and its errors as one text. */
export type Ran = { exitCode: number; printed: string[]; errors: string }

/** Runs a command line in this process, without a signal that stops it. */
export async function run(words: readonly string[], environment: Environment = {}): Promise<Ran> {
  const printed: string[] = []
  const errors: string[] = []
  const exitCode = await runCommandLine(words, {
    environment,
    terminal: false,
    print: (text) => void printed.push(text),
    printError: (text) => void errors.push(text),
    stopSignal: () => new Promise(() => {}),
    exit(code) {
      throw new Error(`exit ${code}`)
    },
  })
  return { exitCode, printed, errors: errors.join('') }
}
