import { and, asc, eq, isNotNull, lte, sql } from 'drizzle-orm'
import type { Orm } from './database.ts'
import { attempts, jobs, transactions } from './schema.ts'

/** A job with its transaction, as drizzle reads a join. */
export type JobRow = {
  jobs: typeof jobs.$inferSelect
  transactions: typeof transactions.$inferSelect
}

/** The statements of jobs.ts, prepared once. */
export function prepareJobStatements(orm: Orm) {
  const value = sql.placeholder
  const withTransaction = () =>
    orm.select().from(jobs).innerJoin(transactions, eq(jobs.id, transactions.id))
  // Spelled out, so that SQLite sees that the partial index `jobs_due` covers it.
  const unclaimed = sql`${jobs.claim} IS NULL`
  /** The fence: a job is changed only by whoever holds it. */
  const held = and(eq(jobs.id, value('id')), sql`${jobs.claim} IS ${value('claim')}`)
  const attemptOf = and(eq(attempts.id, value('id')), eq(attempts.attempt, value('attempt')))
  const transactionOf = eq(transactions.id, value('id'))

  return {
    due: withTransaction()
      .where(and(unclaimed, lte(jobs.runAt, value('now'))))
      .orderBy(asc(jobs.runAt))
      .limit(value('limit'))
      .prepare(),
    earliest: orm
      .select({ runAt: jobs.runAt })
      .from(jobs)
      .where(unclaimed)
      .orderBy(asc(jobs.runAt))
      .limit(1)
      .prepare(),
    claimed: withTransaction().where(isNotNull(jobs.claim)).prepare(),

    claimJob: orm
      .update(jobs)
      .set({ claim: sql`${value('claim')}`, changedAt: sql`${value('now')}` })
      .where(eq(jobs.id, value('id')))
      .prepare(),
    openJob: orm
      .update(jobs)
      .set({
        claim: sql`${value('claim')}`,
        tries: sql`${jobs.tries} + 1`,
        attemptStartedAt: sql`${value('now')}`,
        changedAt: sql`${value('now')}`,
      })
      .where(eq(jobs.id, value('id')))
      .prepare(),
    snoozeJob: orm
      .update(jobs)
      .set({ claim: null, runAt: sql`${value('runAt')}`, changedAt: sql`${value('now')}` })
      .where(held)
      .returning({ id: jobs.id })
      .prepare(),
    retryJob: orm
      .update(jobs)
      .set({
        claim: null,
        attemptStartedAt: null,
        runAt: sql`${value('runAt')}`,
        changedAt: sql`${value('now')}`,
      })
      .where(held)
      .returning({ id: jobs.id })
      .prepare(),
    deleteJob: orm.delete(jobs).where(held).returning({ id: jobs.id }).prepare(),

    insertAttempt: orm
      .insert(attempts)
      .values({ id: value('id'), attempt: value('attempt'), startedAt: value('startedAt') })
      .prepare(),
    endAttempt: orm
      .update(attempts)
      .set({
        finishedAt: sql`${value('finishedAt')}`,
        outcome: sql`${value('outcome')}`,
        detail: sql`${value('detail')}`,
      })
      .where(attemptOf)
      .prepare(),

    startTransaction: orm
      .update(transactions)
      .set({
        status: 'PROCESSING',
        attempts: sql`${value('attempt')}`,
        processingStartedAt: sql`${value('processingStartedAt')}`,
      })
      .where(transactionOf)
      .prepare(),
    finishTransaction: orm
      .update(transactions)
      .set({ status: 'PROCESSED', error: null, processedAt: sql`${value('processedAt')}` })
      .where(transactionOf)
      .prepare(),
    setBack: orm
      .update(transactions)
      .set({ status: sql`${value('status')}`, error: sql`${value('error')}` })
      .where(transactionOf)
      .prepare(),
  }
}
