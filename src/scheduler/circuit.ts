/** Calls that fail in a row until the target counts as failing. */
const FAILURES_MAX = 10

/** From one probe's end to the next probe: doubled with each that fails. */
const PROBE_FIRST_MS = 1_000
const PROBE_LONGEST_MS = 30_000

export type CircuitDeps = {
  /** Calls that may be under way at once when all is well. */
  concurrency: number
  /** Told once per change: since when it fails and why, or for how long it has failed. */
  onChange(change: CircuitChange): void
}

export type CircuitChange =
  | { to: 'open'; failures: number; detail: string }
  | { to: 'closed'; openMs: number }

/** Which state of the circuit a call began in. */
export type Pass = number

/**
 * Keeps calls from a target that is failing: a circuit breaker.
 *
 * Closed, it lets calls through. When ten in a row have failed it opens: no calls, but for one at a
 * time that probes, after 1 s and then ever more rarely, at least every 30 s. The first that
 * succeeds closes it; then one call may be under way, and one more with each that succeeds, so that
 * a target that has just come back isn't met by all that waited.
 *
 * A call that the target refuses for good has succeeded in this sense: the target is there. What
 * began before the last change says nothing of the target as it is now, and is ignored. Times are
 * steady time in ms.
 */
export class Circuit {
  readonly #deps: CircuitDeps
  /** Of this state: its number, when it began, and the calls of it that are under way. */
  #pass: Pass = 0
  #since = 0
  #underWay = 0
  #open = false
  #failures = 0
  /** While closed: calls that may be under way at once. */
  #limit: number
  /** While open: when the next probe may go out, and how long the wait for it is. */
  #probeAt = 0
  #probeMs = 0

  constructor(deps: CircuitDeps) {
    this.#deps = deps
    this.#limit = deps.concurrency
  }

  /** Since when the target has been failing; undefined: it hasn't. */
  get openSince(): number | undefined {
    return this.#open ? this.#since : undefined
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

  /** A call begins. What it returns is handed back at the call's end. */
  begin(): Pass {
    this.#underWay++
    return this.#pass
  }

  succeeded(pass: Pass, now: number): void {
    if (pass !== this.#pass) return
    this.#underWay--
    this.#failures = 0
    if (this.#open) this.#close(now)
    else this.#limit = Math.min(this.#limit + 1, this.#deps.concurrency)
  }

  /** @param detail why, for the log */
  failed(pass: Pass, now: number, detail: string): void {
    if (pass !== this.#pass) return
    this.#underWay--
    this.#failures++
    if (this.#open) {
      this.#probeMs = Math.min(this.#probeMs * 2, PROBE_LONGEST_MS)
      this.#probeAt = now + this.#probeMs
    } else if (this.#failures >= FAILURES_MAX) {
      this.#change(true, now)
      this.#probeMs = PROBE_FIRST_MS
      this.#probeAt = now + PROBE_FIRST_MS
      this.#deps.onChange({ to: 'open', failures: this.#failures, detail })
    }
  }

  #close(now: number): void {
    const openMs = now - this.#since
    this.#change(false, now)
    this.#limit = 1
    this.#deps.onChange({ to: 'closed', openMs })
  }

  #change(open: boolean, now: number): void {
    this.#open = open
    this.#since = now
    this.#pass++
    this.#underWay = 0
  }
}
