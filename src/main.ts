#!/usr/bin/env bun
import { readFileSync } from 'node:fs'
import { runCommandLine } from './commands/command-line.ts'
import type { Environment } from './config/read-config.ts'
import { hardExit } from './hard-exit.ts'

/**
 * The variables that this process was given. An executable from a bare `bun build --compile` also
 * shows those that Bun took from a `.env` of the working directory: nobody told txhook of it.
 */
function environment(): Environment {
  let given: string
  try {
    given = readFileSync('/proc/self/environ', 'utf8')
  } catch {
    // Not Linux: `bun run build` sees to it that Bun reads no `.env` in the first place.
    return process.env
  }
  const names = new Set(given.split('\0').map((entry) => entry.slice(0, entry.indexOf('='))))
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => names.has(name)))
}

/** Only a server ends in order; all else ends as any command does that is interrupted. */
function stopSignal(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  process.on('SIGTERM', resolve)
  process.on('SIGINT', resolve)
  return promise
}

const exitCode = await runCommandLine(process.argv.slice(2), {
  environment: environment(),
  terminal: process.stdout.isTTY === true,
  print: (text) => console.log(text.trimEnd()),
  printError: (text) => console.error(text.trimEnd()),
  stopSignal,
  exit: hardExit,
})

process.exit(exitCode)
