import type { AttemptOutcome } from '../../src/domain/transaction.ts'
import type { CallOutcome, Metrics } from '../../src/telemetry/metrics.ts'

/** Metrics that remember what was measured. */
export type RecordingMetrics = Metrics & {
  commits: { batchSize: number; durationMs: number }[]
  latenessMs: number[]
  /** Attempts that have ended, by how; none where there was none. */
  ended: Partial<Record<AttemptOutcome, number>>
  /** Calls to the target, in the order of their ends. */
  calls: { outcome: CallOutcome; durationMs: number }[]
  /** Each change of whether the target is failing. */
  failings: boolean[]
}

export function recordingMetrics(): RecordingMetrics {
  const commits: RecordingMetrics['commits'] = []
  const latenessMs: number[] = []
  const calls: RecordingMetrics['calls'] = []
  const failings: boolean[] = []
  const ended: RecordingMetrics['ended'] = {}
  return {
    commits,
    latenessMs,
    ended,
    calls,
    targetCall: (outcome, durationMs) => void calls.push({ outcome, durationMs }),
    webhook() {},
    attempts(outcome, count) {
      if (count > 0) ended[outcome] = (ended[outcome] ?? 0) + count
    },
    late: (ms) => void latenessMs.push(ms),
    commit: (batchSize, durationMs) => void commits.push({ batchSize, durationMs }),
    eventLoopLag() {},
    targetFailing: (failing) => void failings.push(failing),
    failings,
  }
}

/** What one metric exposes. */
export type Family = { type: string; help: string; samples: Sample[] }
export type Sample = { name: string; labels: Record<string, string>; value: number }

const HEAD = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)$/
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y
const SUFFIX = /_(?:bucket|sum|count)$/

/**
 * Reads the text format of Prometheus, version 0.0.4, and refuses what isn't it: every sample
 * follows the HELP and TYPE of its metric, and no series comes twice.
 */
export function parseExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  const series = new Set<string>()
  if (!text.endsWith('\n')) throw new Error('The last line has no end.')
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, keyword, metric = '', rest = ''] = HEAD.exec(line) ?? []
    if (keyword === 'HELP') {
      if (families.has(metric)) throw new Error(`There are two metrics ${metric}.`)
      families.set(metric, { type: 'untyped', help: rest, samples: [] })
    } else if (keyword === 'TYPE') {
      familyOf(families, metric, line).type = rest
    } else {
      const sample = parseSample(line)
      const id = JSON.stringify([sample.name, Object.entries(sample.labels).sort()])
      if (series.has(id)) throw new Error(`There are two series ${id}.`)
      series.add(id)
      familyOf(families, sample.name, line).samples.push(sample)
    }
  }
  return families
}

function familyOf(families: Map<string, Family>, name: string, line: string): Family {
  const family = families.get(name) ?? families.get(name.replace(SUFFIX, ''))
  if (!family) throw new Error(`No metric was announced for: ${line}`)
  return family
}

function parseSample(line: string): Sample {
  const [, name, inner = '', text = ''] = SAMPLE.exec(line) ?? []
  const value = text === '+Inf' ? Number.POSITIVE_INFINITY : Number(text)
  if (name === undefined || Number.isNaN(value)) throw new Error(`This is no sample: ${line}`)
  const labels: Record<string, string> = {}
  LABEL.lastIndex = 0
  while (LABEL.lastIndex < inner.length) {
    const [, label, content] = LABEL.exec(inner) ?? []
    if (label === undefined || content === undefined) throw new Error(`Bad labels: ${line}`)
    labels[label] = content
  }
  return { name, labels, value }
}

/** The value of each series of a metric that has one label or none, by the label's value. */
export function valuesOf(families: Map<string, Family>, metric: string): Record<string, number> {
  const samples = families.get(metric)?.samples ?? []
  return Object.fromEntries(
    samples.map(({ labels, value }) => [Object.values(labels).join(), value]),
  )
}

/** How many observations a histogram has, their sum, and how many are in each bucket or below. */
export function histogramOf(families: Map<string, Family>, metric: string) {
  const samples = families.get(metric)?.samples ?? []
  const value = (suffix: string) => samples.find(({ name }) => name === metric + suffix)?.value
  const buckets = samples.filter(({ name }) => name === `${metric}_bucket`)
  return {
    count: value('_count'),
    sum: value('_sum'),
    buckets: Object.fromEntries(buckets.map(({ labels, value }) => [labels.le, value])),
  }
}
