/**
 * What outlives the process, as everything above sees it: verbs, without tables, connections or SQL
 * transactions. Each engine has a folder of its own beside this file.
 *
 * Every verb may reject with StorageUnavailable. Durations go in as ms; times that come out are wall
 * time in ms since the epoch. An answer is given only when the change that it tells of is on the disk.
 */

import type { TransactionFilter } from '../domain/filter.ts'
import type {
  AttemptOutcome,
  Difference,
  StoredTransaction,
  Transaction,
} from '../domain/transaction.ts'

export type Store = {
  /** Stores a webhook's transaction with a job, which is due at once or already waits. */
  accept(transaction: Transaction): Promise<Acceptance>
  /** The transaction with this `transaction_id`. */
  find(transactionId: string): Promise<StoredTransaction | undefined>
  /**
   * Transactions, newest first. A page ends early where its rows are large, or not found in time,
   * or the signal is aborted; its cursor then continues the search, also from an empty page.
   *
   * @throws InvalidCursor
   */
  list(
    filter: TransactionFilter,
    page: PageRequest,
    signal?: AbortSignal,
  ): Promise<Page<StoredTransaction>>
  /** The attempts of a transaction, first to last; undefined: there is no such transaction. */
  attempts(transactionId: string): Promise<AttemptRecord[] | undefined>
  /**
   * Conflicts, newest first, of one `transaction_id` or of all.
   *
   * @throws InvalidCursor
   */
  conflicts(transactionId: string | undefined, page: PageRequest): Promise<Page<Conflict>>
  /** Gives a FAILED transaction all its attempts again, the first at once. Recorded, with who asked. */
  retry(transactionId: string, by: Actor): Promise<RetryResult>
  /**
   * Retries the FAILED transactions of a filter that are not handled, or only counts them. A large
   * number takes many commits: where one of them fails, those before it stand, and the same call
   * continues. Recorded, with who asked, where any was retried.
   */
  retryAll(
    filter: TransactionFilter,
    options: { dryRun: boolean; by: Actor },
    signal?: AbortSignal,
  ): Promise<BulkRetryResult>
  /**
   * Notes that a FAILED transaction is dealt with elsewhere, in place of an earlier note. Recorded,
   * with who asked.
   */
  handled(transactionId: string, note: string, by: Actor): Promise<HandledResult>
  /** For the scheduler. */
  work: Work
  /** For the metrics: costs the same however large the database is. */
  readings(): Promise<Readings>
  /**
   * Whether a write reaches the disk now, one as large as any webhook that was refused for want of
   * room since the last such write; otherwise why not. Never rejects.
   */
  health(): Promise<'ok' | StorageReason>
  /** How many webhooks were refused as `full` or `busy`: what `health` said before may be outdated. */
  refusals(): number
  /** Finishes what was begun and gives up the data. */
  close(): Promise<void>
}

/** What the scheduler does to transactions that are not final. */
export type Work = {
  /**
   * Ends the attempts that the last process left under way as `interrupted`. Each is followed at
   * once by the next, or by FAILED where it was the last of `maxAttempts`.
   */
  start(maxAttempts: number): Promise<{ interrupted: number }>
  /**
   * When there is work: in how many ms the next job is due, 0 or less where one is, undefined where
   * there is none. Where several processes share the data, it also ends the attempts of one that is
   * gone, as `start` does. It writes nothing where this is the only process, but for what the next
   * one needs to know of the clock, when that was stepped.
   */
  tick(maxAttempts: number): Promise<{ interrupted: number; dueInMs: number | undefined }>
  /**
   * For attempts that only wait: begins those that are due, where they did not begin with the
   * acceptance, and ends those that have lasted `waitMs`, up to `limit` of both. `more`: others may
   * be due as well.
   */
  advanceWaits(
    waitMs: number,
    limit: number,
  ): Promise<{ latenessMs: number[]; finished: number; more: boolean }>
  /**
   * Claims due jobs, begins an attempt where none is under way, and keeps them from every other
   * claim until they are settled. A probe is one job: of the hundred that have been due longest or
   * shortest, the one with the fewest attempts.
   */
  claim(limit: number, order: ClaimOrder): Promise<Claimed[]>
  /** Ends or postpones an attempt. `superseded`: the claim no longer holds it, nothing changed. */
  settle(claim: Claim, settlement: Settlement): Promise<'settled' | 'superseded'>
}

export type ClaimOrder = 'earliest' | 'probe_oldest' | 'probe_newest'

/** Allows settling an attempt while it holds the job. `token`: the fencing token. */
export type Claim = { transactionId: string; attempt: number; token: string }

export type Claimed = {
  claim: Claim
  transaction: StoredTransaction
  /** Attempts begun since it was accepted or last retried, this one counted. */
  attemptsUsed: number
  /** How long after its time the job was claimed. */
  lateMs: number
  /** When the attempt began, before a snooze: steady time of this process in ms. */
  startedAt: number
}

/** What becomes of an attempt. `httpStatus`: that of the target's answer, where there was one. */
export type Settlement =
  | { kind: 'done'; httpStatus?: number | undefined }
  | { kind: 'retry'; inMs: number; httpStatus?: number | undefined; detail: string }
  | { kind: 'fail'; httpStatus?: number | undefined; detail: string }
  /** The attempt is not over: it goes on later. */
  | { kind: 'snooze'; inMs: number }
  /** It was cut off: the next one is due at once. */
  | { kind: 'interrupted'; usesAttempt: boolean }

/** What became of a webhook. */
export type Acceptance =
  /**
   * New: stored. It is shown as PENDING, as it is accepted, also where its first attempt begins with
   * that.
   */
  | { kind: 'accepted'; stored: StoredTransaction }
  /** Known: nothing is written. */
  | { kind: 'replayed'; stored: StoredTransaction }
  /**
   * Known with other content: the stored one is unchanged. The differences are kept, unless there are
   * a hundred others of the same transaction.
   */
  | { kind: 'conflict'; differences: Difference[] }
  /** New, and there is no room for more unfinished transactions: nothing is written. */
  | { kind: 'backlog_full' }

/** Who asked for something: the fingerprint of an API key, or `anonymous`. */
export type Actor = string

/** It is in another state, or there is no such transaction: nothing is written. */
export type NotFailed = { kind: 'not_failed'; stored: StoredTransaction } | { kind: 'unknown' }

export type RetryResult = { kind: 'retried'; stored: StoredTransaction } | NotFailed
export type HandledResult = { kind: 'handled'; stored: StoredTransaction } | NotFailed

/** How many transactions matched, and how many of these are PENDING again: none in a dry run. */
export type BulkRetryResult = { matched: number; retried: number }

/** `cursor`: the `next` of the page before; undefined: from the newest on. */
export type PageRequest = { cursor: string | undefined; limit: number }

/** `next`: the cursor of the next page; null: this is the last one. */
export type Page<T> = { data: T[]; next: string | null }

/** An attempt, as it is stored. */
export type AttemptRecord = {
  attempt: number
  startedAt: number
  finishedAt: number | null
  /** Null while it is under way. */
  outcome: AttemptOutcome | null
  httpStatus: number | null
  detail: string | null
}

/** Webhooks with a known `transaction_id` and other content, `count` of them with the same. */
export type Conflict = {
  transactionId: string
  /** Of the first and of the last of them. */
  receivedAt: number
  lastReceivedAt: number
  count: number
  differences: Difference[]
}

export type Readings = {
  transactions: Readonly<Record<StoredTransaction['status'], number>>
  /** When the oldest unfinished transaction was accepted or retried; undefined: there is none. */
  oldestUnfinishedAt: number | undefined
  walBytes: number
  databaseBytes: number
  now: number
}

/** Why the storage is unavailable. `closed` and `failed` are permanent. */
export type StorageReason = 'full' | 'busy' | 'overloaded' | 'closed' | 'failed'

/** The storage can't do this now. Of a write, nothing is stored. */
export class StorageUnavailable extends Error {
  override readonly name = 'StorageUnavailable'
  readonly reason: StorageReason

  constructor(reason: StorageReason, options?: ErrorOptions) {
    super(`The storage is ${reason}.`, options)
    this.reason = reason
  }
}

/** The text is not a cursor that this store made. */
export class InvalidCursor extends Error {
  override readonly name = 'InvalidCursor'
}
