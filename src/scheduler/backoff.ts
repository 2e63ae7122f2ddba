const FIRST_MS = 5_000
const LONGEST_MS = 3_600_000
/** The share of the wait that jitter may add: enough that jobs which failed together spread. */
const JITTER = 0.25
/** The least that is waited where the target names a time: "now" would be a busy loop. */
const ASKED_MS_MIN = 1_000

/**
 * How long to wait before the next attempt: 5 s, doubled with every failure up to 1 h, with up to a
 * quarter of it added as jitter.
 *
 * @param failures attempts that failed in a row, from 1
 * @param random a number from 0 to 1, less than 1
 * @returns milliseconds
 */
export function backoffMs(failures: number, random: number): number {
  const wait = Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS)
  return Math.round(wait * (1 + JITTER * random))
}

/** As long as the target asked for, from 1 s to 1 h. In milliseconds. */
export function askedMs(retryAfterMs: number): number {
  return Math.min(Math.max(Math.ceil(retryAfterMs), ASKED_MS_MIN), LONGEST_MS)
}
