import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { systemClock } from '../clock.ts'
import {
  encodeSecret,
  headerNames,
  signatureFault,
  signatureOf,
} from '../domain/standard-webhooks.ts'
import { EXIT, ExitError } from '../exit.ts'
import { configOf, type VerbDeps, withSettings } from './flags.ts'

const SECRETS = ['webhookSecrets'] as const
const SECRETS_HELP = { webhookSecrets: 'comma-separated whsec_… to check with' }

/** Adds `verify`. */
export function addVerify(program: Command, deps: VerbDeps): void {
  withSettings(program.command('verify <headers-file> <body-file>'), SECRETS, SECRETS_HELP)
    .description(
      'check the signature of a captured webhook: its headers, a line each, and its body',
    )
    .action((headersFile: string, bodyFile: string, _options: unknown, command: Command) => {
      const { webhookSecrets: keys } = configOf(command, SECRETS, deps)
      if (keys.length === 0)
        throw new ExitError(EXIT.usage, 'verify needs the secrets: set --webhook-secrets')
      const headers = parseHeaders(read(headersFile).toString())
      verify({ headers, body: read(bodyFile), keys, now: systemClock().now().wall }, deps)
    })
}

function read(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new ExitError(EXIT.usage, (error as Error).message)
  }
}

/**
 * Headers as they are captured: a line each, `name: value`. Other lines (the request line) are
 * skipped. The values of a repeated header are joined by a comma, as in HTTP.
 *
 * @throws ExitError where a value can't be that of a header
 */
function parseHeaders(text: string): Headers {
  const headers = new Headers()
  for (const line of text.split(/\r?\n/)) {
    const [, name = '', value = ''] =
      /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name === '') continue
    try {
      headers.append(name, value)
    } catch (error) {
      throw new ExitError(EXIT.usage, (error as Error).message)
    }
  }
  return headers
}

type Captured = {
  headers: Headers
  body: Buffer
  keys: readonly Uint8Array[]
  /** Wall time in ms. */
  now: number
}

/**
 * Prints whether a webhook passes; if not, the reason, the likely mistakes and the signatures that
 * the secrets give.
 *
 * @throws ExitError where it does not pass
 */
function verify(captured: Captured, { print, printError }: VerbDeps): void {
  const { headers, body, keys, now } = captured
  const fault = signatureFault(headers, body, keys, now)
  if (fault !== undefined) {
    printError([`Refused: ${fault}`, ...hints(captured)].join('\n'))
    throw new ExitError(EXIT.fault)
  }
  const signers = keys.flatMap((key, i) =>
    signatureFault(headers, body, [key], now) === undefined ? [i + 1] : [],
  )
  print(`Accepted: signed by secret ${signers.join(' and ')} of ${keys.length}.\n`)
}

/** What would have passed instead. */
function hints({ headers, body, keys, now }: Captured): string[] {
  const [id, timestamp] = headerNames(headers).map((name) => headers.get(name))
  if (!id || !timestamp || !/^[0-9]{1,12}$/.test(timestamp)) return []
  const then = Number(timestamp) * 1000
  const faultThen = signatureFault(headers, body, keys, then)
  if (faultThen === undefined) return ['The signature matches: only the timestamp is refused.']
  const passes = (bytes: Buffer, by: readonly Uint8Array[]) =>
    signatureFault(headers, bytes, by, then) === undefined

  const found: string[] = []
  if (signatureFault(headers, body, keys, now) !== faultThen)
    found.push('The signature does not match either.')
  const withoutLineEnd = Buffer.from(body.toString('latin1').replace(/\r?\n$/, ''), 'latin1')
  if (passes(withoutLineEnd, keys))
    found.push('The signature matches without the line end at the end of the body file.')
  const textKeys = keys.flatMap((key) => {
    const secret = encodeSecret(key)
    return [Buffer.from(secret), Buffer.from(secret.slice('whsec_'.length))]
  })
  if (passes(body, textKeys))
    found.push('The sender signed with the text of the secret, not with the bytes it encodes.')
  const expected = keys.map((key) => signatureOf(key, id, timestamp, body))
  return [...found, ...expected.map((it, i) => `Secret ${i + 1} of ${keys.length} gives: ${it}`)]
}
