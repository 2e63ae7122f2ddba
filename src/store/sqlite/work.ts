import { and, asc, desc, eq, inArray, lte, sql } from 'drizzle-orm'
import type { Clock, Now } from '../../clock.ts'
import type { Claimed, ClaimOrder, Work } from '../store.ts'
import type { CommitQueue } from './database/commit-queue.ts'
import type { Connection } from './database/connection.ts'
import { columnsOf, prepareStatement } from './database/statement.ts'
import { fromRow, type TransactionRow } from './reads.ts'
import { jobs, transactions } from './schema.ts'
import type { Transitions } from './transitions.ts'

export type WorkDeps = {
  transitions: Transitions
  commits: Pick<CommitQueue, 'write' | 'writeLater' | 'readLatest'>
  clock: Pick<Clock, 'now'>
}

/** Of so many due jobs the one with the fewest attempts is looked for: a million may be due. */
const PROBE_CANDIDATES = 100

/** What the scheduler does, as commits: which jobs are due, and how they go on. */
export function createWork(connection: Connection, deps: WorkDeps): Work {
  const { transitions, commits, clock } = deps
  const { earliest, dueWaits, dueJobs } = prepareDue(connection)
  /** Numbers the claims of this process. Those of an earlier one are released at the start. */
  let claims = 0
  /** More waits are due than one commit advances: no reason to let others gather. */
  let behind = false

  function advance(now: Now, waitMs: number, limit: number) {
    const rows = dueWaits.all({ now: now.steady, limit })
    const begins: number[] = []
    const ends: number[] = []
    for (const { id, attemptStartedAt } of rows) {
      if (attemptStartedAt === null) begins.push(id)
      if (attemptStartedAt !== null || waitMs === 0) ends.push(id)
    }
    if (begins.length > 0) transitions.begin(begins, now, { until: now.steady + waitMs })
    if (ends.length > 0) transitions.finish(ends, now)
    const latenessMs = rows.map(({ runAt }) => now.steady - runAt)
    return { latenessMs, finished: ends.length, more: rows.length === limit }
  }

  function claimDue(order: ClaimOrder, limit: number, now: Now, claim: number): JobRow[] {
    const rows = dueJobs[order].all({ now: now.steady, limit })
    const ids = (open: boolean) =>
      rows
        .filter(({ attemptStartedAt }) => (attemptStartedAt !== null) === open)
        .map(({ id }) => id)
    const [begins, resumes] = [ids(false), ids(true)]
    if (begins.length > 0) transitions.begin(begins, now, { claim })
    if (resumes.length > 0) transitions.resume(resumes, now, claim)
    return rows.map((row) => (row.attemptStartedAt === null ? begun(row, now) : row))
  }

  return {
    start: async (maxAttempts) => ({
      interrupted: await commits.write(() => transitions.recover(clock.now(), maxAttempts)),
    }),
    async tick() {
      const runAt = commits.readLatest(() => earliest.get({})?.runAt)
      const dueInMs = runAt === undefined ? undefined : runAt - clock.now().steady
      // Only a start finds attempts of another process: this one has the data to itself.
      return { interrupted: 0, dueInMs }
    },
    async advanceWaits(waitMs, limit) {
      const run = () => advance(clock.now(), waitMs, limit)
      const advanced = await (behind ? commits.write(run) : commits.writeLater(run))
      behind = advanced.more
      return advanced
    },
    async claim(limit, order) {
      const claim = ++claims
      const rows = await commits.write(() => claimDue(order, limit, clock.now(), claim))
      const now = clock.now()
      return rows.map((row) => claimed(row, claim, now))
    },
    settle(claim, settlement) {
      // A delay counts from here, not from the commit.
      const now = clock.now()
      return commits.write(() => transitions.settle(claim, settlement, now))
    },
  }
}

/** A transaction and its job. */
type JobRow = Omit<TransactionRow, 'dueAt'> & {
  runAt: number
  attemptStartedAt: number | null
  tries: number
}

/** The row as `begin` leaves it. */
function begun(row: JobRow, now: Now): JobRow {
  return {
    ...row,
    status: 'PROCESSING',
    attempts: row.attempts + 1,
    processingStartedAt: row.processingStartedAt ?? now.wall,
    tries: row.tries + 1,
    attemptStartedAt: now.steady,
  }
}

function claimed(row: JobRow, claim: number, now: Now): Claimed {
  const { runAt, attemptStartedAt, tries, ...transaction } = row
  const { transactionId, attempts: attempt } = transaction
  return {
    claim: { transactionId, attempt, token: `${row.id}.${claim}` },
    transaction: fromRow({ ...transaction, dueAt: runAt }, now),
    attemptsUsed: tries,
    lateMs: now.steady - runAt,
    startedAt: attemptStartedAt ?? now.steady,
  }
}

function prepareDue({ client, orm }: Connection) {
  const value = sql.placeholder
  const { id, runAt, attemptStartedAt, tries } = columnsOf(jobs)
  // Spelled out, so that SQLite sees that the partial index `jobs_due` covers it.
  const unclaimed = sql`${jobs.claim} IS NULL`
  const due = and(unclaimed, lte(jobs.runAt, value('now')))
  const withTransaction = () =>
    orm
      .select({ ...columnsOf(transactions), runAt, attemptStartedAt, tries })
      .from(jobs)
      .innerJoin(transactions, eq(jobs.id, transactions.id))

  /** Of the jobs at one end of what is due, the one with the fewest attempts, nearest that end. */
  const probe = (end: typeof asc | typeof desc) => {
    const candidates = orm
      .select({ id: jobs.id, tries: jobs.tries, runAt: jobs.runAt })
      .from(jobs)
      .where(due)
      .orderBy(end(jobs.runAt))
      .limit(PROBE_CANDIDATES)
      .as('candidates')
    const least = orm
      .select({ id: candidates.id })
      .from(candidates)
      .orderBy(asc(candidates.tries), end(candidates.runAt))
      .limit(1)
    return prepareStatement<JobRow>(client, withTransaction().where(inArray(jobs.id, least)))
  }

  return {
    earliest: prepareStatement<{ runAt: number }>(
      client,
      orm.select({ runAt }).from(jobs).where(unclaimed).orderBy(asc(jobs.runAt)).limit(1),
    ),
    dueWaits: prepareStatement<{ id: number; runAt: number; attemptStartedAt: number | null }>(
      client,
      orm
        .select({ id, runAt, attemptStartedAt })
        .from(jobs)
        .where(due)
        .orderBy(asc(jobs.runAt))
        .limit(value('limit')),
    ),
    dueJobs: {
      earliest: prepareStatement<JobRow>(
        client,
        withTransaction().where(due).orderBy(asc(jobs.runAt)).limit(value('limit')),
      ),
      probe_oldest: probe(asc),
      probe_newest: probe(desc),
    },
  }
}
