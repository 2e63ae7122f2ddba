/** Times in ISO 8601, as every answer shows them and as every parameter takes them. */

import { throwBadValue } from './values.ts'

/** `2026-01-01T00:00:00.000Z`, from wall time in ms since the epoch. */
export function isoTime(time: number): string {
  return new Date(time).toISOString()
}

/** A time in ISO 8601, where there is one. */
export function isoTimeOrNull(time: number | null): string | null {
  return time === null ? null : isoTime(time)
}

/** Temporal accepts more: leap seconds, lower case, short zones, years of six digits. */
const TIME =
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(?:(?<=:\d\d:\d\d)[.,](\d+))?(Z|[+-]\d\d:?\d\d)$/

/**
 * Reads a time with a zone: ms since the epoch. A fraction of a millisecond is rounded up, since
 * no stored time lies in between.
 *
 * @throws BadValue
 */
export function parseIsoTime(text: string): number {
  const [, seconds, fraction = '', zone] = TIME.exec(text) ?? []
  if (seconds === undefined) {
    const plus = / \d\d:?\d\d$/.test(text) ? '; a + in a query is written %2B' : ''
    return throwBadValue(`must be a time like 2026-01-31T12:00:00Z, with a zone${plus}`)
  }
  if (/:\d\d:60$/.test(seconds)) return throwBadValue('must be a time that exists')
  const ms = Number(fraction.slice(0, 3).padEnd(3, '0')) + (/[1-9]/.test(fraction.slice(3)) ? 1 : 0)
  try {
    return Temporal.Instant.from(`${seconds}${zone}`).epochMilliseconds + ms
  } catch {
    return throwBadValue('must be a time that exists')
  }
}
