import { asc, eq, sql } from 'drizzle-orm'
import type { StoredTransaction } from '../../domain/transaction.ts'
import type { AttemptRecord, Readings } from '../store.ts'
import { type Connection, pragma } from './database/connection.ts'
import { columnsOf, prepareStatement } from './database/statement.ts'
import { attempts, jobs, transactions } from './schema.ts'

/** A row of `transactions`. */
export type TransactionRow = typeof transactions.$inferSelect

/** A transaction as everything above sees it. */
export function fromRow({ id: _, ...stored }: TransactionRow): StoredTransaction {
  return stored
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
  return (transactionId: string) => statement.get({ transactionId })
}

/** The attempts of a transaction, first to last; undefined where there is no such transaction. */
export function prepareAttempts(connection: Connection) {
  const find = prepareFind(connection)
  const { client, orm } = connection
  const { id: _, ...columns } = columnsOf(attempts)
  const statement = prepareStatement<AttemptRecord>(
    client,
    orm
      .select(columns)
      .from(attempts)
      .where(eq(attempts.id, sql.placeholder('id')))
      .orderBy(asc(attempts.attempt)),
  )
  return (transactionId: string): AttemptRecord[] | undefined => {
    const row = find(transactionId)
    return row && statement.all({ id: row.id })
  }
}

/** What the metrics show of the database; each is one row or a field of a header. */
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
  return (): Pick<Readings, 'oldestUnfinishedAt' | 'walBytes' | 'databaseBytes'> => ({
    oldestUnfinishedAt: oldest.get({})?.createdAt,
    walBytes: pragma<{ log: number }>(client, 'wal_checkpoint(NOOP)').log * page_size,
    databaseBytes: pragma<{ page_count: number }>(client, 'page_count').page_count * page_size,
  })
}
