/** Transactions as JSON texts: in answers, and in what the target is sent. */

import { isoTime, isoTimeOrNull } from './iso-time.ts'
import { fieldsJson, type StoredTransaction } from './transaction.ts'

/** A transaction in an answer: the amount in major units, times in ISO 8601. */
export function transactionJson(stored: StoredTransaction): string {
  const shown = {
    ...fieldsJson(stored),
    status: stored.status,
    attempts: stored.attempts,
    created_at: isoTime(stored.createdAt),
    processing_started_at: isoTimeOrNull(stored.processingStartedAt),
    processed_at: isoTimeOrNull(stored.processedAt),
    next_attempt_at: isoTimeOrNull(stored.nextAttemptAt),
    handled: stored.handled && { at: isoTime(stored.handled.at), note: stored.handled.note },
    error: stored.error,
    extra: {},
  }
  return withExtra(shown, stored)
}

/**
 * A transaction for the target: without what changes between attempts, since requests with one
 * `Idempotency-Key` must have the same body (draft-ietf-httpapi-idempotency-key-header, 2.2).
 */
export function targetJson(stored: StoredTransaction): string {
  const sent = { ...fieldsJson(stored), created_at: isoTime(stored.createdAt), extra: {} }
  return withExtra(sent, stored)
}

/** JSON of an object whose last member is `extra`, with that as text: as a value it loses digits. */
function withExtra(shown: { extra: object }, { extra }: StoredTransaction): string {
  const json = JSON.stringify(shown)
  return extra === null ? json : `${json.slice(0, -'{}}'.length)}${extra}}`
}
