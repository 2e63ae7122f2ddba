import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { askedMs, backoffMs } from '../../src/scheduler/backoff.ts'

describe('the backoff', () => {
  test('begins with 5 s, doubles with every failure and stays at 1 h', () => {
    const waits = Array.from({ length: 13 }, (_, i) => backoffMs(i + 1, 0) / 1000)
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600])
  })

  test('is 1 h after any number of failures, however large', () => {
    for (const failures of [11, 64, 1025, 5000, Number.MAX_SAFE_INTEGER]) {
      expect(backoffMs(failures, 0)).toBe(3_600_000)
    }
  })

  test('has up to a quarter of it added, in proportion, beyond the hour too', () => {
    expect(backoffMs(1, 0.5)).toBe(5625)
    expect(backoffMs(1, 1)).toBe(6250)
    expect(backoffMs(99, 0.5)).toBe(4_050_000)
    const failures = fc.integer({ min: 1, max: 100_000 })
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(failures, random, (count, share) => {
        const wait = backoffMs(count, share)
        const least = backoffMs(count, 0)
        expect(Number.isInteger(wait)).toBe(true)
        expect(wait).toBeGreaterThanOrEqual(least)
        expect(wait).toBeLessThanOrEqual(least * 1.25)
      }),
    )
  })
})

describe('the wait that a target asks for', () => {
  test('is kept from 1 s to 1 h, in whole milliseconds that are no shorter', () => {
    const asked = [1000, 1000.1, 1001, 60_000, 3_599_999.5, 3_600_000]
    expect(asked.map(askedMs)).toEqual([1000, 1001, 1001, 60_000, 3_600_000, 3_600_000])
  })

  test('is 1 s where it is shorter, nothing, or has passed', () => {
    const asked = [999, 0.5, 0, -0, -1, -1e300, Number.NEGATIVE_INFINITY]
    expect(new Set(asked.map(askedMs))).toEqual(new Set([1000]))
  })

  test('is 1 h where it is longer, however much', () => {
    const asked = [3_600_001, 86_400_000, 1e300, Number.POSITIVE_INFINITY]
    expect(new Set(asked.map(askedMs))).toEqual(new Set([3_600_000]))
  })
})
