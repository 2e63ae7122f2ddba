import type { Clock } from '../clock.ts'
import { type CallProcessor, checkedOutcome, type Outcome } from '../processors/processor.ts'
import type { Claimed, ClaimOrder, Work } from '../store/store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { throttle } from '../telemetry/throttle.ts'
import { type BreakerChange, CircuitBreaker, type Epoch } from './circuit-breaker.ts'
import { decideSettlement } from './retry-policy.ts'

export type CallsDeps = {
  work: Pick<Work, 'claim' | 'settle'>
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
  /** After an error of the storage: in how many ms to try again; undefined: never. */
  onStorageError(error: unknown): number | undefined
}

/** Jobs that one commit claims: its share of the event loop. */
const CLAIM_MAX = 100

/** At a stop, calls may take this long to end, and this long once they are aborted. */
const GRACE_MS = 5_000
const ABORTED_MS = 1_000

const FAILED_LOG_INTERVAL_MS = 10_000

/** The calls under way. An attempt is on the disk before its call begins, and settled after it. */
export class Calls {
  readonly #deps: CallsDeps
  readonly #abort = new AbortController()
  readonly #breaker: CircuitBreaker
  readonly #underWay = new Set<Promise<void>>()
  #claims = 0
  /** Calls that ended because a stop aborted them. */
  #aborted = 0
  /** FAILED since the last log entry about them. */
  #failed = 0
  readonly #shouldLogFailed: () => boolean

  constructor(deps: CallsDeps) {
    this.#deps = deps
    const { clock, concurrency } = deps
    this.#shouldLogFailed = throttle(clock, FAILED_LOG_INTERVAL_MS)
    this.#breaker = new CircuitBreaker({ concurrency, onChange: (change) => this.#report(change) })
  }

  /** Since when (steady time in ms) the target has been failing; undefined: it is not failing. */
  get failingSince(): number | undefined {
    return this.#breaker.openSince
  }

  /** How many calls may begin now; where none may, in how many ms, or undefined: when one ends. */
  get room(): { calls: number; inMs: number | undefined } {
    const { clock, concurrency } = this.#deps
    const now = clock.now().steady
    const calls = Math.min(concurrency - this.#underWay.size, this.#breaker.room(now))
    return { calls: Math.max(calls, 0), inMs: this.#breaker.probeInMs(now) }
  }

  /**
   * Claims as many due jobs as there is room for and, when that is on the disk, calls. Returns when
   * to look again, as `room` does.
   */
  async begin(processor: CallProcessor): Promise<number | undefined> {
    const { work, metrics } = this.#deps
    // Room, epoch and order are read together: the breaker may change state while the claim commits.
    const { calls, inMs } = this.room
    if (calls === 0) return inMs
    const { epoch } = this.#breaker
    for (const claimed of await work.claim(Math.min(calls, CLAIM_MAX), this.#nextOrder())) {
      metrics.late(claimed.lateMs)
      this.#breaker.begin(epoch)
      const call = this.#call(claimed, processor, epoch).finally(() => {
        this.#underWay.delete(call)
        this.#deps.onEnd()
      })
      this.#underWay.add(call)
    }
    return 0
  }

  /**
   * Probes take turns: one of the newest jobs, one of the oldest. The calls that failed may be of
   * one kind, and must not keep those of other kinds from a target that accepts them.
   */
  #nextOrder(): ClaimOrder {
    const newest = ++this.#claims % 2 === 0
    if (this.failingSince === undefined) return 'earliest'
    return newest ? 'probe_newest' : 'probe_oldest'
  }

  /**
   * Waits for the calls under way, within limits. One that doesn't end stays claimed: the next
   * process records it as interrupted.
   */
  async stop(): Promise<void> {
    await this.#ended(GRACE_MS)
    this.#abort.abort(new Error('txhook stops'))
    await this.#ended(ABORTED_MS)
    const calls = this.#aborted + this.#underWay.size
    if (calls > 0) this.#deps.log.warn('the stop interrupted calls', { calls })
  }

  async #ended(msMax: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#deps.clock.after(msMax, resolve)
    await Promise.race([Promise.all(this.#underWay), promise])
    cancel()
  }

  async #call(claimed: Claimed, processor: CallProcessor, epoch: Epoch): Promise<void> {
    const { clock } = this.#deps
    const { transaction, claim, startedAt } = claimed
    const { signal } = this.#abort
    const { steady: now } = clock.now()
    const attempt = { transaction, attempt: claim.attempt, startedAt, now, signal }
    const outcome = await Promise.try(() => processor.process(attempt))
      .then(checkedOutcome)
      .catch(thrown)
    if (outcome.kind === 'retry') {
      if (signal.aborted) {
        this.#aborted++
        return
      }
      this.#breaker.failed(epoch, clock.now().steady, outcome)
    } else {
      this.#breaker.succeeded(epoch, clock.now().steady)
    }
    await this.#settle(claimed, outcome)
  }

  /** Records an outcome; as long as the storage takes no write, it is tried again. */
  async #settle({ claim, attemptsUsed }: Claimed, outcome: Outcome): Promise<void> {
    const { work, clock, log, metrics, random, maxAttempts, onStorageError } = this.#deps
    const { transactionId: transaction_id, attempt } = claim
    for (;;) {
      try {
        const { steady: now } = clock.now()
        const context = { attemptsUsed, maxAttempts, now, random: random() }
        const settlement = decideSettlement(outcome, context)
        if ((await work.settle(claim, settlement)) === 'superseded') {
          log.warn('ignored a late outcome', { transaction_id, attempt, outcome })
        } else if (settlement.kind !== 'snooze') {
          metrics.attempts(settlement.kind, 1)
          if (settlement.kind === 'fail') this.#logFailed(transaction_id, settlement.detail)
        }
        return
      } catch (error) {
        const wait = this.#abort.signal.aborted ? undefined : onStorageError(error)
        if (wait === undefined) return
        await this.#pause(wait)
      }
    }
  }

  /** Ends early where the calls are aborted. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#abort
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#deps.clock.after(ms, resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
    await promise
    cancel()
  }

  /** Logs FAILED transactions at most every 10 s, with a count. */
  #logFailed(transaction_id: string, detail: string): void {
    const count = ++this.#failed
    if (!this.#shouldLogFailed()) return
    this.#deps.log.warn('transactions are FAILED', { count, transaction_id, detail })
    this.#failed = 0
  }

  #report(change: BreakerChange): void {
    const { log, metrics } = this.#deps
    metrics.targetFailing(change.to === 'open')
    if (change.to === 'open') {
      const { failures, detail } = change
      log.warn('the target is failing: one call at a time probes it', { failures, detail })
    } else {
      log.info('the target has recovered', { failed_for_ms: change.failedForMs })
    }
  }
}

function thrown(error: unknown): Outcome {
  const message = error instanceof Error ? error.message : error
  // What is thrown may be anything, even an object that has no text.
  const detail = typeof message === 'string' ? message : Bun.inspect(message)
  return { kind: 'retry', detail }
}
