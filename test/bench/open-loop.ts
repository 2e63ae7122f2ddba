import type { OpenLoad } from './open-load.ts'
import {
  buildLimit,
  cpuMs,
  LOAD_CORE,
  newDirectory,
  runScript,
  startLimit,
  startServer,
  writtenBytes,
} from './processes.ts'
import { type Measurement, median, type Options } from './table.ts'

const RATES = [100, 1_000, 3_000, 5_000] as const
const SECONDS = 10

/** Transactions are finished while others come in: most of them under the load that accepted them. */
const DELAY_MS = 2_000

/** A load, and what each webhook of it took until its transaction was finished. */
type Run = OpenLoad & { bytes: number; cpuUs: number }

type Runs = { limit: OpenLoad[]; before: Run[]; after: Run[] }

const REACH: Record<string, { reach: string; aim: string }> = {
  'bytes written, 1000/s': { reach: '6.5 KB', aim: '3 KB' },
  'bytes written, 5000/s': { reach: '3.5 KB', aim: '2 KB' },
  'CPU, 5000/s': { reach: '0.6', aim: '0.4' },
  'p99 ÷ limit p99, 3000/s': { reach: '4', aim: '2' },
  'p50, 100/s': { reach: '1.05', aim: '1' },
}

const RELATIVE = new Set(['CPU', 'p50'])

/**
 * Webhooks at fixed rates, random ids, everything of the server on one core, beside the physical
 * limit and, where there is one, an earlier executable.
 */
export async function measureOpenLoop(
  txhook: string,
  { rounds, before }: Options,
): Promise<Measurement[]> {
  const limit = buildLimit()
  const measurements: Measurement[] = []
  for (const perS of RATES) {
    const runs: Runs = { limit: [], before: [], after: [] }
    for (let round = 0; round < rounds; round++) {
      runs.limit.push(await loadLimit(limit, perS))
      if (before) runs.before.push(await run(before, perS))
      runs.after.push(await run(txhook, perS))
    }
    measurements.push(...measurementsOf(perS, runs))
  }
  return measurements
}

async function run(txhook: string, perS: number): Promise<Run> {
  const args = ['--data-dir', newDirectory(), '--processing-delay-ms', String(DELAY_MS)]
  await using server = await startServer(txhook, args)
  const finished = () => server.metric('txhook_transactions{status="PROCESSED"}')
  while ((await finished()) < 1) await Bun.sleep(100)
  const [bytes, cpu] = [writtenBytes(server.pid), cpuMs(server.pid)]
  const load = await openLoad(server.url, perS)
  while ((await finished()) < load.count - load.failed + 1) await Bun.sleep(200)
  return {
    ...load,
    bytes: (writtenBytes(server.pid) - bytes) / load.count,
    cpuUs: ((cpuMs(server.pid) - cpu) * 1e3) / load.count,
  }
}

async function loadLimit(limit: string, perS: number): Promise<OpenLoad> {
  await using server = await startLimit(limit)
  return await openLoad(server.url, perS)
}

function openLoad(url: string, perS: number): Promise<OpenLoad> {
  return runScript(LOAD_CORE, 'open-load.ts', url, String(perS), String(SECONDS))
}

function measurementsOf(perS: number, { limit, before, after }: Runs): Measurement[] {
  const kb = (runs: readonly Run[]) =>
    `${(median(runs.map(({ bytes }) => bytes)) / 1e3).toFixed(2)} KB`
  const cpu = (runs: readonly Run[]) => median(runs.map(({ cpuUs }) => cpuUs))
  const ms = (loads: readonly OpenLoad[], key: 'p50Ms' | 'p99Ms' | 'maxMs') =>
    median(loads.map((load) => load[key])).toFixed(2)
  const times = (loads: readonly OpenLoad[]) =>
    `p50 ${ms(loads, 'p50Ms')}, p99 ${ms(loads, 'p99Ms')}, max ${ms(loads, 'maxMs')} ms`
  const ratio = (key: 'p50Ms' | 'p99Ms' | 'cpuUs', others: readonly Partial<Run>[]) =>
    median(after.map((run, i) => run[key] / (others[i]?.[key] as number))).toFixed(2)
  const failed = [...before, ...after].reduce((sum, load) => sum + load.failed, 0)
  const compared = before.length > 0
  const figure = (name: string, value: string, detail: string) => ({
    figure: `open loop: ${name}, ${perS}/s`,
    value,
    // Those of CPU and p50 are ratios.
    ...(compared || !RELATIVE.has(name) ? REACH[`${name}, ${perS}/s`] : {}),
    detail,
  })
  return [
    figure('bytes written', kb(after), compared ? `before ${kb(before)}` : ''),
    figure(
      'CPU',
      compared ? ratio('cpuUs', before) : `${cpu(after).toFixed(0)} µs`,
      `${cpu(after).toFixed(0)} µs${compared ? `, before ${cpu(before).toFixed(0)} µs` : ''}`,
    ),
    figure(
      'p50',
      compared ? ratio('p50Ms', before) : `${ms(after, 'p50Ms')} ms`,
      `${times(after)}${compared ? `; before ${times(before)}` : ''}`,
    ),
    figure(
      'p99 ÷ limit p99',
      ratio('p99Ms', limit),
      `limit ${times(limit)}${failed > 0 ? `; ${failed} not accepted` : ''}`,
    ),
  ]
}
