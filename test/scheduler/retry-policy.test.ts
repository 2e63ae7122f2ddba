import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Outcome } from '../../src/processors/processor.ts'
import {
  backoffMs,
  boundedRetryAfterMs,
  decideSettlement,
  type RetryContext,
} from '../../src/scheduler/retry-policy.ts'

const NOW = 1_767_225_600_000
const YEAR_MS = 365 * 24 * 3_600_000

/** The first of eight attempts, with no jitter. */
const context = (changes: Partial<RetryContext> = {}): RetryContext => ({
  attemptsUsed: 1,
  maxAttempts: 8,
  now: NOW,
  random: 0,
  ...changes,
})

const retry = (changes: { detail?: string; retryAfterMs?: number } = {}): Outcome => ({
  kind: 'retry',
  detail: 'no answer',
  httpStatus: 503,
  ...changes,
})

describe('an outcome becomes', () => {
  test('done, with the status of the answer where there was one', () => {
    expect(decideSettlement({ kind: 'done', httpStatus: 204 }, context())).toEqual({
      kind: 'done',
      httpStatus: 204,
    })
    expect(decideSettlement({ kind: 'done' }, context())).toEqual({ kind: 'done' })
  })

  test('fail at the first attempt already, where no attempt can succeed', () => {
    const outcome = { kind: 'fail', detail: 'refused', httpStatus: 400 } as const
    expect(decideSettlement(outcome, context())).toEqual(outcome)
  })

  test.each([
    [1, 0, 5_000],
    [1, 0.5, 5_625],
    [2, 0, 10_000],
    [7, 0, 320_000],
  ])(
    'retry: after attempt %p with jitter %p the next is %p ms away',
    (attemptsUsed, random, wait) => {
      expect(decideSettlement(retry(), context({ attemptsUsed, random }))).toEqual({
        kind: 'retry',
        inMs: wait,
        httpStatus: 503,
        detail: 'no answer',
      })
    },
  )

  test.each([8, 9, 100])('fail with the last error at attempt %p of 8', (attemptsUsed) => {
    const fail = { kind: 'fail', httpStatus: 503, detail: 'no answer' } as const
    expect(decideSettlement(retry(), context({ attemptsUsed }))).toEqual(fail)
    // A time that the target names makes no attempt more.
    expect(decideSettlement(retry({ retryAfterMs: 1 }), context({ attemptsUsed }))).toEqual(fail)
  })

  test('fail at once where there is one attempt only', () => {
    expect(decideSettlement(retry(), context({ maxAttempts: 1 }))).toMatchObject({ kind: 'fail' })
  })
})

describe('the time that a target asks for', () => {
  test.each([
    [120_000, 120_000],
    [1500.2, 1501],
    [1_000, 1_000],
    [999, 1_000],
    [0, 1_000],
    [-5_000, 1_000],
    [Number.NEGATIVE_INFINITY, 1_000],
    [3_600_000, 3_600_000],
    [3_600_001, 3_600_000],
    [Number.MAX_VALUE, 3_600_000],
    [Number.POSITIVE_INFINITY, 3_600_000],
  ])('of %p ms is waited as %p ms, without jitter, whatever the attempt', (retryAfterMs, wait) => {
    for (const attemptsUsed of [1, 7]) {
      const settlement = decideSettlement(
        retry({ retryAfterMs }),
        context({ attemptsUsed, random: 0.9 }),
      )
      expect(settlement).toMatchObject({ kind: 'retry', inMs: wait })
    }
  })
})

describe('a snooze', () => {
  test.each([
    ['a time to come', NOW + 30_000, 30_000],
    ['a fraction of a millisecond', NOW + 30_000.25, 30_001],
    ['now', NOW, 10],
    ['the next moment', NOW + 9, 10],
    ['the past', NOW - 1, 10],
    ['the beginning of time', 0, 10],
    ['before that', -Number.MAX_VALUE, 10],
    ['a year', NOW + YEAR_MS, YEAR_MS],
    ['more than a year', NOW + YEAR_MS + 1, YEAR_MS],
    ['no time that a table can hold', Number.MAX_VALUE, YEAR_MS],
  ])('until %s', (_, until, wait) => {
    const settlement = decideSettlement({ kind: 'snooze', until }, context())
    expect(settlement).toEqual({ kind: 'snooze', inMs: wait })
  })

  test('uses up no attempt', () => {
    const settlement = decideSettlement(
      { kind: 'snooze', until: NOW + 50 },
      context({ attemptsUsed: 8 }),
    )
    expect(settlement).toEqual({ kind: 'snooze', inMs: 50 })
  })
})

describe('a detail', () => {
  const kept = (detail: string, kind: 'retry' | 'fail' = 'fail') => {
    const settlement = decideSettlement({ kind, detail }, context())
    return 'detail' in settlement ? settlement.detail : undefined
  }

  test('is kept up to 500 code units, of a retry and of a failure', () => {
    for (const kind of ['retry', 'fail'] as const) {
      expect(kept('', kind)).toBe('')
      expect(kept('x'.repeat(500), kind)).toBe('x'.repeat(500))
      expect(kept(`${'x'.repeat(500)}y`, kind)).toBe('x'.repeat(500))
    }
  })

  test('holds no half of a character, be it cut there or given like that', () => {
    expect(kept(`${'x'.repeat(499)}😀`)).toBe(`${'x'.repeat(499)}\ufffd`)
    expect(kept(`${'x'.repeat(498)}😀`)).toBe(`${'x'.repeat(498)}😀`)
    expect(kept('\ud83d and \ude00')).toBe('\ufffd and \ufffd')
  })

  test('is well formed and short, whatever it was', () => {
    const text = fc.string({ unit: 'binary', maxLength: 1200, size: 'max' })
    const units = fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 1200, size: 'max' })
      .map((codes) => String.fromCharCode(...codes))
    fc.assert(
      fc.property(fc.oneof(text, units), (detail) => {
        const result = kept(detail) as string
        expect(result.isWellFormed()).toBe(true)
        expect(result).toHaveLength(Math.min(detail.length, 500))
        // All but the last code unit, of which the cut may have made something else.
        expect(result.slice(0, 499) === detail.toWellFormed().slice(0, 499)).toBe(true)
      }),
      // Of texts this long, to look for the shortest that fails would take minutes.
      { endOnFailure: true },
    )
  })
})

describe('any time', () => {
  test('is a whole number of milliseconds, neither now nor out of reach', () => {
    const number = fc.double({ noNaN: true })
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(number, random, fc.integer({ min: 1, max: 7 }), (value, random, attemptsUsed) => {
        const outcomes: Outcome[] = [
          { kind: 'snooze', until: value },
          retry(),
          retry({ retryAfterMs: value }),
        ]
        for (const outcome of outcomes) {
          if (outcome.kind === 'snooze' && !Number.isFinite(value)) continue
          const { inMs } = decideSettlement(outcome, context({ attemptsUsed, random })) as {
            inMs: number
          }
          expect(Number.isSafeInteger(inMs)).toBe(true)
          expect(inMs).toBeGreaterThanOrEqual(outcome.kind === 'snooze' ? 10 : 1000)
          expect(inMs).toBeLessThanOrEqual(outcome.kind === 'snooze' ? YEAR_MS : 4_500_000)
        }
      }),
    )
  })
})

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
    expect(asked.map(boundedRetryAfterMs)).toEqual([1000, 1001, 1001, 60_000, 3_600_000, 3_600_000])
  })

  test('is 1 s where it is shorter, nothing, or has passed', () => {
    const asked = [999, 0.5, 0, -0, -1, -1e300, Number.NEGATIVE_INFINITY]
    expect(new Set(asked.map(boundedRetryAfterMs))).toEqual(new Set([1000]))
  })

  test('is 1 h where it is longer, however much', () => {
    const asked = [3_600_001, 86_400_000, 1e300, Number.POSITIVE_INFINITY]
    expect(new Set(asked.map(boundedRetryAfterMs))).toEqual(new Set([3_600_000]))
  })
})
