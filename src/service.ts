import { type Clock, isoTime } from './clock.ts'
import type { Config } from './config/read-config.ts'
import { EXIT, StartError } from './exit.ts'
import { type App, createApp } from './http/app.ts'
import type { Health } from './http/routes/health.ts'
import { configuredProcessor } from './processors/create-processor.ts'
import type { Processor } from './processors/processor.ts'
import { Scheduler } from './scheduler/scheduler.ts'
import { openStore, type Store } from './store/sqlite/open-store.ts'
import { watchEventLoopLag } from './telemetry/event-loop-lag.ts'
import type { Log } from './telemetry/log.ts'
import { createMetrics } from './telemetry/metrics.ts'
import { VERSION } from './version.ts'

export type ServiceDeps = {
  clock: Clock
  log: Log
  /** From 0 to 1, less than 1. */
  random(): number
  /** Called once when the disk failed: the process must end. */
  onFatal(error: unknown): void
  /** What does the slow part; by default the one that the configuration asks for. */
  processor?: Processor
}

/** Store, scheduler and HTTP, wired together. */
export type Service = {
  /** Answers requests, listening or not. */
  app: App
  store: Store
  scheduler: Scheduler
  /** Begins to process. */
  start(): Promise<void>
  /**
   * Begins to listen, and returns the URL.
   *
   * @throws StartError where the port or the host can't be had
   */
  listen(): string
  /** Ends it all in order; safe at any time, and more than once. */
  stop(): Promise<void>
}

/** How long requests under way may take to end when the service stops. */
const DRAIN_MS = 5_000

/** How long the answer to a write that only probes holds. */
const PROBE_MS = 1_000

/** A request may take this long to come in, head and body: slow senders are cut. */
const REQUEST_S_MAX = 10

/** The longest that Bun waits: for an answer that takes many commits, as a retry of millions. */
const REQUEST_S_LONGEST = 255

/**
 * Opens the store and wires everything; nothing runs yet.
 *
 * @throws StartError where the data directory can't be used
 */
export function openService(config: Config, deps: ServiceDeps): Service {
  const { clock, log, random, onFatal } = deps
  const { dataDir, maxBacklog } = config
  const measured = createMetrics(VERSION)
  const busy = watchEventLoopLag(clock, measured.stall)
  const metrics = {
    ...measured,
    commit(works: number, durationMs: number) {
      measured.commit(works, durationMs)
      busy()
    },
  }
  const processor = deps.processor ?? configuredProcessor(config, clock)
  const calls = processor.kind === 'call'
  const store = openStore({ dataDir, clock, maxBacklog, calls, metrics, onFatal })
  if (store.migrated.length > 0) log.info('migrated the database', { migrations: store.migrated })
  if (store.clockBehindMs > 0) {
    const behind_ms = store.clockBehindMs
    log.warn('the wall clock is behind the newest time in the database', { behind_ms })
  }
  const { concurrency, maxAttempts } = config
  const limits = { concurrency, maxAttempts }
  const scheduler = new Scheduler({ ...store, processor, clock, log, random, metrics, ...limits })
  const app = createApp({
    store,
    clock,
    config,
    log,
    metrics,
    exposition: metrics,
    version: VERSION,
    health,
    alive: () => !scheduler.broken,
    onJobs: () => scheduler.wake(),
  })
  let server: Bun.Server<undefined> | undefined
  let stopped: Promise<void> | undefined

  let probe: { storage: Promise<string>; at: number } | undefined

  /** Asked ever so often, the storage takes one write in a while. */
  function probeStorage(): Promise<string> {
    const at = clock.monotonic()
    if (probe && at - probe.at < PROBE_MS) return probe.storage
    const storage = store.probe().then(
      () => 'ok',
      () => 'takes no writes',
    )
    probe = { storage, at }
    return storage
  }

  async function health(): Promise<Health> {
    const storage = await probeStorage()
    const checks = {
      storage,
      scheduler: scheduler.alive ? 'ok' : 'not running',
      shutdown: stopped ? 'under way' : 'ok',
    }
    const ok = Object.values(checks).every((state) => state === 'ok')
    return processor.kind === 'call' ? { ok, checks, target: targetState() } : { ok, checks }
  }

  /** Transactions are taken all the same while it is failing. */
  function targetState(): string {
    const { targetFailingSince: since } = scheduler
    const { wall, steady } = clock.now()
    return since === undefined ? 'ok' : `failing since ${isoTime(wall - (steady - since))}`
  }

  /** Takes no new connections, and cuts those that won't end. */
  async function drain(server: Bun.Server<undefined>): Promise<void> {
    const cancel = clock.after(DRAIN_MS, () => void server.stop(true))
    await server.stop()
    cancel()
  }

  async function stop(): Promise<void> {
    await Promise.all([server && drain(server), scheduler.stop()])
    await store.close()
  }

  return {
    app,
    store,
    scheduler,
    start: () => scheduler.start(),
    listen() {
      server = listen(config, app)
      return server.url.origin
    },
    stop() {
      stopped ??= stop()
      return stopped
    },
  }
}

function listen({ host: hostname, port }: Config, app: App): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname,
      port,
      fetch: (request, server) =>
        app.fetch(request, () => server.timeout(request, REQUEST_S_LONGEST)),
      // The app refuses bodies that are too long itself, with a problem that says so.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      idleTimeout: REQUEST_S_MAX,
      development: false,
      // Otherwise a second server gets half of the requests instead of an error.
      reusePort: false,
      // The app answers every error itself; this is for what may fail before it is reached.
      error: () => new Response(null, { status: 500 }),
    })
  } catch (error) {
    const message = `Can't listen on ${hostname}:${port}: ${(error as Error).message}`
    throw new StartError(EXIT.fault, message, { cause: error })
  }
}
