import { and, asc, type Column, isNull, sql } from 'drizzle-orm'
import type { Now } from '../../clock.ts'
import { type Counts, move } from './counts.ts'
import type { Connection } from './database/open-database.ts'
import { among, columnsOf, prepareStatement } from './database/statement.ts'
import { due } from './job-statements.ts'
import { attempts, jobs, transactions } from './schema.ts'

/** What a step did: how late each job was that it took, in ms, and how many it finished. */
export type WaitStep = { latenessMs: number[]; finished: number }

/**
 * Attempts that only wait: nothing is called, so nothing can fail or be cut off, and all that are
 * due go on together, by a few statements for the whole of them. Runs inside a commit.
 */
export type Waits = {
  /**
   * Begins the attempts of the due jobs that have none open, and ends the others.
   *
   * @param waitMs how long an attempt takes
   * @param limit jobs at most
   */
  step(now: Now, waitMs: number, limit: number): WaitStep
}

export function createWaits(connection: Connection, counts: Counts): Waits {
  const statements = prepareWaitStatements(connection)

  function begin(ids: readonly number[], now: Now, until: number): void {
    const values = { ids: JSON.stringify(ids), wall: now.wall, steady: now.steady }
    statements.startTransactions.run(values)
    statements.insertAttempts.run(values)
    statements.openJobs.run({ ...values, until })
    for (const _ of ids) move(counts, 'PENDING', 'PROCESSING')
  }

  function end(ids: readonly number[], now: Now): void {
    const values = { ids: JSON.stringify(ids), wall: now.wall }
    statements.deleteJobs.run(values)
    statements.finishTransactions.run(values)
    statements.endAttempts.run(values)
    for (const _ of ids) move(counts, 'PROCESSING', 'PROCESSED')
  }

  return {
    step(now, waitMs, limit) {
      const taken = statements.due.all({ now: now.steady, limit })
      const fresh: number[] = []
      const waited: number[] = []
      for (const { id, attemptStartedAt } of taken) {
        if (attemptStartedAt === null) fresh.push(id)
        if (attemptStartedAt !== null || waitMs === 0) waited.push(id)
      }
      if (fresh.length > 0) begin(fresh, now, now.steady + waitMs)
      if (waited.length > 0) end(waited, now)
      const latenessMs = taken.map(({ runAt }) => now.steady - runAt)
      return { latenessMs, finished: waited.length }
    },
  }
}

function prepareWaitStatements({ client, orm }: Connection) {
  const value = sql.placeholder
  const { id, runAt, attemptStartedAt } = columnsOf(jobs)
  // A statement for all of them takes a third of the time that one for each does.
  const given = (column: Column) => among(column, 'ids')

  return {
    due: prepareStatement<{ id: number; runAt: number; attemptStartedAt: number | null }>(
      client,
      orm
        .select({ id, runAt, attemptStartedAt })
        .from(jobs)
        .where(due)
        .orderBy(asc(jobs.runAt))
        .limit(value('limit')),
    ),
    startTransactions: prepareStatement(
      client,
      orm
        .update(transactions)
        .set({
          status: 'PROCESSING',
          attempts: sql`${transactions.attempts} + 1`,
          processingStartedAt: sql`coalesce(${transactions.processingStartedAt}, ${value('wall')})`,
        })
        .where(given(transactions.id)),
    ),
    insertAttempts: prepareStatement(
      client,
      orm.insert(attempts).select(
        orm
          .select({
            id: transactions.id,
            attempt: transactions.attempts,
            startedAt: sql<number>`${value('wall')}`.as('started_at'),
            finishedAt: sql<null>`NULL`.as('finished_at'),
            outcome: sql<null>`NULL`.as('outcome'),
            httpStatus: sql<null>`NULL`.as('http_status'),
            detail: sql<null>`NULL`.as('detail'),
          })
          .from(transactions)
          .where(given(transactions.id)),
      ),
    ),
    openJobs: prepareStatement(
      client,
      orm
        .update(jobs)
        .set({
          runAt: sql`${value('until')}`,
          tries: sql`${jobs.tries} + 1`,
          attemptStartedAt: sql`${value('steady')}`,
          changedAt: sql`${value('steady')}`,
        })
        .where(given(jobs.id)),
    ),
    deleteJobs: prepareStatement(client, orm.delete(jobs).where(given(jobs.id))),
    finishTransactions: prepareStatement(
      client,
      orm
        .update(transactions)
        .set({ status: 'PROCESSED', error: null, processedAt: sql`${value('wall')}` })
        .where(given(transactions.id)),
    ),
    endAttempts: prepareStatement(
      client,
      orm
        .update(attempts)
        .set({ finishedAt: sql`${value('wall')}`, outcome: 'done' })
        .where(and(given(attempts.id), isNull(attempts.finishedAt))),
    ),
  }
}
