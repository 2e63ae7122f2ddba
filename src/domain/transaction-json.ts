/** Transactions as JSON: what a GET shows of them, and what the target is sent. */

import { isoTime } from '../clock.ts'
import { type StoredTransaction, shownAmount } from './transaction.ts'

/** A transaction as every answer shows it: the amount in major units, times in ISO 8601. */
export function transactionJson(stored: StoredTransaction) {
  return {
    ...fieldsJson(stored),
    status: stored.status,
    attempts: stored.attempts,
    created_at: isoTime(stored.createdAt),
    processing_started_at: timeOrNull(stored.processingStartedAt),
    processed_at: timeOrNull(stored.processedAt),
    error: stored.error,
    extra: stored.extra ?? {},
  }
}

/**
 * A transaction as the target is sent it: without what changes from attempt to attempt, since one
 * `Idempotency-Key` must not come with two bodies (draft-ietf-httpapi-idempotency-key-header, 2.2).
 */
export function targetJson(stored: StoredTransaction) {
  return {
    ...fieldsJson(stored),
    created_at: isoTime(stored.createdAt),
    extra: stored.extra ?? {},
  }
}

function fieldsJson(stored: StoredTransaction) {
  return {
    transaction_id: stored.transactionId,
    source_account: stored.sourceAccount,
    destination_account: stored.destinationAccount,
    amount: shownAmount(stored),
    currency: stored.currency,
  }
}

/** A time in ISO 8601, where there is one. */
export function timeOrNull(time: number | null): string | null {
  return time === null ? null : isoTime(time)
}
