/** The configuration: read from flags and variables, or every fault in them. */

import { readFileSync } from 'node:fs'
import { BadValue, badValue } from '../domain/values.ts'
import { ALL_SETTINGS, type Config, SETTINGS, type Setting, type SettingName } from './settings.ts'

export type { Config } from './settings.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads the configuration: a flag wins over its variable, the variable over the default, and an
 * empty variable counts as unset.
 *
 * @param flags by flag; `true` where a flag came without a value
 * @param names the settings that are wanted
 * @returns the configuration, or every fault found
 */
export function readConfig<Name extends SettingName = SettingName>(
  flags: Readonly<Record<string, string | true>>,
  environment: Environment,
  names: readonly Name[] = ALL_SETTINGS as Name[],
): Pick<Config, Name> | string[] {
  const faults = unknownVariables(environment)
  const values: Record<string, unknown> = {}
  for (const key of names) {
    const setting: Setting<unknown> = SETTINGS[key]
    try {
      const { source, text } = sourceOf(setting, flags, environment)
      values[key] = text === undefined ? setting.none : parseFrom(source, text, setting.parse)
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      faults.push(error.message)
    }
  }
  faults.push(...exposure(values), ...lostTarget(values))
  return faults.length > 0 ? faults : Object.freeze(values as Pick<Config, Name>)
}

/** Nobody should find out from strangers that a service is open to them. */
function exposure({ host, webhookSecrets, apiKeys, allowInsecure }: Partial<Config>): string[] {
  if (allowInsecure !== false || host === undefined || isLoopback(host)) return []
  const missing = [
    ...(webhookSecrets?.length === 0 ? ['webhook secrets'] : []),
    ...(apiKeys?.length === 0 ? ['API keys'] : []),
  ]
  if (missing.length === 0) return []
  return [
    `others than this machine can reach ${host}, and there are no ${missing.join(' and no ')}: ` +
      'set both (--webhook-secrets, --api-keys), or listen on this machine only ' +
      '(--host 127.0.0.1), or allow it (--allow-insecure)',
  ]
}

/** A secret without its URL: one of the two got lost, and transactions would be only simulated. */
function lostTarget(values: Partial<Config>): string[] {
  // A URL that is no good is a fault of its own.
  const lost = 'targetUrl' in values && values.targetUrl === undefined
  return lost && values.targetSecret !== undefined
    ? ['there is a target secret, and no target URL: set --target-url as well']
    : []
}

/** Whether only this machine can reach an address. */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|127(?:\.[0-9]{1,3}){3}|\[?::1\]?)$/i.test(host)
}

function sourceOf(
  { flag, variable, file, switch: isSwitch, default: fallback }: Setting<unknown>,
  flags: Readonly<Record<string, string | true>>,
  environment: Environment,
): { source: string; text: string | undefined } {
  const given = flags[flag]
  if (given === true && isSwitch) return { source: flag, text: 'true' }
  if (given === true) badValue(`${flag} needs a value`)
  if (given !== undefined) return { source: flag, text: given }
  const path = file && environment[`${variable}_FILE`]
  if (environment[variable]) {
    if (path) badValue(`${variable} and ${variable}_FILE are both set`)
    return { source: variable, text: environment[variable] }
  }
  if (path) return { source: `${variable}_FILE`, text: readSecretFile(`${variable}_FILE`, path) }
  return { source: variable, text: fallback }
}

export function parseFrom<T>(source: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof BadValue) badValue(`${source} ${error.message}`)
    throw error
  }
}

function readSecretFile(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    return badValue(`${variable}: ${(error as Error).message}`)
  }
}

function unknownVariables(environment: Environment): string[] {
  const known = new Set<string>()
  for (const { variable, file } of Object.values<Setting<unknown>>(SETTINGS)) {
    known.add(variable)
    if (file) known.add(`${variable}_FILE`)
  }
  return Object.entries(environment)
    .filter(([name, value]) => value && name.startsWith('TXHOOK_') && !known.has(name))
    .map(([name]) => `${name} is not a variable of txhook`)
}
