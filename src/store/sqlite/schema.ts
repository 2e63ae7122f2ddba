/**
 * The tables. `drizzle/` has the SQL that drizzle-kit generated from this file, edited for what
 * drizzle-kit can't express: every table is STRICT, `attempts` and `ids` are WITHOUT ROWID, and
 * triggers keep `gaps` and `indexed`.
 *
 * All times are integer ms since the epoch: steady time in `jobs`, for the scheduler (see clock.ts),
 * but for `retried_at`; wall time everywhere else, for people.
 */

import { sql } from 'drizzle-orm'
import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { ATTEMPT_OUTCOMES, STATUSES } from '../../domain/transaction.ts'

/** Every transaction ever accepted. No two have the same `transactionId`: see ids.ts. */
export const transactions = sqliteTable(
  'transactions',
  {
    id: integer('id').primaryKey(),
    transactionId: text('transaction_id').notNull(),
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
    /** When somebody noted that this FAILED one has been dealt with elsewhere, and the note. */
    handledAt: integer('handled_at'),
    handledNote: text('handled_note'),
  },
  (table) => [index('transactions_failed').on(table.id).where(sql`"status" = 'FAILED'`)],
)

/** Keys by the id of the transaction, up to the key in `indexed`: see ids.ts. */
export const ids = sqliteTable(
  'ids',
  {
    /** Of the `transaction_id`. */
    hash: integer('hash').notNull(),
    /** The transaction's `id`. */
    id: integer('id').notNull(),
  },
  (table) => [primaryKey({ columns: [table.hash, table.id] })],
)

/** One row: up to which key all transactions are in `ids`. */
export const indexed = sqliteTable('indexed', {
  /** Always 1. */
  id: integer('id').primaryKey(),
  upTo: integer('up_to').notNull(),
})

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
    /** When the FAILED transaction was retried: wall time; null: it has been unfinished always. */
    retriedAt: integer('retried_at'),
  },
  (table) => [
    index('jobs_due').on(table.runAt).where(sql`"claim" IS NULL`),
    index('jobs_retried').on(table.retriedAt).where(sql`"retried_at" IS NOT NULL`),
  ],
)

/**
 * One row for each attempt, written before the attempt's call goes out. The first attempt of a
 * transaction has none yet while it only waits: it is written at its end, and is under way where the
 * transaction is PROCESSING.
 */
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

/** Webhooks with a known `transaction_id` and other content: one row for all that are identical. */
export const conflicts = sqliteTable(
  'conflicts',
  {
    id: integer('id').primaryKey(),
    /** The `id` of the stored transaction. */
    storedId: integer('stored_id')
      .notNull()
      .references(() => transactions.id),
    /** When the first of them was received, and the last. */
    receivedAt: integer('received_at').notNull(),
    lastReceivedAt: integer('last_received_at').notNull(),
    count: integer('count').notNull(),
    /** A JSON array of `{field, stored, received}`. */
    differences: text('differences').notNull(),
  },
  (table) => [index('conflicts_stored_id').on(table.storedId)],
)

/** What people did to transactions through the API. */
export const actions = sqliteTable('actions', {
  id: integer('id').primaryKey(),
  at: integer('at').notNull(),
  /** The fingerprint of the API key, or `anonymous`. */
  by: text('by').notNull(),
  action: text('action', { enum: ['retry', 'handled'] }).notNull(),
  /** A JSON object: `{"transaction_id": …}`, or the filter of a bulk retry. */
  target: text('target').notNull(),
  /** How many transactions it changed. */
  count: integer('count').notNull(),
})

/** One row, from the first start with a target on: calls may be simulated only with consent. */
export const deployment = sqliteTable('deployment', {
  /** Always 1. */
  id: integer('id').primaryKey(),
  /** Whether transactions have been processed by calls to a target. */
  calls: integer('calls', { mode: 'boolean' }).notNull(),
})

/** One row: what the next process needs to know of this one's clock (see steady-time.ts). */
export const clock = sqliteTable('clock', {
  /** Always 1. */
  id: integer('id').primaryKey(),
  /** Of the machine's boot that `sinceBoot` is about; null: the system doesn't say. */
  bootId: text('boot_id'),
  /** Steady time minus the time since that boot. */
  sinceBoot: integer('since_boot'),
  /** Wall time minus steady time. */
  wallAhead: integer('wall_ahead').notNull(),
})

/** The transactions with which `created_at` went back, since the wall clock did (see backsteps.ts). */
export const backsteps = sqliteTable('backsteps', {
  /** The transaction's `id`. */
  id: integer('id').primaryKey(),
})

/**
 * One row: keys of `transactions` up to the highest that have no row. A trigger counts deletions. The
 * key of a deleted newest transaction is given again, but while a process runs keys must rise.
 */
export const gaps = sqliteTable('gaps', {
  /** Always 1. */
  id: integer('id').primaryKey(),
  count: integer('count').notNull(),
})
