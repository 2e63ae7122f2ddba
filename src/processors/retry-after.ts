const WEEKDAY = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/

/**
 * How long a `Retry-After` header asks to wait: seconds, or a date in one of the three formats of
 * HTTP (RFC 9110, 10.2.3 and 5.6.7).
 *
 * @param now wall time in ms
 * @returns milliseconds, 0 for a time that has passed; undefined where it says neither
 */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined
  if (/^[0-9]{1,10}$/.test(header)) return Number(header) * 1000
  if (!WEEKDAY.test(header)) return undefined
  // The format of asctime names no zone, and means this one.
  const date = Date.parse(header.endsWith(' GMT') ? header : `${header} GMT`)
  return Number.isNaN(date) ? undefined : Math.max(date - now, 0)
}
