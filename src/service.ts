import type { Clock } from './clock.ts'
import type { Config } from './config/read-config.ts'
import { EXIT, StartError } from './exit.ts'
import { type App, createApp } from './http/app.ts'
import { createProcessor } from './processors/create-processor.ts'
import type { Processor } from './processors/processor.ts'
import { Scheduler } from './scheduler/scheduler.ts'
import { openStore, type SqliteStore } from './store/sqlite/open-store.ts'
import { watchEventLoopLag } from './telemetry/event-loop-lag.ts'
import { createHealthCheck } from './telemetry/health.ts'
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
  /** By default the one of the configuration. */
  processor?: Processor
}

/** Store, scheduler and HTTP, wired together. */
export type Service = {
  /** Answers requests, listening or not. */
  app: App
  store: SqliteStore
  processor: Processor
  scheduler: Scheduler
  /** Begins to process. */
  start(): Promise<void>
  /**
   * Begins to listen, and returns the URL.
   *
   * @throws StartError where the port or the host can't be used
   */
  listen(): string
  /** Ends everything in order; may be called at any time, and more than once. */
  stop(): Promise<void>
}

/** How long requests under way may take to end at a stop. */
const DRAIN_MS = 5_000

/** How long the first request of a connection, and each body, may take to come in. */
const REQUEST_S_MAX = 10

/**
 * How long a connection is kept between two requests. Load balancers keep theirs for 60 s and more,
 * and lose the request that they send just when the server hangs up. Bun looks every 4 s, up to 4 s
 * early. The head of a later request counts as a part of this time: Bun tells the app of no request
 * before its head is complete.
 */
const IDLE_S_MAX = 80

/** The longest that Bun waits for an answer: a retry of millions takes many commits. */
const ANSWER_S_MAX = 255

/**
 * Opens the store and wires everything; nothing runs yet.
 *
 * @throws StartError where the data directory can't be used
 */
export function openService(config: Config, deps: ServiceDeps): Service {
  const { clock, log, random, onFatal } = deps
  const { dataDir, simulate, maxBacklog, concurrency, maxAttempts } = config
  const measured = createMetrics(VERSION, maxBacklog)
  const noteWork = watchEventLoopLag(clock, measured.eventLoopLag)
  const metrics = {
    ...measured,
    commit(batchSize: number, durationMs: number) {
      measured.commit(batchSize, durationMs)
      noteWork()
    },
  }
  const processor = deps.processor ?? createProcessor(config, clock)
  const hasTarget = processor.kind === 'call'
  const processing = hasTarget ? 'calls' : 'waits'
  /** Nothing begins before the scheduler does, or after it. */
  const firstWaitMs = () =>
    processor.kind === 'wait' && scheduler.running ? processor.waitMs : undefined
  const how = { processing, firstWaitMs, simulate } as const
  const store = openStore({ dataDir, clock, log, maxBacklog, ...how, metrics, onFatal })
  const { work } = store
  const common = { clock, log, random, metrics }
  const scheduler: Scheduler = new Scheduler({
    ...common,
    work,
    processor,
    concurrency,
    maxAttempts,
  })
  let server: Bun.Server<undefined> | undefined
  let stopped: Promise<void> | undefined
  const stopping = () => stopped !== undefined
  const app = createApp({
    store,
    clock,
    config,
    log,
    metrics,
    exposition: metrics,
    version: VERSION,
    health: createHealthCheck({ clock, store, scheduler, maxBacklog, hasTarget, stopping }),
    alive: () => !scheduler.crashed,
    onJobs: () => scheduler.wake(),
  })

  /** Accepts no new connections, and cuts those that don't end. */
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
    processor,
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
      async fetch(request, server) {
        // What is set holds for the connection until it is set again.
        server.timeout(request, REQUEST_S_MAX)
        const response = await app.fetch(request, () => server.timeout(request, ANSWER_S_MAX))
        server.timeout(request, IDLE_S_MAX)
        return response
      },
      // The app refuses bodies that are too long, with a problem that says so.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      // Of a new connection.
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
