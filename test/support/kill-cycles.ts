import { join } from 'node:path'
import { commandOf, spawnTxhook } from './executable.ts'
import { checkHistory, checkPages, unfinishedOf } from './kill-checks.ts'
import { KillHistory, type Run, randomFrom } from './kill-history.ts'
import { killLoad, type Load } from './kill-load.ts'
import { checkSnapshot } from './kill-snapshot.ts'
import type { KillTarget } from './kill-target.ts'
import { temporaryDirectory } from './service.ts'

export type KillOptions = {
  cycles: number
  seed: number
  /** Of libfaketime; undefined: the wall clock isn't stepped. */
  faketime: string | undefined
  /** Undefined: calls are simulated. */
  target?: KillTarget
}

const MAX_ATTEMPTS = 4
/** The longest simulated call. */
const DELAY_MS_MAX = 2_000
/** The wall clock of a process is off by up to so much. */
const STEP_S_MAX = 3_600
/** The longest time until the signal: after the start, and after the address. */
const EARLY_MS_MAX = 200
const LATE_MS_MAX = 500
const POSTS_MAX = 600
/** In one of so many cycles calls hang until the stop cuts them, which takes 8 s. */
const CUT_EVERY = 25
/** A stop has 10 s. */
const STOP_MS_MAX = 10_000
/** Waits for a fourth attempt last up to 25 s; then all must be finished. */
const FINISH_MS_MAX = 60_000

const SIGNALS = ['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGINT'] as const

type Signal = (typeof SIGNALS)[number]
type Started = Awaited<ReturnType<KillCycles['start']>>

/** A process that prints no address has none of these times. */
const NEVER = Number.POSITIVE_INFINITY

/** Starts and ends a txhook on one data directory, again and again, under load; then checks all. */
export async function runKillCycles(options: KillOptions) {
  const { cycles, seed, target } = options
  await commandOf('compiled')
  using directory = temporaryDirectory()
  const run = new KillCycles(directory.path, options)
  for (let n = 0; n < cycles; n++) await run.cycle(n)
  await run.finish()
  const { history, counts } = run
  checkHistory({ data: join(directory.path, 'data'), history, target, maxAttempts: MAX_ATTEMPTS })
  const sent = history.known.size
  const acknowledged = history.acknowledged.length
  const { violations } = history
  return { counts: { cycles, seed, ...counts, sent, acknowledged }, violations }
}

class KillCycles {
  readonly history = new KillHistory()
  readonly counts = { SIGKILL: 0, SIGTERM: 0, SIGINT: 0, early: 0, steps: 0 }
  readonly #directory: string
  readonly #options: KillOptions
  readonly #random: () => number
  readonly #load: Load

  constructor(directory: string, options: KillOptions) {
    this.#directory = directory
    this.#options = options
    this.#random = randomFrom(options.seed)
    this.#load = killLoad(this.history, randomFrom(options.seed + 1))
  }

  /** A process with a wall clock that is off by `stepS`. */
  async start(delayMs: number, stepS: number) {
    const { target, faketime } = this.#options
    const how = target
      ? ['--target-url', target.url, '--max-attempts', `${MAX_ATTEMPTS}`]
      : ['--processing-delay-ms', `${delayMs}`]
    const environment: Record<string, string> = {}
    if (faketime !== undefined && stepS !== 0) {
      const FAKETIME = `${stepS < 0 ? '' : '+'}${stepS}s`
      const clock = { LD_PRELOAD: faketime, FAKETIME, FAKETIME_DONT_FAKE_MONOTONIC: '1' }
      Object.assign(environment, clock)
      this.counts.steps++
    }
    const spawnedAt = performance.now()
    const run: Run = { delayMs, spawnedAt, upAt: NEVER, downAt: NEVER, endedAt: NEVER }
    this.history.runs.push(run)
    this.#load.stopping = false
    const args = ['serve', '--port', '0', ...how]
    return { run, ...(await spawnTxhook({ cwd: this.#directory, args, environment })) }
  }

  async #addressOf({ run, url, ended }: Started): Promise<string> {
    const address = await url
    if (address === undefined) throw new Error(`did not start: ${JSON.stringify(await ended)}`)
    run.upAt = performance.now()
    return address
  }

  /** Starts a process and ends it at any moment. */
  async cycle(n: number): Promise<void> {
    const random = this.#random
    const cut = this.#options.target !== undefined && n % CUT_EVERY === CUT_EVERY - 1
    const signal = cut ? 'SIGTERM' : (SIGNALS[Math.floor(random() * SIGNALS.length)] ?? 'SIGKILL')
    const stepS = random() < 0.5 ? 0 : Math.round((random() - 0.5) * 2 * STEP_S_MAX)
    const delayMs = random() < 0.2 ? 0 : Math.round(random() * DELAY_MS_MAX)
    const started = await this.start(delayMs, stepS)
    if (!cut && random() < 0.2) {
      this.counts.early++
      // Nothing is waited for: the moment is to be any.
      await Bun.sleep(random() * EARLY_MS_MAX)
      return this.#end(started, signal, cut)
    }
    const url = await this.#addressOf(started)
    const posts = Math.floor(random() * POSTS_MAX) + 1
    const answered = Promise.withResolvers<void>()
    let left = Math.floor(random() * posts) + 1
    const posting = this.#load.post(url, posts, () => {
      if (--left === 0) answered.resolve()
    })
    const watching = this.#load.watch(url, async () => false)
    const moment = random() < 0.5 ? Bun.sleep(random() * LATE_MS_MAX) : answered.promise
    await Promise.race([moment, started.ended])
    await this.#end(started, signal, cut)
    await Promise.all([posting, watching])
  }

  /** Ends a process, and looks at how it ended and at what is on the disk then. */
  async #end({ run, process, ended }: Started, signal: Signal, cut: boolean): Promise<void> {
    const { target } = this.#options
    const { violations } = this.history
    const served = run.upAt !== NEVER
    const stopping = signal !== 'SIGKILL'
    this.counts[signal]++
    this.#load.stopping = stopping
    if (process.exitCode !== null || process.signalCode !== null)
      violations.push('it ended by itself')
    run.downAt = performance.now()
    process.kill(signal)
    if (target) target.hangs = !stopping || cut
    if (stopping && !cut) target?.release(200)
    const { exitCode, stdout, stderr } = await ended
    run.endedAt = performance.now()
    const ms = run.endedAt - run.downAt
    target?.release(undefined)
    if (target) target.hangs = true
    const inTime = ms < STOP_MS_MAX
    const quiet = stderr === '' && !stdout.includes('"ERROR"')
    // Until it listens for signals, they end it.
    const early = signal === 'SIGTERM' ? 143 : 130
    const asAsked = stopping ? exitCode === 0 || (!served && exitCode === early) : exitCode === 137
    if (!asAsked || !inTime || !quiet)
      violations.push(JSON.stringify({ signal, served, exitCode, ms, stderr, stdout }))
    const data = join(this.#directory, 'data')
    const orderly = served && exitCode === 0
    checkSnapshot({ data, history: this.history, target, orderly })
  }

  /** Lets all be finished, by the right clock, and checks it through the API too. */
  async finish(): Promise<void> {
    const { target } = this.#options
    if (target) target.well = true
    const started = await this.start(0, 0)
    const url = await this.#addressOf(started)
    const until = performance.now() + FINISH_MS_MAX
    const over = async () => (await unfinishedOf(url)) === 0 || performance.now() > until
    await this.#load.watch(url, over)
    await checkPages(url, this.history)
    await this.#end(started, 'SIGTERM', false)
  }
}
