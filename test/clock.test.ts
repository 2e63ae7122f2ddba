import { describe, expect, test } from 'bun:test'
import { uptime } from 'node:os'
import { systemClock } from '../src/clock.ts'

test('while nobody steps the wall clock, both kinds of time go on in step', () => {
  const clock = systemClock()
  const ahead = () => {
    const { wall, steady } = clock.now()
    return wall - steady
  }
  const first = ahead()
  for (let n = 0; n < 100_000; n++) expect(ahead()).toBe(first)
  expect(Math.abs(clock.now().wall - Date.now())).toBeLessThanOrEqual(2)
})

test('steady time goes on from where it is set', () => {
  const clock = systemClock()
  const before = clock.now()
  clock.setSteady(before.steady + 60_000)
  const after = clock.now()
  expect(after.steady - before.steady).toBeWithin(60_000, 61_000)
  expect(after.wall - before.wall).toBeLessThan(1_000)
})

test.skipIf(process.platform !== 'linux')('the time since the boot goes on, in ms', () => {
  const [first, second] = [systemClock().boot(), systemClock().boot()]
  expect(first?.id).toMatch(/^[0-9a-f-]{36}$/)
  expect(second?.id).toBe(first?.id as string)
  expect((second?.ms ?? 0) - (first?.ms ?? 0)).toBeWithin(0, 1_000)
  expect((first?.ms ?? 0) / 1_000 - uptime()).toBeWithin(-2, 2)
})

test('a timer that is cancelled does not fire, and one that is due does', async () => {
  const clock = systemClock()
  const fired: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  clock.after(0, () => fired.push('cancelled'))()
  clock.after(2 ** 40, () => fired.push('far'))
  clock.after(1, () => {
    fired.push('due')
    resolve()
  })
  await promise
  expect(fired).toEqual(['due'])
})

describe('a machine', () => {
  /** Its time, which the test lets go on. */
  function machine() {
    const time = { wall: 1_000_000, monotonic: 5_000, boot: 70_000 }
    const clock = systemClock({
      wall: () => time.wall,
      monotonic: () => time.monotonic,
      boot: () => ({ id: 'boot', ms: time.boot }),
    })
    clock.setSteady(2_000_000)
    const pass = (ms: number, clocks: (keyof typeof time)[]) => {
      for (const each of clocks) time[each] += ms
    }
    return { clock, pass }
  }

  test('that sleeps lets time go on for schedules, once', () => {
    const { clock, pass } = machine()
    clock.now()
    for (const hour of [1, 2]) {
      pass(3_600_000, ['wall', 'boot'])
      pass(100, ['wall', 'boot', 'monotonic'])
      const passed = hour * 3_600_100
      expect(clock.now()).toEqual({ wall: 1_000_000 + passed, steady: 2_000_000 + passed })
      expect(clock.now()).toEqual({ wall: 1_000_000 + passed, steady: 2_000_000 + passed })
    }
  })

  test('whose wall clock is stepped does not', () => {
    const { clock, pass } = machine()
    for (const step of [3_600_000, -7_200_000]) {
      const { wall, steady } = clock.now()
      pass(step, ['wall'])
      pass(100, ['wall', 'boot', 'monotonic'])
      expect(clock.now()).toEqual({ wall: wall + step + 100, steady: steady + 100 })
    }
  })
})
