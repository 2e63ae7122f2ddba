/**
 * The tables, as drizzle sees them. `drizzle/` holds the SQL that drizzle-kit generated from this
 * file, edited where drizzle-kit has no word for a thing: every table is STRICT, and `attempts` is
 * WITHOUT ROWID.
 *
 * All times are integer milliseconds since the Unix epoch. Those in `transactions`, `attempts` and
 * `conflicts` are wall time, for people; those in `jobs` are steady time, for the scheduler (see
 * clock.ts).
 */

import { sql } from 'drizzle-orm'
import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { ATTEMPT_OUTCOMES, STATUSES } from '../../domain/transaction.ts'

/** Every transaction ever accepted. */
export const transactions = sqliteTable(
  'transactions',
  {
    id: integer('id').primaryKey(),
    transactionId: text('transaction_id').notNull().unique(),
    sourceAccount: text('source_account').notNull(),
    destinationAccount: text('destination_account').notNull(),
    /** In minor units of the currency. */
    amount: integer('amount').notNull(),
    currency: text('currency').notNull(),
    /** The sender's members beyond the five fields, as a JSON object; null where there were none. */
    extra: text('extra'),
    status: text('status', { enum: STATUSES }).notNull(),
    /** Attempts begun. */
    attempts: integer('attempts').notNull(),
    createdAt: integer('created_at').notNull(),
    /** When the first attempt began. */
    processingStartedAt: integer('processing_started_at'),
    processedAt: integer('processed_at'),
    /** Why the last attempt did not succeed; null for a processed transaction. */
    error: text('error'),
  },
  (table) => [index('transactions_failed').on(table.id).where(sql`"status" = 'FAILED'`)],
)

/** Unfinished work only: a transaction that is PROCESSED or FAILED has no row here. */
export const jobs = sqliteTable(
  'jobs',
  {
    /** The transaction's `id`. */
    id: integer('id')
      .primaryKey()
      .references(() => transactions.id),
    /** Due from this time on. */
    runAt: integer('run_at').notNull(),
    /** The number of the claim under which a processor is at work on it; null: nobody is. */
    claim: integer('claim'),
    /** When the attempt under way began; null between attempts. A snoozed attempt stays open. */
    attemptStartedAt: integer('attempt_started_at'),
    /** Attempts begun since the transaction was accepted, or last retried by hand. */
    tries: integer('tries').notNull(),
    /** When this row was last written: a new process's clock begins no earlier than the newest. */
    changedAt: integer('changed_at').notNull(),
  },
  (table) => [index('jobs_due').on(table.runAt).where(sql`"claim" IS NULL`)],
)

/** One row for each attempt, written before the attempt's call goes out. */
export const attempts = sqliteTable(
  'attempts',
  {
    /** The transaction's `id`. */
    id: integer('id')
      .notNull()
      .references(() => transactions.id),
    /** 1 for the first. */
    attempt: integer('attempt').notNull(),
    startedAt: integer('started_at').notNull(),
    finishedAt: integer('finished_at'),
    outcome: text('outcome', { enum: ATTEMPT_OUTCOMES }),
    httpStatus: integer('http_status'),
    detail: text('detail'),
  },
  (table) => [primaryKey({ columns: [table.id, table.attempt] })],
)

/** Webhooks that came under a known `transaction_id` with other content. */
export const conflicts = sqliteTable(
  'conflicts',
  {
    id: integer('id').primaryKey(),
    /** The `id` of the transaction that is stored. */
    storedId: integer('stored_id')
      .notNull()
      .references(() => transactions.id),
    receivedAt: integer('received_at').notNull(),
    /** A JSON array of `{field, stored, received}`. */
    differences: text('differences').notNull(),
  },
  (table) => [index('conflicts_stored_id').on(table.storedId)],
)

/** What the next start must know of this one: one row, from the first start on. */
export const deployment = sqliteTable('deployment', {
  /** Always 1. */
  id: integer('id').primaryKey(),
  /** Whether transactions are processed by calls, as those to a target are, or only wait. */
  calls: integer('calls', { mode: 'boolean' }).notNull(),
})
