/** Settings as flags of a verb. */

import { type Command, Option } from 'commander'
import { type Config, type Environment, readConfig } from '../config/read-config.ts'
import { SETTINGS, type SettingName } from '../config/settings.ts'

/** Where a server is. */
export const ADDRESS = ['port', 'host'] as const

/** Adds the flags of settings. */
export function withSettings(command: Command, names: readonly SettingName[]): Command {
  for (const name of names) {
    const { flag, help, variable, default: fallback } = SETTINGS[name]
    const otherwise = fallback === undefined ? 'none' : fallback
    command.option(`${flag} [value]`, `${help} (${variable}; default: ${otherwise})`)
  }
  return command
}

/**
 * Commander would stop at the first flag or word that it doesn't know; told to let everything pass,
 * it leaves it to `configOf` to name all of them.
 */
export function allowUnknown(command: Command): Command {
  return command.allowUnknownOption().allowExcessArguments()
}

export type SettingsDeps = { environment: Environment; printError(text: string): void }

/** The configuration by flags and variables; undefined after a complaint that names every fault. */
export function configOf<Name extends SettingName>(
  command: Command,
  names: readonly Name[],
  { environment, printError }: SettingsDeps,
): Pick<Config, Name> | undefined {
  const flags: Record<string, string | true> = {}
  for (const name of names) {
    const { flag } = SETTINGS[name]
    const value = command.getOptionValue(new Option(flag).attributeName())
    if (value !== undefined) flags[flag] = value
  }
  const config = readConfig(flags, environment, names)
  const words = command.args.slice(command.registeredArguments.length)
  const faults = [...unknownArguments(words), ...(Array.isArray(config) ? config : [])]
  if (faults.length === 0) return config as Pick<Config, Name>
  printError(`txhook: can't start:\n${faults.map((fault) => `  ${fault}\n`).join('')}`)
  return undefined
}

const TOO_MANY = 'there is a word too many; a value with spaces needs quotes'

/** What the command line has that txhook doesn't know; a word after a strange flag is its value. */
function unknownArguments(words: readonly string[]): string[] {
  return words.flatMap((word, i) => {
    if (word.startsWith('-')) return [`${word.split('=')[0]} is not a flag of txhook`]
    if (words[i - 1]?.startsWith('-')) return []
    // Only what looks like a verb is shown: anything else could be a secret.
    return [/^[a-z-]{1,20}$/.test(word) ? `"${word}" is not a verb of txhook` : TOO_MANY]
  })
}
