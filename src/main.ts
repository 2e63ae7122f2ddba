#!/usr/bin/env bun
import { readFileSync } from 'node:fs'
import { runCommandLine } from './commands/command-line.ts'
import type { Environment } from './config/read-config.ts'
import { hardExit } from './hard-exit.ts'

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

/** Called by `serve` alone: a signal ends every other verb at once. */
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
