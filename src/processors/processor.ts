import type { StoredTransaction } from '../domain/transaction.ts'

/**
 * How an attempt went, as its processor says.
 *
 * `done`: the transaction is PROCESSED. `snooze`: the same attempt goes on at `until` (steady time
 * in ms); nothing has failed and no new attempt begins. `retry`: the attempt failed and another one
 * may succeed, after the backoff or after `retryAfterMs` where that is known. `fail`: no attempt
 * can succeed; the transaction is FAILED.
 *
 * `httpStatus` is the status of the answer, where there was one. `detail` says in a few words what
 * went wrong; it is shown with the transaction.
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
export type Attempt = {
  transaction: StoredTransaction
  /** The number of the attempt, from 1. */
  attempt: number
  /** When this attempt began: steady time in ms. */
  startedAt: number
  /** Steady time in ms. */
  now: number
  /** Aborted at a stop, when txhook waits no longer: the attempt then counts as interrupted. */
  signal: AbortSignal
}

/** A processor that makes calls. `name` says in the log, in a few words, what it calls. */
export type CallProcessor = {
  kind: 'call'
  name?: string
  process(attempt: Attempt): Promise<Outcome>
}

/** A processor that only waits. */
export type WaitProcessor = { kind: 'wait'; name?: string; waitMs: number }

/**
 * Does the slow part of a transaction.
 *
 * A `call` reaches out of the process. It is made only when its attempt is on the disk, and the
 * scheduler bounds how many are under way. What it throws is a `retry` with the error's message.
 *
 * A `wait` calls nothing: each attempt lasts `waitMs` and succeeds.
 */
export type Processor = CallProcessor | WaitProcessor

/**
 * Checks what a processor returned: one of your own may be wrong where no compiler checks it.
 *
 * @throws TypeError
 */
export function checkedOutcome(outcome: Outcome | undefined): Outcome {
  const { kind, until, detail, httpStatus, retryAfterMs } = Object(outcome)
  const hasDetail = typeof detail === 'string'
  const hasStatus = httpStatus === undefined || Number.isSafeInteger(httpStatus)
  const hasWait =
    retryAfterMs === undefined || (typeof retryAfterMs === 'number' && !Number.isNaN(retryAfterMs))
  const valid =
    (kind === 'done' && hasStatus) ||
    (kind === 'snooze' && Number.isFinite(until)) ||
    (kind === 'retry' && hasDetail && hasStatus && hasWait) ||
    (kind === 'fail' && hasDetail && hasStatus)
  if (!valid) throw new TypeError('The processor returned no outcome.')
  return outcome as Outcome
}
