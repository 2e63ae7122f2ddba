import { describe, expect, test } from 'bun:test'
import { checkedOutcome, type Outcome } from '../../src/processors/processor.ts'

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
    ['a snooze until a date', { kind: 'snooze', until: new Date(0) }],
    ['a retry without a detail', { kind: 'retry' }],
    ['a retry with an error for a detail', { kind: 'retry', detail: new Error('no') }],
    ['a failure without a detail', { kind: 'fail' }],
    ['a failure with null for a detail', { kind: 'fail', detail: null }],
  ])('is refused where it is %s', (_, outcome) => {
    const message = 'The processor returned no outcome.'
    expect(() => checkedOutcome(outcome as never)).toThrow(new TypeError(message))
  })
})
