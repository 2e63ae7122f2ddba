import type { Clock } from '../../clock.ts'
import type { Log } from '../../telemetry/log.ts'
import { StorageUnavailable } from '../store.ts'
import type { CommitQueue } from './database/commit-queue.ts'
import type { OpenDatabase } from './database/open-database.ts'
import { isLocked } from './database/sqlite-errors.ts'
import { clock as clockTable } from './schema.ts'

/** Wall clock and steady time drift apart a little by themselves; more than this is a step. */
const STEP_MS_MIN = 1_000

/** What this process leaves on the disk of its clock, for the next. */
export type SteadyTime = {
  /** Writes it where the wall clock was stepped since. What storage refuses is left for later. */
  keep(commits: Pick<CommitQueue, 'write'>): Promise<void>
}

export type SteadyTimeDeps = {
  clock: Clock
  log: Log
  /** The newest steady time in a job, in ms; 0 where there is none. */
  newestTime: number
}

/**
 * Lets steady time go on from where the last process had it, by the time since the machine's boot,
 * which no step of a clock changes. After another boot, it goes on by the wall clock, from the
 * distance that both had. It is never before the newest time in a job.
 */
export function continueSteadyTime(
  { orm, isFull }: Pick<OpenDatabase, 'orm' | 'isFull'>,
  { clock, log, newestTime }: SteadyTimeDeps,
): SteadyTime {
  let stored = orm.select().from(clockTable).get()
  const boot = clock.boot()
  const { wall } = clock.now()
  const byWall = wall - (stored?.wallAhead ?? 0)
  const sameBoot = stored && boot && stored.bootId === boot.id ? stored.sinceBoot : null
  const byBoot = sameBoot === null || boot === undefined ? undefined : boot.ms + sameBoot
  // In some containers the time is counted from their own start, under the id of the machine's boot.
  const continued = byBoot !== undefined && byBoot > newestTime - STEP_MS_MIN
  const estimate = continued ? byBoot : byWall
  const behind_ms = newestTime - estimate
  const steady = Math.max(estimate, newestTime)
  clock.setSteady(steady)
  // `boot.ms` may be this much behind: taken off, or the next process could end a wait too early.
  const sinceBoot = continued ? sameBoot : boot ? steady - boot.ms - (boot.stepMs ?? 0) : null
  const bootId = boot?.id ?? null

  const wallAhead = () => {
    const now = clock.now()
    return now.wall - now.steady
  }
  const stepMs = () => (stored ? wallAhead() - stored.wallAhead : 0)
  const stepped = () => stored === undefined || Math.abs(stepMs()) >= STEP_MS_MIN
  function write() {
    const row = { id: 1, bootId, sinceBoot, wallAhead: wallAhead() }
    orm.insert(clockTable).values(row).onConflictDoUpdate({ target: clockTable.id, set: row }).run()
    return row
  }

  if (behind_ms >= STEP_MS_MIN) {
    log.warn('the wall clock is behind the newest time in the database', { behind_ms })
  } else if (continued && stepped()) {
    log.warn('the wall clock was stepped', { stepped_ms: stepMs() })
  }
  if (stored?.bootId !== bootId || stored.sinceBoot !== sinceBoot || stepped()) {
    try {
      stored = write()
    } catch (error) {
      // A full disk is no reason not to start: `keep` writes it later.
      if (!isLocked(error) && !isFull(error)) throw error
    }
  }
  let keeping = false
  return {
    async keep(commits) {
      if (keeping || !stepped()) return
      keeping = true
      try {
        stored = await commits.write(write)
      } catch (error) {
        if (!(error instanceof StorageUnavailable)) throw error
      } finally {
        keeping = false
      }
    },
  }
}
