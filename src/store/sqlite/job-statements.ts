import { and, asc, desc, eq, inArray, isNotNull, lte, sql } from 'drizzle-orm'
import type { Connection } from './database/open-database.ts'
import { columnsOf, prepareStatement } from './database/statement.ts'
import type { TransactionRow } from './reads.ts'
import { attempts, jobs, transactions } from './schema.ts'

/** A transaction, and of its job what it doesn't share with it. */
export type JobRow = TransactionRow & {
  runAt: number
  claim: number | null
  attemptStartedAt: number | null
  tries: number
}

/** Spelled out, so that SQLite sees that the partial index `jobs_due` covers it. */
const unclaimed = sql`${jobs.claim} IS NULL`

/** What is to be done `now`, and in nobody's hands. */
export const due = and(unclaimed, lte(jobs.runAt, sql.placeholder('now')))

/** Due jobs among which the least tried is looked for: all of them may be a million. */
const CANDIDATES = 100

/** The statements of jobs.ts, prepared once. */
export function prepareJobStatements({ client, orm }: Connection) {
  const value = sql.placeholder
  const { runAt, claim, attemptStartedAt, tries } = columnsOf(jobs)
  const job = { runAt, claim, attemptStartedAt, tries }
  const withTransaction = () =>
    orm
      .select({ ...columnsOf(transactions), ...job })
      .from(jobs)
      .innerJoin(transactions, eq(jobs.id, transactions.id))
  /** The fence: a job is changed only by whoever holds it. */
  const held = and(eq(jobs.id, value('id')), eq(jobs.claim, value('claim')))
  const attemptOf = and(eq(attempts.id, value('id')), eq(attempts.attempt, value('attempt')))
  const transactionOf = eq(transactions.id, value('id'))

  /** Of so many at one end of what is due, the one that was tried least and is nearest that end. */
  const leastTried = (end: typeof asc | typeof desc) => {
    const candidates = orm
      .select({ id: jobs.id, tries: jobs.tries, runAt: jobs.runAt })
      .from(jobs)
      .where(due)
      .orderBy(end(jobs.runAt))
      .limit(CANDIDATES)
      .as('candidates')
    const least = orm
      .select({ id: candidates.id })
      .from(candidates)
      .orderBy(asc(candidates.tries), end(candidates.runAt))
      .limit(1)
    return withTransaction().where(inArray(jobs.id, least))
  }

  const queries = {
    due: withTransaction().where(due).orderBy(asc(jobs.runAt)).limit(value('limit')),
    leastTriedOldest: leastTried(asc),
    leastTriedNewest: leastTried(desc),
    claimed: withTransaction().where(isNotNull(jobs.claim)),
    earliest: orm.select({ runAt }).from(jobs).where(unclaimed).orderBy(asc(jobs.runAt)).limit(1),

    claimJob: orm
      .update(jobs)
      .set({ claim: sql`${value('claim')}`, changedAt: sql`${value('now')}` })
      .where(eq(jobs.id, value('id'))),
    openJob: orm
      .update(jobs)
      .set({
        claim: sql`${value('claim')}`,
        tries: sql`${jobs.tries} + 1`,
        attemptStartedAt: sql`${value('now')}`,
        changedAt: sql`${value('now')}`,
      })
      .where(eq(jobs.id, value('id'))),
    snoozeJob: orm
      .update(jobs)
      .set({ claim: null, runAt: sql`${value('runAt')}`, changedAt: sql`${value('now')}` })
      .where(held),
    retryJob: orm
      .update(jobs)
      .set({
        claim: null,
        attemptStartedAt: null,
        runAt: sql`${value('runAt')}`,
        changedAt: sql`${value('now')}`,
      })
      .where(held),
    deleteJob: orm.delete(jobs).where(held),

    insertAttempt: orm
      .insert(attempts)
      .values({ id: value('id'), attempt: value('attempt'), startedAt: value('startedAt') }),
    endAttempt: orm
      .update(attempts)
      .set({
        finishedAt: sql`${value('finishedAt')}`,
        outcome: sql`${value('outcome')}`,
        httpStatus: sql`${value('httpStatus')}`,
        detail: sql`${value('detail')}`,
      })
      .where(attemptOf),

    startTransaction: orm
      .update(transactions)
      .set({
        status: 'PROCESSING',
        attempts: sql`${value('attempt')}`,
        processingStartedAt: sql`${value('processingStartedAt')}`,
      })
      .where(transactionOf),
    finishTransaction: orm
      .update(transactions)
      .set({ status: 'PROCESSED', error: null, processedAt: sql`${value('processedAt')}` })
      .where(transactionOf),
    setBack: orm
      .update(transactions)
      .set({ status: sql`${value('status')}`, error: sql`${value('error')}` })
      .where(transactionOf),
  }
  const {
    due: dueQuery,
    leastTriedOldest,
    leastTriedNewest,
    claimed,
    earliest,
    ...writes
  } = queries
  return {
    due: prepareStatement<JobRow>(client, dueQuery),
    leastTriedOldest: prepareStatement<JobRow>(client, leastTriedOldest),
    leastTriedNewest: prepareStatement<JobRow>(client, leastTriedNewest),
    claimed: prepareStatement<JobRow>(client, claimed),
    earliest: prepareStatement<{ runAt: number }>(client, earliest),
    ...prepareAll(writes),
  }

  function prepareAll<T extends Record<string, Parameters<typeof prepareStatement>[1]>>(all: T) {
    const entries = Object.entries(all).map(([name, query]) => [
      name,
      prepareStatement(client, query),
    ])
    return Object.fromEntries(entries) as { [Name in keyof T]: ReturnType<typeof prepareStatement> }
  }
}
