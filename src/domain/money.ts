import { CURRENCIES } from './currencies.ts'

/** The largest amount there is, in minor units: 15 digits, as many as a double always keeps. */
const MINOR_UNITS_MAX = 999_999_999_999_999
const SIGNIFICANT_DIGITS_MAX = 15

// Both are linear: no two neighbouring parts can match the same character. `[0-9]`, since ASCII
// only, and JavaScript's `$` doesn't match before a line feed.
const JSON_NUMBER = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/
const DECIMAL_STRING = /^()(0|[1-9][0-9]*)(?:\.([0-9]+))?$/

const DIGIT_0 = 48
const POINT = 46

const digitsByCode: ReadonlyMap<string, number> = new Map(
  CURRENCIES.map(([code, , digits]) => [code, digits]),
)

/** `type` is for the caller, who alone sees values that are neither a number nor a string. */
export type AmountFault = { code: 'type' | 'format' | 'range' | 'precision'; message: string }

/** Minor-unit digits of a currency (ISO 4217: 0, 2, 3 or 4), or undefined when it isn't listed. */
export function minorDigits(currency: string): number | undefined {
  return digitsByCode.get(currency)
}

/**
 * Reads an amount in major units and returns it in minor units, an integer from 1 to
 * 999,999,999,999,999, or says what is wrong with it. It is judged by its exact decimal value and
 * never goes through a double, so 0.1000000000000000055 isn't 0.1. Time and memory are linear in
 * the length of the text, whatever the exponent says.
 *
 * @param text the source text of a JSON number (RFC 8259), or the content of a decimal string
 * @param digits minor-unit digits of the currency; undefined when the currency itself is faulty:
 *   then only what would be a fault in any currency is one (more than 15 digits before the point,
 *   and no `precision`), and an amount without fault is NaN, for there is nothing to count it in
 * @returns faults in the order they are looked for: `format`; `range` when not above 0;
 *   `precision`; `range` when above the maximum
 */
export function parseAmount(
  text: string,
  kind: 'number' | 'string',
  digits: number | undefined,
): number | AmountFault {
  return (
    (digits === undefined ? undefined : parsePlain(text, digits)) ??
    parseExactly(text, kind, digits)
  )
}

/**
 * The amount in major units, as a JSON number that is exact: 12345 with 2 digits is 123.45.
 * Division rounds correctly (IEEE 754), and the double nearest to a decimal of up to 15
 * significant digits prints as that decimal.
 *
 * @param minor minor units, 1 to 999,999,999,999,999
 * @param digits minor-unit digits of the currency, at most 4
 */
export function majorUnits(minor: number, digits: number): number {
  return minor / 10 ** digits
}

/**
 * The amounts nearly everyone sends, such as 100 or 12.50: up to 15 digits, at most one point, no
 * more decimals than the currency has. It spares those a pattern match and four strings.
 * Undefined is no verdict, it means: look closer.
 */
function parsePlain(text: string, digits: number): number | undefined {
  const length = text.length
  if (length > SIGNIFICANT_DIGITS_MAX + 1) return undefined
  let value = 0
  let point = -1
  for (let i = 0; i < length; i++) {
    const char = text.charCodeAt(i)
    if (char >= DIGIT_0 && char <= DIGIT_0 + 9) value = value * 10 + (char - DIGIT_0)
    else if (char === POINT && point < 0) point = i
    else return undefined
  }
  const wholeLength = point < 0 ? length : point
  const decimals = point < 0 ? 0 : length - point - 1
  if (wholeLength === 0 || (wholeLength > 1 && text.charCodeAt(0) === DIGIT_0)) return undefined
  if (decimals > digits || point === length - 1) return undefined
  const minor = value * 10 ** (digits - decimals)
  return minor > 0 && minor <= MINOR_UNITS_MAX ? minor : undefined
}

/** Every amount there can be. The value is `significand` × 10^`exponent`, without outer zeros. */
function parseExactly(
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

  // A power beyond 2^53, even one that becomes Infinity, does no harm here: no text is long enough
  // to bring the sum back to where an amount could be.
  const exponent = Number(power) - fraction.length + (all.length - end)
  const zeros = exponent + (digits ?? 0)
  if (digits !== undefined && zeros < 0) return tooPrecise(digits)
  if (significand.length + zeros > SIGNIFICANT_DIGITS_MAX) return tooLarge(digits ?? 0)
  return digits === undefined ? Number.NaN : Number(significand) * 10 ** zeros
}

const NOT_POSITIVE: AmountFault = { code: 'range', message: 'must be greater than 0' }

function formatFault(kind: 'number' | 'string'): AmountFault {
  const message =
    kind === 'number'
      ? 'must be a JSON number'
      : 'must be a decimal string like "12.50", with no sign, exponent or superfluous leading zero'
  return { code: 'format', message }
}

function tooPrecise(digits: number): AmountFault {
  const most = digits === 0 ? 'no decimals' : `at most ${digits} decimals`
  return { code: 'precision', message: `must have ${most} in this currency` }
}

function tooLarge(digits: number): AmountFault {
  return { code: 'range', message: `must be at most ${majorUnits(MINOR_UNITS_MAX, digits)}` }
}
