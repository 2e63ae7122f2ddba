import { CURRENCIES } from './currencies.ts'

/** In minor units: 15 digits, as many as a double always keeps. */
const MINOR_UNITS_MAX = 999_999_999_999_999
const SIGNIFICANT_DIGITS_MAX = 15

// Both take linear time: no two neighbouring parts match the same character.
const JSON_NUMBER = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/
const DECIMAL_STRING = /^()(0|[1-9][0-9]*)(?:\.([0-9]+))?$/

const DIGIT_0 = 48

const digitsByCode: ReadonlyMap<string, number> = new Map(
  CURRENCIES.map(([code, , digits]) => [code, digits]),
)

export type AmountFault = { code: 'format' | 'range' | 'precision'; message: string }

/** Minor-unit digits of a currency (ISO 4217: 0, 2, 3 or 4); undefined where it is not listed. */
export function minorDigits(currency: string): number | undefined {
  return digitsByCode.get(currency)
}

/**
 * Converts an amount from major to minor units, by its exact decimal value: 0.1000000000000000055
 * is not 0.1. Time and memory are linear in the length of the text, whatever its exponent.
 *
 * @param text the source text of a JSON number (RFC 8259), or the content of a decimal string
 * @param digits minor-unit digits of the currency; undefined where the currency is not valid: then
 *   only faults in any currency count, and the result is NaN without one
 * @returns an integer from 1 to 999,999,999,999,999; or the first fault, in this order: `format`,
 *   `range` (not above 0), `precision`, `range` (above the maximum)
 */
export function parseAmount(
  text: string,
  kind: 'number' | 'string',
  digits: number | undefined,
): number | AmountFault {
  const match = (kind === 'number' ? JSON_NUMBER : DECIMAL_STRING).exec(text)
  if (match === null) return formatFault(kind)
  const [, sign, whole = '', fraction = '', power = '0'] = match

  const all = whole + fraction
  let start = 0
  let end = all.length
  while (start < end && all.charCodeAt(start) === DIGIT_0) start++
  while (start < end && all.charCodeAt(end - 1) === DIGIT_0) end--
  const significand = all.slice(start, end)
  if (significand === '' || sign === '-') return NOT_POSITIVE

  // A power beyond 2^53 may be inexact or Infinity: no text is long enough to bring the sum back
  // into the range of amounts.
  const exponent = Number(power) - fraction.length + (all.length - end)
  const zeros = exponent + (digits ?? 0)
  if (digits !== undefined && zeros < 0) return tooPrecise(digits)
  if (significand.length + zeros > SIGNIFICANT_DIGITS_MAX) return tooLarge(digits ?? 0)
  return digits === undefined ? Number.NaN : Number(significand) * 10 ** zeros
}

/**
 * The amount in major units: 12345 with 2 digits is 123.45. Its JSON is exact: division rounds
 * correctly (IEEE 754), and the double nearest to a decimal of up to 15 significant digits prints
 * as that decimal.
 *
 * @param minor minor units, 1 to 999,999,999,999,999
 * @param digits minor-unit digits of the currency, at most 4
 */
export function majorUnits(minor: number, digits: number): number {
  return minor / 10 ** digits
}

const NOT_POSITIVE: AmountFault = { code: 'range', message: 'must be greater than 0' }

function formatFault(kind: 'number' | 'string'): AmountFault {
  const message =
    kind === 'number'
      ? 'must be a JSON number'
      : 'must be a decimal string like "12.50", without a sign, an exponent or extra leading zeros'
  return { code: 'format', message }
}

function tooPrecise(digits: number): AmountFault {
  const most = digits === 0 ? 'no decimals' : `at most ${digits} decimals`
  return { code: 'precision', message: `must have ${most} in this currency` }
}

function tooLarge(digits: number): AmountFault {
  return { code: 'range', message: `must be at most ${majorUnits(MINOR_UNITS_MAX, digits)}` }
}
