import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Config, readConfig } from '../../src/config/read-config.ts'
import { openService, type Service, type ServiceDeps } from '../../src/service.ts'
import { type ManualClock, manualClock } from './clock.ts'
import { recordingLog } from './log.ts'

/** A new directory that is gone when the `using` block ends. */
export function temporaryDirectory(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'txhook-test-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** The configuration that these flags give. */
export function configWith(flags: Record<string, string>): Config {
  const config = readConfig(flags, {})
  if (Array.isArray(config)) throw new Error(config.join('\n'))
  return config
}

export type TestService = Service & {
  clock: ManualClock
  log: ReturnType<typeof recordingLog>
  dataDir: string
  /** What reached `onFatal`. */
  fatal: unknown[]
  /** Posts a value as JSON; text is posted as it is. */
  post(body: unknown, headers?: Record<string, string>): Promise<Response>
  get(path: string): Promise<Response>
  /** Does all that is due now, without the loop. Returns in how many ms there is more to do. */
  work(): Promise<number | undefined>
  [Symbol.asyncDispose](): Promise<void>
}

export type TestServiceOptions = Partial<ServiceDeps> & {
  flags?: Record<string, string>
  /** One of the caller's; otherwise a temporary one of its own. */
  dataDir?: string
  clock?: ManualClock
}

/**
 * The real service on a database of its own, with a clock that the test moves. It doesn't listen,
 * and its scheduler runs when the test says `work()`, or by itself after `start()`.
 */
export function testService(options: TestServiceOptions = {}): TestService {
  const { flags = {}, clock = manualClock(), dataDir, ...deps } = options
  const directory = dataDir === undefined ? temporaryDirectory() : undefined
  const path = dataDir ?? (directory as { path: string }).path
  const log = recordingLog()
  const fatal: unknown[] = []
  const service = openService(configWith({ '--data-dir': path, ...flags }), {
    clock,
    log,
    random: () => 0.5,
    onFatal: (error) => void fatal.push(error),
    ...deps,
  })
  const request = (target: string, init?: RequestInit) =>
    service.app.fetch(new Request(`http://localhost${target}`, init))
  return {
    ...service,
    clock,
    log,
    dataDir: path,
    fatal,
    post: (body, headers = {}) =>
      request('/v1/webhooks/transactions', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    get: (target) => request(target),
    async work() {
      for (;;) {
        const delay = await service.scheduler.runOnce()
        if (delay !== 0) return delay
      }
    },
    async [Symbol.asyncDispose]() {
      await service.stop()
      directory?.[Symbol.dispose]()
    },
  }
}

/** The seed example, with whatever is to be different. */
export function transactionBody(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    transaction_id: 'txn_001',
    source_account: 'A123',
    destination_account: 'B456',
    amount: 100,
    currency: 'USD',
    ...changes,
  }
}

/** What the tests look at in a transaction as GET shows it. */
export type ShownTransaction = {
  status: string | number
  attempts: number
  processing_started_at: string
  processed_at: string
}
