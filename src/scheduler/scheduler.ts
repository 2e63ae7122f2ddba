import type { Processor } from '../processors/processor.ts'
import { StorageUnavailable } from '../store/sqlite/database/commit-queue.ts'
import type { Waits } from '../store/sqlite/waits.ts'
import { throttle } from '../telemetry/throttle.ts'
import { Calls, type CallsDeps } from './calls.ts'

/** The limits are those of calls: what only waits isn't bounded. */
export type SchedulerDeps = Omit<CallsDeps, 'onEnd' | 'refused'> & {
  waits: Waits
  processor: Processor
}

/** Waits that one commit takes: the share of the event loop that webhooks wait for. */
const WAITS_MAX = 500

/** Between two steps of waits, where the first left nothing due. */
const PAUSE_MS = 5

/** How long to wait before a storage that refused is asked again. */
const REFUSED_WAIT_MS = 1_000
const REFUSED_LOG_MS = 10_000

/** Wall clock and steady time drift apart a little by themselves; more than this is a step. */
const STEP_MS_MIN = 1_000

/**
 * The one loop: it takes what is due, has it processed, settles the outcomes, and sleeps until the
 * earliest job is due or somebody wakes it. With nothing to do it does nothing at all.
 */
export class Scheduler {
  readonly #deps: SchedulerDeps
  readonly #calls: Calls
  #started: Promise<void> | undefined
  #loop: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #state: 'idle' | 'running' | 'stopped' | 'broken' = 'idle'
  /** Ends the loop's sleep, or its next one where it isn't asleep. */
  #wake = Promise.withResolvers<void>()
  /** Nothing more was due when the last step was over. */
  #caughtUp = false
  #endPause: () => void = () => {}
  readonly #shouldLogRefusal: () => boolean
  /** How far the wall clock was ahead of steady time when the loop last looked, in ms. */
  #wallAhead: number | undefined

  constructor(deps: SchedulerDeps) {
    this.#deps = deps
    this.#shouldLogRefusal = throttle(deps.clock, REFUSED_LOG_MS)
    const onEnd = () => this.wake()
    this.#calls = new Calls({ ...deps, onEnd, refused: (error) => this.#refused(error) })
  }

  /** A fault that isn't the storage's ended the loop: only a new process processes again. */
  get broken(): boolean {
    return this.#state === 'broken'
  }

  /** False where due jobs don't get processed. */
  get alive(): boolean {
    return this.#state === 'running'
  }

  /** Since when (steady time in ms) the target has been failing; undefined: it hasn't. */
  get targetFailingSince(): number | undefined {
    return this.#calls.failingSince
  }

  /** Frees what the last process left claimed, then begins the loop, once and unless stopped. */
  start(): Promise<void> {
    this.#started ??= this.#start()
    return this.#started
  }

  async #start(): Promise<void> {
    const { jobs, commit, clock, maxAttempts, log, metrics } = this.#deps
    if (this.#stopped) return
    const orphans = await commit(() => jobs.recover(clock.now(), maxAttempts))
    metrics.attempts('interrupted', orphans)
    if (orphans > 0) log.warn('attempts were cut off by the end of the last process', { orphans })
    // A stop can come during the commit.
    if (this.#stopped) return
    this.#state = 'running'
    this.#loop = this.#run()
  }

  /** There may be something due: look at once. */
  wake(): void {
    this.#wake.resolve()
  }

  /** Takes nothing more, waits for the calls under way as long as is bearable, and resolves then. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    if (this.#state === 'running') this.#state = 'stopped'
    this.#endPause()
    this.wake()
    await this.#loop
    await this.#calls.stop()
  }

  /**
   * Does what is due now, as much as one commit takes.
   *
   * @returns when to look again, in ms from now; undefined: when woken
   */
  async runOnce(): Promise<number | undefined> {
    const { jobs, clock, processor } = this.#deps
    const { room } = this.#calls
    if (processor.kind === 'call' && room.calls === 0) return room.inMs
    const runAt = jobs.nextRunAt()
    if (runAt === undefined) return undefined
    const delay = runAt - clock.now().steady
    if (delay > 0) return delay
    if (processor.kind === 'wait') await this.#wait(processor.waitMs)
    else await this.#calls.begin(processor, room.calls)
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
    if (error instanceof StorageUnavailable && error.reason === 'closed') return undefined
    if (error instanceof StorageUnavailable && error.reason !== 'failed') {
      // Every call under way may be refused every second: one entry in a while tells of all.
      if (this.#shouldLogRefusal())
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
}
