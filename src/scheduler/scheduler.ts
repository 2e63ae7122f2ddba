import type { Clock, Instant } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { StorageUnavailable } from '../store/commits.ts'
import type { Job, Jobs, Settlement } from '../store/jobs.ts'
import type { Waits } from '../store/waits.ts'
import { backoffMs } from './backoff.ts'
import type { Outcome, Processor, Work } from './outcome.ts'

export type SchedulerDeps = {
  jobs: Jobs
  waits: Waits
  /** Runs a work in the next transaction; resolves when that is on the disk. */
  commit<T>(work: () => T): Promise<T>
  processor: Processor
  clock: Clock
  log: Log
  metrics: Pick<Metrics, 'attempts' | 'late'>
  /** From 0 to 1, less than 1: the jitter of retries. */
  random(): number
  /** Attempts that a transaction gets before it is FAILED. */
  triesMax?: number
  /** Calls under way at once. What only waits isn't bounded. */
  concurrency?: number
}

/** Jobs that one commit takes: the share of the event loop that webhooks wait for. */
const CALLS_MAX = 100
const WAITS_MAX = 500

/** Between two steps of waits, where the first left nothing due. */
const PAUSE_MS = 5

/** How long to wait before a storage that refused is asked again. */
const REFUSED_WAIT_MS = 1_000

/** Wall clock and steady time drift apart a little by themselves; more than this is a step. */
const STEP_MS_MIN = 1_000

/**
 * The one loop: it takes what is due, has it processed, settles the outcomes, and sleeps until the
 * earliest job is due or somebody wakes it. With nothing to do it does nothing at all.
 */
export class Scheduler {
  readonly #deps: Required<SchedulerDeps>
  readonly #abort = new AbortController()
  readonly #calls = new Set<Promise<void>>()
  #started: Promise<void> | undefined
  #loop: Promise<void> | undefined
  #state: 'idle' | 'running' | 'stopped' | 'broken' = 'idle'
  /** Ends the loop's sleep, or its next one where it isn't asleep. */
  #wake = Promise.withResolvers<void>()
  /** Nothing more was due when the last step was over. */
  #caughtUp = false
  #endPause: () => void = () => {}
  #claims = 0
  /** How far the wall clock was ahead of steady time when the loop last looked, in ms. */
  #wallAhead: number | undefined

  constructor(deps: SchedulerDeps) {
    this.#deps = { triesMax: 8, concurrency: 64, ...deps }
  }

  /** A fault that isn't the storage's ended the loop: only a new process processes again. */
  get broken(): boolean {
    return this.#state === 'broken'
  }

  /** False where due jobs don't get processed. */
  get alive(): boolean {
    return this.#state === 'running'
  }

  /** Frees what the last process left claimed, then begins the loop, once and unless stopped. */
  start(): Promise<void> {
    this.#started ??= this.#start()
    return this.#started
  }

  async #start(): Promise<void> {
    const { jobs, commit, clock, triesMax, log, metrics } = this.#deps
    if (this.#abort.signal.aborted) return
    const orphans = await commit(() => jobs.recover(clock.now(), triesMax))
    metrics.attempts('interrupted', orphans)
    if (orphans > 0) log.warn('attempts were cut off by the end of the last process', { orphans })
    // A stop can come during the commit.
    if (this.#abort.signal.aborted) return
    this.#state = 'running'
    this.#loop = this.#run()
  }

  /** There may be something due: look at once. */
  wake(): void {
    this.#wake.resolve()
  }

  /** Takes nothing more, asks the calls under way to give up, and resolves when all have ended. */
  async stop(): Promise<void> {
    if (this.#state === 'running') this.#state = 'stopped'
    this.#abort.abort()
    this.#endPause()
    this.wake()
    await this.#loop
    await Promise.all(this.#calls)
  }

  /**
   * Does what is due now, as much as one commit takes.
   *
   * @returns when to look again, in ms from now; undefined: when woken
   */
  async runOnce(): Promise<number | undefined> {
    const { jobs, clock, processor, concurrency } = this.#deps
    const free = concurrency - this.#calls.size
    if (processor.kind === 'call' && free <= 0) return undefined
    const runAt = jobs.nextRunAt()
    if (runAt === undefined) return undefined
    const delay = runAt - clock.now().steady
    if (delay > 0) return delay
    if (processor.kind === 'wait') await this.#wait(processor.waitMs)
    else await this.#call(processor, Math.min(free, CALLS_MAX))
    return 0
  }

  async #run(): Promise<void> {
    while (this.#state === 'running') {
      this.#wake = Promise.withResolvers()
      this.#noticeSteppedClock()
      const delay = await this.runOnce().catch((error) => this.#refused(error))
      if (delay !== 0) await this.#sleep(delay)
      else if (this.#caughtUp && this.alive) await this.#pause()
    }
  }

  /** While jobs come in all the time, each step has its share of them, and costs one commit. */
  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#deps.clock.after(PAUSE_MS, resolve)
    this.#endPause = resolve
    await promise
    cancel()
  }

  /** Schedules don't follow a wall clock that somebody steps, and records do: say so. */
  #noticeSteppedClock(): void {
    const { wall, steady } = this.#deps.clock.now()
    const steppedMs = wall - steady - (this.#wallAhead ?? wall - steady)
    if (this.#wallAhead !== undefined && Math.abs(steppedMs) < STEP_MS_MIN) return
    this.#wallAhead = wall - steady
    if (steppedMs !== 0)
      this.#deps.log.warn('the wall clock was stepped', { stepped_ms: steppedMs })
  }

  async #sleep(delay: number | undefined): Promise<void> {
    const cancel =
      delay === undefined ? undefined : this.#deps.clock.after(delay, this.#wake.resolve)
    await this.#wake.promise
    cancel?.()
  }

  #refused(error: unknown): number | undefined {
    if (error instanceof StorageUnavailable && error.reason !== 'failed') {
      this.#deps.log.error('the storage takes no writes', { reason: error.reason })
      return REFUSED_WAIT_MS
    }
    this.#state = 'broken'
    this.#deps.log.error('the scheduler stopped', { error })
    return undefined
  }

  /** Begins and ends what only waits: all in one commit, since nothing happens in between. */
  async #wait(waitMs: number): Promise<void> {
    const { waits, commit, clock, metrics } = this.#deps
    const step = await commit(() => waits.step(clock.now(), waitMs, WAITS_MAX))
    this.#caughtUp = step.latenessMs.length < WAITS_MAX
    for (const ms of step.latenessMs) metrics.late(ms)
    metrics.attempts('done', step.finished)
  }

  /** Takes jobs under a new claim and, when their attempts are on the disk, calls for each. */
  async #call(processor: Extract<Processor, { kind: 'call' }>, limit: number): Promise<void> {
    const { jobs, commit, clock, metrics } = this.#deps
    const claim = ++this.#claims
    for (const job of await commit(() => jobs.take(clock.now(), limit, claim))) {
      metrics.late(clock.now().steady - job.runAt)
      const call = this.#callFor(job, processor).finally(() => {
        this.#calls.delete(call)
        this.wake()
      })
      this.#calls.add(call)
    }
  }

  async #callFor(job: Job, processor: Extract<Processor, { kind: 'call' }>): Promise<void> {
    const { jobs, commit, clock, log, metrics } = this.#deps
    const work = this.#work(job, clock.now())
    const outcome = await Promise.try(() => processor.process(work)).catch(thrown)
    for (;;) {
      try {
        const settlement = this.#settlement(job, outcome)
        const settled = await commit(() => jobs.settle(job, settlement, clock.now()))
        if (settled === 'superseded') log.warn('a late outcome changed nothing', { outcome })
        else if (settlement.kind !== 'snooze') metrics.attempts(settlement.kind, 1)
        return
      } catch (error) {
        // What can't be recorded stays claimed: the next process counts it as interrupted.
        const wait = this.#state === 'running' ? this.#refused(error) : undefined
        if (wait === undefined) return
        const { promise, resolve } = Promise.withResolvers<void>()
        clock.after(wait, resolve)
        await promise
      }
    }
  }

  #work({ transaction, attempt, startedAt }: Job, now: Instant): Work {
    return { transaction, attempt, startedAt, now: now.steady, signal: this.#abort.signal }
  }

  /** What the store is to make of an outcome: when to try again, and when to give up. */
  #settlement(job: Job, outcome: Outcome): Settlement {
    const { triesMax, clock, random } = this.#deps
    switch (outcome.kind) {
      case 'done':
      case 'fail':
        return outcome
      case 'snooze':
        return { kind: 'snooze', runAt: outcome.until }
      case 'retry': {
        const { detail } = outcome
        if (job.tries >= triesMax) return { kind: 'fail', detail }
        const runAt = clock.now().steady + backoffMs(job.tries, random())
        return { kind: 'retry', runAt, detail }
      }
      default:
        return outcome satisfies never
    }
  }
}

function thrown(error: unknown): Outcome {
  return { kind: 'retry', detail: error instanceof Error ? error.message : String(error) }
}
