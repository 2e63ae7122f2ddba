import {
  cpuMs,
  LONG_DELAY,
  type Load,
  load,
  newDirectory,
  type Server,
  startFloor,
  startServer,
} from './processes.ts'
import { type Measurement, median, type Options } from './table.ts'

const CONNECTIONS = [1, 16, 64, 256] as const
const IDS = ['random', 'sequential'] as const
const SECONDS = 3

/** How a load went on the floor and on txhook, a figure for each round. */
type Pair = { floor: Load[]; before: Load[]; txhook: Load[]; cpuUs: number[] }

/**
 * Ingest against the floor: a route that does the same without storing anything. Every webhook is
 * new, and its call begins meanwhile, as always; none ends, or one load would bear the ends of another.
 */
export async function measureIngest(
  txhook: string,
  { rounds, before }: Options,
): Promise<Measurement[]> {
  await using floor = await startFloor()
  await using server = await startServer(txhook, ['--data-dir', newDirectory(), ...LONG_DELAY])
  await using earlier =
    before === undefined
      ? undefined
      : await startServer(before, ['--data-dir', newDirectory(), ...LONG_DELAY])
  const pairs = new Map<string, Pair>()
  for (let round = 0; round < rounds; round++) {
    for (const connections of CONNECTIONS) {
      for (const ids of IDS) {
        const key = `c=${connections}, ${ids} ids`
        const pair = pairs.get(key) ?? { floor: [], before: [], txhook: [], cpuUs: [] }
        pairs.set(key, pair)
        const options = {
          connections,
          seconds: SECONDS,
          script: 'post.lua',
          environment: { IDS: ids },
        } as const
        pair.floor.push(await load(floor.url, options))
        if (earlier) pair.before.push(await load(earlier.url, options))
        const cpuBefore = cpuMs(server.pid)
        const taken = await load(server.url, options)
        pair.txhook.push(taken)
        pair.cpuUs.push(((cpuMs(server.pid) - cpuBefore) * 1e3) / (taken.requestsPerS * SECONDS))
      }
    }
  }
  const measurements = [...pairs].map(([key, pair]) => compared(key, pair))
  return [...measurements, p99Ratio(pairs), await longestLag(server)]
}

const REACH: Record<string, { reach: string; aim: string }> = {
  'c=256, random ids': { reach: '0.50', aim: '0.75' },
  'c=64, random ids': { reach: '0.45', aim: '0.65' },
}

function compared(key: string, { floor, before, txhook, cpuUs }: Pair): Measurement {
  const ratioOf = (loads: readonly Load[]) =>
    median(loads.map(({ requestsPerS }, i) => requestsPerS / at(floor, i).requestsPerS)).toFixed(2)
  const failed = txhook.reduce((sum, load) => sum + load.failed, 0)
  return {
    figure: `ingest ÷ floor, ${key}`,
    value: ratioOf(txhook),
    ...REACH[key],
    detail:
      `${describe(txhook)}, ${median(cpuUs).toFixed(0)} µs CPU each; floor ${describe(floor)}` +
      (before.length > 0 ? `; before ${ratioOf(before)}, ${describe(before)}` : '') +
      (failed > 0 ? `; ${failed} FAILED` : ''),
  }
}

function p99Ratio(pairs: ReadonlyMap<string, Pair>): Measurement {
  const { floor, txhook } = pairs.get('c=64, random ids') as Pair
  const ratio = median(txhook.map(({ p99Ms }, i) => p99Ms / at(floor, i).p99Ms))
  return {
    figure: 'ingest p99 ÷ floor p99, c=64',
    value: ratio.toFixed(1),
    reach: '6',
    aim: '3',
    detail: `${shown(txhook, 'p99Ms')} against ${shown(floor, 'p99Ms')} ms`,
  }
}

/**
 * A timer of 10 ms is late by the rest of a lag: the bucket of the latest and 10 ms bound it.
 */
async function longestLag(server: Server): Promise<Measurement> {
  const series = /lag_seconds_bucket\{le="([^"]+)"\} (\d+)/g
  const buckets = [...(await server.metrics()).matchAll(series)]
  const all = Number(buckets.at(-1)?.[2])
  const longest = buckets.find(([, , count]) => Number(count) === all)?.[1]
  const short = buckets.find(([, bound]) => bound === '0.01')?.[2]
  return {
    figure: 'longest lag of the event loop under load',
    value: `≤ ${Number(longest) * 1e3 + 10} ms`,
    reach: '50 ms',
    aim: '10 ms',
    detail: `a timer of 10 ms was late by at most 10 ms in ${((Number(short) / all) * 100).toFixed(2)} % of ${all}`,
  }
}

function describe(loads: readonly Load[]): string {
  const perS = Math.round(median(loads.map(({ requestsPerS }) => requestsPerS)))
  const [p50, p99, max] = (['p50Ms', 'p99Ms', 'maxMs'] as const).map((key) => shown(loads, key))
  return `${perS}/s, p50 ${p50}, p99 ${p99}, max ${max} ms`
}

function shown(loads: readonly Load[], key: 'p50Ms' | 'p99Ms' | 'maxMs'): string {
  return median(loads.map((load) => load[key])).toFixed(2)
}

function at(loads: readonly Load[], i: number): Load {
  return loads[i] as Load
}
