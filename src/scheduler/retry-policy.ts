import type { Outcome } from '../processors/processor.ts'
import type { Settlement } from '../store/store.ts'

const BACKOFF_MS_MIN = 5_000
const BACKOFF_MS_MAX = 3_600_000
/** The share of the backoff that jitter may add, so that jobs which failed together spread. */
const JITTER = 0.25
/** The least wait where the target names a time: "now" would be a busy loop. */
const RETRY_AFTER_MS_MIN = 1_000

/** A shorter snooze would be a busy loop. */
const SNOOZE_MS_MIN = 10
/** Longer than any use, and far below the largest integer. */
const SNOOZE_MS_MAX = 365 * 24 * 60 * 60 * 1000

/** A detail is read by people, in a list. In UTF-16 code units. */
const DETAIL_LENGTH_MAX = 500

/** What a settlement depends on besides the outcome. */
export type RetryContext = {
  /** Attempts since the transaction was accepted or last retried, this one counted. */
  attemptsUsed: number
  maxAttempts: number
  /** Steady time in ms. */
  now: number
  /** From 0 to 1, less than 1. */
  random: number
}

/** Decides what becomes of an attempt: when it goes on or is tried again, and when it is FAILED. */
export function decideSettlement(outcome: Outcome, context: RetryContext): Settlement {
  const { attemptsUsed, maxAttempts, now, random } = context
  switch (outcome.kind) {
    case 'done':
      return { kind: 'done', httpStatus: outcome.httpStatus }
    case 'snooze': {
      const wait = Math.ceil(outcome.until) - now
      return { kind: 'snooze', inMs: Math.min(Math.max(wait, SNOOZE_MS_MIN), SNOOZE_MS_MAX) }
    }
    case 'fail':
    case 'retry': {
      const { httpStatus } = outcome
      const detail = outcome.detail.slice(0, DETAIL_LENGTH_MAX).toWellFormed()
      if (outcome.kind === 'fail' || attemptsUsed >= maxAttempts)
        return { kind: 'fail', httpStatus, detail }
      const { retryAfterMs } = outcome
      const inMs =
        retryAfterMs === undefined
          ? backoffMs(attemptsUsed, random)
          : boundedRetryAfterMs(retryAfterMs)
      return { kind: 'retry', inMs, httpStatus, detail }
    }
    default:
      return outcome satisfies never
  }
}

/**
 * How long to wait before the next attempt: 5 s, doubled with every failure up to 1 h, with up to a
 * quarter of it added as jitter.
 *
 * @param failures attempts that failed in a row, from 1
 * @param random a number from 0 to 1, less than 1
 * @returns milliseconds
 */
export function backoffMs(failures: number, random: number): number {
  const wait = Math.min(BACKOFF_MS_MIN * 2 ** (failures - 1), BACKOFF_MS_MAX)
  return Math.round(wait * (1 + JITTER * random))
}

/** What the target asked for, from 1 s to 1 h. In milliseconds. */
export function boundedRetryAfterMs(retryAfterMs: number): number {
  return Math.min(Math.max(Math.ceil(retryAfterMs), RETRY_AFTER_MS_MIN), BACKOFF_MS_MAX)
}
