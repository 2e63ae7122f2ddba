import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { newDirectory, startServer, webhook } from './processes.ts'
import { type Measurement, percentile } from './table.ts'

const PER_S = 5_000
const SECONDS = 60
const DELAY_MS = 10_000
const TICK_MS = 5
const IDLE_COUNT = 100
const IDLE_DELAY_MS = 500

/**
 * How late a transaction is PROCESSED, from its acceptance on: while others come in all the time, and
 * one at a time. Its record has the time before its commit: the sync comes on top.
 */
export async function measureWholeWay(txhook: string): Promise<Measurement[]> {
  const busy = await lateness(txhook, DELAY_MS, steadyLoad)
  const idle = await lateness(txhook, IDLE_DELAY_MS, oneAtATime)
  return [
    {
      figure: 'whole way, lateness p99',
      value: `${busy.p99} ms`,
      reach: '500 ms',
      aim: '50 ms',
      detail:
        `p50 ${busy.p50}, max ${busy.max} ms; ${busy.count} transactions at ${PER_S}/s for ` +
        `${SECONDS} s, delay ${DELAY_MS / 1000} s, ${busy.refused} refused`,
    },
    {
      figure: 'lateness when idle, p99',
      value: `${idle.p99} ms`,
      reach: '20 ms',
      aim: '5 ms',
      detail: `p50 ${idle.p50}, max ${idle.max} ms; ${idle.count} transactions, one at a time`,
    },
  ]
}

/** Posts, and returns how many were refused. */
type Poster = (url: string) => Promise<number>

async function lateness(txhook: string, delayMs: number, post: Poster) {
  const dataDir = newDirectory()
  const args = ['--data-dir', dataDir, '--processing-delay-ms', String(delayMs)]
  const server = await startServer(txhook, args)
  const refused = await post(server.url)
  const unfinished = async () =>
    (await server.metric('txhook_transactions{status="PENDING"}')) +
    (await server.metric('txhook_transactions{status="PROCESSING"}'))
  while ((await unfinished()) > 0) await Bun.sleep(100)
  await server.stop()

  using database = new Database(join(dataDir, 'txhook.db'), { readonly: true })
  const late = database
    .query('SELECT processed_at - created_at - ? FROM transactions ORDER BY 1')
    .values(delayMs)
    .map(([ms]) => (typeof ms === 'number' ? ms : fail()))
  return {
    count: late.length,
    refused,
    p50: percentile(late, 0.5),
    p99: percentile(late, 0.99),
    max: late.at(-1) ?? 0,
  }
}

function fail(): never {
  throw new Error('A transaction was not PROCESSED.')
}

/** So many a second, whether they are answered or not. */
async function steadyLoad(url: string): Promise<number> {
  const began = performance.now()
  const posts: Promise<void>[] = []
  let refused = 0
  for (let sent = 0; sent < PER_S * SECONDS; ) {
    const due = Math.min(((performance.now() - began) * PER_S) / 1_000, PER_S * SECONDS)
    for (; sent < due; sent++) {
      posts.push(
        fetch(`${url}/webhook`, webhook(`${crypto.randomUUID()}`)).then(async (response) => {
          await response.arrayBuffer()
          if (response.status !== 202) refused++
        }),
      )
    }
    await Bun.sleep(TICK_MS)
  }
  await Promise.all(posts)
  return refused
}

async function oneAtATime(url: string): Promise<number> {
  for (let n = 0; n < IDLE_COUNT; n++) {
    await fetch(`${url}/webhook`, webhook(`idle-${n}`))
    await Bun.sleep(37)
  }
  return 0
}
