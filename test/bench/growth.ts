import {
  LONG_DELAY,
  load,
  newDirectory,
  runScript,
  SERVER_CORE,
  type Server,
  startServer,
} from './processes.ts'
import { seed } from './seed.ts'
import { type Measurement, median, type Options } from './table.ts'

const SIZES = [0, 1_000_000, 10_000_000] as const
const SECONDS = 3
const DUE = 10_000

/** Ingest and GET on databases of three sizes, and claims beside as many jobs of the future. */
export async function measureGrowth(txhook: string, options: Options): Promise<Measurement[]> {
  return [...(await measureServers(txhook, options)), await measureClaims(options)]
}

async function measureServers(txhook: string, { rounds }: Options): Promise<Measurement[]> {
  const servers = await Promise.all(
    SIZES.map(async (rows) => {
      const dataDir = newDirectory()
      if (rows > 0) await seed(dataDir, { processed: rows })
      const server = await startServer(txhook, ['--data-dir', dataDir, ...LONG_DELAY])
      return {
        rows,
        server,
        posts: [] as number[],
        gets: [] as number[],
        scrapesMs: [] as number[],
      }
    }),
  )
  for (let round = 0; round < rounds; round++) {
    for (const { rows, server, posts, gets, scrapesMs } of servers) {
      const common = { connections: 64, seconds: SECONDS }
      const environment = { IDS: 'random', ROWS: String(Math.max(rows, 1)) }
      posts.push(
        (await load(server.url, { ...common, script: 'post.lua', environment })).requestsPerS,
      )
      gets.push(
        (await load(server.url, { ...common, script: 'get.lua', environment })).requestsPerS,
      )
      scrapesMs.push(await scrapeMs(server))
    }
  }
  for (const { server } of servers) await server.stop()
  const [none, ...others] = servers.map((it) => ({
    rows: it.rows,
    post: median(it.posts),
    get: median(it.gets),
    scrape: median(it.scrapesMs),
  }))
  if (none === undefined) return []
  return others.flatMap(({ rows, post, get, scrape }) => {
    const size = `${rows / 1e6} million rows`
    return [
      {
        figure: `ingest at ${size} ÷ at 0.2 or less`,
        value: (post / none.post).toFixed(2),
        ...(rows === 10_000_000 ? { reach: '0.76', aim: '0.9' } : {}),
        detail: `${Math.round(post)} against ${Math.round(none.post)}/s, c=64, random ids`,
      },
      {
        figure: `GET at ${size} ÷ at none`,
        value: (get / none.get).toFixed(2),
        detail: `${Math.round(get)} against ${Math.round(none.get)}/s (none: 404s), c=64`,
      },
      {
        figure: `scrape of /metrics at ${size}`,
        value: `${scrape.toFixed(1)} ms`,
        detail: `${none.scrape.toFixed(1)} ms at none`,
      },
    ]
  })
}

async function scrapeMs({ metrics }: Server): Promise<number> {
  const began = performance.now()
  await metrics()
  return performance.now() - began
}

async function measureClaims({ rounds }: Options): Promise<Measurement> {
  const [alone, crowded] = [newDirectory(), newDirectory()]
  await seed(alone, { due: DUE })
  await seed(crowded, { due: DUE, waiting: 10_000_000 })
  const times: { alone: number[]; crowded: number[] } = { alone: [], crowded: [] }
  for (let round = 0; round < rounds; round++) {
    times.alone.push(await runScript<number>(SERVER_CORE, 'claim.ts', alone))
    times.crowded.push(await runScript<number>(SERVER_CORE, 'claim.ts', crowded))
  }
  const ratio = median(times.crowded.map((ms, i) => ms / (times.alone[i] as number)))
  const [few, many] = [times.alone, times.crowded].map((each) => median(each).toFixed(2))
  return {
    figure: 'claim at 10 million future jobs ÷ at none',
    value: ratio.toFixed(2),
    reach: '2',
    aim: '1.1',
    detail: `${many} against ${few} ms for 100 jobs`,
  }
}
