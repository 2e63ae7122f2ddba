import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { ATTEMPT_OUTCOMES, type AttemptOutcome, type Status } from '../domain/transaction.ts'

/** What became of a webhook, as `txhook_webhooks_received_total` counts it. */
export const WEBHOOK_RESULTS = [
  'accepted',
  'replayed',
  'conflict',
  'invalid',
  'unauthorized',
  'too_large',
  'unavailable',
] as const
export type WebhookResult = (typeof WEBHOOK_RESULTS)[number]

/** What is read when somebody asks; it must cost the same however large the database is. */
export type Readings = {
  transactions: Readonly<Record<Status, number>>
  /** When the oldest unfinished transaction was accepted, wall time in ms; undefined: none is. */
  oldestUnfinishedAt: number | undefined
  logBytes: number
  databaseBytes: number
  /** Wall time in ms. */
  now: number
}

/** What is measured while things happen. Durations in ms. */
export type Metrics = {
  webhook(result: WebhookResult, durationMs: number): void
  attempts(outcome: AttemptOutcome, count: number): void
  /** How long after its time a job was taken. */
  late(ms: number): void
  /** Whether calls are held back because the target is failing. */
  targetFailing(failing: boolean): void
  commit(works: number, durationMs: number): void
  /** How much later than due the event loop came round. */
  stall(ms: number): void
}

/** The metrics in the text format of Prometheus. */
export type Exposition = { contentType: string; text(readings: Readings): Promise<string> }

/** From half a millisecond: a webhook takes a commit, and shouldn't take more than 500 ms. */
const DURATION_S = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
/** From a millisecond to six hours: a job is late by that much after an outage. */
const LATENESS_S = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600, 21600]
const LAG_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5]
const BATCH = [1, 2, 4, 8, 16, 32, 64, 128, 256]

export function createMetrics(version: string): Metrics & Exposition {
  const registry = new Registry()
  const registers = [registry]
  const webhooks = new Counter({
    name: 'txhook_webhooks_received_total',
    help: 'Webhooks by what became of them.',
    labelNames: ['result'],
    registers,
  })
  const attempts = new Counter({
    name: 'txhook_attempts_total',
    help: 'Attempts that have ended, by how.',
    labelNames: ['outcome'],
    registers,
  })
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, buckets, registers })
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers })

  const ingest = histogram(
    'txhook_ingest_duration_seconds',
    'From the head of a webhook to its answer, the body and the commit included.',
    DURATION_S,
  )
  const lateness = histogram(
    'txhook_job_lateness_seconds',
    'How long after its time a job was taken, at its beginning and at its end.',
    LATENESS_S,
  )
  const commitBatchSize = histogram(
    'txhook_commit_batch_size',
    'Works that one commit held: webhooks, steps of the scheduler.',
    BATCH,
  )
  const commitDuration = histogram(
    'txhook_commit_duration_seconds',
    'From the beginning of a commit to its being on the disk.',
    DURATION_S,
  )
  const stalls = histogram(
    'txhook_event_loop_lag_seconds',
    'How much later than due the event loop came round, sampled while there is work.',
    LAG_S,
  )
  const transactions = new Gauge({
    name: 'txhook_transactions',
    help: 'Transactions by state.',
    labelNames: ['status'],
    registers,
  })
  const oldest = gauge(
    'txhook_oldest_unfinished_age_seconds',
    'How long ago the oldest unfinished transaction was accepted; 0 where there is none.',
  )
  const failing = gauge(
    'txhook_target_failing',
    'Whether the target is failing and calls are held back: 1, otherwise 0.',
  )
  const log = gauge('txhook_wal_bytes', 'What the write-ahead log holds.')
  const database = gauge(
    'txhook_database_bytes',
    'The database, what only its write-ahead log has yet counted.',
  )
  new Gauge({
    name: 'txhook_build_info',
    help: 'Always 1; the labels tell which build this is.',
    labelNames: ['version', 'bun'],
    registers,
  }).set({ version, bun: Bun.version }, 1)

  // A series that is there from the start shows its first increase.
  const received = Object.fromEntries(
    WEBHOOK_RESULTS.map((result) => {
      webhooks.inc({ result }, 0)
      return [result, webhooks.labels(result)]
    }),
  ) as Record<WebhookResult, Counter.Internal>

  for (const outcome of ATTEMPT_OUTCOMES) attempts.inc({ outcome }, 0)

  return {
    webhook(result, durationMs) {
      received[result].inc()
      ingest.observe(durationMs / 1000)
    },
    attempts: (outcome, count) => attempts.inc({ outcome }, count),
    late: (ms) => lateness.observe(ms / 1000),
    targetFailing: (now) => failing.set(now ? 1 : 0),
    commit(works, durationMs) {
      commitBatchSize.observe(works)
      commitDuration.observe(durationMs / 1000)
    },
    stall: (ms) => stalls.observe(ms / 1000),

    contentType: registry.contentType,
    text(readings) {
      for (const [status, count] of Object.entries(readings.transactions)) {
        transactions.set({ status }, count)
      }
      const { oldestUnfinishedAt = readings.now, now } = readings
      oldest.set(Math.max(now - oldestUnfinishedAt, 0) / 1000)
      log.set(readings.logBytes)
      database.set(readings.databaseBytes)
      return registry.metrics()
    },
  }
}
