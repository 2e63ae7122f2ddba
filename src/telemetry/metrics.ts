import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { ATTEMPT_OUTCOMES, type AttemptOutcome } from '../domain/transaction.ts'
import type { Readings } from '../store/store.ts'
import { addProcessMetrics } from './process-metrics.ts'

/** The results by which `txhook_webhooks_received_total` counts webhooks. */
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

/** What a call to the target can come to. */
export const CALL_OUTCOMES = ['done', 'retry', 'fail'] as const
export type CallOutcome = (typeof CALL_OUTCOMES)[number]

/** What is measured while things happen. Durations in ms. */
export type Metrics = {
  webhook(result: WebhookResult, durationMs: number): void
  attempts(outcome: AttemptOutcome, count: number): void
  /** A call to the target has ended: what it came to, and how long it lasted. */
  targetCall(outcome: CallOutcome, durationMs: number): void
  /** How long after its time a job was claimed. */
  late(ms: number): void
  /** Whether calls are held back since the target is failing. */
  targetFailing(failing: boolean): void
  commit(batchSize: number, durationMs: number): void
  /** How late a timer of the event loop was. */
  eventLoopLag(ms: number): void
}

/** The metrics in the text format of Prometheus. */
export type Exposition = { contentType: string; text(readings: Readings): Promise<string> }

/** From half a millisecond, the least that a commit takes; 500 ms is the limit for a webhook. */
const DURATION_S = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
/** From a millisecond to six hours: how late jobs are after an outage. */
const LATENESS_S = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600, 21600]
/** From a target beside this one to the longest timeout that is usual. */
const CALL_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60]
const LAG_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5]
const BATCH = [1, 2, 4, 8, 16, 32, 64, 128, 256]

/** @param maxBacklog unfinished transactions beyond which webhooks are refused */
export function createMetrics(version: string, maxBacklog: number): Metrics & Exposition {
  const registry = new Registry()
  const registers = [registry]
  const webhooks = new Counter({
    name: 'txhook_webhooks_received_total',
    help: 'Webhooks by result.',
    labelNames: ['result'],
    registers,
  })
  const attempts = new Counter({
    name: 'txhook_attempts_total',
    help: 'Attempts that have ended, by outcome.',
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
  const targetCalls = new Histogram({
    name: 'txhook_target_duration_seconds',
    help: 'How long calls to the target lasted, by what they came to.',
    labelNames: ['outcome'],
    buckets: CALL_S,
    registers,
  })
  const lateness = histogram(
    'txhook_job_lateness_seconds',
    'How long after its run_at a job was claimed, or a wait begun or ended. A wait that begins with ' +
      'the acceptance counts at its end only.',
    LATENESS_S,
  )
  const commitBatchSize = histogram(
    'txhook_commit_batch_size',
    'Writes in one commit: webhooks, steps of the scheduler.',
    BATCH,
  )
  const commitDuration = histogram(
    'txhook_commit_duration_seconds',
    'From the beginning of a commit to the end of its sync.',
    DURATION_S,
  )
  const eventLoopLag = histogram(
    'txhook_event_loop_lag_seconds',
    'How late a timer of 10 ms fires, sampled while there is work.',
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
    'How long ago the oldest unfinished transaction was accepted or retried; 0 where there is none.',
  )
  gauge(
    'txhook_backlog_max',
    'Unfinished transactions (PENDING and PROCESSING) beyond which webhooks are refused.',
  ).set(maxBacklog)
  const failing = gauge(
    'txhook_target_failing',
    'Whether the circuit breaker holds calls back from a failing target: 1, otherwise 0.',
  )
  const wal = gauge('txhook_wal_bytes', 'Size of the content of the write-ahead log.')
  const database = gauge(
    'txhook_database_bytes',
    'Size of the database, with the pages that are only in the write-ahead log.',
  )
  new Gauge({
    name: 'txhook_build_info',
    help: 'Always 1; the labels identify the build.',
    labelNames: ['version', 'bun'],
    registers,
  }).set({ version, bun: Bun.version }, 1)
  addProcessMetrics(registry)

  // A series that exists from the start shows its first increase.
  const received = Object.fromEntries(
    WEBHOOK_RESULTS.map((result) => {
      webhooks.inc({ result }, 0)
      return [result, webhooks.labels(result)]
    }),
  ) as Record<WebhookResult, Counter.Internal>

  for (const outcome of ATTEMPT_OUTCOMES) attempts.inc({ outcome }, 0)
  for (const outcome of CALL_OUTCOMES) targetCalls.zero({ outcome })

  return {
    webhook(result, durationMs) {
      received[result].inc()
      ingest.observe(durationMs / 1000)
    },
    attempts: (outcome, count) => attempts.inc({ outcome }, count),
    targetCall: (outcome, ms) => targetCalls.observe({ outcome }, ms / 1000),
    late: (ms) => lateness.observe(ms / 1000),
    targetFailing: (now) => failing.set(now ? 1 : 0),
    commit(batchSize, durationMs) {
      commitBatchSize.observe(batchSize)
      commitDuration.observe(durationMs / 1000)
    },
    eventLoopLag: (ms) => eventLoopLag.observe(ms / 1000),

    contentType: registry.contentType,
    text(readings) {
      for (const [status, count] of Object.entries(readings.transactions)) {
        transactions.set({ status }, count)
      }
      const { oldestUnfinishedAt = readings.now, now } = readings
      oldest.set(Math.max(now - oldestUnfinishedAt, 0) / 1000)
      wal.set(readings.walBytes)
      database.set(readings.databaseBytes)
      return registry.metrics()
    },
  }
}
