import type { Outcome } from '../processors/processor.ts'
import type { Settlement } from '../store/sqlite/jobs.ts'
import { askedMs, backoffMs } from './backoff.ts'

/** Between two looks of an attempt that goes on: less would be a busy loop. */
const SNOOZE_MS_MIN = 10
/** Longer than anyone waits, and far from where integers end. */
const SNOOZE_MS_MAX = 365 * 24 * 60 * 60 * 1000

/** A detail is to be read by people, in a list. In UTF-16 code units. */
const DETAIL_LENGTH_MAX = 500

/** What a settlement depends on besides the outcome. */
export type RetryContext = {
  /** Attempts since the transaction was accepted or last retried by hand, this one counted. */
  tries: number
  maxAttempts: number
  /** Steady time in ms. */
  now: number
  /** From 0 to 1, less than 1. */
  random: number
}

/** What the store is to make of an outcome: when to go on or try again, and when to give up. */
export function decideSettlement(outcome: Outcome, situation: RetryContext): Settlement {
  const { tries, maxAttempts, now, random } = situation
  switch (outcome.kind) {
    case 'done':
      return { kind: 'done', httpStatus: outcome.httpStatus }
    case 'snooze': {
      const wait = Math.ceil(outcome.until) - now
      return {
        kind: 'snooze',
        runAt: now + Math.min(Math.max(wait, SNOOZE_MS_MIN), SNOOZE_MS_MAX),
      }
    }
    case 'fail':
    case 'retry': {
      const { httpStatus } = outcome
      const detail = outcome.detail.slice(0, DETAIL_LENGTH_MAX).toWellFormed()
      if (outcome.kind === 'fail' || tries >= maxAttempts)
        return { kind: 'fail', httpStatus, detail }
      const { retryAfterMs } = outcome
      const wait = retryAfterMs === undefined ? backoffMs(tries, random) : askedMs(retryAfterMs)
      return { kind: 'retry', runAt: now + wait, httpStatus, detail }
    }
    default:
      return outcome satisfies never
  }
}

/**
 * Holds what a processor returned against what it may return: a processor of one's own may be wrong
 * where no compiler looks.
 *
 * @throws TypeError
 */
export function checkedOutcome(outcome: Outcome | undefined): Outcome {
  switch (outcome?.kind) {
    case 'done':
      if (isStatus(outcome.httpStatus)) return outcome
      break
    case 'snooze':
      if (Number.isFinite(outcome.until)) return outcome
      break
    case 'retry':
      if (isText(outcome.detail) && isStatus(outcome.httpStatus) && isWait(outcome.retryAfterMs))
        return outcome
      break
    case 'fail':
      if (isText(outcome.detail) && isStatus(outcome.httpStatus)) return outcome
  }
  throw new TypeError('The processor returned no outcome.')
}

function isText(detail: unknown): boolean {
  return typeof detail === 'string'
}

function isStatus(status: unknown): boolean {
  return status === undefined || Number.isSafeInteger(status)
}

function isWait(ms: unknown): boolean {
  return ms === undefined || (typeof ms === 'number' && !Number.isNaN(ms))
}
