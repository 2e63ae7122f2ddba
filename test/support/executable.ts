import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** How users come by a txhook: from a checkout, and compiled with what they type. */
export const VARIANTS = ['source', 'compiled', 'minified'] as const
export type Variant = (typeof VARIANTS)[number]

const ROOT = join(import.meta.dir, '../..')
const built = new Map<Variant, Promise<string[]>>()

/** The command that starts a variant, built when it is first asked for. */
export function commandOf(variant: Variant): Promise<string[]> {
  const command = built.get(variant) ?? build(variant)
  built.set(variant, command)
  return command
}

async function build(variant: Variant): Promise<string[]> {
  const main = join(ROOT, 'src/main.ts')
  if (variant === 'source') return [process.execPath, main]
  const directory = mkdtempSync(join(tmpdir(), 'txhook-build-'))
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  const outfile = join(directory, 'txhook')
  const flags = variant === 'minified' ? ['--minify'] : []
  const command = [process.execPath, 'build', '--compile', ...flags, main, '--outfile', outfile]
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: ROOT })
  if (exitCode !== 0) throw new Error(stderr.toString())
  return [outfile]
}

export type RunOptions = {
  variant?: Variant
  args?: readonly string[]
  environment?: Record<string, string>
  /** The working directory. */
  cwd: string
  /** What to run it under, say `strace -f`. */
  under?: readonly string[]
}

export type Ended = { exitCode: number; stdout: string; stderr: string }

/** A txhook that runs as a process of its own. */
export type RunningTxhook = AsyncDisposable & {
  url: string
  pid: number
  fetch(path: string, init?: RequestInit): Promise<Response>
  post(body: unknown): Promise<Response>
  /** Sends a signal and resolves when the process has ended. */
  end(signal: NodeJS.Signals): Promise<Ended>
  /** Resolves when the process has ended by itself. */
  ended: Promise<Ended>
}

/** Runs txhook to its end: for starts that fail, and for verbs that do something and stop. */
export async function runToEnd(options: RunOptions): Promise<Ended> {
  return spawn(options).then(({ ended }) => ended)
}

/** Starts the server on a free port, and resolves when it has printed its address. */
export async function startTxhook(options: RunOptions): Promise<RunningTxhook> {
  const args = ['serve', '--port', '0', ...(options.args ?? [])]
  const { process: child, address, ended } = await spawn({ ...options, args })
  const url = await Promise.race([address, ended.then(() => undefined)])
  if (url === undefined) throw new Error(`txhook did not start: ${JSON.stringify(await ended)}`)
  const request = (path: string, init?: RequestInit) => fetch(`${url}${path}`, init)
  const end = (signal: NodeJS.Signals) => {
    child.kill(signal)
    return ended
  }
  return {
    url,
    pid: child.pid,
    ended,
    fetch: request,
    post: (body) =>
      request('/webhook', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    end,
    [Symbol.asyncDispose]: async () => void (await end('SIGKILL')),
  }
}

/** Starts a process and doesn't wait for its address; undefined comes when it printed none. */
export async function spawnTxhook(options: RunOptions) {
  const { address, ended, process } = await spawn(options)
  return { process, ended, url: Promise.race([address, ended.then(() => undefined)]) }
}

async function spawn({ variant = 'compiled', args = [], environment, cwd, under }: RunOptions) {
  const command = [...(under ?? []), ...(await commandOf(variant)), ...args]
  const child = Bun.spawn(command, {
    cwd,
    env: { PATH: process.env.PATH ?? '', ...environment },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const address = Promise.withResolvers<string | undefined>()
  const readOutput = async () => {
    let text = ''
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk
      const url = /"url":"(http[^"]+)"/.exec(text)?.[1]
      if (url !== undefined) address.resolve(url)
    }
    return text
  }
  const ended = Promise.all([child.exited, readOutput(), child.stderr.text()]).then(
    ([exitCode, stdout, stderr]): Ended => ({ exitCode, stdout, stderr }),
  )
  return { process: child, address: address.promise, ended }
}

/** Asks again and again until the answer satisfies; the answer of the last time. */
export async function until<T>(
  ask: () => Promise<T>,
  satisfies: (answer: T) => boolean,
): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (satisfies(answer)) return answer
  }
}
