/** The command line as a process: its environment, its output and its signals. */

import { readFileSync } from 'node:fs'
import { isatty } from 'node:tty'
import type { Environment } from '../config/read-config.ts'
import { hardExit } from '../hard-exit.ts'
import { runCommandLine } from './command-line.ts'
import { openOutput } from './output.ts'
import type { SignalName } from './serve.ts'

/** The signals that came so far, and who is to be called with the next ones. */
export type Signals = {
  received: SignalName[]
  onSignal: ((name: SignalName) => void) | undefined
}

/** Runs the command line of this process, and returns its exit code. */
export function runProcess(signals: Signals): Promise<number> {
  return runCommandLine(process.argv.slice(2), {
    environment: environment(),
    terminal: isatty(1),
    ...openOutput(),
    onSignal: (listener) => listen(signals, listener),
    endOnSignals: () => listen(signals, endBySignal),
    exit: hardExit,
  })
}

/**
 * The variables of this process without those that Bun reads from a `.env` file of the working
 * directory, as an executable from a bare `bun build --compile` does.
 */
function environment(): Environment {
  try {
    const given = readFileSync('/proc/self/environ', 'utf8').split('\0')
    const names = new Set(given.map((entry) => entry.slice(0, entry.indexOf('='))))
    return Object.fromEntries(Object.entries(process.env).filter(([name]) => names.has(name)))
  } catch {
    // Not Linux: only the flags of `bun run build` keep Bun from reading `.env`.
    return process.env
  }
}

function listen(signals: Signals, listener: (name: SignalName) => void): void {
  signals.onSignal = listener
  for (const name of signals.received.splice(0)) listener(name)
}

/** Ends the process as a signal does that it does not listen for. */
function endBySignal(name: SignalName): never {
  process.removeAllListeners(name)
  process.kill(process.pid, name)
  // As PID 1 it is still there: the kernel ignores such a signal.
  return hardExit(128 + { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }[name])
}
