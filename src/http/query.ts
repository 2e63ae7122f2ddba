/**
 * Reads the path and the query. A bulk retry has its parameters in a JSON object instead: they are
 * read like those of a query.
 */

import { FILTERS, textUpTo } from '../domain/filter.ts'
import { TRANSACTION_ID_LENGTH_MAX } from '../domain/transaction.ts'
import { BadValue, throwBadValue, wholeNumber } from '../domain/values.ts'
import { INVALID_CURSOR, invalidQuery, Problem, type ProblemPart, unknownPart } from './problem.ts'

export const LIMIT_DEFAULT = 50
export const LIMIT_MAX = 250

/** The filters, and the other parameters of lists. */
export const PARAMETERS = {
  ...FILTERS,
  transaction_id: {
    parse: textUpTo(TRANSACTION_ID_LENGTH_MAX),
    schema: { type: 'string' as const },
    help: 'only this transaction',
  },
  limit: {
    parse: wholeNumber(1, LIMIT_MAX, String(LIMIT_MAX).length),
    schema: { type: 'integer' as const, minimum: 1, maximum: LIMIT_MAX, default: LIMIT_DEFAULT },
    help: 'at most this many rows',
  },
  cursor: {
    // What it means is the store's, which rejects others with InvalidCursor.
    parse(text: string) {
      const isBase64Url =
        text !== '' && Buffer.from(text, 'base64url').toString('base64url') === text
      return isBase64Url ? text : throwBadValue(INVALID_CURSOR)
    },
    schema: { type: 'string' as const },
    help: 'the `next_cursor` of the page before; without it, the newest rows',
  },
}

export type Parameter = keyof typeof PARAMETERS
/** The values that were given, parsed. */
export type ParameterValues<Name extends Parameter> = {
  [Key in Name]?: ReturnType<(typeof PARAMETERS)[Key]['parse']>
}

/**
 * Reads the id in the path of a request without parameters in its query.
 *
 * @param params of the route; Elysia gives null for what it cannot decode, whatever its types say
 * @throws Problem invalid_parameters, invalid_path
 */
export function readTransactionId(
  { transaction_id: id }: { transaction_id: string | null },
  { url }: Request,
): string {
  readQuery(url, [])
  // Bun puts a replacement character in place of bytes that are neither UTF-8 nor percent-encoded.
  if (id !== null && !url.includes('\ufffd')) return id
  throw new Problem('invalid_path', 'The transaction_id in the path is not percent-encoded UTF-8.')
}

/**
 * Reads a query.
 *
 * @throws Problem invalid_parameters, which names every parameter that is bad, unknown or repeated
 */
export function readQuery<Name extends Parameter>(
  url: string,
  names: readonly Name[],
): ParameterValues<Name> {
  const start = url.indexOf('?')
  const errors: ProblemPart[] = []
  const given: [name: string, value: string][] = []
  for (const pair of start === -1 ? [] : url.slice(start + 1).split('&')) {
    if (pair === '') continue
    const [name, value] = decodedPair(pair)
    if (value === undefined) errors.push({ path: name, code: 'value', message: NOT_UTF_8 })
    else given.push([name, value])
  }
  for (const [path, { length }] of Map.groupBy(given, ([name]) => name)) {
    if (length > 1) errors.push({ path, code: 'repeated', message: 'must be given only once' })
  }
  const values = readParameters(given, names, '', errors)
  if (errors.length === 0) return values
  throw invalidQuery(errors)
}

const NOT_UTF_8 = 'must be percent-encoded UTF-8'

/**
 * Decodes a parameter; the value is undefined where the bytes are not UTF-8. URLSearchParams would
 * put replacement characters in their place, as Bun does where they are not percent-encoded.
 */
function decodedPair(pair: string): [name: string, value: string | undefined] {
  const [name = '', ...rest] = pair.split('=')
  if (pair.includes('\ufffd')) return [name, undefined]
  const decode = (text: string) => decodeURIComponent(text.replaceAll('+', ' '))
  try {
    return [decode(name), decode(rest.join('='))]
  } catch {
    return [name, undefined]
  }
}

/**
 * Reads parameters, and adds their faults to `errors`.
 *
 * @param prefix of the paths that name the faults
 */
export function readParameters<Name extends Parameter>(
  given: Iterable<readonly [string, unknown]>,
  names: readonly Name[],
  prefix: string,
  errors: ProblemPart[],
): ParameterValues<Name> {
  const values: Record<string, unknown> = {}
  const unknown = new Set<string>()
  for (const [name, value] of given) {
    const path = `${prefix}${name}`
    const known = names.find((candidate) => candidate === name)
    if (known === undefined) {
      unknown.add(path)
      continue
    }
    try {
      values[known] = PARAMETERS[known].parse(
        typeof value === 'string' ? value : throwBadValue('must be a string'),
      )
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      errors.push({ path, code: 'value', message: error.message })
    }
  }
  for (const path of unknown) errors.push(unknownPart(path))
  return values as ParameterValues<Name>
}
