/** Calls that fail in a row until the target counts as failing. */
const FAILURES_MAX = 10

/** From one probe's end to the next probe: doubled with each that fails. */
const PROBE_FIRST_MS = 1_000
const PROBE_LONGEST_MS = 30_000

export type CircuitBreakerDeps = {
  /** Calls that may be under way at once when all is well. */
  concurrency: number
  /** Told once per change. */
  onChange(change: CircuitChange): void
}

export type CircuitChange =
  | { to: 'open'; failures: number; detail: string }
  /** `failedForMs`: from the first failure in that row to the success that ended it. */
  | { to: 'closed'; failedForMs: number }

/** `askedMs`: how long the target asked to be left alone. `detail`: why, for the log. */
export type CircuitFailure = { detail: string; askedMs?: number | undefined }

/** Which state of the circuit a call was decided on in. */
export type Pass = number

/**
 * Keeps calls from a target that is failing: a circuit breaker.
 *
 * Closed, it lets calls through. When ten in a row have failed it opens: no calls, but for one at a
 * time that probes, 1 s later or as late as the target asked for, then after twice as long each
 * time, and never after more than 30 s. The first that succeeds closes it; then one call may be under
 * way, and one more with each that succeeds, so that a target that has just come back isn't met by
 * all that waited.
 *
 * A call that the target refuses for good has succeeded in this sense: the target is there. What
 * began before the last change says nothing of the target as it is now, and is ignored. Times are
 * steady time in ms.
 */
export class CircuitBreaker {
  readonly #deps: CircuitBreakerDeps
  /** The number of this state, and the calls of it that are under way. */
  #pass: Pass = 0
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

  /** Since when the target has been failing; undefined: it hasn't. */
  get openSince(): number | undefined {
    return this.#open ? this.#failingSince : undefined
  }

  /** How many calls may begin now. */
  room(now: number): number {
    if (!this.#open) return this.#limit - this.#underWay
    return now >= this.#probeAt && this.#underWay === 0 ? 1 : 0
  }

  /** How long until it is time for a probe, in ms; undefined: that isn't what is waited for. */
  probeInMs(now: number): number | undefined {
    return this.#open && now < this.#probeAt ? this.#probeAt - now : undefined
  }

  /** What a call bears that is decided on now. */
  get pass(): Pass {
    return this.#pass
  }

  /** A call begins that was decided on under this pass, which is handed back at its end. */
  begin(pass: Pass): void {
    if (pass === this.#pass) this.#underWay++
  }

  succeeded(pass: Pass, now: number): void {
    if (pass !== this.#pass) return
    this.#underWay--
    this.#failures = 0
    if (this.#open) this.#close(now)
    else this.#limit = Math.min(this.#limit + 1, this.#deps.concurrency)
  }

  failed(pass: Pass, now: number, { detail, askedMs = 0 }: CircuitFailure): void {
    if (pass !== this.#pass) return
    this.#underWay--
    if (this.#failures++ === 0) this.#failingSince = now
    if (this.#open) {
      this.#probeLater(now, Math.max(this.#probeMs * 2, askedMs))
    } else if (this.#failures >= FAILURES_MAX) {
      this.#change(true)
      this.#probeLater(now, Math.max(PROBE_FIRST_MS, askedMs))
      this.#deps.onChange({ to: 'open', failures: this.#failures, detail })
    }
  }

  #probeLater(now: number, wait: number): void {
    this.#probeMs = Math.min(wait, PROBE_LONGEST_MS)
    this.#probeAt = now + this.#probeMs
  }

  #close(now: number): void {
    this.#change(false)
    this.#limit = 1
    this.#deps.onChange({ to: 'closed', failedForMs: now - this.#failingSince })
  }

  #change(open: boolean): void {
    this.#open = open
    this.#pass++
    this.#underWay = 0
  }
}
