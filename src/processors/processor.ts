import type { StoredTransaction } from '../domain/transaction.ts'

/**
 * What a processor says of the attempt that it was given.
 *
 * `done`: the transaction is PROCESSED. `snooze`: the same attempt goes on at `until` (steady time
 * in ms); nothing has failed and nothing new begins. `retry`: this attempt failed and another one
 * may succeed, after the backoff or after `retryAfterMs` where that is known. `fail`: no attempt
 * can succeed; the transaction is FAILED.
 *
 * `httpStatus` is the status of the answer, where there was one. `detail` says in a few words what
 * went wrong; it is shown to whoever asks for the transaction.
 */
export type Outcome =
  | { kind: 'done'; httpStatus?: number | undefined }
  | { kind: 'snooze'; until: number }
  | {
      kind: 'retry'
      detail: string
      httpStatus?: number | undefined
      retryAfterMs?: number | undefined
    }
  | { kind: 'fail'; detail: string; httpStatus?: number | undefined }

/** What a processor is given. */
export type Work = {
  transaction: StoredTransaction
  /** The number of the attempt, from 1. */
  attempt: number
  /** When this attempt began: steady time in ms. */
  startedAt: number
  /** Steady time in ms. */
  now: number
  /** Aborted when txhook can wait no longer for its end: the attempt then counts as interrupted. */
  signal: AbortSignal
}

/** What processes by a call. */
export type CallProcessor = { kind: 'call'; process(work: Work): Promise<Outcome> }

/**
 * Does the slow part of a transaction.
 *
 * A `call` reaches out of the process: it is made only when its attempt is on the disk, and no more
 * at once than the scheduler allows. What it throws is a `retry` with the error's message.
 *
 * A `wait` calls nothing: each attempt takes so many milliseconds and succeeds.
 */
export type Processor = CallProcessor | { kind: 'wait'; waitMs: number }
