/**
 * Time. No other file reads it from the system.
 *
 * Wall time is what the machine's clock says, for records that people read. Steady time is for
 * schedules: it follows the monotonic clock, so that a step of the wall clock neither delays a job
 * nor makes it early, and the store lets it go on from one process to the next. It begins at the wall
 * time of the first start. Both are integer ms since the epoch.
 */

import { FFIType, ptr } from 'bun:ffi'
import { readFileSync } from 'node:fs'
import { loadFromLibc } from './libc.ts'

export type Clock = {
  now(): Now
  /** Monotonic time in ms, with fractions: for durations alone. */
  monotonic(): number
  /** How long ago the machine was started; undefined where the system doesn't say. */
  boot(): Boot | undefined
  /** Lets steady time go on from here: at the start, before it is used. */
  setSteady(time: number): void
  /** Calls `callback` once after `delay` ms, however long. Returns a function that cancels it. */
  after(delay: number, callback: () => void): () => void
}

/** The present, by both kinds of time. */
export type Now = { wall: number; steady: number }

/**
 * `id`: that of this start of the machine. `ms`: the time since, with fractions; no step of a clock
 * changes it.
 */
export type Boot = { id: string; ms: number }

/** setTimeout takes a signed 32-bit number of milliseconds; a longer one fires at once. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

/** A jump of the wall clock by so much makes it worth asking whether the machine slept. */
const JUMP_MS_MIN = 1_000

/** What time is read from. `monotonic` may stand still while the machine sleeps; `boot` does not. */
export type TimeSources = {
  wall(): number
  monotonic(): number
  boot(): Boot | undefined
}

const SYSTEM: TimeSources = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  boot: readBoot,
}

/** The machine's clocks. */
export function systemClock({ wall: readWall, monotonic, boot }: TimeSources = SYSTEM): Clock {
  let origin = readWall() - monotonic()
  const steady = () => Math.floor(origin + monotonic())
  const sinceBoot = () => {
    const now = boot()
    return now && now.ms - monotonic()
  }
  /** Time since the boot minus monotonic time: it grows while the machine sleeps. */
  let asleep = sinceBoot()
  /** Kept while it is right to the millisecond, so that a wait is as long by both kinds of time. */
  let wallAhead = 0
  const drift = () => Math.abs(readWall() - steady() - wallAhead)

  /** The time that the machine slept has passed for schedules too, as it has for the next process. */
  function catchUp(): void {
    const now = sinceBoot()
    if (now === undefined || asleep === undefined || now - asleep < JUMP_MS_MIN) return
    origin += now - asleep
    asleep = now
  }

  return {
    now() {
      // A second read: the thread may have been paused between the two clocks of the first.
      if (drift() > 1 && drift() > 1) {
        if (drift() >= JUMP_MS_MIN) catchUp()
        if (drift() > 1) wallAhead = readWall() - steady()
      }
      const now = steady()
      return { wall: now + wallAhead, steady: now }
    },
    monotonic,
    boot,
    setSteady(time) {
      origin = time - monotonic()
    },
    after,
  }
}

/** `after` of the machine's clock. */
export function after(delay: number, callback: () => void): () => void {
  let timer: Timer
  const arm = (left: number) => {
    const step = Math.min(Math.max(left, 0), TIMEOUT_MS_MAX)
    timer = setTimeout(() => (left > step ? arm(left - step) : callback()), step)
  }
  arm(delay)
  return () => clearTimeout(timer)
}

/** Linux counts the time in which the machine sleeps too. Other systems have no id of their boot. */
function readBoot(): Boot | undefined {
  try {
    const id = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const ms = msSinceBoot()
    return id === '' || ms === undefined ? undefined : { id, ms }
  } catch {
    return undefined
  }
}

/** Of clock_gettime(2). `/proc/uptime` has the same time, but in steps of 10 ms. */
const CLOCK_BOOTTIME = 7

function msSinceBoot(): number | undefined {
  const clock_gettime = { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 } as const
  const libc = loadFromLibc({ clock_gettime })
  const [seconds, nanoseconds] = [0, 1]
  const time = new BigInt64Array(2)
  if (libc?.clock_gettime(CLOCK_BOOTTIME, ptr(time)) !== 0) return undefined
  return Number(time[seconds]) * 1_000 + Number(time[nanoseconds]) / 1e6
}
