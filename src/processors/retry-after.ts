/** The three date formats of HTTP (RFC 9110, 5.6.7); the last one has no zone and means GMT. */
const DATES = [
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/,
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT$/,
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/,
]

/**
 * How long a `Retry-After` header asks to wait: seconds, or a date (RFC 9110, 10.2.3 and 5.6.7).
 *
 * @param now wall time in ms
 * @returns milliseconds, 0 for a time in the past; undefined where it is neither
 */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined
  if (/^[0-9]+$/.test(header)) return Number(header) * 1000
  if (!DATES.some((format) => format.test(header))) return undefined
  const date = Date.parse(header.endsWith('GMT') ? header : `${header} GMT`)
  return Number.isNaN(date) ? undefined : Math.max(date - now, 0)
}
