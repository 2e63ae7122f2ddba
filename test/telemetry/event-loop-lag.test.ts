import { describe, expect, test } from 'bun:test'
import { watchEventLoopLag } from '../../src/telemetry/event-loop-lag.ts'
import { manualClock } from '../support/clock.ts'

/** A watch by a clock that the test moves, and by how many ms each of its looks was late. */
function watch() {
  const clock = manualClock()
  const late: number[] = []
  return { clock, late, busy: watchEventLoopLag(clock, (ms) => late.push(ms)) }
}

describe('while there is work', () => {
  test('the event loop is looked at every 10 ms, and that it is in time is counted too', () => {
    const { clock, late, busy } = watch()
    busy()
    clock.pass(9)
    expect(late).toEqual([])
    clock.pass(1)
    expect(late).toEqual([0])
    for (let look = 0; look < 4; look++) clock.pass(10)
    expect(late).toEqual([0, 0, 0, 0, 0])
  })

  test('a look that comes late is a stall of that many ms, fractions too', () => {
    const { clock, late, busy } = watch()
    busy()
    clock.pass(10)
    clock.pass(10.25)
    clock.pass(260)
    // The next one is due 10 ms after the late one.
    clock.pass(10)
    expect(late).toEqual([0, 0.25, 250, 0])
  })

  test('a stall that begins before the first look is one as well', () => {
    const { clock, late, busy } = watch()
    busy()
    clock.pass(510)
    expect(late).toEqual([500])
  })

  test('a step of the wall clock is none', () => {
    const { clock, late, busy } = watch()
    busy()
    clock.stepWall(3_600_000)
    clock.pass(10)
    clock.stepWall(-7_200_000)
    clock.pass(10)
    expect(late).toEqual([0, 0])
  })

  test('there is one timer, however much there is', () => {
    const { clock, late, busy } = watch()
    for (let i = 0; i < 100; i++) busy()
    expect(clock.timers).toBe(1)
    clock.pass(10)
    for (let i = 0; i < 100; i++) busy()
    expect(clock.timers).toBe(1)
    expect(late).toEqual([0])
  })
})

describe('without work', () => {
  test('nothing is looked at, and there is no timer', () => {
    const { clock, late } = watch()
    expect(clock.timers).toBe(0)
    clock.pass(60_000)
    expect(late).toEqual([])
  })

  test('for a second no timer is left', () => {
    const { clock, late, busy } = watch()
    busy()
    for (let ms = 0; ms < 990; ms += 10) clock.pass(10)
    expect(clock.timers).toBe(1)
    clock.pass(10)
    expect(clock.timers).toBe(0)
    expect(late).toHaveLength(100)
    clock.pass(60_000)
    expect(late).toHaveLength(100)
  })

  test('the second begins anew with each work', () => {
    const { clock, busy } = watch()
    busy()
    for (let ms = 0; ms < 900; ms += 10) clock.pass(10)
    busy()
    for (let ms = 0; ms < 990; ms += 10) clock.pass(10)
    expect(clock.timers).toBe(1)
    clock.pass(10)
    expect(clock.timers).toBe(0)
  })

  test('for however long, the next work begins the watch anew, and the idle time is no stall', () => {
    const { clock, late, busy } = watch()
    busy()
    clock.pass(2000)
    expect(clock.timers).toBe(0)
    clock.pass(60_000)
    busy()
    clock.pass(10)
    expect(late).toEqual([1990, 0])
    expect(clock.timers).toBe(1)
  })
})
