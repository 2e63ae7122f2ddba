import type { StoredTransaction } from '../transaction.ts'

/**
 * What a processor says of the attempt that it was given. Times are steady time in ms.
 *
 * `done`: the transaction is PROCESSED. `snooze`: the same attempt goes on at `until`; nothing has
 * failed and nothing new begins. `retry`: this attempt failed and another one may succeed, after
 * the backoff. `fail`: no attempt can succeed; the transaction is FAILED.
 */
export type Outcome =
  | { kind: 'done' }
  | { kind: 'snooze'; until: number }
  | { kind: 'retry'; detail: string }
  | { kind: 'fail'; detail: string }

/** What a processor is given. */
export type Work = {
  transaction: StoredTransaction
  /** The number of the attempt, from 1. */
  attempt: number
  /** When this attempt began: steady time in ms. */
  startedAt: number
  /** Steady time in ms. */
  now: number
  /** Aborted when txhook stops: an attempt that gives up then is tried again later. */
  signal: AbortSignal
}

/**
 * Does the slow part of a transaction.
 *
 * A `call` reaches out of the process: it is made only when its attempt is on the disk, and no more
 * at once than the scheduler allows. What it throws is a `retry` with the error's message.
 *
 * A `wait` calls nothing: each attempt takes so many milliseconds and succeeds.
 */
export type Processor =
  | { kind: 'call'; process(work: Work): Promise<Outcome> }
  | { kind: 'wait'; waitMs: number }
