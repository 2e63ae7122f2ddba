/** Settings and filters as flags of the verbs. */

import { type Command, Option } from 'commander'
import { type Config, type Environment, type ReadFile, readConfig } from '../config/read-config.ts'
import { SETTINGS, type Setting, type SettingName } from '../config/settings.ts'
import { FILTER_NAMES, FILTERS } from '../domain/filter.ts'
import { EXIT, ExitError } from '../exit.ts'
import type { Output } from './output.ts'

/** What a verb needs of the process that it runs in. */
export type VerbDeps = Pick<Output, 'print' | 'printError'> & { environment: Environment }

/** The settings that locate a server. */
export const ADDRESS = ['port', 'host'] as const

/** What they mean to a client. */
export const ADDRESS_HELP = { port: 'port of the server', host: 'address of the server' }

/**
 * Adds the flags of settings.
 *
 * @param helps what a setting means to this verb, where that is not what it means to the server
 */
export function withSettings(
  command: Command,
  names: readonly SettingName[],
  helps: { [Name in SettingName]?: string } = {},
): Command {
  for (const name of names) {
    const { flag, variable, file, help, default: fallback = 'none' }: Setting = SETTINGS[name]
    const fromFile = file ? `; from a file: ${variable}_FILE` : ''
    const about = `(${variable}; default: ${fallback})${fromFile}`
    command.option(`${flag} [value]`, `${helps[name] ?? help} ${about}`)
  }
  return command
}

/** Leaves unknown flags and words to `configOf`, which names all; commander stops at the first. */
export function allowUnknown(command: Command): Command {
  return command.allowUnknownOption().allowExcessArguments()
}

/**
 * The configuration of a verb, by flags and variables.
 *
 * @throws ExitError that names every fault
 */
export function configOf<Name extends SettingName>(
  command: Command,
  names: readonly Name[],
  { environment }: VerbDeps,
): Pick<Config, Name> {
  const config = readSettings(command, names, environment)
  if (!Array.isArray(config)) return config
  throw new ExitError(EXIT.usage, ["can't start:", ...config].join('\n  '))
}

/** The configuration of a verb, or every fault in its flags, words and variables. */
export function readSettings<Name extends SettingName>(
  command: Command,
  names: readonly Name[],
  environment: Environment,
  readFile?: ReadFile,
): Pick<Config, Name> | string[] {
  const given = names.map((name) => [SETTINGS[name].flag, flagValue(command, SETTINGS[name].flag)])
  const config = readConfig(Object.fromEntries(given), environment, names, readFile)
  const words = command.args.slice(command.registeredArguments.length)
  const faults = [...unknownArguments(words), ...(Array.isArray(config) ? config : [])]
  return faults.length > 0 ? faults : config
}

function flagValue(command: Command, flag: string): string | true | undefined {
  return command.getOptionValue(new Option(flag).attributeName())
}

/** The flags and words that txhook does not know. A word after an unknown flag is its value. */
function unknownArguments(words: readonly string[]): string[] {
  return words.flatMap((word, i) => {
    if (word.startsWith('-')) return [`${word.split('=')[0]} is not a flag of txhook`]
    if (words[i - 1]?.startsWith('-')) return []
    // Only what looks like a verb is shown: any other word may be a secret.
    if (/^[a-z-]{1,20}$/.test(word)) return [`"${word}" is not a verb of txhook`]
    return ['too many arguments; quote values that contain spaces']
  })
}

/** Adds the flags of the filters. */
export function withFilters(command: Command): Command {
  for (const { flag, help } of Object.values(FILTERS)) command.option(flag, help)
  return command
}

/** The flags of the filters, by the path that a problem names. */
export function filterFlags(prefix: string): Record<string, string> {
  const flags = FILTER_NAMES.map((name) => [
    `${prefix}${name}`,
    FILTERS[name].flag.replace(/ .*/, ''),
  ])
  return Object.fromEntries(flags)
}

/** The filters that are given, by the names of the list's parameters. The server checks them. */
export function filtersOf(command: Command): Record<string, string> {
  const given = FILTER_NAMES.map((name) => [name, flagValue(command, FILTERS[name].flag)])
  return Object.fromEntries(given.filter(([, value]) => value !== undefined))
}
