/**
 * The parameters of lists and of retries by filter, and what each may be. They come as a query or
 * as the members of a JSON object, and mean the same in both.
 */

import { minorDigits } from '../domain/money.ts'
import { ACCOUNT_LENGTH_MAX, STATUSES, TRANSACTION_ID_LENGTH_MAX } from '../domain/transaction.ts'
import { Problem, type ProblemPart } from './problem.ts'

export const LIMIT_DEFAULT = 50
export const LIMIT_MAX = 250

/** A value that can't be: what it should have been. */
class BadValue extends Error {}

const PARSERS = {
  status(text: string) {
    const status = STATUSES.find((candidate) => candidate === text)
    return status ?? bad(`must be one of ${STATUSES.join(', ')}`)
  },
  currency(text: string) {
    if (minorDigits(text) !== undefined) return text
    return bad('must be an ISO 4217 code in capitals that has minor units')
  },
  transaction_id: identifier(TRANSACTION_ID_LENGTH_MAX),
  source_account: identifier(ACCOUNT_LENGTH_MAX),
  destination_account: identifier(ACCOUNT_LENGTH_MAX),
  created_from: time,
  created_to: time,
  limit(text: string) {
    const limit = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0
    return limit >= 1 && limit <= LIMIT_MAX ? limit : bad(`must be from 1 to ${LIMIT_MAX}`)
  },
  cursor(text: string) {
    const before = /^[1-9][0-9]{0,15}$/.exec(Buffer.from(text, 'base64url').toString())?.[0]
    if (before === undefined || cursorBefore(Number(before)) !== text)
      return bad('must be the next_cursor of an earlier answer')
    return Number(before)
  },
}

export type Parameter = keyof typeof PARSERS
/** The values that were given, parsed. */
export type Parameters<Name extends Parameter> = {
  [Key in Name]?: ReturnType<(typeof PARSERS)[Key]>
}

/** What a list of transactions can be narrowed by, and a retry by filter too. */
export const FILTER = [
  'status',
  'currency',
  'source_account',
  'destination_account',
  'created_from',
  'created_to',
] as const

/** The parameters of a transaction filter, as the store knows them. */
export function filterOf(parameters: Parameters<(typeof FILTER)[number]>) {
  return {
    status: parameters.status,
    currency: parameters.currency,
    sourceAccount: parameters.source_account,
    destinationAccount: parameters.destination_account,
    createdFrom: parameters.created_from,
    createdTo: parameters.created_to,
  }
}

/** Names the place of a row in a list: what comes next lies before it. */
export function cursorBefore(id: number): string {
  return Buffer.from(String(id)).toString('base64url')
}

/**
 * Reads a query.
 *
 * @throws Problem invalid_parameters, which names every parameter that is bad, unknown or repeated
 */
export function readQuery<Name extends Parameter>(
  url: string,
  names: readonly Name[],
): Parameters<Name> {
  const start = url.indexOf('?')
  const parts: ProblemPart[] = []
  const given = new Map<string, string[]>()
  for (const pair of start === -1 ? [] : url.slice(start + 1).split('&')) {
    if (pair === '') continue
    const [name, value] = decodedPair(pair)
    if (value === undefined) parts.push({ path: name, code: 'value', message: NOT_UTF_8 })
    else given.set(name, [...(given.get(name) ?? []), value])
  }
  for (const [path, { length }] of given) {
    if (length > 1) parts.push({ path, code: 'repeated', message: 'came more than once' })
  }
  const entries = [...given].flatMap(([name, all]) => all.map((value) => [name, value] as const))
  const values = readParameters(entries, names, '', parts)
  if (parts.length === 0) return values
  const detail = 'The query is not one of this path: `errors` names every fault.'
  throw new Problem('invalid_parameters', detail, { errors: parts })
}

const NOT_UTF_8 = 'must be percent-encoded UTF-8'

/** A parameter; what doesn't decode has no value. Its bytes may also be there without encoding. */
function decodedPair(pair: string): [name: string, value: string | undefined] {
  const [name = '', ...rest] = pair.split('=')
  try {
    const [decodedName, value] = [name, rest.join('=')].map((text) => {
      if (text.includes('\ufffd')) throw new URIError(NOT_UTF_8)
      return decodeURIComponent(text.replaceAll('+', ' '))
    })
    return [decodedName as string, value as string]
  } catch {
    return [name, undefined]
  }
}

/**
 * Reads parameters, and adds what is wrong with them to `parts`.
 *
 * @param prefix of the paths by which faults are named
 */
export function readParameters<Name extends Parameter>(
  given: Iterable<readonly [string, unknown]>,
  names: readonly Name[],
  prefix: string,
  parts: ProblemPart[],
): Parameters<Name> {
  const values: Record<string, unknown> = {}
  const unknown = new Set<string>()
  for (const [name, value] of given) {
    const path = `${prefix}${name}`
    const known = names.find((candidate) => candidate === name)
    try {
      if (known === undefined) unknown.add(path)
      else values[known] = PARSERS[known](typeof value === 'string' ? value : bad('must be text'))
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      parts.push({ path, code: 'value', message: error.message })
    }
  }
  for (const path of unknown) parts.push({ path, code: 'unknown', message: 'is not known here' })
  return values as Parameters<Name>
}

function identifier(lengthMax: number): (text: string) => string {
  return (text) => {
    const fits = text.length >= 1 && text.length <= lengthMax
    return fits ? text : bad(`must have 1 to ${lengthMax} characters`)
  }
}

const TIME =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:Z|([+-])(\d\d):?(\d\d))$/

/**
 * A time of ISO 8601 with a zone, in ms since the epoch; a fraction of a millisecond counts as a
 * whole one, since nothing lies in between.
 */
function time(text: string): number {
  const match = TIME.exec(text)
  if (match === null) {
    const plus = / \d\d:?\d\d$/.test(text) ? '; a + in a query is written %2B' : ''
    return bad(`must be a time like 2026-01-31T12:00:00Z, with a zone${plus}`)
  }
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((it) => Number(it ?? 0))
  const [, , , , , , , fraction = '', sign, zoneHours = '0', zoneMinutes = '0'] = match
  const date = new Date(0)
  date.setUTCFullYear(year as number, (month as number) - 1, day)
  date.setUTCHours(hour as number, minute, second)
  const shown = `${match[1]}-${match[2]}-${match[3]}T${match[4]}:${match[5]}:${match[6] ?? '00'}`
  const zone = Number(zoneHours) * 60 + Number(zoneMinutes)
  const exists =
    date.toISOString().startsWith(shown) && Number(zoneHours) < 24 && Number(zoneMinutes) < 60
  if (!exists) return bad('must be a time that exists')
  const offset = (sign === '-' ? -zone : zone) * 60_000
  const ms = Number(fraction.slice(0, 3).padEnd(3, '0')) + (/[1-9]/.test(fraction.slice(3)) ? 1 : 0)
  return date.getTime() - offset + ms
}

function bad(message: string): never {
  throw new BadValue(message)
}
