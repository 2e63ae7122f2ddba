import type { Clock } from '../../src/clock.ts'

/** A clock that stands still until it is told to go on. */
export type ManualClock = Clock & {
  /** Lets both kinds of time pass, and fires the timers that fall due, in their order. */
  pass(ms: number): void
  /** Steps the wall clock alone, as an operator or NTP does. */
  stepWall(ms: number): void
  /** Timers that wait. */
  readonly timers: number
  /** Resolves when the next timer is set: whoever set it has nothing to do until then. */
  nextTimer(): Promise<void>
}

export const START = Date.UTC(2026, 0, 1)

export function manualClock(start: number = START): ManualClock {
  let steady = start
  let wallAhead = 0
  const timers = new Set<{ at: number; callback: () => void }>()
  let timerSet = Promise.withResolvers<void>()
  return {
    now: () => ({ wall: steady + wallAhead, steady }),
    monotonic: () => steady,
    advanceTo(time) {
      const behind = Math.max(time - steady, 0)
      wallAhead -= behind
      steady += behind
      return behind
    },
    after(delay, callback) {
      const timer = { at: steady + delay, callback }
      timers.add(timer)
      timerSet.resolve()
      timerSet = Promise.withResolvers()
      return () => void timers.delete(timer)
    },
    pass(ms) {
      steady += ms
      const due = [...timers].filter(({ at }) => at <= steady).sort((a, b) => a.at - b.at)
      for (const timer of due) {
        timers.delete(timer)
        timer.callback()
      }
    },
    stepWall(ms) {
      wallAhead += ms
    },
    nextTimer: () => timerSet.promise,
    get timers() {
      return timers.size
    },
  }
}
