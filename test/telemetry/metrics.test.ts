import { describe, expect, test } from 'bun:test'
import { closeSync, openSync } from 'node:fs'
import { ATTEMPT_OUTCOMES } from '../../src/domain/transaction.ts'
import type { Readings } from '../../src/store/store.ts'
import { CALL_OUTCOMES, createMetrics, WEBHOOK_RESULTS } from '../../src/telemetry/metrics.ts'
import { histogramOf, parseExposition, valuesOf } from '../support/metrics.ts'

const onLinux = process.platform === 'linux'

const READINGS: Readings = {
  transactions: { PENDING: 1, PROCESSING: 2, PROCESSED: 3, FAILED: 4 },
  oldestUnfinishedAt: 1_000_000,
  walBytes: 8192,
  databaseBytes: 40_960,
  now: 1_012_500,
}

const expose = async (metrics: ReturnType<typeof createMetrics>, readings = READINGS) =>
  parseExposition(await metrics.text(readings))

/** Something of everything. */
function busyMetrics() {
  const metrics = createMetrics('1.2.3 "x" \\ y\nz', 10)
  for (const result of WEBHOOK_RESULTS) metrics.webhook(result, 3)
  for (const outcome of ATTEMPT_OUTCOMES) metrics.attempts(outcome, 2)
  for (const outcome of CALL_OUTCOMES) metrics.targetCall(outcome, 30)
  metrics.late(20)
  metrics.commit(7, 4)
  metrics.eventLoopLag(0.5)
  return metrics
}

test('every metric has a name with its unit, a type and a sentence of help', async () => {
  const families = await expose(busyMetrics())
  const types = Object.fromEntries([...families].map(([name, { type }]) => [name, type]))
  expect(types).toEqual({
    txhook_webhooks_received_total: 'counter',
    txhook_attempts_total: 'counter',
    txhook_ingest_duration_seconds: 'histogram',
    txhook_target_duration_seconds: 'histogram',
    txhook_job_lateness_seconds: 'histogram',
    txhook_commit_batch_size: 'histogram',
    txhook_commit_duration_seconds: 'histogram',
    txhook_event_loop_lag_seconds: 'histogram',
    txhook_transactions: 'gauge',
    txhook_oldest_unfinished_age_seconds: 'gauge',
    txhook_backlog_max: 'gauge',
    txhook_target_failing: 'gauge',
    txhook_wal_bytes: 'gauge',
    txhook_database_bytes: 'gauge',
    txhook_build_info: 'gauge',
    process_cpu_seconds_total: 'counter',
    process_resident_memory_bytes: 'gauge',
    process_start_time_seconds: 'gauge',
    ...(onLinux && { process_open_fds: 'gauge', process_max_fds: 'gauge' }),
  })
  for (const { help } of families.values()) expect(help).toMatch(/^[A-Z].*\.$/)
})

describe('webhooks', () => {
  test('are there with every result from the start, so that the first one is an increase', async () => {
    const families = await expose(createMetrics('1', 10))
    const none = Object.fromEntries(WEBHOOK_RESULTS.map((result) => [result, 0]))
    expect(valuesOf(families, 'txhook_webhooks_received_total')).toEqual(none)
  })

  test('are counted by their result, and their duration by its buckets', async () => {
    const metrics = createMetrics('1', 10)
    metrics.webhook('accepted', 0.4)
    metrics.webhook('accepted', 1.5)
    metrics.webhook('replayed', 500)
    metrics.webhook('conflict', 20_000)
    const families = await expose(metrics)
    expect(valuesOf(families, 'txhook_webhooks_received_total')).toMatchObject({
      accepted: 2,
      replayed: 1,
      conflict: 1,
      invalid: 0,
    })
    const { count, sum, buckets } = histogramOf(families, 'txhook_ingest_duration_seconds')
    expect(count).toBe(4)
    expect(sum).toBeCloseTo(20.5019)
    expect(buckets).toMatchObject({
      '0.0005': 1,
      '0.001': 1,
      '0.002': 2,
      '0.25': 2,
      // The answer should take less than this; at it is within.
      '0.5': 3,
      '10': 3,
      '+Inf': 4,
    })
  })
})

describe('what is measured meanwhile', () => {
  test('of attempts is their number by how they ended', async () => {
    const metrics = createMetrics('1', 10)
    metrics.attempts('done', 500)
    metrics.attempts('done', 1)
    metrics.attempts('interrupted', 3)
    const families = await expose(metrics)
    const ended = { done: 501, retry: 0, fail: 0, interrupted: 3 }
    expect(valuesOf(families, 'txhook_attempts_total')).toEqual(ended)
  })

  test('of time is in seconds', async () => {
    const metrics = createMetrics('1', 10)
    metrics.late(0)
    metrics.late(1500)
    metrics.late(7 * 3_600_000)
    metrics.commit(3, 4)
    metrics.commit(300, 40)
    metrics.eventLoopLag(0.25)
    metrics.eventLoopLag(120)
    const families = await expose(metrics)
    const lateness = histogramOf(families, 'txhook_job_lateness_seconds')
    expect(lateness).toMatchObject({ count: 3, sum: 25_201.5 })
    expect(lateness.buckets).toMatchObject({ '0.001': 1, '1': 1, '5': 2, '21600': 2, '+Inf': 3 })
    const works = histogramOf(families, 'txhook_commit_batch_size')
    expect(works).toMatchObject({ count: 2, sum: 303 })
    expect(works.buckets).toMatchObject({ '2': 0, '4': 1, '256': 1, '+Inf': 2 })
    const commits = histogramOf(families, 'txhook_commit_duration_seconds')
    expect(commits).toMatchObject({ count: 2, sum: 0.044 })
    const lag = histogramOf(families, 'txhook_event_loop_lag_seconds')
    expect(lag).toMatchObject({ count: 2, sum: 0.12025 })
    expect(lag.buckets).toMatchObject({ '0.001': 1, '0.1': 1, '0.2': 2 })
  })
})

describe('what is read when somebody asks', () => {
  test('is as it was read, the age in seconds', async () => {
    const families = await expose(createMetrics('1', 10))
    expect(valuesOf(families, 'txhook_transactions')).toEqual(READINGS.transactions)
    expect(valuesOf(families, 'txhook_oldest_unfinished_age_seconds')).toEqual({ '': 12.5 })
    expect(valuesOf(families, 'txhook_wal_bytes')).toEqual({ '': 8192 })
    expect(valuesOf(families, 'txhook_database_bytes')).toEqual({ '': 40_960 })
  })

  test('is the last reading, not the sum of all', async () => {
    const metrics = createMetrics('1', 10)
    await metrics.text(READINGS)
    const transactions = { PENDING: 0, PROCESSING: 0, PROCESSED: 10, FAILED: 0 }
    const families = await expose(metrics, { ...READINGS, transactions, walBytes: 0 })
    expect(valuesOf(families, 'txhook_transactions')).toEqual(transactions)
    expect(valuesOf(families, 'txhook_wal_bytes')).toEqual({ '': 0 })
  })

  test.each([
    ['nothing is unfinished', undefined],
    ['the wall clock was set back', READINGS.now + 5000],
  ])('is an age of 0 where %s', async (_, oldestUnfinishedAt) => {
    const families = await expose(createMetrics('1', 10), { ...READINGS, oldestUnfinishedAt })
    expect(valuesOf(families, 'txhook_oldest_unfinished_age_seconds')).toEqual({ '': 0 })
  })
})

test('the build is identified by labels, whatever is in them', async () => {
  const families = await expose(createMetrics('1.2.3 "x" \\ y\nz', 10))
  const version = '1.2.3 \\"x\\" \\\\ y\\nz'
  expect(families.get('txhook_build_info')?.samples).toEqual([
    { name: 'txhook_build_info', labels: { version, bun: Bun.version }, value: 1 },
  ])
})

test('calls to the target have a series for each outcome, from the start', async () => {
  const metrics = createMetrics('1', 1000)
  metrics.targetCall('done', 30)
  metrics.targetCall('done', 40)
  metrics.targetCall('retry', 15_000)
  const families = await expose(metrics)
  const samples = families.get('txhook_target_duration_seconds')?.samples ?? []
  const values = (name: string, le?: string) =>
    Object.fromEntries(
      samples
        .filter((sample) => sample.name.endsWith(name) && sample.labels.le === le)
        .map(({ labels, value }) => [labels.outcome, value]),
    )
  expect(values('_count')).toEqual({ done: 2, retry: 1, fail: 0 })
  expect(values('_sum')).toEqual({ done: 0.07, retry: 15, fail: 0 })
  expect(values('_bucket', '0.05')).toEqual({ done: 2, retry: 0, fail: 0 })
  expect(values('_bucket', '15')).toEqual({ done: 2, retry: 1, fail: 0 })
})

describe('what is measured of the process', () => {
  const process_ = async (metrics: ReturnType<typeof createMetrics>, name: string) =>
    valuesOf(await expose(metrics), `process_${name}`)['']

  test('is as the system says at each scrape', async () => {
    const metrics = createMetrics('1', 1000)
    const { user, system } = process.cpuUsage()
    const seconds = await process_(metrics, 'cpu_seconds_total')
    expect(seconds).toBeWithin((user + system) / 1e6, (user + system) / 1e6 + 1)
    // The system counts in ticks, and other threads of the process may have ended meanwhile.
    const later = async () => Number(await process_(metrics, 'cpu_seconds_total'))
    while ((await later()) <= Number(seconds) + 0.01);
    const memory = process.memoryUsage.rss()
    expect(await process_(metrics, 'resident_memory_bytes')).toBeWithin(memory / 2, memory * 2)
    const started = await process_(metrics, 'start_time_seconds')
    expect(started).toBeWithin(Date.now() / 1000 - process.uptime() - 2, Date.now() / 1000)
  })

  test.if(onLinux)('is how many files are open, and how many may be', async () => {
    const metrics = createMetrics('1', 1000)
    const before = Number(await process_(metrics, 'open_fds'))
    expect(before).toBeGreaterThan(2)
    const files = Array.from({ length: 5 }, () => openSync('/dev/null', 'r'))
    expect(await process_(metrics, 'open_fds')).toBe(before + 5)
    for (const file of files) closeSync(file)
    expect(await process_(metrics, 'open_fds')).toBe(before)
    const { stdout } = Bun.spawnSync(['sh', '-c', 'ulimit -n'])
    expect(String(await process_(metrics, 'max_fds'))).toBe(stdout.toString().trim())
  })
})

test('two services in one process count for themselves', async () => {
  const [one, other] = [createMetrics('1', 10), createMetrics('2', 10)]
  one.webhook('accepted', 1)
  const families = await expose(other)
  expect(valuesOf(families, 'txhook_webhooks_received_total').accepted).toBe(0)
})

test.skipIf(Bun.which('promtool') === null)('promtool finds nothing to complain of', async () => {
  const text = await busyMetrics().text(READINGS)
  const child = Bun.spawn(['promtool', 'check', 'metrics'], {
    stdin: new Blob([text]),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const said = [await child.stdout.text(), await child.stderr.text()].join('')
  expect({ said, exitCode: await child.exited }).toEqual({ said: '', exitCode: 0 })
})
