import type { Now } from '../../clock.ts'
import type { AttemptOutcome, StoredTransaction } from '../../domain/transaction.ts'
import { type Counts, move } from './counts.ts'
import type { Connection } from './database/open-database.ts'
import { type JobRow, prepareJobStatements } from './job-statements.ts'
import { fromRow } from './reads.ts'

/** A piece of due work, with its attempt open. */
export type Job = {
  /** The key of the transaction and of its job. */
  id: number
  transaction: StoredTransaction
  /** The number of the attempt under way, from 1. */
  attempt: number
  /** Attempts begun since it was accepted or last retried by hand, this one counted. */
  tries: number
  /** When it was due: steady time in ms. */
  runAt: number
  /** When the attempt began: steady time in ms. */
  startedAt: number
  /** The claim under which it may be settled. */
  claim: number
}

/** What becomes of a job. `runAt` is steady time in ms. */
export type Settlement = { kind: 'snooze'; runAt: number } | Ending

/** A settlement that ends the attempt. `httpStatus`: that of the answer, where there was one. */
type Ending =
  | { kind: 'done'; httpStatus?: number | undefined }
  | { kind: 'retry'; runAt: number; httpStatus?: number | undefined; detail: string }
  | { kind: 'fail'; httpStatus?: number | undefined; detail: string }

/** `superseded`: the job is no longer held under this claim, and nothing was changed. */
export type Settled = 'settled' | 'superseded'

/** The jobs: what the scheduler does to the tables. All but `nextRunAt` run inside a commit. */
export type Jobs = {
  /**
   * Takes what is due, earliest first. Where no attempt is open one begins, and is written down
   * before anybody acts on it. Nobody else is given these jobs until they are settled.
   */
  take(now: Now, limit: number, claim: number): Job[]
  /** Takes one job: of the hundred that have been due longest or shortest, the least tried. */
  takeLeastTried(now: Now, claim: number, among: 'oldest' | 'newest'): Job[]
  /** Ends the attempt of a job, or puts it off, if the job is still held under its claim. */
  settle(job: Job, settlement: Settlement, now: Now): Settled
  /** When the earliest unclaimed job is due (steady time in ms); undefined: there is none. */
  nextRunAt(): number | undefined
  /**
   * Settles what the last process left claimed: every such attempt was cut off. The next one begins
   * at once, before all that waited behind it, unless that was the last of `maxAttempts`. Returns how
   * many there were.
   */
  recover(now: Now, maxAttempts: number): number
}

export function createJobs(connection: Connection, counts: Counts): Jobs {
  const statements = prepareJobStatements(connection)

  function begin(job: Job, now: Now): Job {
    const { id, claim, transaction } = job
    const attempt = job.attempt + 1
    const processingStartedAt = transaction.processingStartedAt ?? now.wall
    statements.startTransaction.run({ id, attempt, processingStartedAt })
    statements.insertAttempt.run({ id, attempt, startedAt: now.wall })
    statements.openJob.run({ id, claim, now: now.steady })
    move(counts, 'PENDING', 'PROCESSING')
    return {
      ...job,
      attempt,
      tries: job.tries + 1,
      startedAt: now.steady,
      transaction: { ...transaction, status: 'PROCESSING', attempts: attempt, processingStartedAt },
    }
  }

  function end(job: Job, ending: Ending, outcome: AttemptOutcome, now: Now): Settled {
    const { id, attempt, claim } = job
    const endAttempt = (detail: string | null) => {
      const { httpStatus = null } = ending
      statements.endAttempt.run({ id, attempt, finishedAt: now.wall, outcome, httpStatus, detail })
    }
    switch (ending.kind) {
      case 'done':
        if (statements.deleteJob.run({ id, claim }).changes === 0) return 'superseded'
        move(counts, 'PROCESSING', 'PROCESSED')
        statements.finishTransaction.run({ id, processedAt: now.wall })
        endAttempt(null)
        return 'settled'
      case 'retry': {
        const { runAt, detail } = ending
        const values = { id, claim, runAt, now: now.steady }
        if (statements.retryJob.run(values).changes === 0) return 'superseded'
        move(counts, 'PROCESSING', 'PENDING')
        statements.setBack.run({ id, status: 'PENDING', error: detail })
        endAttempt(detail)
        return 'settled'
      }
      case 'fail':
        if (statements.deleteJob.run({ id, claim }).changes === 0) return 'superseded'
        move(counts, 'PROCESSING', 'FAILED')
        statements.setBack.run({ id, status: 'FAILED', error: ending.detail })
        endAttempt(ending.detail)
        return 'settled'
      default:
        return ending satisfies never
    }
  }

  function takeRow(row: JobRow, now: Now, claim: number): Job {
    const job = fromJobRow(row, claim)
    if (row.attemptStartedAt === null) return begin(job, now)
    statements.claimJob.run({ id: job.id, claim, now: now.steady })
    return job
  }

  return {
    take(now, limit, claim) {
      const rows = statements.due.all({ now: now.steady, limit })
      return rows.map((row) => takeRow(row, now, claim))
    },

    takeLeastTried(now, claim, among) {
      const statement =
        among === 'oldest' ? statements.leastTriedOldest : statements.leastTriedNewest
      return statement.all({ now: now.steady }).map((row) => takeRow(row, now, claim))
    },

    settle(job, settlement, now) {
      if (settlement.kind !== 'snooze') return end(job, settlement, settlement.kind, now)
      const { id, claim } = job
      const values = { id, claim, runAt: settlement.runAt, now: now.steady }
      return statements.snoozeJob.run(values).changes === 0 ? 'superseded' : 'settled'
    },

    nextRunAt() {
      return statements.earliest.get({})?.runAt
    },

    recover(now, maxAttempts) {
      const orphans = statements.claimed.all({})
      for (const row of orphans) {
        const job = fromJobRow(row, row.claim ?? 0)
        const detail = 'txhook ended in the middle of the attempt'
        const ending: Ending =
          job.tries < maxAttempts
            ? { kind: 'retry', runAt: job.runAt, detail }
            : { kind: 'fail', detail }
        end(job, ending, 'interrupted', now)
      }
      return orphans.length
    },
  }
}

function fromJobRow(row: JobRow, claim: number): Job {
  const { runAt, claim: _, attemptStartedAt, tries, ...transaction } = row
  return {
    id: row.id,
    transaction: fromRow(transaction),
    attempt: row.attempts,
    tries,
    runAt,
    startedAt: attemptStartedAt ?? 0,
    claim,
  }
}
