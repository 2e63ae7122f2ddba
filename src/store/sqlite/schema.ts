/**
 * The tables. `drizzle/` has the SQL that drizzle-kit generated from this file, edited for what
 * drizzle-kit can't express: every table is STRICT, and `attempts` is WITHOUT ROWID.
 *
 * All times are integer ms since the epoch: wall time in `transactions`, `attempts` and `conflicts`,
 * for people; steady time in `jobs`, for the scheduler (see clock.ts).
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
    /** The number of the claim that holds it while its call is under way; null: none does. */
    claim: integer('claim'),
    /** When the attempt under way began, a snoozed one too; null between attempts. */
    attemptStartedAt: integer('attempt_started_at'),
    /** Attempts begun since the transaction was accepted, or last retried. */
    tries: integer('tries').notNull(),
    /** When this row was last written: the clock of a new process begins no earlier. */
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

/** Webhooks with a known `transaction_id` and other content. */
export const conflicts = sqliteTable(
  'conflicts',
  {
    id: integer('id').primaryKey(),
    /** The `id` of the stored transaction. */
    storedId: integer('stored_id')
      .notNull()
      .references(() => transactions.id),
    receivedAt: integer('received_at').notNull(),
    /** A JSON array of `{field, stored, received}`. */
    differences: text('differences').notNull(),
  },
  (table) => [index('conflicts_stored_id').on(table.storedId)],
)

/** How this data directory is used, for the next start: one row, from the first start on. */
export const deployment = sqliteTable('deployment', {
  /** Always 1. */
  id: integer('id').primaryKey(),
  /** Whether transactions are processed by calls to a target, or by waits. */
  calls: integer('calls', { mode: 'boolean' }).notNull(),
})
