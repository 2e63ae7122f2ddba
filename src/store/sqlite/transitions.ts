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
 * An unfinished transaction has a row in `jobs`, and while it is PROCESSING one row in `attempts` that
 * has no end. Each step is set-wise, by the keys of the transactions: a statement for 500 takes a
 * third of the time of 500 statements. All of this runs inside a commit; `now` is that commit's time.
 */

import type { Now } from '../../clock.ts'
import type { AttemptOutcome, Handled, Transaction } from '../../domain/transaction.ts'
import type { Claim, Settlement } from '../store.ts'
import { type Counts, countTransition } from './counts.ts'
import type { Connection } from './database/connection.ts'
import { prepareStatement } from './database/statement.ts'

export type Transitions = ReturnType<typeof createTransitions>

const INTERRUPTED = 'txhook ended in the middle of the attempt'

/** How an attempt ends. */
type End = { outcome: AttemptOutcome; httpStatus?: number | undefined; detail?: string }

export function createTransitions(connection: Connection, counts: Counts) {
  const statements = prepareTransitions(connection)

  /** Stores a new transaction as PENDING. Returns its key; undefined where its id is known. */
  function accept(received: Transaction, now: Now): number | undefined {
    const { transactionId, sourceAccount, destinationAccount, amount, currency } = received
    const { changes, lastInsertRowid } = statements.insertTransaction.run({
      transactionId,
      sourceAccount,
      destinationAccount,
      amount,
      currency,
      extra: received.extra && JSON.stringify(received.extra),
      wall: now.wall,
    })
    // The unique index on the id decides: no query before is needed.
    if (changes === 0) return undefined
    const id = Number(lastInsertRowid)
    statements.insertJob.run({ id, steady: now.steady })
    counts.PENDING++
    return id
  }

  /** Begins the next attempt: one that waits until a time, or that a claim holds. */
  function begin(keys: readonly number[], now: Now, as: { until: number } | { claim: number }) {
    const values = { ids: JSON.stringify(keys), ...now, claim: null, until: null, ...as }
    statements.startTransactions.run(values)
    statements.insertAttempts.run(values)
    statements.startJobs.run(values)
    countTransition(counts, 'PENDING', 'PROCESSING', keys.length)
  }

  /** Lets a claim hold an attempt that was snoozed. */
  function resume(keys: readonly number[], now: Now, claim: number): void {
    statements.resumeJobs.run({ ids: JSON.stringify(keys), ...now, claim })
  }

  function endAttempts(ids: string, now: Now, { outcome, httpStatus, detail }: End): void {
    const values = { outcome, httpStatus: httpStatus ?? null, detail: detail ?? null }
    statements.endAttempts.run({ ids, ...now, ...values })
  }

  /** Ends the attempts of transactions that are PROCESSED by that. */
  function finish(keys: readonly number[], now: Now, httpStatus?: number): void {
    const ids = JSON.stringify(keys)
    statements.deleteJobs.run({ ids })
    statements.finishTransactions.run({ ids, ...now })
    endAttempts(ids, now, { outcome: 'done', httpStatus })
    countTransition(counts, 'PROCESSING', 'PROCESSED', keys.length)
  }

  /** @param runAt when the next attempt is due; null: as this one was */
  function reopen(keys: readonly number[], now: Now, runAt: number | null, end: End): void {
    const ids = JSON.stringify(keys)
    statements.reopenJobs.run({ ids, ...now, runAt })
    statements.setUnsuccessful.run({ ids, status: 'PENDING', error: end.detail ?? null })
    endAttempts(ids, now, end)
    countTransition(counts, 'PROCESSING', 'PENDING', keys.length)
  }

  function fail(keys: readonly number[], now: Now, end: End): void {
    const ids = JSON.stringify(keys)
    statements.deleteJobs.run({ ids })
    statements.setUnsuccessful.run({ ids, status: 'FAILED', error: end.detail ?? null })
    endAttempts(ids, now, end)
    countTransition(counts, 'PROCESSING', 'FAILED', keys.length)
  }

  /** The fence: the key of the transaction whose attempt this claim still holds. */
  function keyHeldBy({ transactionId, attempt, token }: Claim): number | undefined {
    return statements.held.get({ transactionId, attempt, claim: Number(token) })?.id
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

  /** Makes those that are FAILED due at once, as if just accepted. Returns how many were FAILED. */
  function retry(keys: readonly number[], now: Now): number {
    const ids = JSON.stringify(keys)
    const { changes } = statements.insertFailedJobs.run({ ids, ...now })
    statements.retryTransactions.run({ ids })
    countTransition(counts, 'FAILED', 'PENDING', changes)
    return changes
  }

  /** Notes that a FAILED transaction is dealt with. */
  function handle(id: number, { at, note }: Handled): void {
    statements.handleTransaction.run({ id, at, note })
  }

  return { accept, begin, resume, finish, settle, recover, retry, handle }
}

function prepareTransitions({ client }: Connection) {
  const write = (text: string) => prepareStatement(client, text)
  const IN_IDS = 'IN (SELECT value FROM json_each(:ids))'
  return {
    insertTransaction: write(`
      INSERT INTO transactions (transaction_id, source_account, destination_account, amount,
        currency, extra, status, attempts, created_at)
      VALUES (:transactionId, :sourceAccount, :destinationAccount, :amount,
        :currency, :extra, 'PENDING', 0, :wall)
      ON CONFLICT (transaction_id) DO NOTHING`),
    insertJob: write(
      'INSERT INTO jobs (id, run_at, tries, changed_at) VALUES (:id, :steady, 0, :steady)',
    ),

    startTransactions: write(`
      UPDATE transactions SET status = 'PROCESSING', attempts = attempts + 1,
        processing_started_at = coalesce(processing_started_at, :wall)
      WHERE id ${IN_IDS}`),
    insertAttempts: write(`
      INSERT INTO attempts (id, attempt, started_at)
      SELECT id, attempts, :wall FROM transactions WHERE id ${IN_IDS}`),
    startJobs: write(`
      UPDATE jobs SET tries = tries + 1, attempt_started_at = :steady, changed_at = :steady,
        claim = :claim, run_at = coalesce(:until, run_at)
      WHERE id ${IN_IDS}`),
    resumeJobs: write(`UPDATE jobs SET claim = :claim, changed_at = :steady WHERE id ${IN_IDS}`),

    held: prepareStatement<{ id: number }>(
      client,
      `SELECT jobs.id FROM transactions JOIN jobs ON jobs.id = transactions.id
      WHERE transaction_id = :transactionId AND attempts = :attempt AND claim = :claim`,
    ),
    claimed: prepareStatement<{ id: number; tries: number }>(
      client,
      'SELECT id, tries FROM jobs WHERE claim IS NOT NULL',
    ),

    snoozeJob: write(
      'UPDATE jobs SET claim = NULL, run_at = :runAt, changed_at = :steady WHERE id = :id',
    ),
    deleteJobs: write(`DELETE FROM jobs WHERE id ${IN_IDS}`),
    reopenJobs: write(`
      UPDATE jobs SET claim = NULL, attempt_started_at = NULL, changed_at = :steady,
        run_at = coalesce(:runAt, run_at)
      WHERE id ${IN_IDS}`),
    finishTransactions: write(`
      UPDATE transactions SET status = 'PROCESSED', error = NULL, processed_at = :wall
      WHERE id ${IN_IDS}`),
    setUnsuccessful: write(
      `UPDATE transactions SET status = :status, error = :error WHERE id ${IN_IDS}`,
    ),
    endAttempts: write(`
      UPDATE attempts SET finished_at = :wall, outcome = :outcome, http_status = :httpStatus,
        detail = :detail
      WHERE id ${IN_IDS} AND finished_at IS NULL`),

    insertFailedJobs: write(`
      INSERT INTO jobs (id, run_at, tries, changed_at, retried_at)
      SELECT id, :steady, 0, :steady, :wall FROM transactions
      WHERE id ${IN_IDS} AND status = 'FAILED'`),
    retryTransactions: write(`
      UPDATE transactions SET status = 'PENDING', handled_at = NULL, handled_note = NULL
      WHERE id ${IN_IDS} AND status = 'FAILED'`),
    handleTransaction: write(
      'UPDATE transactions SET handled_at = :at, handled_note = :note WHERE id = :id',
    ),
  }
}
