import { asc, eq, sql } from 'drizzle-orm'
import type { JsonObject, StoredTransaction } from '../../domain/transaction.ts'
import type { Readings } from '../../telemetry/metrics.ts'
import type { Connection } from './database/open-database.ts'
import { pragma } from './database/sqlite-errors.ts'
import { columnsOf, prepareStatement } from './database/statement.ts'
import { attempts, jobs, transactions } from './schema.ts'

/** A row of `transactions`. */
export type TransactionRow = typeof transactions.$inferSelect

export function fromRow(row: TransactionRow): StoredTransaction {
  const extra = row.extra === null ? null : (JSON.parse(row.extra) as JsonObject)
  return { ...row, extra }
}

/** A transaction by the sender's id. */
export function prepareFind({ client, orm }: Connection) {
  const statement = prepareStatement<TransactionRow>(
    client,
    orm
      .select(columnsOf(transactions))
      .from(transactions)
      .where(eq(transactions.transactionId, sql.placeholder('transactionId'))),
  )
  return (transactionId: string): StoredTransaction | undefined => {
    const row = statement.get({ transactionId })
    return row && fromRow(row)
  }
}

/** An attempt, as it is stored. Times are wall time in ms. */
export type Attempt = Omit<typeof attempts.$inferSelect, 'id'>

/** The attempts of a transaction, first to last; undefined where there is no such transaction. */
export function prepareAttempts(connection: Connection) {
  const find = prepareFind(connection)
  const { client, orm } = connection
  const { id: _, ...columns } = columnsOf(attempts)
  const statement = prepareStatement<Attempt>(
    client,
    orm
      .select(columns)
      .from(attempts)
      .where(eq(attempts.id, sql.placeholder('id')))
      .orderBy(asc(attempts.attempt)),
  )
  return (transactionId: string): Attempt[] | undefined => {
    const stored = find(transactionId)
    return stored && statement.all({ id: stored.id })
  }
}

/** What the metrics show of the database, each by a look at one row or at a header. */
export function prepareReadings({ client, orm }: Connection) {
  const oldest = prepareStatement<{ createdAt: number }>(
    client,
    orm
      .select({ createdAt: columnsOf(transactions).createdAt })
      .from(jobs)
      .innerJoin(transactions, eq(jobs.id, transactions.id))
      .orderBy(asc(jobs.id))
      .limit(1),
  )
  const { page_size } = pragma<{ page_size: number }>(client, 'page_size')
  return (): Pick<Readings, 'oldestUnfinishedAt' | 'logBytes' | 'databaseBytes'> => ({
    oldestUnfinishedAt: oldest.get({})?.createdAt,
    logBytes: pragma<{ log: number }>(client, 'wal_checkpoint(NOOP)').log * page_size,
    databaseBytes: pragma<{ page_count: number }>(client, 'page_count').page_count * page_size,
  })
}
