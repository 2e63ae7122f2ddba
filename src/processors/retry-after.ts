/** The three date formats of HTTP (RFC 9110, 5.6.7); the last one has no zone and means GMT. */
const DATES = [
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/,
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT$/,
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/,
]

/**
 * How long a `Retry-After` header asks to wait: seconds, or a date (RFC 9110, 10.2.3). Seconds with
 * decimals, which the standard doesn't have, are rounded up.
 *
 * @param now when the answer was sent: ms since the epoch
 * @returns milliseconds, 0 for a time in the past; undefined where it is neither
 */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header !== null && /^[0-9]+(?:\.[0-9]+)?$/.test(header))
    return Math.ceil(Number(header)) * 1000
  const date = httpDate(header)
  return date === undefined ? undefined : Math.max(date - now, 0)
}

/** A date as HTTP writes it (RFC 9110, 5.6.7), in ms since the epoch; undefined where it is none. */
export function httpDate(header: string | null): number | undefined {
  if (header === null || !DATES.some((format) => format.test(header))) return undefined
  const date = Date.parse(header.endsWith('GMT') ? header : `${header} GMT`)
  return Number.isNaN(date) ? undefined : date
}
