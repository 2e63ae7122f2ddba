import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Outcome } from '../../src/processors/processor.ts'
import {
  checkedOutcome,
  decideSettlement,
  type RetryContext,
} from '../../src/scheduler/retry-policy.ts'

const NOW = 1_767_225_600_000
const YEAR_MS = 365 * 24 * 3_600_000

/** The first of eight attempts, with no jitter. */
const situation = (changes: Partial<RetryContext> = {}): RetryContext => ({
  tries: 1,
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
    expect(decideSettlement({ kind: 'done', httpStatus: 204 }, situation())).toEqual({
      kind: 'done',
      httpStatus: 204,
    })
    expect(decideSettlement({ kind: 'done' }, situation())).toEqual({ kind: 'done' })
  })

  test('fail at the first attempt already, where no attempt can succeed', () => {
    const outcome = { kind: 'fail', detail: 'refused', httpStatus: 400 } as const
    expect(decideSettlement(outcome, situation())).toEqual(outcome)
  })

  test.each([
    [1, 0, 5_000],
    [1, 0.5, 5_625],
    [2, 0, 10_000],
    [7, 0, 320_000],
  ])('retry: after try %p with jitter %p the next is %p ms away', (tries, random, wait) => {
    expect(decideSettlement(retry(), situation({ tries, random }))).toEqual({
      kind: 'retry',
      runAt: NOW + wait,
      httpStatus: 503,
      detail: 'no answer',
    })
  })

  test.each([8, 9, 100])('fail with the last error at try %p of 8', (tries) => {
    const fail = { kind: 'fail', httpStatus: 503, detail: 'no answer' } as const
    expect(decideSettlement(retry(), situation({ tries }))).toEqual(fail)
    // A time that the target names makes no attempt more.
    expect(decideSettlement(retry({ retryAfterMs: 1 }), situation({ tries }))).toEqual(fail)
  })

  test('fail at once where there is one attempt only', () => {
    expect(decideSettlement(retry(), situation({ maxAttempts: 1 }))).toMatchObject({ kind: 'fail' })
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
  ])('of %p ms is waited as %p ms, without jitter, whatever the try', (retryAfterMs, wait) => {
    for (const tries of [1, 7]) {
      const settlement = decideSettlement(
        retry({ retryAfterMs }),
        situation({ tries, random: 0.9 }),
      )
      expect(settlement).toMatchObject({ kind: 'retry', runAt: NOW + wait })
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
    const settlement = decideSettlement({ kind: 'snooze', until }, situation())
    expect(settlement).toEqual({ kind: 'snooze', runAt: NOW + wait })
  })

  test('uses up no try', () => {
    const settlement = decideSettlement(
      { kind: 'snooze', until: NOW + 50 },
      situation({ tries: 8 }),
    )
    expect(settlement).toEqual({ kind: 'snooze', runAt: NOW + 50 })
  })
})

describe('a detail', () => {
  const kept = (detail: string, kind: 'retry' | 'fail' = 'fail') => {
    const settlement = decideSettlement({ kind, detail }, situation())
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
      fc.property(number, random, fc.integer({ min: 1, max: 7 }), (value, random, tries) => {
        const outcomes: Outcome[] = [
          { kind: 'snooze', until: value },
          retry(),
          retry({ retryAfterMs: value }),
        ]
        for (const outcome of outcomes) {
          if (outcome.kind === 'snooze' && !Number.isFinite(value)) continue
          const { runAt } = decideSettlement(outcome, situation({ tries, random })) as {
            runAt: number
          }
          expect(Number.isSafeInteger(runAt)).toBe(true)
          expect(runAt - NOW).toBeGreaterThanOrEqual(outcome.kind === 'snooze' ? 10 : 1000)
          expect(runAt - NOW).toBeLessThanOrEqual(outcome.kind === 'snooze' ? YEAR_MS : 4_500_000)
        }
      }),
    )
  })
})

describe('what a processor returns', () => {
  const outcomes: Outcome[] = [
    { kind: 'done' },
    { kind: 'done', httpStatus: 200 },
    { kind: 'snooze', until: 0 },
    { kind: 'snooze', until: -1.5 },
    { kind: 'retry', detail: '' },
    { kind: 'retry', detail: 'later', httpStatus: 503, retryAfterMs: 5 },
    { kind: 'fail', detail: 'never', httpStatus: 400 },
  ]

  test.each(outcomes.map((outcome) => [JSON.stringify(outcome), outcome] as const))(
    'passes as it is where it is an outcome: %s',
    (_, outcome) => {
      expect(checkedOutcome(outcome)).toBe(outcome)
    },
  )

  test.each([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'done'],
    ['a number', 1],
    ['true', true],
    ['an empty object', {}],
    ['another kind', { kind: 'other' }],
    ['a kind in capitals', { kind: 'DONE' }],
    ['the name of a method', { kind: 'toString' }],
    ['a list', [{ kind: 'done' }]],
    ['a snooze without a time', { kind: 'snooze' }],
    ['a snooze until no number', { kind: 'snooze', until: Number.NaN }],
    ['a snooze for ever', { kind: 'snooze', until: Number.POSITIVE_INFINITY }],
    ['a snooze until a text', { kind: 'snooze', until: '5' }],
    ['a snooze until a date', { kind: 'snooze', until: new Date(NOW) }],
    ['a retry without a detail', { kind: 'retry' }],
    ['a retry with an error for a detail', { kind: 'retry', detail: new Error('no') }],
    ['a failure without a detail', { kind: 'fail' }],
    ['a failure with null for a detail', { kind: 'fail', detail: null }],
  ])('is refused where it is %s', (_, outcome) => {
    const message = 'The processor returned no outcome.'
    expect(() => checkedOutcome(outcome as never)).toThrow(new TypeError(message))
  })
})
