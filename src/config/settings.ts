/** The settings: what an operator decides. */

import { hostName } from '../domain/host.ts'
import { parseSecret } from '../domain/standard-webhooks.ts'
import { httpUrl, throwBadValue, wholeNumber } from '../domain/values.ts'
import { LOG_LEVELS } from '../telemetry/log.ts'
import { isQuoted, UNQUOTED } from './value-text.ts'

export type Setting = {
  flag: string
  variable: string
  /** As an operator would write it. */
  default?: string
  /** The value where nothing is set and there is no default. */
  none?: unknown
  help: string
  /** The flag alone means true. */
  switch?: true
  /** The variable with `_FILE` behind its name may name a file that contains the value. */
  file?: true
  /** The value is the path of a file or a directory. */
  path?: true
  /** @throws BadValue */
  parse(text: string): unknown
}

/** Bun runs no more at once: the others would wait while their timeout runs. */
const FETCHES_MAX = 256

const SECRET = 'whsec_ and 24 to 64 bytes in base64'

/** All settings. The configuration, the flags and the help follow from this one table. */
export const SETTINGS = {
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
    help: 'directory of txhook.db and all else that must outlive the process',
    path: true,
    parse: nonEmpty,
  },
  simulate: {
    flag: '--simulate',
    variable: 'TXHOOK_SIMULATE',
    default: 'false',
    help: 'allow simulated calls on a data directory that has had a target',
    switch: true,
    parse: trueOrFalse,
  },
  processingDelayMs: {
    flag: '--processing-delay-ms',
    variable: 'TXHOOK_PROCESSING_DELAY_MS',
    default: '30000',
    help: 'how long the simulated external call takes; 0 is allowed',
    parse: wholeNumber(0, 30 * 24 * 60 * 60 * 1000),
  },
  targetUrl: {
    flag: '--target-url',
    variable: 'TXHOOK_TARGET_URL',
    none: undefined,
    help: 'post each transaction to this URL; otherwise the external call is simulated',
    parse: (text) => httpUrl(text).href,
  },
  targetSecret: {
    flag: '--target-secret',
    variable: 'TXHOOK_TARGET_SECRET',
    none: undefined,
    help: 'whsec_…: signs what is posted to the target',
    file: true,
    parse: (text) => parseSecret(text) ?? throwBadValue(`must be one secret: ${SECRET}`),
  },
  targetTimeoutMs: {
    flag: '--target-timeout-ms',
    variable: 'TXHOOK_TARGET_TIMEOUT_MS',
    default: '15000',
    help: 'how long a call to the target may take',
    parse: wholeNumber(1, 10 * 60 * 1000),
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
    none: [],
    help: 'comma-separated whsec_…: every webhook must be signed with one of them',
    file: true,
    parse: list(parseSecret, `must be comma-separated secrets, each ${SECRET}`),
  },
  apiKeys: {
    flag: '--api-keys',
    variable: 'TXHOOK_API_KEYS',
    none: [],
    help: 'comma-separated: all but health, webhooks and docs needs one of them',
    file: true,
    parse: list(
      (key) => (/^[!-~]+$/.test(key) ? key : undefined),
      'must be comma-separated keys of visible ASCII characters',
    ),
  },
  allowInsecure: {
    flag: '--allow-insecure',
    variable: 'TXHOOK_ALLOW_INSECURE',
    default: 'false',
    help: 'listen on any host without webhook secrets or API keys',
    switch: true,
    parse: trueOrFalse,
  },
  allowHost: {
    flag: '--allow-host',
    variable: 'TXHOOK_ALLOW_HOST',
    none: [],
    help: 'comma-separated: without API keys only these and the loopback are taken as Host',
    parse: list(
      (host) => (/:\d*$/.test(host) ? undefined : hostName(host)),
      'must be comma-separated names or addresses, without ports, and IPv6 in brackets',
    ),
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
    help: 'limit of unfinished transactions; beyond it webhooks are refused with 503',
    parse: wholeNumber(1, Number.MAX_SAFE_INTEGER),
  },
  logLevel: {
    flag: '--log-level',
    variable: 'TXHOOK_LOG_LEVEL',
    default: 'info',
    help: LOG_LEVELS.join(', '),
    parse: (text) =>
      LOG_LEVELS.find((level) => level === text) ??
      throwBadValue(`must be one of ${LOG_LEVELS.join(', ')}`),
  },
} satisfies Record<string, Setting>

export type SettingName = keyof typeof SETTINGS

export const ALL_SETTINGS = Object.keys(SETTINGS) as SettingName[]

/** The checked values of the settings. */
export type Config = { readonly [Name in SettingName]: ValueOf<(typeof SETTINGS)[Name]> }

type ValueOf<Row extends Setting> =
  | ReturnType<Row['parse']>
  | (Row extends { none: undefined } ? undefined : never)

function nonEmpty(text: string): string {
  return text === '' ? throwBadValue('must not be empty') : text
}

function trueOrFalse(text: string): boolean {
  if (text !== 'true' && text !== 'false') throwBadValue('must be true or false')
  return text === 'true'
}

/** Reads a list separated by commas or by line ends. A bad value is not shown. */
function list<T>(read: (text: string) => T | undefined, rule: string) {
  return (text: string): readonly T[] =>
    text.split(/[,\n]/).map((part) => {
      const value = part.trim()
      if (isQuoted(value)) throwBadValue(UNQUOTED)
      return read(value) ?? throwBadValue(rule)
    })
}
