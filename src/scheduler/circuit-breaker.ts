/** Calls that fail in a row until the breaker opens. */
const FAILURES_MAX = 10

/** From the end of one probe to the next: doubled with each that fails. */
const PROBE_MS_MIN = 1_000
const PROBE_MS_MAX = 30_000

export type CircuitBreakerDeps = {
  /** Calls under way at once when all is well. */
  concurrency: number
  /** Called once per change. */
  onChange(change: BreakerChange): void
}

export type BreakerChange =
  | { to: 'open'; failures: number; detail: string }
  /** `failedForMs`: from the first failure in that row to the success that ended it. */
  | { to: 'closed'; failedForMs: number }

/** `retryAfterMs`: what the target asked for. `detail`: the reason, for the log. */
export type CallFailure = { detail: string; retryAfterMs?: number | undefined }

/** The number of a state of the breaker: a call carries that of the state it was decided in. */
export type Epoch = number

/**
 * Holds calls back from a target that is failing.
 *
 * Closed, it lets calls through. Ten failures in a row open it: then one probe at a time goes out,
 * 1 s later or as late as the target asked for, then after twice as long each time, up to 30 s. The
 * first that succeeds closes it; then one call may be under way, and one more with each success, so
 * that a target that has just recovered doesn't get everything at once.
 *
 * A permanent refusal by the target counts as a success here: it is reachable. Results of calls from
 * an earlier epoch are ignored. Times are steady time in ms.
 */
export class CircuitBreaker {
  readonly #deps: CircuitBreakerDeps
  #epoch: Epoch = 0
  /** Calls of this epoch under way. */
  #underWay = 0
  #open = false
  /** In a row, and when the first of them was. */
  #failures = 0
  #failingSince = 0
  /** While closed: calls that may be under way at once. */
  #limit: number
  /** While open: when the next probe may go out, and how long the wait for it is. */
  #probeAt = 0
  #probeMs = 0

  constructor(deps: CircuitBreakerDeps) {
    this.#deps = deps
    this.#limit = deps.concurrency
  }

  /** Since when the target has been failing; undefined: it is not failing. */
  get openSince(): number | undefined {
    return this.#open ? this.#failingSince : undefined
  }

  /** How many calls may begin now. */
  room(now: number): number {
    if (!this.#open) return this.#limit - this.#underWay
    return now >= this.#probeAt && this.#underWay === 0 ? 1 : 0
  }

  /** In how many ms the next probe may go out; undefined: none is waited for. */
  probeInMs(now: number): number | undefined {
    return this.#open && now < this.#probeAt ? this.#probeAt - now : undefined
  }

  get epoch(): Epoch {
    return this.#epoch
  }

  /** A call begins that was decided in this epoch. */
  begin(epoch: Epoch): void {
    if (epoch === this.#epoch) this.#underWay++
  }

  succeeded(epoch: Epoch, now: number): void {
    if (epoch !== this.#epoch) return
    this.#underWay--
    this.#failures = 0
    if (this.#open) this.#close(now)
    else this.#limit = Math.min(this.#limit + 1, this.#deps.concurrency)
  }

  failed(epoch: Epoch, now: number, { detail, retryAfterMs = 0 }: CallFailure): void {
    if (epoch !== this.#epoch) return
    this.#underWay--
    if (this.#failures++ === 0) this.#failingSince = now
    if (this.#open) {
      this.#scheduleProbe(now, Math.max(this.#probeMs * 2, retryAfterMs))
    } else if (this.#failures >= FAILURES_MAX) {
      this.#beginEpoch(true)
      this.#scheduleProbe(now, Math.max(PROBE_MS_MIN, retryAfterMs))
      this.#deps.onChange({ to: 'open', failures: this.#failures, detail })
    }
  }

  #scheduleProbe(now: number, wait: number): void {
    this.#probeMs = Math.min(wait, PROBE_MS_MAX)
    this.#probeAt = now + this.#probeMs
  }

  #close(now: number): void {
    this.#beginEpoch(false)
    this.#limit = 1
    this.#deps.onChange({ to: 'closed', failedForMs: now - this.#failingSince })
  }

  #beginEpoch(open: boolean): void {
    this.#open = open
    this.#epoch++
    this.#underWay = 0
  }
}
