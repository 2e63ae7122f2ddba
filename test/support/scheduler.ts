import type { Attempt, Outcome, Processor } from '../../src/processors/processor.ts'
import { Scheduler, type SchedulerDeps } from '../../src/scheduler/scheduler.ts'
import type { ManualClock } from './clock.ts'
import { recordingLog } from './log.ts'
import type { RecordingMetrics } from './metrics.ts'
import { sentTransaction, type TestStore, type TestStoreOptions, testStore } from './store.ts'

/** What one attempt comes to. A SNOOZE is for 10 s, after which the same attempt goes on. */
export type Line = 'OK' | 'ERROR' | 'RETRY' | 'FAIL' | 'SNOOZE' | 'HANG'

export const SNOOZE_MS = 10_000

/** Longer than the loop lets waits gather when nothing more is due. */
export const REST_MS = 10

/** A call that goes on until the test ends it. */
export type HangingCall = Attempt & { end(outcome?: Outcome): void; break(error: unknown): void }

export type ScriptedCalls = Extract<Processor, { kind: 'call' }> & {
  /** All that it was given, in order. */
  attempts: Attempt[]
  /** Looks around before each attempt. */
  before: (attempt: Attempt) => unknown
  /** The next call that hangs, once it does. */
  hanging(): Promise<HangingCall>
  /** Breaks all calls that hang, so that a test that failed can end. */
  abandon(): void
  /** Calls under way now, and at most so far. */
  active: number
  activeMax: number
}

/**
 * A processor that does what each transaction's `extra.script` says: one line an attempt, the last
 * one for all that follow.
 */
export function scriptedCalls(): ScriptedCalls {
  const hanging: HangingCall[] = []
  const waiting: ((call: HangingCall) => void)[] = []
  const open = new Set<(error: unknown) => void>()
  return {
    kind: 'call',
    attempts: [],
    before: () => {},
    active: 0,
    activeMax: 0,
    async hanging() {
      return hanging.shift() ?? new Promise<HangingCall>((resolve) => waiting.push(resolve))
    },
    abandon() {
      for (const reject of open) reject(new Error('The test is over.'))
    },
    async process(attempt) {
      this.attempts.push(attempt)
      this.active++
      this.activeMax = Math.max(this.active, this.activeMax)
      try {
        this.before(attempt)
        const line = lineOf(attempt)
        if (line !== 'HANG') return act(line, attempt)
        const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
        const call = {
          ...attempt,
          end: (end: Outcome = { kind: 'done' }) => resolve(end),
          break: reject,
        }
        open.add(reject)
        const taker = waiting.shift()
        if (taker) taker(call)
        else hanging.push(call)
        return await promise
      } finally {
        this.active--
      }
    },
  }
}

function lineOf({ transaction, attempt }: Attempt): Line {
  const { script = [] } = JSON.parse(transaction.extra ?? '{}') as { script?: Line[] }
  return script[Math.min(attempt, script.length) - 1] ?? 'OK'
}

function act(line: Exclude<Line, 'HANG'>, { attempt, startedAt, now }: Attempt): Outcome {
  switch (line) {
    case 'OK':
      return { kind: 'done' }
    case 'ERROR':
      throw new Error(`attempt ${attempt} broke`)
    case 'RETRY':
      return { kind: 'retry', detail: `attempt ${attempt} was put off` }
    case 'FAIL':
      return { kind: 'fail', detail: `attempt ${attempt} was refused` }
    case 'SNOOZE': {
      const until = startedAt + SNOOZE_MS
      return now >= until ? { kind: 'done' } : { kind: 'snooze', until }
    }
    default:
      return line satisfies never
  }
}

export type TestScheduler = {
  scheduler: Scheduler
  store: TestStore
  clock: ManualClock
  log: ReturnType<typeof recordingLog>
  metrics: RecordingMetrics
  /** Stores a transaction with its script. */
  accept(transactionId: string, ...script: Line[]): Promise<void>
  /** Does all that is due now, without the loop. Returns in how many ms there is more to do. */
  work(): Promise<number | undefined>
  /**
   * Resolves when the outcomes of the calls that have ended are on the disk: by the end of one
   * commit they all wait for one, and the next has them.
   */
  recorded(): Promise<void>
  /** Lets the pause go by that the loop makes after waits, and what it does then. */
  rest(): Promise<void>
  /** Status and number of attempts of a transaction. */
  state(transactionId: string): Promise<string>
  [Symbol.asyncDispose](): Promise<void>
}

export type TestSchedulerOptions = TestStoreOptions &
  Partial<Pick<SchedulerDeps, 'random' | 'maxAttempts' | 'concurrency'>>

/** The real scheduler on a real store, with a clock that the test moves. */
export function testScheduler(
  processor: Processor & { abandon?(): void },
  options: TestSchedulerOptions = {},
): TestScheduler {
  const { random = () => 0.5, maxAttempts = 8, concurrency = 64, ...storeOptions } = options
  const store = testStore(storeOptions)
  const { clock, metrics } = store
  const log = recordingLog()
  const limits = { random, maxAttempts, concurrency }
  const { work } = store
  const scheduler = new Scheduler({ work, processor, clock, metrics, log, ...limits })
  async function recorded(): Promise<void> {
    await store.health()
    await store.health()
  }

  return {
    scheduler,
    store,
    clock,
    log,
    metrics,
    async accept(transactionId, ...script) {
      const extra = JSON.stringify({ script })
      const { kind } = await store.accept(sentTransaction({ transactionId, extra }))
      if (kind !== 'accepted') throw new Error(`The transaction was not accepted: ${kind}.`)
      scheduler.wake()
    },
    async work() {
      for (;;) {
        const delay = await scheduler.runOnce()
        if (delay !== 0) return delay
      }
    },
    recorded,
    async rest() {
      await recorded()
      clock.pass(REST_MS)
      await recorded()
    },
    async state(transactionId) {
      const found = await store.find(transactionId)
      return `${found?.status} ${found?.attempts}`
    },
    async [Symbol.asyncDispose]() {
      let stopped = false
      void scheduler.stop().then(() => {
        stopped = true
      })
      processor.abandon?.()
      // Past the wait for calls, and for a storage that refuses.
      while (!stopped) {
        await new Promise(setImmediate)
        clock.pass(10_000)
      }
      await store[Symbol.asyncDispose]()
    },
  }
}
