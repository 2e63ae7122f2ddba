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

/** A machine: its processes come and go, each with a clock of its own, while its time goes on. */
export type Machine = {
  /** The clock of a new process. */
  clock(): ManualClock
  pass(ms: number): void
  stepWall(ms: number): void
  /** Begins to count the time since the boot anew. */
  reboot(): void
}

export const START = Date.UTC(2026, 0, 1)

/** The clock of the one process of a machine. */
export function manualClock(start: number = START): ManualClock {
  return testMachine(start).clock()
}

export function testMachine(start: number = START): Machine {
  let elapsed = 0
  let wallAhead = start
  let boot = { id: crypto.randomUUID(), at: -1_000_000 }
  const pass = (ms: number) => {
    elapsed += ms
  }
  const stepWall = (ms: number) => {
    wallAhead += ms
  }
  return {
    pass,
    stepWall,
    reboot() {
      boot = { id: crypto.randomUUID(), at: elapsed }
    },
    clock() {
      let origin = wallAhead
      const timers = new Set<{ at: number; callback: () => void }>()
      let timerSet = Promise.withResolvers<void>()
      return {
        now: () => ({ wall: elapsed + wallAhead, steady: elapsed + origin }),
        monotonic: () => start + elapsed,
        boot: () => ({ id: boot.id, ms: elapsed - boot.at }),
        setSteady(time) {
          origin = time - elapsed
        },
        after(delay, callback) {
          const timer = { at: elapsed + delay, callback }
          timers.add(timer)
          timerSet.resolve()
          timerSet = Promise.withResolvers()
          return () => void timers.delete(timer)
        },
        pass(ms) {
          pass(ms)
          const due = [...timers].filter(({ at }) => at <= elapsed).sort((a, b) => a.at - b.at)
          for (const timer of due) {
            timers.delete(timer)
            timer.callback()
          }
        },
        stepWall,
        nextTimer: () => timerSet.promise,
        get timers() {
          return timers.size
        },
      }
    },
  }
}
