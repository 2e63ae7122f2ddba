import { sql } from 'drizzle-orm'
import type { Now } from '../../clock.ts'
import {
  type Difference,
  differences,
  type StoredTransaction,
  type Transaction,
} from '../../domain/transaction.ts'
import { backlogOf, type Counts } from './counts.ts'
import type { Connection } from './database/open-database.ts'
import { prepareStatement } from './database/statement.ts'
import { prepareFind } from './reads.ts'
import { conflicts, jobs, transactions } from './schema.ts'

/** What became of a webhook. */
export type Acceptance =
  /** New: stored, with a job that is due at once. */
  | { kind: 'accepted'; stored: StoredTransaction }
  /** Known: nothing is written. */
  | { kind: 'replayed'; stored: StoredTransaction }
  /** Known with other content: the stored one stays, and the difference is kept. */
  | { kind: 'conflict'; differences: Difference[] }
  /** New, and there is no room for more unfinished work: nothing is written. */
  | { kind: 'backlog_full' }

/** The inbox: what a webhook does to the tables. `accept` runs inside a commit. */
export type Inbox = { accept(received: Transaction, now: Now): Acceptance }

/** @param maxBacklog unfinished transactions beyond which no new one is taken */
export function createInbox(connection: Connection, counts: Counts, maxBacklog: number): Inbox {
  const find = prepareFind(connection)
  const { insertTransaction, insertJob, insertConflict } = prepareInserts(connection)

  function acceptNew(received: Transaction, now: Now): StoredTransaction | undefined {
    const { transactionId, sourceAccount, destinationAccount, amount, currency } = received
    const inserted = insertTransaction.run({
      transactionId,
      sourceAccount,
      destinationAccount,
      amount,
      currency,
      extra: received.extra && JSON.stringify(received.extra),
      createdAt: now.wall,
    })
    // The unique index knows the id: no look before is needed.
    if (inserted.changes === 0) return undefined
    const id = Number(inserted.lastInsertRowid)
    insertJob.run({ id, now: now.steady })
    counts.PENDING++
    return {
      ...received,
      id,
      status: 'PENDING',
      attempts: 0,
      createdAt: now.wall,
      processingStartedAt: null,
      processedAt: null,
      error: null,
    }
  }

  function acceptKnown(received: Transaction, stored: StoredTransaction, now: Now): Acceptance {
    const found = differences(stored, received)
    if (found.length === 0) return { kind: 'replayed', stored }
    const values = { storedId: stored.id, receivedAt: now.wall }
    insertConflict.run({ ...values, differences: JSON.stringify(found) })
    return { kind: 'conflict', differences: found }
  }

  return {
    accept(received, now) {
      if (backlogOf(counts) < maxBacklog) {
        const stored = acceptNew(received, now)
        if (stored) return { kind: 'accepted', stored }
      }
      const stored = find(received.transactionId)
      return stored ? acceptKnown(received, stored, now) : { kind: 'backlog_full' }
    },
  }
}

function prepareInserts({ client, orm }: Connection) {
  const value = sql.placeholder
  return {
    insertTransaction: prepareStatement(
      client,
      orm
        .insert(transactions)
        .values({
          transactionId: value('transactionId'),
          sourceAccount: value('sourceAccount'),
          destinationAccount: value('destinationAccount'),
          amount: value('amount'),
          currency: value('currency'),
          extra: value('extra'),
          status: 'PENDING',
          attempts: 0,
          createdAt: value('createdAt'),
        })
        .onConflictDoNothing({ target: transactions.transactionId }),
    ),
    insertJob: prepareStatement(
      client,
      orm
        .insert(jobs)
        .values({ id: value('id'), runAt: value('now'), tries: 0, changedAt: value('now') }),
    ),
    insertConflict: prepareStatement(
      client,
      orm.insert(conflicts).values({
        storedId: value('storedId'),
        receivedAt: value('receivedAt'),
        differences: value('differences'),
      }),
    ),
  }
}
