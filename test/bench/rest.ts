import { cpuMs, newDirectory, residentBytes, startServer, writtenBytes } from './processes.ts'
import { type Seed, seed } from './seed.ts'
import { type Measurement, median, type Options } from './table.ts'

const IDLE_S = 30
const SYSCALLS_S = 5

/** What a service costs that has nothing to do, and one whose million jobs are an hour away. */
export async function measureIdle(txhook: string): Promise<Measurement[]> {
  const empty = await idle(txhook, {})
  const waiting = await idle(txhook, { waiting: 1_000_000 })
  return [
    { ...asMeasurement('idle, nothing to do', empty), reach: '0.5 %; 0; 0', aim: '0.1 %' },
    { ...asMeasurement('idle, a million jobs an hour away', waiting), reach: '0.5 %; 0; 0' },
  ]
}

type Idle = { cpuPercent: number; written: number; calls: number | undefined }

function asMeasurement(figure: string, { cpuPercent, written, calls }: Idle): Measurement {
  return {
    figure,
    value: `${cpuPercent.toFixed(2)} %; ${calls ?? '?'}; ${written}`,
    detail: `CPU and bytes written over ${IDLE_S} s; calls on files over ${SYSCALLS_S} s`,
  }
}

async function idle(txhook: string, content: Seed): Promise<Idle> {
  const dataDir = newDirectory()
  await seed(dataDir, content)
  const args = ['--data-dir', dataDir, '--processing-delay-ms', '0']
  await using server = await startServer(txhook, args)
  // What the first webhook began is over.
  await Bun.sleep(3_000)
  const [cpu, written] = [cpuMs(server.pid), writtenBytes(server.pid)]
  await Bun.sleep(IDLE_S * 1_000)
  const cpuPercent = ((cpuMs(server.pid) - cpu) / (IDLE_S * 1_000)) * 100
  const bytes = writtenBytes(server.pid) - written
  return { cpuPercent, written: bytes, calls: await fileCalls(server.pid) }
}

/** Reads, writes and syncs of files: no query is without one, be it of the shared memory. */
async function fileCalls(pid: number): Promise<number | undefined> {
  if (Bun.which('strace') === null) return undefined
  const calls = 'trace=pread64,pwrite64,fdatasync,fsync,fcntl'
  const watch = ['strace', '-f', '-qq', '-e', calls, '-p', String(pid)]
  const child = Bun.spawn(['timeout', String(SYSCALLS_S), ...watch], { stderr: 'pipe' })
  const output = await child.stderr.text()
  if (/not permitted|attach:/.test(output)) return undefined
  const lines = output.split('\n')
  return lines.filter((line) => /(pread|pwrite|sync|fcntl)/.test(line)).length
}

/** From the command to the first 202, and the memory that it takes. */
export async function measureStart(txhook: string, { rounds }: Options): Promise<Measurement[]> {
  const million = { processed: 900_000, due: 100_000 }
  const empty = await started(txhook, {}, rounds)
  const full = await started(txhook, million, rounds)
  const waiting = await started(txhook, { waiting: 1_000_000 }, rounds)
  const memory = waiting.bytes - empty.bytes
  return [
    {
      figure: 'start to ready, empty',
      value: `${empty.readyMs.toFixed(0)} ms`,
      reach: '300 ms',
      aim: '100 ms',
      detail: `first 202 after ${empty.acceptedMs.toFixed(0)} ms; ${mb(empty.bytes)} resident`,
    },
    {
      figure: 'start to ready, 1 million rows and 100,000 due',
      value: `${full.readyMs.toFixed(0)} ms`,
      reach: '300 ms',
      aim: '140 ms',
      detail: `first 202 after ${full.acceptedMs.toFixed(0)} ms; ${mb(full.bytes)} resident`,
    },
    {
      figure: 'resident memory per million waiting',
      value: mb(memory),
      reach: '50 MB',
      aim: '5 MB',
      detail: `${mb(waiting.bytes)} with a million waiting, ${mb(empty.bytes)} with none`,
    },
  ]
}

async function started(txhook: string, content: Seed, rounds: number) {
  const figures: { readyMs: number; acceptedMs: number; bytes: number }[] = []
  for (let round = 0; round < rounds; round++) {
    const dataDir = newDirectory()
    await seed(dataDir, content)
    await using server = await startServer(txhook, ['--data-dir', dataDir])
    const { readyMs, firstAcceptedMs: acceptedMs, pid } = server
    figures.push({ readyMs, acceptedMs, bytes: residentBytes(pid) })
  }
  return {
    readyMs: median(figures.map(({ readyMs }) => readyMs)),
    acceptedMs: median(figures.map(({ acceptedMs }) => acceptedMs)),
    bytes: median(figures.map(({ bytes }) => bytes)),
  }
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`
}
