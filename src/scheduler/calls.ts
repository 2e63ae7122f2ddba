import type { Clock } from '../clock.ts'
import type { CallProcessor, Outcome } from '../processors/processor.ts'
import type { Job, Jobs } from '../store/sqlite/jobs.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { throttle } from '../telemetry/throttle.ts'
import { CircuitBreaker, type CircuitChange, type Pass } from './circuit-breaker.ts'
import { checkedOutcome, decideSettlement } from './retry-policy.ts'

export type CallsDeps = {
  jobs: Jobs
  /** Runs a work in the next transaction; resolves when that is on the disk. */
  commit<T>(work: () => T): Promise<T>
  clock: Clock
  log: Log
  metrics: Pick<Metrics, 'attempts' | 'late' | 'targetFailing'>
  /** From 0 to 1, less than 1: the jitter of retries. */
  random(): number
  /** Attempts that a transaction gets before it is FAILED. */
  maxAttempts: number
  /** Calls under way at once. */
  concurrency: number
  /** Called when a call has ended: there is room for another one. */
  onEnd(): void
  /** Judges why the storage refused; returns in how many ms to try again, undefined: never. */
  refused(error: unknown): number | undefined
}

/** Jobs that one commit takes: the share of the event loop that webhooks wait for. */
const TAKE_MAX = 100

/** At a stop, calls may take this long to end by themselves, and this long when asked to give up. */
const GRACE_MS = 5_000
const ABORTED_MS = 1_000

/** Between two entries of the log about FAILED transactions. */
const FAILED_LOG_MS = 10_000

/** The calls under way: each has its attempt on the disk before, and its outcome after. */
export class Calls {
  readonly #deps: CallsDeps
  readonly #abort = new AbortController()
  readonly #circuit: CircuitBreaker
  readonly #underWay = new Set<Promise<void>>()
  #claims = 0
  /** Calls that gave up because they were told to, at a stop. */
  #cut = 0
  /** FAILED since the log last told of any. */
  #failed = 0
  readonly #shouldLogFailed: () => boolean

  constructor(deps: CallsDeps) {
    this.#deps = deps
    const { clock, concurrency } = deps
    this.#shouldLogFailed = throttle(clock, FAILED_LOG_MS)
    this.#circuit = new CircuitBreaker({ concurrency, onChange: (change) => this.#tell(change) })
  }

  /** Since when (steady time in ms) the target has been failing; undefined: it hasn't. */
  get failingSince(): number | undefined {
    return this.#circuit.openSince
  }

  /** How many calls may begin now; where none may, in how many ms, or `undefined`: at an end. */
  get room(): { calls: number; inMs: number | undefined } {
    const { clock, concurrency } = this.#deps
    const now = clock.now().steady
    const calls = Math.min(concurrency - this.#underWay.size, this.#circuit.room(now))
    return { calls: Math.max(calls, 0), inMs: this.#circuit.probeInMs(now) }
  }

  /** Takes as many due jobs as there is room for and, when their attempts are on the disk, calls. */
  async begin(processor: CallProcessor, room: number): Promise<void> {
    const { jobs, commit, clock, metrics } = this.#deps
    const claim = ++this.#claims
    const limit = Math.min(room, TAKE_MAX)
    // What is decided now is told by this, though the circuit may change during the commit.
    const { pass } = this.#circuit
    const probing = this.failingSince !== undefined
    const take = () => (probing ? this.#takeProbe(claim) : jobs.take(clock.now(), limit, claim))
    for (const job of await commit(take)) {
      metrics.late(clock.now().steady - job.runAt)
      this.#circuit.begin(pass)
      const call = this.#call(job, processor, pass).finally(() => {
        this.#underWay.delete(call)
        this.#deps.onEnd()
      })
      this.#underWay.add(call)
    }
  }

  /**
   * Takes the next probe: by turns one that has just come and one that has waited long: the
   * calls that failed may be of a kind, and hold up others, while the target is there for those.
   */
  #takeProbe(claim: number): Job[] {
    const { jobs, clock } = this.#deps
    return jobs.takeLeastTried(clock.now(), claim, claim % 2 === 0 ? 'newest' : 'oldest')
  }

  /**
   * Waits for the calls under way, and no longer than is bearable: what doesn't end stays claimed,
   * for the next process to find interrupted.
   */
  async stop(): Promise<void> {
    await this.#ended(GRACE_MS)
    this.#abort.abort(new Error('txhook stops'))
    await this.#ended(ABORTED_MS)
    const calls = this.#cut + this.#underWay.size
    if (calls > 0) this.#deps.log.warn('calls were cut off by the stop', { calls })
  }

  async #ended(msMax: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#deps.clock.after(msMax, resolve)
    await Promise.race([Promise.all(this.#underWay), promise])
    cancel()
  }

  async #call(job: Job, processor: CallProcessor, pass: Pass): Promise<void> {
    const { clock } = this.#deps
    const { transaction, attempt, startedAt } = job
    const { signal } = this.#abort
    const work = { transaction, attempt, startedAt, now: clock.now().steady, signal }
    const outcome = await Promise.try(() => processor.process(work))
      .then(checkedOutcome)
      .catch(thrown)
    const now = clock.now().steady
    if (outcome.kind === 'retry') {
      if (signal.aborted) {
        this.#cut++
        return
      }
      const { detail, retryAfterMs: askedMs } = outcome
      this.#circuit.failed(pass, now, { detail, askedMs })
    } else {
      this.#circuit.succeeded(pass, now)
    }
    await this.#settle(job, outcome)
  }

  /** Records an outcome; as long as the storage has no room for it, it is tried again. */
  async #settle(job: Job, outcome: Outcome): Promise<void> {
    const { jobs, commit, clock, log, metrics, random, maxAttempts, refused } = this.#deps
    for (;;) {
      try {
        const now = clock.now().steady
        const situation = { tries: job.tries, maxAttempts, now, random: random() }
        const settlement = decideSettlement(outcome, situation)
        const settled = await commit(() => jobs.settle(job, settlement, clock.now()))
        const { transactionId: transaction_id } = job.transaction
        if (settled === 'superseded') {
          const { attempt } = job
          log.warn('a late outcome changed nothing', { transaction_id, attempt, outcome })
        } else if (settlement.kind !== 'snooze') {
          metrics.attempts(settlement.kind, 1)
          if (settlement.kind === 'fail') this.#tellFailed(transaction_id, settlement.detail)
        }
        return
      } catch (error) {
        const wait = this.#abort.signal.aborted ? undefined : refused(error)
        if (wait === undefined) return
        await this.#pause(wait)
      }
    }
  }

  /** Ends early where the calls are told to give up. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#abort
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#deps.clock.after(ms, resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
    await promise
    cancel()
  }

  /** A FAILED transaction is a matter for people; a thousand are one matter, told ever so often. */
  #tellFailed(transaction_id: string, detail: string): void {
    const count = ++this.#failed
    if (!this.#shouldLogFailed()) return
    this.#deps.log.warn('transactions are FAILED', { count, transaction_id, detail })
    this.#failed = 0
  }

  #tell(change: CircuitChange): void {
    const { log, metrics } = this.#deps
    metrics.targetFailing(change.to === 'open')
    if (change.to === 'open') {
      const { failures, detail } = change
      log.warn('the target is failing: one call at a time probes it', { failures, detail })
    } else {
      log.info('the target answers again', { failed_for_ms: change.failedForMs })
    }
  }
}

function thrown(error: unknown): Outcome {
  const message = error instanceof Error ? error.message : error
  // What is thrown may be anything, even an object that has no text.
  const detail = typeof message === 'string' ? message : Bun.inspect(message)
  return { kind: 'retry', detail }
}
