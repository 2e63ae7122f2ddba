import { type CallProcessor, checkedOutcome, type Outcome } from '../processors/processor.ts'
import type { Claimed, ClaimOrder, Work } from '../store/store.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { type BreakerChange, CircuitBreaker, type Epoch } from './circuit-breaker.ts'
import { CUT_BY_STOP, Settlements, type SettlementsDeps } from './settlements.ts'

export type CallsDeps = SettlementsDeps & {
  work: Pick<Work, 'claim'>
  metrics: Pick<Metrics, 'late' | 'targetFailing' | 'targetCall'>
  /** Calls under way at once. */
  concurrency: number
  /** Called when a call has ended: there is room for another one. */
  onEnd(): void
}

/** Jobs that one commit claims: its share of the event loop. */
const CLAIM_MAX = 100

/**
 * At a stop, calls may take this long to end, this long once they are aborted, and this long may the
 * record of those take that did not even end then. The last of the 10 s is for closing the store.
 */
const GRACE_MS = 8_000
const ABORTED_MS = 500
const RECORD_MS = 500

/**
 * Its signal is the call's own: what a processor adds to it and never removes is gone with the call.
 */
type UnderWay = { abort: AbortController; giveUp(): void; ended: Promise<void> }

/** The calls under way. An attempt is on the disk before its call begins, and settled after it. */
export class Calls {
  readonly #deps: CallsDeps
  readonly #settlements: Settlements
  readonly #breaker: CircuitBreaker
  readonly #underWay = new Set<UnderWay>()
  #claims = 0
  /** Calls that a stop has cut off. */
  #cut = 0

  constructor(deps: CallsDeps) {
    this.#deps = deps
    const { concurrency } = deps
    this.#settlements = new Settlements(deps)
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
      this.#begin(claimed, processor, epoch)
    }
    return 0
  }

  #begin(claimed: Claimed, processor: CallProcessor, epoch: Epoch): void {
    const abort = new AbortController()
    const { promise: outcome, resolve } = Promise.withResolvers<Outcome | typeof CUT_BY_STOP>()
    void this.#call(claimed, processor, abort.signal)
      .then(checkedOutcome)
      .then(resolve, (error) => resolve(thrown(error)))
    const ended = this.#end(claimed, outcome, epoch, abort.signal).finally(() => {
      this.#underWay.delete(call)
      this.#deps.onEnd()
    })
    const call = { abort, giveUp: () => resolve(CUT_BY_STOP), ended }
    this.#underWay.add(call)
  }

  #call(
    { transaction, claim, startedAt }: Claimed,
    processor: CallProcessor,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { steady: now } = this.#deps.clock.now()
    const attempt = { transaction, attempt: claim.attempt, startedAt, now, signal }
    return Promise.try(() => processor.process(attempt))
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
   * Waits for the calls under way, within limits, aborts those that last longer, and at last goes on
   * without those that hear nothing of that: both are recorded as interrupted. What the storage
   * doesn't take in time stays claimed, and the next process records it.
   */
  async stop(): Promise<void> {
    await this.#within(GRACE_MS, this.#ended())
    for (const { abort } of this.#underWay) abort.abort(new Error('txhook stops'))
    await this.#within(ABORTED_MS, this.#ended())
    for (const { giveUp } of this.#underWay) giveUp()
    await this.#within(RECORD_MS, this.#ended())
    if (this.#cut > 0) this.#deps.log.warn('the stop interrupted calls', { calls: this.#cut })
  }

  #ended(): Promise<unknown> {
    return Promise.all([...this.#underWay].map(({ ended }) => ended))
  }

  /** Waits for a promise, but no longer than this. */
  async #within(msMax: number, awaited: Promise<unknown>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#deps.clock.after(msMax, resolve)
    await Promise.race([awaited, promise])
    cancel()
  }

  /** Waits for the outcome of a call, or until a stop gives it up, and records it. */
  async #end(
    claimed: Claimed,
    pending: Promise<Outcome | typeof CUT_BY_STOP>,
    epoch: Epoch,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, metrics } = this.#deps
    const began = clock.monotonic()
    const outcome = await pending
    if (outcome.kind === 'interrupted' || (outcome.kind === 'retry' && signal.aborted)) {
      this.#cut++
      await this.#settlements.record(claimed, CUT_BY_STOP, signal)
      return
    }
    if (outcome.kind !== 'snooze') metrics.targetCall(outcome.kind, clock.monotonic() - began)
    const { steady: now } = clock.now()
    if (outcome.kind === 'retry') this.#breaker.failed(epoch, now, outcome)
    else this.#breaker.succeeded(epoch, now)
    await this.#settlements.record(claimed, outcome, signal)
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
