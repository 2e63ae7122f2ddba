import { eq, sql } from 'drizzle-orm'
import type { JsonObject, StoredTransaction } from '../transaction.ts'
import type { Orm } from './database.ts'
import { jobs, transactions } from './schema.ts'

/** A row of `transactions` as drizzle reads it. */
export type TransactionRow = typeof transactions.$inferSelect

export function fromRow(row: TransactionRow): StoredTransaction {
  const extra = row.extra === null ? null : (JSON.parse(row.extra) as JsonObject)
  return { ...row, extra }
}

/** A transaction by the sender's id. */
export function prepareFind(orm: Orm): (transactionId: string) => StoredTransaction | undefined {
  const query = orm
    .select()
    .from(transactions)
    .where(eq(transactions.transactionId, sql.placeholder('transactionId')))
    .prepare()
  return (transactionId) => {
    const row = query.get({ transactionId })
    return row && fromRow(row)
  }
}

/** How many transactions are unfinished, and the newest steady time that their jobs bear, in ms. */
export function unfinished(orm: Orm): { count: number; newestTime: number } {
  const { count, newestTime } = orm
    .select({
      count: sql<number>`count(*)`,
      newestTime: sql<number | null>`max(${jobs.changedAt})`,
    })
    .from(jobs)
    .get() as { count: number; newestTime: number | null }
  return { count, newestTime: newestTime ?? 0 }
}
