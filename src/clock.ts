/**
 * Time. No other file reads it from the system.
 *
 * Wall time is what the machine's clock says, for records that people read. Steady time is for
 * schedules: it begins at the wall time of the start (or later, see `advanceTo`) and then follows the
 * monotonic clock, so that a step of the wall clock neither delays a job nor makes it early. Both are
 * integer ms since the epoch.
 */
export type Clock = {
  now(): Now
  /** Monotonic time in ms, with fractions: for durations alone. */
  monotonic(): number
  /** Moves steady time forward to `time` where it is behind. Returns by how many ms. */
  advanceTo(time: number): number
  /** Calls `callback` once after `delay` ms, however long. Returns a function that cancels it. */
  after(delay: number, callback: () => void): () => void
}

/** The present, by both kinds of time. */
export type Now = { wall: number; steady: number }

/** setTimeout takes a signed 32-bit number of milliseconds; a longer one fires at once. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

/** The machine's clocks. */
export function systemClock(): Clock {
  let origin = Date.now() - performance.now()
  const steady = () => Math.floor(origin + performance.now())
  /** Kept while it is right to the millisecond, so that a wait is as long by both kinds of time. */
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
