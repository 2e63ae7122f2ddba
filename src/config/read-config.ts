/** Reads the configuration from flags and variables. */

import { readFileSync } from 'node:fs'
import { BadValue, throwBadValue } from '../domain/values.ts'
import { variableFaults } from './known-variables.ts'
import { ALL_SETTINGS, type Config, SETTINGS, type Setting, type SettingName } from './settings.ts'
import { type TextKind, valueText } from './value-text.ts'

export type { Config } from './settings.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Reads a file as UTF-8, or throws. */
export type ReadFile = (path: string) => string

/** The values by flag; `true` for a flag without a value. */
export type Flags = Readonly<Record<string, string | true | undefined>>

/**
 * Reads the configuration. A flag wins over its variable, the variable over the default; an empty
 * variable counts as unset.
 *
 * @param names the settings to read
 * @param readFile how the files are read that variables name
 * @returns the configuration, or every fault in it
 */
export function readConfig<Name extends SettingName = SettingName>(
  flags: Flags,
  environment: Environment,
  names: readonly Name[] = ALL_SETTINGS as Name[],
  readFile: ReadFile = (path) => readFileSync(path, 'utf8'),
): Pick<Config, Name> | string[] {
  const faults = variableFaults(environment)
  const values: Record<string, unknown> = {}
  for (const name of names) {
    const setting: Setting = SETTINGS[name]
    try {
      values[name] = readSetting(setting, flags, environment, readFile)
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      faults.push(error.message)
    }
  }
  faults.push(...openHostFaults(values), ...targetFaults(values))
  return faults.length > 0 ? faults : Object.freeze(values as Pick<Config, Name>)
}

/**
 * Parses the value of a flag, a variable or a file, without the white space at its ends.
 *
 * @throws BadValue whose message begins with its name
 */
export function parseNamed<T>(
  name: string,
  text: string,
  parse: (text: string) => T,
  kind?: TextKind,
): T {
  try {
    return parse(valueText(text, kind))
  } catch (error) {
    if (error instanceof BadValue) throwBadValue(`${name} ${error.message}`)
    throw error
  }
}

/** Other machines must not reach an open service unless the operator allows it. */
function openHostFaults(values: Partial<Config>): string[] {
  const { host, webhookSecrets, apiKeys, allowInsecure } = values
  if (allowInsecure !== false || host === undefined || bindsLoopback(host)) return []
  const missing = [
    ...(webhookSecrets?.length === 0 ? ['webhook secrets'] : []),
    ...(apiKeys?.length === 0 ? ['API keys'] : []),
  ]
  if (missing.length === 0) return []
  return [
    `refusing to listen on ${host} without ${missing.join(' and ')}: ` +
      'set --webhook-secrets and --api-keys, or use --host 127.0.0.1, or --allow-insecure',
  ]
}

/** Stricter than what counts as Host: a name below localhost may resolve to anything. */
function bindsLoopback(host: string): boolean {
  return /^(?:localhost|127(?:\.[0-9]{1,3}){3}|\[?::1\]?)$/i.test(host)
}

/** A secret without its URL: the URL was probably lost, and calls would only be simulated. */
function targetFaults(values: Partial<Config>): string[] {
  // Not where the URL has a fault of its own.
  const unset = 'targetUrl' in values && values.targetUrl === undefined
  if (!unset || values.targetSecret === undefined) return []
  return ['there is a target secret without a target URL: set --target-url']
}

function readSetting(
  setting: Setting,
  flags: Flags,
  environment: Environment,
  readFile: ReadFile,
): unknown {
  const { flag, variable, file, path, parse, none, default: fallback } = setting
  // A secret may be one of several.
  const kind: TextKind = { ...(path && { path }), ...(file && { list: file }) }
  const given = flags[flag]
  if (given === true && setting.switch) return parse('true')
  if (given === true) throwBadValue(`${flag} needs a value`)
  if (given !== undefined) return parseNamed(flag, given, parse, kind)
  const text = environment[variable]?.trim()
  const fileVariable = `${variable}_FILE`
  const fileName = file && environment[fileVariable]?.trim()
  if (fileName && text) throwBadValue(`${variable} and ${fileVariable} are both set`)
  if (fileName) {
    const filePath = parseNamed(fileVariable, fileName, (it) => it, { path: true })
    return parseNamed(fileVariable, contentOf(fileVariable, filePath, readFile), parse, kind)
  }
  const value = text || fallback
  return value === undefined ? none : parseNamed(variable, value, parse, kind)
}

function contentOf(variable: string, path: string, readFile: ReadFile): string {
  try {
    return readFile(path)
  } catch (error) {
    return throwBadValue(`${variable}: ${(error as Error).message}`)
  }
}
