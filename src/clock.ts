/**
 * Time, as everything in txhook gets it: handed in, never read from the system elsewhere.
 *
 * There are two kinds. Wall time is what the machine's clock says, for records that people read.
 * Steady time is for schedules: it starts at the wall time of the start (or later, see `advanceTo`)
 * and from then on follows the monotonic clock, so that a wall clock stepped by an hour neither
 * stalls a job nor hurries it. Both are integer milliseconds since the Unix epoch.
 */
export type Clock = {
  now(): Now
  /** Monotonic time in ms, with fractions: for durations, and for nothing else. */
  monotonic(): number
  /** Moves steady time forward to `time` if it is behind, never back. Returns by how many ms. */
  advanceTo(time: number): number
  /** Calls `callback` once after `delay` ms. Any delay is fine. Returns a function that cancels. */
  after(delay: number, callback: () => void): () => void
}

/** One moment, by both kinds of time. */
export type Now = { wall: number; steady: number }

/** setTimeout takes a signed 32-bit number of milliseconds; a longer one fires at once. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

/** The machine's clocks. */
export function systemClock(): Clock {
  let origin = Date.now() - performance.now()
  const steady = () => Math.floor(origin + performance.now())
  /** Kept while it is right to the millisecond: so both kinds of time show a wait as long. */
  let wallAhead = 0
  return {
    now() {
      const now = steady()
      const wall = Date.now()
      if (Math.abs(wall - now - wallAhead) > 1) wallAhead = wall - now
      return { wall: now + wallAhead, steady: now }
    },
    monotonic: () => performance.now(),
    advanceTo(time) {
      const behind = Math.max(time - steady(), 0)
      origin += behind
      return behind
    },
    after(delay, callback) {
      let timer: Timer
      const arm = (left: number) => {
        const step = Math.min(Math.max(left, 0), TIMEOUT_MS_MAX)
        timer = setTimeout(() => (left > step ? arm(left - step) : callback()), step)
      }
      arm(delay)
      return () => clearTimeout(timer)
    },
  }
}

/** `2026-01-01T00:00:00.000Z`, the form in which every answer shows a time. */
export function isoTime(time: number): string {
  return new Date(time).toISOString()
}
