/** The processes of a benchmark: the server on one core, the load on another. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'

const HERE = import.meta.dir
const ROOT = join(HERE, '../..')
const canPin = Bun.which('taskset') !== null && availableParallelism() > 1

/** Calls that begin and don't end while anything is measured. */
export const LONG_DELAY = ['--processing-delay-ms', '3600000'] as const

export const SERVER_CORE = 0
export const LOAD_CORE = 1

/** A command that stays on one core, where there is a `taskset` and a core to spare. */
export function pinned(core: number, command: readonly string[]): string[] {
  return canPin ? ['taskset', '-c', String(core), ...command] : [...command]
}

const scratch = mkdtempSync(join(tmpdir(), 'txhook-bench-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
let directories = 0

/** A directory that doesn't exist yet, and is gone when the benchmark ends. */
export function newDirectory(): string {
  return join(scratch, `data-${++directories}`)
}

/** Builds the executable that is measured. */
export function buildTxhook(): string {
  const outfile = join(scratch, 'txhook')
  const main = join(ROOT, 'src/main.ts')
  const command = [process.execPath, 'build', '--compile', main, '--outfile', outfile]
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: ROOT })
  if (exitCode !== 0) throw new Error(stderr.toString())
  return outfile
}

export type Server = AsyncDisposable & {
  url: string
  pid: number
  /** From the start of the process to the first 202, in ms. */
  firstAcceptedMs: number
  /** From the start of the process to the first 200 of /readyz, in ms. */
  readyMs: number
  /** A series of /metrics, by its name with its labels. */
  metric(series: string): Promise<number>
  /** What /metrics says, as text. */
  metrics(): Promise<string>
  stop(): Promise<void>
}

/** Starts a txhook on the server's core, and posts one webhook to it. */
export async function startServer(txhook: string, args: readonly string[]): Promise<Server> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const limits = ['--max-backlog', '1000000000', '--log-level', 'error']
  const command = [txhook, 'serve', '--port', String(port), ...limits, ...args]
  const began = performance.now()
  const child = Bun.spawn(pinned(SERVER_CORE, command), { stdout: 'inherit', stderr: 'inherit' })
  await answered(`${url}/readyz`, undefined, 200)
  const readyMs = performance.now() - began
  await answered(`${url}/webhook`, webhook(`first-${began}`), 202)
  const firstAcceptedMs = performance.now() - began
  const metrics = async () => (await fetch(`${url}/metrics`)).text()
  const stop = async () => {
    child.kill('SIGTERM')
    await child.exited
  }
  return {
    url,
    pid: child.pid,
    firstAcceptedMs,
    readyMs,
    metrics,
    async metric(series) {
      const line = (await metrics()).split('\n').find((text) => text.startsWith(`${series} `))
      return Number(line?.slice(series.length + 1))
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** A server to compare with. */
export type Peer = AsyncDisposable & { url: string }

/** Starts the floor on the server's core. */
export function startFloor(): Promise<Peer> {
  return startPeer((port) => [process.execPath, join(HERE, 'floor.ts'), port])
}

/** Compiles the physical limit, see limit.c. */
export function buildLimit(): string {
  const outfile = join(scratch, 'limit')
  const command = ['cc', '-O2', '-o', outfile, join(HERE, 'limit.c')]
  if (Bun.which('cc') === null)
    throw new Error('The benchmark needs a C compiler: apt-get install gcc')
  const { exitCode, stderr } = Bun.spawnSync(command)
  if (exitCode !== 0) throw new Error(stderr.toString())
  return outfile
}

/** Starts the physical limit on the server's core. */
export function startLimit(limit: string): Promise<Peer> {
  return startPeer((port) => [limit, port, newDirectory()])
}

async function startPeer(command: (port: string) => string[]): Promise<Peer> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const pinnedCommand = pinned(SERVER_CORE, command(String(port)))
  const child = Bun.spawn(pinnedCommand, { stdout: 'ignore', stderr: 'inherit' })
  await answered(`${url}/webhook`, webhook('first'), 202)
  const dispose = async () => {
    child.kill()
    await child.exited
  }
  return { url, [Symbol.asyncDispose]: dispose }
}

/** Runs a script of the benchmark on a core, and returns the JSON that it prints. */
export async function runScript<T>(core: number, script: string, ...args: string[]): Promise<T> {
  const command = pinned(core, [process.execPath, join(HERE, script), ...args])
  const child = Bun.spawn(command, { stderr: 'inherit' })
  return JSON.parse(await child.stdout.text()) as T
}

export type Load = {
  requestsPerS: number
  p50Ms: number
  p99Ms: number
  maxMs: number
  failed: number
}

export type LoadOptions = {
  connections: number
  seconds: number
  script: 'post.lua' | 'get.lua'
  environment: Record<string, string>
}

/** Loads a server with wrk from the other core. */
export async function load(url: string, options: LoadOptions): Promise<Load> {
  const { connections, seconds, script, environment } = options
  const source = ['report.lua', script].map((name) => readFileSync(join(HERE, name), 'utf8'))
  const path = join(scratch, `load-${script}`)
  await Bun.write(path, source.join('\n'))
  const command = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s']
  const child = Bun.spawn(pinned(LOAD_CORE, [...command, '-s', path, url]), {
    env: {
      PATH: process.env.PATH ?? '',
      SALT: String(Math.floor(Math.random() * 1e9)),
      ...environment,
    },
  })
  const line = (await child.stdout.text()).trim().split('\n').at(-1) ?? ''
  const { requests, us, p50, p99, max, failed } = JSON.parse(line)
  return {
    requestsPerS: (requests * 1e6) / us,
    p50Ms: p50 / 1e3,
    p99Ms: p99 / 1e3,
    maxMs: max / 1e3,
    failed,
  }
}

/** CPU time that a process has taken, in ms. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // utime and stime, in ticks of which Linux has 100 a second.
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(kib?.[1]) * 1024
}

/** Bytes that a process has written to files. */
export function writtenBytes(pid: number): number {
  const bytes = /^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))
  return Number(bytes?.[1])
}

/** Whether a process of Linux can be looked at. */
export const hasProc = existsSync('/proc/self/stat')

/** The seed example under an id. */
export function webhook(transactionId: string): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      transaction_id: transactionId,
      source_account: 'A123',
      destination_account: 'B456',
      amount: 100,
      currency: 'USD',
    }),
  }
}

/** Asks until the answer has this status: the server may not be there yet. */
async function answered(url: string, init: RequestInit | undefined, status: number): Promise<void> {
  for (;;) {
    const response = await fetch(url, init).catch(() => undefined)
    await response?.arrayBuffer()
    if (response?.status === status) return
    await Bun.sleep(1)
  }
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = Bun.serve({ port: 0, fetch: () => new Response() })
  const { port } = server
  await server.stop(true)
  if (port === undefined) throw new Error('There is no free port.')
  return port
}
