import { expect, test } from 'bun:test'
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

test('steady time goes forward to a later time, and never back', () => {
  const clock = systemClock()
  const before = clock.now()
  expect(clock.advanceTo(before.steady - 1_000)).toBe(0)
  expect(clock.advanceTo(before.steady + 60_000)).toBeWithin(59_000, 60_001)
  const after = clock.now()
  expect(after.steady).toBeGreaterThanOrEqual(before.steady + 60_000)
  expect(after.wall - before.wall).toBeLessThan(1_000)
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
