import { commandOf, spawnTxhook } from './executable.ts'
import { checkHistory, checkPages, checkSnapshot, unfinishedOf } from './kill-checks.ts'
import { KillHistory, type Run, randomFrom } from './kill-history.ts'
import { killLoad } from './kill-load.ts'
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

export const MAX_ATTEMPTS = 4
/** The longest simulated call. */
const DELAY_MS_MAX = 2_000
/** The longest time until the signal: after the start, and after the address. */
const EARLY_MS_MAX = 200
const LATE_MS_MAX = 500
const POSTS_MAX = 600
/** In one of so many cycles calls hang until the stop cuts them, which takes 8 s. */
const CUT_EVERY = 25
/** A stop has 10 s. */
const STOP_MS_MAX = 10_000

const SIGNALS = ['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGINT'] as const

/** Starts and ends a txhook on one data directory, again and again, under load; then checks all. */
export async function runKillCycles({ cycles, seed, faketime, target }: KillOptions) {
  await commandOf('compiled')
  using directory = temporaryDirectory()
  const random = randomFrom(seed)
  const history = new KillHistory()
  const load = killLoad(history, randomFrom(seed + 1))
  const counts = { SIGKILL: 0, SIGTERM: 0, SIGINT: 0, early: 0, steps: 0 }
  const data = `${directory.path}/data`

  async function start(delayMs: number, stepS: number) {
    const how = target
      ? ['--target-url', target.url, '--max-attempts', `${MAX_ATTEMPTS}`]
      : ['--processing-delay-ms', `${delayMs}`]
    const environment =
      faketime === undefined || stepS === 0
        ? undefined
        : {
            LD_PRELOAD: faketime,
            FAKETIME: `${stepS < 0 ? '' : '+'}${stepS}s`,
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
          }
    const never = Number.POSITIVE_INFINITY
    const run: Run = { delayMs, spawnedAt: performance.now(), upAt: never, downAt: never }
    history.runs.push(run)
    const args = ['serve', '--port', '0', ...how]
    return {
      run,
      ...(await spawnTxhook({ cwd: directory.path, args, ...(environment && { environment }) })),
    }
  }
  type Started = Awaited<ReturnType<typeof start>>

  /** Ends a process, and looks at how it ended and at what is on the disk then. */
  async function end(
    { run, process, ended }: Started,
    signal: (typeof SIGNALS)[number],
    cut: boolean,
  ) {
    const served = run.upAt !== Number.POSITIVE_INFINITY
    load.stopping = signal !== 'SIGKILL'
    run.downAt = performance.now()
    if (process.exitCode !== null || process.signalCode !== null)
      history.violations.push('it ended by itself')
    process.kill(signal)
    if (target) target.hangs = !load.stopping || cut
    if (load.stopping && !cut) target?.release(200)
    const { exitCode, stdout, stderr } = await ended
    const ms = performance.now() - run.downAt
    target?.release(undefined)
    if (target) target.hangs = true
    // Until it listens for signals, they end it.
    const codes = {
      SIGKILL: [137],
      SIGTERM: served ? [0] : [0, 143],
      SIGINT: served ? [0] : [0, 130],
    }
    if (
      !codes[signal].includes(exitCode) ||
      ms > STOP_MS_MAX ||
      stderr !== '' ||
      /"ERROR"/.test(stdout)
    )
      history.violations.push(JSON.stringify({ signal, served, exitCode, ms, stderr, stdout }))
    const snapshot = { data, history, target, orderly: served && exitCode === 0 }
    checkSnapshot(snapshot)
  }

  async function cycle(n: number): Promise<void> {
    const cut = target !== undefined && n % CUT_EVERY === CUT_EVERY - 1
    const signal = cut ? 'SIGTERM' : (SIGNALS[Math.floor(random() * SIGNALS.length)] ?? 'SIGKILL')
    const stepS = random() < 0.5 ? 0 : Math.round((random() - 0.5) * 7_200)
    const started = await start(random() < 0.2 ? 0 : Math.round(random() * DELAY_MS_MAX), stepS)
    counts[signal]++
    if (faketime !== undefined && stepS !== 0) counts.steps++
    load.stopping = false
    if (!cut && random() < 0.2) {
      counts.early++
      // Nothing is waited for: the moment is to be any.
      await Bun.sleep(random() * EARLY_MS_MAX)
      return end(started, signal, cut)
    }
    const url = await started.url
    if (url === undefined) throw new Error(`did not start: ${JSON.stringify(await started.ended)}`)
    started.run.upAt = performance.now()
    const posts = Math.floor(random() * POSTS_MAX) + 1
    const moment = Promise.withResolvers<void>()
    let answers = Math.floor(random() * posts) + 1
    const byTime = random() < 0.5
    const posting = load.post(url, posts, () => {
      if (--answers === 0 && !byTime) moment.resolve()
    })
    const watching = load.watch(url, async () => false)
    await Promise.race([byTime ? Bun.sleep(random() * LATE_MS_MAX) : moment.promise, started.ended])
    await end(started, signal, cut)
    await Promise.all([posting, watching])
  }

  /** Lets all be finished, by the right clock, and checks it through the API too. */
  async function finish(): Promise<void> {
    if (target) target.well = true
    const started = await start(0, 0)
    load.stopping = false
    const url = await started.url
    if (url === undefined) throw new Error(`did not start: ${JSON.stringify(await started.ended)}`)
    started.run.upAt = performance.now()
    await load.watch(url, async () => (await unfinishedOf(url)) === 0)
    await checkPages(url, history)
    await end(started, 'SIGTERM', false)
  }

  for (let n = 0; n < cycles; n++) await cycle(n)
  await finish()
  checkHistory({ data, history, target, maxAttempts: MAX_ATTEMPTS })

  return {
    counts: {
      ...counts,
      cycles,
      seed,
      sent: history.known.size,
      acknowledged: history.acknowledged.length,
    },
    calls: target?.calls.length,
    violations: history.violations,
  }
}
