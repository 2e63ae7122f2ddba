/**
 * The filters of lists and bulk retries. The query string, the body of a retry, the SQL, the
 * OpenAPI document and the command line follow from this one table: a new filter is a new row.
 */

import { parseIsoTime } from './iso-time.ts'
import { minorDigits } from './money.ts'
import { ACCOUNT_LENGTH_MAX, STATUSES, type Status, type StoredTransaction } from './transaction.ts'
import { throwBadValue } from './values.ts'

type FilterRow = {
  /** Of the command line, with the name of its value. */
  flag: string
  /** @throws BadValue */
  parse(text: string): string | number
  /** Of the OpenAPI document. */
  schema: { type: 'string'; format?: 'date-time'; enum?: Status[] }
  help: string
  /** What the value is compared with. */
  column: keyof StoredTransaction
  comparison: '=' | '>=' | '<'
}

const time = { type: 'string', format: 'date-time' } as const

/** By the name of the parameter. */
export const FILTERS = {
  status: {
    flag: '--status <status>',
    parse: (text: string) =>
      STATUSES.find((status) => status === text) ??
      throwBadValue(`must be one of ${STATUSES.join(', ')}`),
    schema: { type: 'string', enum: [...STATUSES] },
    help: `only this state: ${STATUSES.join(', ')}`,
    column: 'status',
    comparison: '=',
  },
  currency: {
    flag: '--currency <code>',
    parse(text: string) {
      if (minorDigits(text) !== undefined) return text
      return throwBadValue('must be an ISO 4217 code in capitals that has minor units')
    },
    schema: { type: 'string' },
    help: 'only this currency',
    column: 'currency',
    comparison: '=',
  },
  source_account: {
    flag: '--source-account <account>',
    parse: textUpTo(ACCOUNT_LENGTH_MAX),
    schema: { type: 'string' },
    help: 'only from this account',
    column: 'sourceAccount',
    comparison: '=',
  },
  destination_account: {
    flag: '--destination-account <account>',
    parse: textUpTo(ACCOUNT_LENGTH_MAX),
    schema: { type: 'string' },
    help: 'only to this account',
    column: 'destinationAccount',
    comparison: '=',
  },
  created_from: {
    flag: '--from <time>',
    parse: parseIsoTime,
    schema: time,
    help: 'only accepted at this time or after it: 2026-01-31T12:00:00Z',
    column: 'createdAt',
    comparison: '>=',
  },
  created_to: {
    flag: '--to <time>',
    parse: parseIsoTime,
    schema: time,
    help: 'only accepted before this time',
    column: 'createdAt',
    comparison: '<',
  },
} satisfies Record<string, FilterRow>

export type FilterName = keyof typeof FILTERS

export const FILTER_NAMES = Object.keys(FILTERS) as FilterName[]

/** Selects the transactions that match all of these. Times are wall time in ms. */
export type TransactionFilter = {
  [Name in FilterName]?: ReturnType<(typeof FILTERS)[Name]['parse']> | undefined
}

/** A reader of text of 1 to `lengthMax` characters (UTF-16 code units) that throws BadValue. */
export function textUpTo(lengthMax: number): (text: string) => string {
  return (text) => {
    const fits = text.length >= 1 && text.length <= lengthMax
    return fits ? text : throwBadValue(`must have 1 to ${lengthMax} characters`)
  }
}
