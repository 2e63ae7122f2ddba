/**
 * The states of a transaction, and every statement that changes one:
 *
 *      accept           begin                finish
 *     ────────▶ PENDING ──────▶ PROCESSING ─────────▶ PROCESSED
 *                ▲  ▲   reopen   │      │
 *                │  └────────────┘      │ fail
 *                │         retry        ▼
 *                └─────────────────── FAILED
 *
 * Where attempts only wait, the first begins with the acceptance. An unfinished transaction has a row
 * in `jobs`, and while it is PROCESSING one row in `attempts` that has no end, or none for a first
 * attempt that only waits. Each step is set-wise, by the keys of the transactions, and runs inside a
 * commit.
 */

import type { Now } from '../../clock.ts'
import type { AttemptOutcome, Handled, Transaction } from '../../domain/transaction.ts'
import type { Claim, Settlement } from '../store.ts'
import { type Counts, countTransition } from './counts.ts'
import type { Connection } from './database/connection.ts'
import { prepareChange, prepareStatement } from './database/statement.ts'

export type Transitions = ReturnType<typeof createTransitions>

const INTERRUPTED = 'txhook ended in the middle of the attempt'
const STOPPED = 'txhook was stopped in the middle of the attempt'

/** How an attempt ends. */
type End = { outcome: AttemptOutcome; httpStatus?: number | undefined; detail?: string | undefined }

export function createTransitions(connection: Connection, counts: Counts) {
  const statements = prepareTransitions(connection)

  /**
   * Stores a new transaction, and returns its key. Its id must not be known.
   *
   * @param waitMs how long its first attempt waits, where that begins at once: it is PROCESSING then
   */
  function accept(received: Transaction, now: Now, waitMs?: number): number {
    const { transactionId, sourceAccount, destinationAccount, amount, currency, extra } = received
    const begins = waitMs !== undefined
    const status = begins ? 'PROCESSING' : 'PENDING'
    const { lastInsertRowid } = statements.insertTransaction.run({
      transactionId,
      sourceAccount,
      destinationAccount,
      amount,
      currency,
      extra,
      status,
      begun: begins ? 1 : 0,
      wall: now.wall,
      startedAt: begins ? now.wall : null,
    })
    const id = Number(lastInsertRowid)
    statements.insertJob.run({
      id,
      runAt: now.steady + (waitMs ?? 0),
      attemptStartedAt: begins ? now.steady : null,
      begun: begins ? 1 : 0,
      steady: now.steady,
    })
    counts[status]++
    return id
  }

  /** Begins the next attempt: one that waits until a time, or that a claim holds. */
  function begin(keys: readonly number[], now: Now, as: { until: number } | { claim: number }) {
    const values = { ...now, claim: null, until: null, ...as }
    statements.startTransactions(keys, values)
    statements.insertAttempts(keys, values)
    statements.startJobs(keys, values)
    countTransition(counts, 'PENDING', 'PROCESSING', keys.length)
  }

  /** Lets a claim hold an attempt that was snoozed. */
  function resume(keys: readonly number[], now: Now, claim: number): void {
    // Before its call goes out.
    statements.insertWaits(keys)
    statements.resumeJobs(keys, { ...now, claim })
  }

  function endAttempts(keys: readonly number[], now: Now, end: End): void {
    const { outcome, httpStatus = null, detail = null } = end
    statements.endAttempts(keys, { wall: now.wall, outcome, httpStatus, detail })
  }

  /** Ends the attempts of transactions that are PROCESSED by that. */
  function finish(keys: readonly number[], now: Now, httpStatus?: number): void {
    statements.deleteJobs(keys)
    statements.finishTransactions(keys, now)
    endAttempts(keys, now, { outcome: 'done', httpStatus })
    countTransition(counts, 'PROCESSING', 'PROCESSED', keys.length)
  }

  /** @param runAt when the next attempt is due; null: as this one was */
  function reopen(keys: readonly number[], now: Now, runAt: number | null, end: End): void {
    statements.reopenJobs(keys, { steady: now.steady, runAt })
    statements.setUnsuccessful(keys, { status: 'PENDING', error: end.detail ?? null })
    endAttempts(keys, now, end)
    countTransition(counts, 'PROCESSING', 'PENDING', keys.length)
  }

  function fail(keys: readonly number[], now: Now, end: End): void {
    statements.deleteJobs(keys)
    statements.setUnsuccessful(keys, { status: 'FAILED', error: end.detail ?? null })
    endAttempts(keys, now, end)
    countTransition(counts, 'PROCESSING', 'FAILED', keys.length)
  }

  /** The fence: the key of the transaction whose attempt this claim still holds. */
  function keyHeldBy({ token }: Claim): number | undefined {
    const [id, claim] = token.split('.').map(Number)
    if (id === undefined || claim === undefined) return undefined
    return statements.held.get({ id, claim })?.id
  }

  /** Ends or postpones the attempt that the claim holds. */
  function settle(claim: Claim, settlement: Settlement, now: Now): 'settled' | 'superseded' {
    const id = keyHeldBy(claim)
    if (id === undefined) return 'superseded'
    switch (settlement.kind) {
      case 'done':
        finish([id], now, settlement.httpStatus)
        return 'settled'
      case 'retry': {
        const { inMs, httpStatus, detail } = settlement
        reopen([id], now, now.steady + inMs, { outcome: 'retry', httpStatus, detail })
        return 'settled'
      }
      case 'fail': {
        const { httpStatus, detail } = settlement
        fail([id], now, { outcome: 'fail', httpStatus, detail })
        return 'settled'
      }
      case 'snooze':
        statements.snoozeJob.run({ id, ...now, runAt: now.steady + settlement.inMs })
        return 'settled'
      case 'interrupted':
        // Due as it was: before all that has waited behind it.
        reopen([id], now, null, { outcome: 'interrupted', detail: STOPPED })
        if (!settlement.usesAttempt) statements.returnTry.run({ id })
        return 'settled'
      default:
        return settlement satisfies never
    }
  }

  /** Ends all attempts that a claim holds as interrupted. Returns how many there were. */
  function recover(now: Now, maxAttempts: number): number {
    const claimed = statements.claimed.all({})
    const ids = (rows: typeof claimed) => rows.map(({ id }) => id)
    const end: End = { outcome: 'interrupted', detail: INTERRUPTED }
    // Due as they were: before all that has waited behind them.
    reopen(ids(claimed.filter(({ tries }) => tries < maxAttempts)), now, null, end)
    fail(ids(claimed.filter(({ tries }) => tries >= maxAttempts)), now, end)
    return claimed.length
  }

  /**
   * Makes those that are FAILED and not handled due at once, as if just accepted. Returns how many
   * these were.
   */
  function retry(keys: readonly number[], now: Now): number {
    const changes = statements.insertFailedJobs(keys, now)
    statements.retryTransactions(keys)
    countTransition(counts, 'FAILED', 'PENDING', changes)
    return changes
  }

  /** Notes that a FAILED transaction is dealt with, or takes the note away. */
  function handle(id: number, handled: Handled | null): void {
    statements.handleTransaction.run({ id, at: handled?.at ?? null, note: handled?.note ?? null })
  }

  return { accept, begin, resume, finish, settle, recover, retry, handle }
}

function prepareTransitions({ client }: Connection) {
  const write = (text: string) => prepareStatement(client, text)
  const change = (text: string) => prepareChange(client, text)
  return {
    insertTransaction: write(`
      INSERT INTO transactions (transaction_id, source_account, destination_account, amount,
        currency, extra, status, attempts, created_at, processing_started_at)
      VALUES (:transactionId, :sourceAccount, :destinationAccount, :amount,
        :currency, :extra, :status, :begun, :wall, :startedAt)`),
    insertJob: write(`
      INSERT INTO jobs (id, run_at, attempt_started_at, tries, changed_at)
      VALUES (:id, :runAt, :attemptStartedAt, :begun, :steady)`),

    startTransactions: change(`
      UPDATE transactions SET status = 'PROCESSING', attempts = attempts + 1,
        processing_started_at = coalesce(processing_started_at, :wall)
      WHERE id OF_KEYS`),
    insertAttempts: change(`
      INSERT INTO attempts (id, attempt, started_at)
      SELECT id, attempts, :wall FROM transactions WHERE id OF_KEYS`),
    /** Of a first attempt that has only waited so far. */
    insertWaits: change(`
      INSERT INTO attempts (id, attempt, started_at)
      SELECT id, attempts, processing_started_at FROM transactions
      WHERE id OF_KEYS ON CONFLICT DO NOTHING`),
    startJobs: change(`
      UPDATE jobs SET tries = tries + 1, attempt_started_at = :steady, changed_at = :steady,
        claim = :claim, run_at = coalesce(:until, run_at)
      WHERE id OF_KEYS`),
    resumeJobs: change('UPDATE jobs SET claim = :claim, changed_at = :steady WHERE id OF_KEYS'),

    held: prepareStatement<{ id: number }>(
      client,
      'SELECT id FROM jobs WHERE id = :id AND claim = :claim',
    ),
    claimed: prepareStatement<{ id: number; tries: number }>(
      client,
      'SELECT id, tries FROM jobs WHERE claim IS NOT NULL',
    ),

    snoozeJob: write(
      'UPDATE jobs SET claim = NULL, run_at = :runAt, changed_at = :steady WHERE id = :id',
    ),
    deleteJobs: change('DELETE FROM jobs WHERE id OF_KEYS'),
    reopenJobs: change(`
      UPDATE jobs SET claim = NULL, attempt_started_at = NULL, changed_at = :steady,
        run_at = coalesce(:runAt, run_at)
      WHERE id OF_KEYS`),
    returnTry: write('UPDATE jobs SET tries = tries - 1 WHERE id = :id'),
    finishTransactions: change(`
      UPDATE transactions SET status = 'PROCESSED', error = NULL, processed_at = :wall
      WHERE id OF_KEYS`),
    setUnsuccessful: change(
      'UPDATE transactions SET status = :status, error = :error WHERE id OF_KEYS',
    ),
    // The attempt under way is the last one. A first one that has only waited has no row yet.
    endAttempts: change(`
      INSERT INTO attempts (id, attempt, started_at, finished_at, outcome, http_status, detail)
      SELECT id, attempts, processing_started_at, :wall, :outcome, :httpStatus, :detail
      FROM transactions WHERE id OF_KEYS
      ON CONFLICT (id, attempt) DO UPDATE SET finished_at = excluded.finished_at,
        outcome = excluded.outcome, http_status = excluded.http_status, detail = excluded.detail`),

    insertFailedJobs: change(`
      INSERT INTO jobs (id, run_at, tries, changed_at, retried_at)
      SELECT id, :steady, 0, :steady, :wall FROM transactions
      WHERE id OF_KEYS AND status = 'FAILED' AND handled_at IS NULL`),
    retryTransactions: change(`
      UPDATE transactions SET status = 'PENDING'
      WHERE id OF_KEYS AND status = 'FAILED' AND handled_at IS NULL`),
    handleTransaction: write(
      'UPDATE transactions SET handled_at = :at, handled_note = :note WHERE id = :id',
    ),
  }
}
