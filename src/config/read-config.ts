/** Reads the configuration from flags and variables. */

import { readFileSync } from 'node:fs'
import { BadValue, throwBadValue } from '../domain/values.ts'
import { ALL_SETTINGS, type Config, SETTINGS, type Setting, type SettingName } from './settings.ts'

export type { Config } from './settings.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The values by flag; `true` for a flag without a value. */
export type Flags = Readonly<Record<string, string | true | undefined>>

/**
 * Reads the configuration. A flag wins over its variable, the variable over the default; an empty
 * variable counts as unset.
 *
 * @param names the settings to read
 * @returns the configuration, or every fault in it
 */
export function readConfig<Name extends SettingName = SettingName>(
  flags: Flags,
  environment: Environment,
  names: readonly Name[] = ALL_SETTINGS as Name[],
): Pick<Config, Name> | string[] {
  const faults = unknownVariables(environment)
  const values: Record<string, unknown> = {}
  for (const name of names) {
    const setting: Setting = SETTINGS[name]
    try {
      const { source, text } = sourceOf(setting, flags, environment)
      values[name] = text === undefined ? setting.none : parseNamed(source, text, setting.parse)
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      faults.push(error.message)
    }
  }
  faults.push(...openHostFaults(values), ...targetFaults(values))
  return faults.length > 0 ? faults : Object.freeze(values as Pick<Config, Name>)
}

/**
 * Parses the value of a flag or variable.
 *
 * @throws BadValue whose message begins with its name
 */
export function parseNamed<T>(name: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof BadValue) throwBadValue(`${name} ${error.message}`)
    throw error
  }
}

/** Other machines must not reach an open service unless the operator allows it. */
function openHostFaults(values: Partial<Config>): string[] {
  const { host, webhookSecrets, apiKeys, allowInsecure } = values
  if (allowInsecure !== false || host === undefined || isLoopback(host)) return []
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

function isLoopback(host: string): boolean {
  return /^(?:localhost|127(?:\.[0-9]{1,3}){3}|\[?::1\]?)$/i.test(host)
}

/** A secret without its URL: the URL was probably lost, and calls would only be simulated. */
function targetFaults(values: Partial<Config>): string[] {
  // Not where the URL has a fault of its own.
  const unset = 'targetUrl' in values && values.targetUrl === undefined
  if (!unset || values.targetSecret === undefined) return []
  return ['there is a target secret without a target URL: set --target-url']
}

function sourceOf(
  { flag, variable, file, switch: isSwitch, default: fallback }: Setting,
  flags: Flags,
  environment: Environment,
): { source: string; text: string | undefined } {
  const given = flags[flag]
  if (given === true && isSwitch) return { source: flag, text: 'true' }
  if (given === true) throwBadValue(`${flag} needs a value`)
  if (given !== undefined) return { source: flag, text: given }
  const fileVariable = `${variable}_FILE`
  const path = file && environment[fileVariable]
  if (path && environment[variable]) throwBadValue(`${variable} and ${fileVariable} are both set`)
  if (path) return { source: fileVariable, text: readSecretFile(fileVariable, path) }
  return { source: variable, text: environment[variable] || fallback }
}

function readSecretFile(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    return throwBadValue(`${variable}: ${(error as Error).message}`)
  }
}

function unknownVariables(environment: Environment): string[] {
  const known = Object.values<Setting>(SETTINGS).flatMap(({ variable, file }) =>
    file ? [variable, `${variable}_FILE`] : [variable],
  )
  return Object.keys(environment)
    .filter((name) => name.startsWith('TXHOOK_') && environment[name] && !known.includes(name))
    .map((name) => `${name} is not a variable of txhook`)
}
