import { join } from 'node:path'
import {
  freePort,
  LOAD_CORE,
  LONG_DELAY,
  newDirectory,
  pinned,
  residentBytes,
  type Server,
  startServer,
  webhook,
} from './processes.ts'
import { type Measurement, percentile } from './table.ts'

const COUNT = 100_000
const PER_S = 5_000
const TICK_MS = 5
const ANSWERS_PER_S = 500
const CONCURRENCY = 64

/**
 * A target that is down while 100,000 transactions come in, and then answers 500 a second. Ingest is
 * compared with that of a server whose calls only wait.
 */
export async function measureOutage(txhook: string): Promise<Measurement[]> {
  const port = await freePort()
  const target = ['--target-url', `http://127.0.0.1:${port}`, '--concurrency', `${CONCURRENCY}`]
  await using control = await startServer(txhook, ['--data-dir', newDirectory(), ...LONG_DELAY])
  const undisturbed = await steadyLoad(control.url)
  await control.stop()
  await using server = await startServer(txhook, ['--data-dir', newDirectory(), ...target])
  const down = await steadyLoad(server.url)
  const refused = await attempts(server)
  const bytes = residentBytes(server.pid)

  const command = [process.execPath, join(import.meta.dir, 'metered-target.ts')]
  const child = Bun.spawn(pinned(LOAD_CORE, [...command, `${port}`, `${ANSWERS_PER_S}`]))
  using _ = { [Symbol.dispose]: () => child.kill() }
  const began = performance.now()
  const during: number[] = []
  const deadline = began + ((4 * COUNT) / ANSWERS_PER_S) * 1e3
  while ((await unfinished(server)) > 0) {
    if (performance.now() > deadline) throw new Error('The target got not all of them in time.')
    during.push(await timed(server.url))
    await Bun.sleep(100)
  }
  const tookS = (performance.now() - began) / 1e3
  const processed = await server.metric('txhook_transactions{status="PROCESSED"}')
  const failed = await server.metric('txhook_transactions{status="FAILED"}')
  const told = (await (await fetch(`http://127.0.0.1:${port}`)).json()) as {
    answered: number
    ids: number
    callsMax: number
    openMax: number
  }
  const accepted = COUNT + during.length + 1
  if (processed + failed !== accepted) throw new Error(`${accepted} were accepted.`)
  const p99 = (ms: number[]) => percentile(ms, 0.99).toFixed(1)
  return [
    {
      figure: 'ingest p99, target down ÷ calls that only wait',
      value: (percentile(down, 0.99) / percentile(undisturbed, 0.99)).toFixed(2),
      detail:
        `${p99(down)} against ${p99(undisturbed)} ms; ${COUNT} transactions at ${PER_S}/s; ` +
        `${refused} calls went out; ${(bytes / 1e6).toFixed(0)} MB resident after it`,
    },
    {
      figure: `target back at ${ANSWERS_PER_S} answers/s: PROCESSED a second`,
      value: (told.answered / tookS).toFixed(0),
      detail:
        `${processed} PROCESSED, ${failed} FAILED after ${tookS.toFixed(0)} s; at most ` +
        `${told.openMax} calls at once of ${CONCURRENCY}, ${told.callsMax} for one transaction; ` +
        `a webhook meanwhile: p99 ${p99(during.toSorted((a, b) => a - b))} ms`,
    },
  ]
}

/** Attempts that have ended without success. */
async function attempts(server: Server): Promise<number> {
  return server.metric('txhook_attempts_total{outcome="retry"}')
}

async function unfinished(server: Server): Promise<number> {
  const pending = await server.metric('txhook_transactions{status="PENDING"}')
  return pending + (await server.metric('txhook_transactions{status="PROCESSING"}'))
}

/** So many a second, whether they are answered or not. Returns how long each took, in order. */
async function steadyLoad(url: string): Promise<number[]> {
  const began = performance.now()
  const posts: Promise<number>[] = []
  while (posts.length < COUNT) {
    const due = Math.min(((performance.now() - began) * PER_S) / 1_000, COUNT)
    while (posts.length < due) posts.push(timed(url))
    await Bun.sleep(TICK_MS)
  }
  return (await Promise.all(posts)).sort((a, b) => a - b)
}

async function timed(url: string): Promise<number> {
  const began = performance.now()
  const response = await fetch(`${url}/webhook`, webhook(crypto.randomUUID()))
  await response.arrayBuffer()
  if (response.status !== 202) throw new Error(`A webhook was answered ${response.status}.`)
  return performance.now() - began
}
