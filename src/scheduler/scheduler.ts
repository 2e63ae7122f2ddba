import type { Processor } from '../processors/processor.ts'
import { StorageUnavailable, type Work } from '../store/store.ts'
import { throttle } from '../telemetry/throttle.ts'
import { Calls, type CallsDeps } from './calls.ts'

/** The limits are those of calls: waits are not bounded. */
export type SchedulerDeps = Omit<CallsDeps, 'onEnd' | 'onStorageError'> & {
  work: Work
  processor: Processor
}

/** Waits that one commit advances: its share of the event loop. */
const WAITS_MAX = 500

/** Between two commits of waits, where the first left nothing due. */
const PAUSE_MS = 5

const STORAGE_RETRY_MS = 1_000
const STORAGE_LOG_INTERVAL_MS = 10_000

/** Wall clock and steady time drift apart a little by themselves; more than this is a step. */
const CLOCK_STEP_MS_MIN = 1_000

/**
 * The one loop: it claims what is due, has it processed, settles the outcomes, and sleeps until the
 * earliest job is due or it is woken. With nothing to do it makes no query.
 */
export class Scheduler {
  readonly #deps: SchedulerDeps
  readonly #calls: Calls
  #started: Promise<void> | undefined
  #loop: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  /** What the last process left under way is recorded. */
  #recovered = false
  #state: 'idle' | 'running' | 'stopped' | 'crashed' = 'idle'
  /** Ends the loop's sleep, or its next one where it isn't asleep. */
  #wake = Promise.withResolvers<void>()
  /** Nothing more was due after the last commit of waits. */
  #caughtUp = false
  #endPause: () => void = () => {}
  readonly #shouldLogStorage: () => boolean
  /** How far the wall clock was ahead of steady time at the last check, in ms. */
  #wallAhead: number | undefined

  constructor(deps: SchedulerDeps) {
    this.#deps = deps
    this.#shouldLogStorage = throttle(deps.clock, STORAGE_LOG_INTERVAL_MS)
    const onEnd = () => this.wake()
    const onStorageError = (error: unknown) => this.#onStorageError(error)
    this.#calls = new Calls({ ...deps, onEnd, onStorageError })
  }

  /** An error ended the loop: only a new process can process transactions again. */
  get crashed(): boolean {
    return this.#state === 'crashed'
  }

  get running(): boolean {
    return this.#state === 'running'
  }

  /** Since when (steady time in ms) the target has been failing; undefined: it is not failing. */
  get targetFailingSince(): number | undefined {
    return this.#calls.failingSince
  }

  /** Records what the last process left under way, then begins the loop, once and unless stopped. */
  start(): Promise<void> {
    this.#started ??= this.#start()
    return this.#started
  }

  async #start(): Promise<void> {
    if (this.#stopped) return
    try {
      await this.#recover()
    } catch (error) {
      // On a full disk the service answers what needs no room, and the loop tries again.
      if (!(error instanceof StorageUnavailable && error.reason === 'full')) throw error
      this.#onStorageError(error)
    }
    // A stop can come during the commit.
    if (this.#stopped) return
    this.#state = 'running'
    this.#loop = this.#run()
  }

  async #recover(): Promise<void> {
    if (this.#recovered) return
    const { work, maxAttempts } = this.#deps
    const { interrupted } = await work.start(maxAttempts)
    this.#recovered = true
    this.#reportInterrupted(interrupted)
  }

  /** There may be something due: look at once. */
  wake(): void {
    this.#wake.resolve()
  }

  /** Begins nothing more, and resolves when the calls under way have ended or been given up. */
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
    const { work, processor, maxAttempts } = this.#deps
    const { room } = this.#calls
    if (processor.kind === 'call' && room.calls === 0) return room.inMs
    const { interrupted, dueInMs } = await work.tick(maxAttempts)
    this.#reportInterrupted(interrupted)
    if (dueInMs === undefined || dueInMs > 0) return dueInMs
    if (processor.kind === 'call') return this.#calls.begin(processor)
    await this.#advanceWaits(processor.waitMs)
    return 0
  }

  async #run(): Promise<void> {
    while (this.#state === 'running') {
      this.#wake = Promise.withResolvers()
      this.#detectClockStep()
      const delay = await this.#recover()
        .then(() => this.runOnce())
        .catch((error) => this.#onStorageError(error))
      if (delay !== 0) await this.#sleep(delay)
      else if (this.#caughtUp && this.running) await this.#pause()
    }
  }

  #reportInterrupted(attempts: number): void {
    if (attempts === 0) return
    this.#deps.metrics.attempts('interrupted', attempts)
    this.#deps.log.warn('attempts of the last process were interrupted', { attempts })
  }

  /** Lets waits gather while jobs keep coming, so that a commit has many of them. */
  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#deps.clock.after(PAUSE_MS, resolve)
    this.#endPause = resolve
    await promise
    cancel()
  }

  /** A step of the wall clock changes no schedule, but what the records show: log it. */
  #detectClockStep(): void {
    const { wall, steady } = this.#deps.clock.now()
    const stepped_ms = wall - steady - (this.#wallAhead ?? wall - steady)
    if (this.#wallAhead !== undefined && Math.abs(stepped_ms) < CLOCK_STEP_MS_MIN) return
    this.#wallAhead = wall - steady
    if (stepped_ms !== 0) this.#deps.log.warn('the wall clock was stepped', { stepped_ms })
  }

  async #sleep(delay: number | undefined): Promise<void> {
    const cancel =
      delay === undefined ? undefined : this.#deps.clock.after(delay, this.#wake.resolve)
    await this.#wake.promise
    cancel?.()
  }

  #onStorageError(error: unknown): number | undefined {
    if (error instanceof StorageUnavailable && error.reason === 'closed') return undefined
    if (error instanceof StorageUnavailable && error.reason !== 'failed') {
      // Every call under way may get this error every second.
      if (this.#shouldLogStorage())
        this.#deps.log.error('the storage takes no writes', { reason: error.reason })
      return STORAGE_RETRY_MS
    }
    this.#state = 'crashed'
    this.#deps.log.error('the scheduler crashed', { error })
    return undefined
  }

  /** Begins and ends waits, all in one commit, since nothing happens in between. */
  async #advanceWaits(waitMs: number): Promise<void> {
    const { work, metrics } = this.#deps
    const { latenessMs, finished, more } = await work.advanceWaits(waitMs, WAITS_MAX)
    this.#caughtUp = !more
    for (const ms of latenessMs) metrics.late(ms)
    metrics.attempts('done', finished)
  }
}
