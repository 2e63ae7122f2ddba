import type { Clock } from '../clock.ts'
import type { Outcome } from '../processors/processor.ts'
import type { Claimed, Settlement, Work } from '../store/store.ts'
import { countEvents } from '../telemetry/count-events.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { decideSettlement } from './retry-policy.ts'

export type SettlementsDeps = {
  work: Pick<Work, 'settle'>
  clock: Clock
  log: Log
  metrics: Pick<Metrics, 'attempts'>
  /** From 0 to 1, less than 1: the jitter of retries. */
  random(): number
  /** Attempts that a transaction gets before it is FAILED. */
  maxAttempts: number
  /** After an error of the storage: in how many ms to try again; undefined: never. */
  onStorageError(error: unknown): number | undefined
}

/** A call that an orderly stop cut off: not the target's fault, so it uses up no attempt. */
export const CUT_BY_STOP = { kind: 'interrupted', usesAttempt: false } as const

const FAILED_LOG_INTERVAL_MS = 10_000

/** Writes down how calls ended. */
export class Settlements {
  readonly #deps: SettlementsDeps
  /** Logs FAILED transactions at most every 10 s, with a count. */
  readonly #logFailed: (fields: { transaction_id: string; detail: string }) => void

  constructor(deps: SettlementsDeps) {
    this.#deps = deps
    const { clock, log } = deps
    this.#logFailed = countEvents(clock, FAILED_LOG_INTERVAL_MS, (count, fields) =>
      log.warn('transactions are FAILED', { count, ...fields }),
    )
  }

  /**
   * Records an outcome. As long as the storage takes no write, it is tried again; once `signal` is
   * aborted, one last time, then as one that the stop cut off, which takes less room. Otherwise the
   * next start finds the attempt claimed.
   */
  async record(
    claimed: Claimed,
    outcome: Outcome | typeof CUT_BY_STOP,
    signal: AbortSignal,
  ): Promise<void> {
    for (;;) {
      try {
        await this.#settle(claimed, outcome)
        return
      } catch (error) {
        if (signal.aborted) break
        const wait = this.#deps.onStorageError(error)
        if (wait === undefined) return
        await this.#pause(wait, signal)
      }
    }
    if (outcome !== CUT_BY_STOP) await this.record(claimed, CUT_BY_STOP, signal)
  }

  async #settle(
    { claim, attemptsUsed }: Claimed,
    outcome: Outcome | typeof CUT_BY_STOP,
  ): Promise<void> {
    const { work, clock, log, metrics, random, maxAttempts } = this.#deps
    const { transactionId: transaction_id, attempt } = claim
    const context = { attemptsUsed, maxAttempts, now: clock.now().steady, random: random() }
    const settlement: Settlement =
      outcome.kind === 'interrupted' ? outcome : decideSettlement(outcome, context)
    if ((await work.settle(claim, settlement)) === 'superseded') {
      log.warn('ignored a late outcome', { transaction_id, attempt, outcome })
    } else if (settlement.kind !== 'snooze') {
      metrics.attempts(settlement.kind, 1)
      if (settlement.kind !== 'fail') return
      this.#logFailed({ transaction_id, detail: settlement.detail })
    }
  }

  /** Ends early where the calls are aborted. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const end = () => resolve()
    const cancel = this.#deps.clock.after(ms, end)
    signal.addEventListener('abort', end)
    await promise
    cancel()
    signal.removeEventListener('abort', end)
  }
}
