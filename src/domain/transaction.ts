/**
 * The domain: what a transaction is, which ones are well formed, and when two are the same.
 * The rules are those of the webhook's contract; nothing here knows of HTTP or of tables.
 */

import { objectWithout, sourceOf } from './json-source.ts'
import { majorUnits, minorDigits, parseAmount } from './money.ts'
import type { StrictJson } from './strict-json.ts'

/**
 * The states. PENDING: stored, waiting for its next attempt. PROCESSING: an attempt is under way.
 * PROCESSED is final, FAILED is final until somebody retries it.
 */
export const STATUSES = ['PENDING', 'PROCESSING', 'PROCESSED', 'FAILED'] as const
export type Status = (typeof STATUSES)[number]

/** How an attempt can end. `interrupted`: the process died in the middle of it. */
export const ATTEMPT_OUTCOMES = ['done', 'retry', 'fail', 'interrupted'] as const
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number]

/** The five fields that make a transaction what it is: sameness is judged over these. */
export const FIELDS = [
  'transaction_id',
  'source_account',
  'destination_account',
  'amount',
  'currency',
] as const
export type Field = (typeof FIELDS)[number]

/** A JSON object as parsed. */
export type JsonObject = { [member: string]: unknown }

/** A well-formed transaction, as a sender means it. */
export type Transaction = {
  transactionId: string
  sourceAccount: string
  destinationAccount: string
  /** In minor units of the currency: an integer from 1 to 999,999,999,999,999. */
  amount: number
  /** An ISO 4217 code. */
  currency: string
  /**
   * The members beyond the five fields, as the text of a JSON object; null where there were none.
   * Its numbers have the digits that were sent: JSON.parse rounds those that no double holds.
   */
  extra: string | null
}

/** A transaction as it is stored, with its state. Times are wall time in ms since the epoch. */
export type StoredTransaction = Transaction & {
  status: Status
  /** Attempts begun. */
  attempts: number
  createdAt: number
  /** When the first attempt began. */
  processingStartedAt: number | null
  processedAt: number | null
  /** When a PENDING one is due; null in every other state. */
  nextAttemptAt: number | null
  /** Of a FAILED one that somebody has dealt with elsewhere. */
  handled: Handled | null
  /** Why the last attempt did not succeed. */
  error: string | null
}

/** When it was noted that a transaction is dealt with, and what was noted. */
export type Handled = { at: number; note: string }

/** Of a note, in UTF-16 code units. */
export const NOTE_LENGTH_MAX = 500

/** One faulty field: which, a code for programs, and what is wrong with it in words. */
export type FieldFault = { path: string; code: FieldFaultCode; message: string }
export type FieldFaultCode =
  | 'required'
  | 'type'
  | 'length'
  | 'characters'
  | 'reserved'
  | 'format'
  | 'range'
  | 'precision'
  | 'currency'

/** A field in which a second delivery differs from the stored one; values as JSON shows them. */
export type Difference = { field: Field; stored: string | number; received: string | number }

export const TRANSACTION_ID_LENGTH_MAX = 255
export const ACCOUNT_LENGTH_MAX = 128

/** Ordinary identifiers: printable ASCII without spaces needs no look at Unicode properties. */
const PLAIN = /^[!-~]+$/
const SPACE_AT_AN_END = /^\s|\s$/u
/** Characters that make two different identifiers look alike, or one look like two lines. */
const DECEPTIVE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u

/**
 * Reads a transaction from a JSON body. A number as `amount` is judged from its source, since a double
 * can't tell 0.1 from 0.1000000000000000055.
 *
 * @returns the transaction, or every fault found
 */
export function parseTransaction(json: StrictJson): Transaction | FieldFault[] {
  const { value } = json
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [{ path: '', code: 'type', message: 'must be a JSON object' }]
  }
  const { transaction_id, source_account, destination_account, amount, currency } =
    value as JsonObject
  const faults: FieldFault[] = []

  const transactionId = identifier(
    'transaction_id',
    transaction_id,
    TRANSACTION_ID_LENGTH_MAX,
    faults,
  )
  const sourceAccount = identifier('source_account', source_account, ACCOUNT_LENGTH_MAX, faults)
  const destinationAccount = identifier(
    'destination_account',
    destination_account,
    ACCOUNT_LENGTH_MAX,
    faults,
  )
  const digits = currencyDigits(currency, faults)
  const minor = minorUnits(amount, json, digits, faults)
  if (transactionId === '.' || transactionId === '..') {
    const message = `must not be "${transactionId}", which no URL can carry`
    faults.push({ path: 'transaction_id', code: 'reserved', message })
  }
  if (faults.length > 0) return faults
  return {
    transactionId,
    sourceAccount,
    destinationAccount,
    amount: minor,
    currency: currency as string,
    extra: json.members.length > FIELDS.length ? objectWithout(FIELDS, json) : null,
  }
}

/** The fields in which two transactions of one `transaction_id` differ; none: they are the same. */
export function differences(stored: Transaction, received: Transaction): Difference[] {
  const before = fieldsJson(stored)
  const now = fieldsJson(received)
  // 1 USD and 1 JPY show the same number: then only the currency differs, and says so.
  return FIELDS.filter((field) => before[field] !== now[field]).map((field) => ({
    field,
    stored: before[field],
    received: now[field],
  }))
}

/** The five fields as JSON has them: the amount in major units, a number that is exact. */
export function fieldsJson(transaction: Transaction): Record<Field, string | number> {
  const { currency } = transaction
  const digits = minorDigits(currency)
  // A code that leaves the list must stay in the table while transactions with it are stored.
  if (digits === undefined) throw new Error(`The currency ${currency} has no minor digits.`)
  return {
    transaction_id: transaction.transactionId,
    source_account: transaction.sourceAccount,
    destination_account: transaction.destinationAccount,
    amount: majorUnits(transaction.amount, digits),
    currency,
  }
}

function identifier(path: Field, value: unknown, lengthMax: number, faults: FieldFault[]): string {
  const fault = identifierFault(path, value, lengthMax)
  if (fault === null) return value as string
  faults.push(fault)
  return ''
}

function identifierFault(path: Field, value: unknown, lengthMax: number): FieldFault | null {
  if (typeof value !== 'string') return missingOrType(path, value, 'a string')
  if (value.length < 1 || value.length > lengthMax) {
    const message = `must have 1 to ${lengthMax} characters, and has ${value.length}`
    return { path, code: 'length', message }
  }
  if (PLAIN.test(value)) return null
  if (SPACE_AT_AN_END.test(value)) {
    const message = 'must not begin or end with white space'
    return { path, code: 'characters', message }
  }
  if (DECEPTIVE.test(value)) {
    const message =
      'must not contain control characters, line or paragraph separators, or bidirectional controls'
    return { path, code: 'characters', message }
  }
  return null
}

function missingOrType(path: Field, value: unknown, expected: string): FieldFault {
  if (value === undefined) return { path, code: 'required', message: 'is missing' }
  return { path, code: 'type', message: `must be ${expected}` }
}

function currencyDigits(value: unknown, faults: FieldFault[]): number | undefined {
  const path = 'currency'
  if (typeof value !== 'string') {
    faults.push(missingOrType(path, value, 'a string'))
    return undefined
  }
  const digits = minorDigits(value)
  if (digits === undefined) {
    const message = 'must be an ISO 4217 code in capitals that has minor units'
    faults.push({ path, code: 'currency', message })
  }
  return digits
}

function minorUnits(
  value: unknown,
  json: StrictJson,
  digits: number | undefined,
  faults: FieldFault[],
): number {
  const path = 'amount'
  if (typeof value !== 'string' && typeof value !== 'number') {
    faults.push(missingOrType(path, value, 'a number or a decimal string'))
    return 0
  }
  const parsed =
    typeof value === 'string'
      ? parseAmount(value, 'string', digits)
      : parseAmount(sourceOf(json, path) as string, 'number', digits)
  if (typeof parsed === 'number') return parsed
  faults.push({ path, ...parsed })
  return 0
}
