/** The settings: what there is to decide, and what each may be. */

import { parseSecret } from '../domain/standard-webhooks.ts'
import { badValue, httpUrl, wholeNumber } from '../domain/values.ts'
import { LOG_LEVELS, type LogLevel } from '../telemetry/log.ts'

/** Everything that an operator decides, checked. */
export type Config = Readonly<{
  /** TCP port; 0 takes a free one. */
  port: number
  host: string
  /** The directory of everything that must outlive the process. */
  dataDir: string
  /** How long the simulated external call takes. */
  processingDelayMs: number
  /** Where each transaction is posted; undefined: the call is simulated. */
  targetUrl: string | undefined
  /** Signs what goes to the target. */
  targetSecret: Uint8Array | undefined
  /** How long a call to the target may take. */
  targetTimeoutMs: number
  /** Calls to the target under way at once. */
  concurrency: number
  /** Attempts until a transaction is FAILED. */
  maxAttempts: number
  /** Each webhook must be signed by one of these keys; none: signatures are not asked for. */
  webhookSecrets: readonly Uint8Array[]
  /** What needs a key takes any of these; none: everyone may. */
  apiKeys: readonly string[]
  /** Whether others than this machine may reach an open service. */
  allowInsecure: boolean
  maxBodyBytes: number
  /** Unfinished transactions beyond which the webhook takes no new one. */
  maxBacklog: number
  logLevel: LogLevel
}>

export type Setting<T> = {
  flag: string
  variable: string
  /** As it would be written; undefined: none. */
  default: string | undefined
  /** What the configuration has where nothing is set. */
  none?: T
  help: string
  /** The flag alone means true. */
  switch?: true
  /** The variable `…_FILE` names a file that has the value. */
  file?: true
  /** @throws BadValue */
  parse(text: string): T
}

const THIRTY_DAYS_MS = 30 * 24 * 60 * 60 * 1000

const TEN_MINUTES_MS = 10 * 60 * 1000

/** Bun has no more requests of its own under way at once; the rest would wait, their time running. */
const FETCHES_MAX = 256

/** The settings, one place for all: flags, variables, defaults, and what the help says of them. */
export const SETTINGS: { readonly [Key in keyof Config]: Setting<Config[Key]> } = {
  port: {
    flag: '--port',
    variable: 'PORT',
    default: '8000',
    help: 'TCP port; 0 picks a free one',
    parse: wholeNumber(0, 65_535),
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
    parse: wholeNumber(0, THIRTY_DAYS_MS),
  },
  targetUrl: {
    flag: '--target-url',
    variable: 'TXHOOK_TARGET_URL',
    default: undefined,
    help: 'the external call is real: each transaction is posted to this URL',
    parse: (text) => httpUrl(text).href,
  },
  targetSecret: {
    flag: '--target-secret',
    variable: 'TXHOOK_TARGET_SECRET',
    default: undefined,
    help: 'whsec_…: signs what goes to the target',
    file: true,
    parse: (text) =>
      parseSecret(text) ?? badValue('must be one secret: whsec_ and 24 to 64 bytes in base64'),
  },
  targetTimeoutMs: {
    flag: '--target-timeout-ms',
    variable: 'TXHOOK_TARGET_TIMEOUT_MS',
    default: '15000',
    help: 'how long a call to the target may take',
    parse: wholeNumber(1, TEN_MINUTES_MS),
  },
  concurrency: {
    flag: '--concurrency',
    variable: 'TXHOOK_CONCURRENCY',
    default: '64',
    help: 'calls to the target under way at once',
    parse: wholeNumber(1, FETCHES_MAX),
  },
  maxAttempts: {
    flag: '--max-attempts',
    variable: 'TXHOOK_MAX_ATTEMPTS',
    default: '8',
    help: 'attempts until a transaction is FAILED',
    parse: wholeNumber(1, 1_000),
  },
  webhookSecrets: {
    flag: '--webhook-secrets',
    variable: 'TXHOOK_WEBHOOK_SECRETS',
    default: undefined,
    none: [],
    help: 'comma-separated whsec_…: every webhook must be signed by one of them',
    file: true,
    parse: (text) => listed(text).map((secret) => parseSecret(secret) ?? badSecret()),
  },
  apiKeys: {
    flag: '--api-keys',
    variable: 'TXHOOK_API_KEYS',
    default: undefined,
    none: [],
    help: 'comma-separated: all but health, webhooks and docs needs one of them',
    file: true,
    parse: (text) => listed(text).map((key) => (/^[!-~]+$/.test(key) ? key : badKey())),
  },
  allowInsecure: {
    flag: '--allow-insecure',
    variable: 'TXHOOK_ALLOW_INSECURE',
    default: 'false',
    help: 'start on a host that others reach without secrets or keys',
    switch: true,
    parse(text) {
      if (text === 'true' || text === 'false') return text === 'true'
      return badValue('must be true or false')
    },
  },
  maxBodyBytes: {
    flag: '--max-body-bytes',
    variable: 'TXHOOK_MAX_BODY_BYTES',
    default: '65536',
    help: 'longest webhook body',
    parse: wholeNumber(1, 64 * 1024 * 1024),
  },
  maxBacklog: {
    flag: '--max-backlog',
    variable: 'TXHOOK_MAX_BACKLOG',
    default: '1000000',
    help: 'unfinished transactions beyond which the webhook answers 503',
    parse: wholeNumber(1, Number.MAX_SAFE_INTEGER),
  },
  logLevel: {
    flag: '--log-level',
    variable: 'TXHOOK_LOG_LEVEL',
    default: 'info',
    help: LOG_LEVELS.join(', '),
    parse(text) {
      const level = LOG_LEVELS.find((candidate) => candidate === text)
      return level ?? badValue(`must be one of ${LOG_LEVELS.join(', ')}`)
    },
  },
}

export type SettingName = keyof Config

export const ALL_SETTINGS = Object.keys(SETTINGS) as SettingName[]

function nonEmpty(text: string): string {
  return text === '' ? badValue('must not be empty') : text
}

/** A file may have one on each line. */
function listed(text: string): string[] {
  return text.split(/[,\n]/).map((part) => part.trim())
}

function badKey(): never {
  return badValue('must be comma-separated keys of visible ASCII characters')
}

function badSecret(): never {
  return badValue('must be comma-separated secrets, each whsec_ and 24 to 64 bytes in base64')
}
