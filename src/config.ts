import { readFileSync } from 'node:fs'
import { parseSecret } from './http/signature.ts'
import { LOG_LEVELS, type LogLevel } from './log.ts'

/** Everything that an operator decides, checked. */
export type Config = Readonly<{
  /** TCP port; 0 takes a free one. */
  port: number
  host: string
  /** The directory of everything that must outlive the process. */
  dataDir: string
  /** How long the simulated external call takes. */
  processingDelayMs: number
  /** Each webhook must be signed by one of these keys; none: signatures are not asked for. */
  webhookSecrets: readonly Uint8Array[]
  maxBodyBytes: number
  /** Unfinished transactions beyond which the webhook takes no new one. */
  maxBacklog: number
  logLevel: LogLevel
}>

/** A value that can't be: what it should have been. */
class BadValue extends Error {}

type Setting<T> = {
  flag: string
  variable: string
  /** As it would be written; undefined: none. */
  default: string | undefined
  help: string
  /** The variable `…_FILE` names a file that has the value. */
  file?: true
  /** @throws BadValue */
  parse(text: string): T
}

const THIRTY_DAYS_MS = 30 * 24 * 60 * 60 * 1000

/** The settings, one place for all: flags, variables, defaults, and what the help says of them. */
export const SETTINGS: { readonly [Key in keyof Config]: Setting<Config[Key]> } = {
  port: {
    flag: '--port',
    variable: 'PORT',
    default: '8000',
    help: 'TCP port; 0 picks a free one',
    parse: integer(0, 65_535),
  },
  host: {
    flag: '--host',
    variable: 'HOST',
    default: '127.0.0.1',
    help: 'address to listen on',
    parse: nonEmpty,
  },
  dataDir: {
    flag: '--data-dir',
    variable: 'TXHOOK_DATA_DIR',
    default: './data',
    help: 'holds txhook.db and all else that must outlive the process',
    parse: nonEmpty,
  },
  processingDelayMs: {
    flag: '--processing-delay-ms',
    variable: 'TXHOOK_PROCESSING_DELAY_MS',
    default: '30000',
    help: 'how long the simulated external call takes; 0 is allowed',
    parse: integer(0, THIRTY_DAYS_MS),
  },
  webhookSecrets: {
    flag: '--webhook-secrets',
    variable: 'TXHOOK_WEBHOOK_SECRETS',
    default: undefined,
    help: 'comma-separated whsec_…: every webhook must be signed by one of them',
    file: true,
    parse: (text) => text.split(',').map((secret) => parseSecret(secret.trim()) ?? badSecret()),
  },
  maxBodyBytes: {
    flag: '--max-body-bytes',
    variable: 'TXHOOK_MAX_BODY_BYTES',
    default: '65536',
    help: 'longest webhook body',
    parse: integer(1, 64 * 1024 * 1024),
  },
  maxBacklog: {
    flag: '--max-backlog',
    variable: 'TXHOOK_MAX_BACKLOG',
    default: '1000000',
    help: 'unfinished transactions beyond which the webhook answers 503',
    parse: integer(1, Number.MAX_SAFE_INTEGER),
  },
  logLevel: {
    flag: '--log-level',
    variable: 'TXHOOK_LOG_LEVEL',
    default: 'info',
    help: LOG_LEVELS.join(', '),
    parse(text) {
      const level = LOG_LEVELS.find((candidate) => candidate === text)
      return level ?? fail(`must be one of ${LOG_LEVELS.join(', ')}`)
    },
  },
}

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads the configuration: a flag wins over its variable, the variable over the default, and an
 * empty variable counts as unset.
 *
 * @param flags by flag; `true` where a flag came without a value
 * @returns the configuration, or every fault found
 */
export function readConfig(
  flags: Readonly<Record<string, string | true>>,
  environment: Environment,
): Config | string[] {
  const faults = unknownVariables(environment)
  const values: Record<string, unknown> = {}
  for (const [key, setting] of Object.entries<Setting<unknown>>(SETTINGS)) {
    try {
      const { source, text } = sourceOf(setting, flags, environment)
      values[key] = text === undefined ? [] : parseFrom(source, text, setting)
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      faults.push(error.message)
    }
  }
  return faults.length > 0 ? faults : Object.freeze(values as Config)
}

function sourceOf(
  { flag, variable, file, default: fallback }: Setting<unknown>,
  flags: Readonly<Record<string, string | true>>,
  environment: Environment,
): { source: string; text: string | undefined } {
  const given = flags[flag]
  if (given === true) fail(`${flag} needs a value`)
  if (given !== undefined) return { source: flag, text: given }
  const path = file && environment[`${variable}_FILE`]
  if (environment[variable]) {
    if (path) fail(`${variable} and ${variable}_FILE are both set`)
    return { source: variable, text: environment[variable] }
  }
  if (path) return { source: `${variable}_FILE`, text: readSecretFile(`${variable}_FILE`, path) }
  return { source: variable, text: fallback }
}

function parseFrom<T>(source: string, text: string, { parse }: Setting<T>): T {
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof BadValue) fail(`${source} ${error.message}`)
    throw error
  }
}

function readSecretFile(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    return fail(`${variable}: ${(error as Error).message}`)
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

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    return fail(`must be a whole number from ${least} to ${most}, not "${text}"`)
  }
}

function nonEmpty(text: string): string {
  return text === '' ? fail('must not be empty') : text
}

function badSecret(): never {
  return fail('must be comma-separated secrets, each whsec_ and 24 to 64 bytes in base64')
}

function fail(message: string): never {
  throw new BadValue(message)
}
