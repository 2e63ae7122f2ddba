import { runCommandLine } from '../../src/commands/command-line.ts'
import type { Environment } from '../../src/config/read-config.ts'

/** How a command line ended, and what it printed by then: entry by entry, and all complaints. */
export type Ran = { exitCode: number; printed: string[]; complained: string }

/** Runs a command line in this process, which no signal ends. */
export async function run(words: readonly string[], environment: Environment = {}): Promise<Ran> {
  const printed: string[] = []
  const complained: string[] = []
  const exitCode = await runCommandLine(words, {
    environment,
    terminal: false,
    print: (text) => void printed.push(text),
    printError: (text) => void complained.push(text),
    stopSignal: () => new Promise(() => {}),
    exit(code) {
      throw new Error(`It ended on the spot, with ${code}.`)
    },
  })
  return { exitCode, printed, complained: complained.join('') }
}
