import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { commandOf, startTxhook, until } from '../support/executable.ts'
import { succeeds } from '../support/processes.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

type Ended = { exitCode: number; stderr: string }

/** Runs a verb with its standard output going to a file, and to its end. */
async function runInto(stdout: string, args: readonly string[]): Promise<Ended> {
  const file = openSync(stdout, 'w')
  const command = [...(await commandOf('compiled')), ...args]
  const child = Bun.spawn(command, { stdio: ['ignore', file, 'pipe'] })
  closeSync(file)
  return { exitCode: await child.exited, stderr: await child.stderr.text() }
}

/** Runs a verb whose output goes to a command that ends after its first line. */
async function runIntoHead(args: readonly string[]): Promise<Ended & { stdout: string }> {
  const script = '{ "$@"; echo $? >&3; } 3>&2 | head -n 1'
  const command = ['bash', '-c', script, 'bash', ...(await commandOf('compiled')), ...args]
  const child = Bun.spawn(command, { stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { exitCode: Number(stderr.trimEnd().split('\n').at(-1)), stdout, stderr }
}

/** Of memory: room for some lines of the log. */
const PAGES = 8_192

describe.skipIf(!existsSync('/dev/full'))('output that does not go out whole', () => {
  test('is exit 1 with one line on standard error, for every verb', async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ cwd: directory.path })
    await txhook.post(transactionBody())
    await txhook.post(transactionBody({ amount: 1 }))
    const url = ['--url', txhook.url]
    for (const args of [
      ['list', ...url],
      ['get', 'txn_001', ...url],
      ['retry', '--status', 'FAILED', '--dry-run', ...url],
      ['send', txhook.url],
      ['secret'],
      ['licenses'],
      ['version'],
      ['--version'],
      ['--help'],
      ['list', '--help'],
    ]) {
      const { exitCode, stderr } = await runInto('/dev/full', args)
      expect([args, exitCode]).toEqual([args, 1])
      expect(stderr).toMatch(/^txhook: the output could not be written: ENOSPC[^\n]*\n$/)
    }
  })

  test('does not end the service, which goes on without its log', async () => {
    using directory = temporaryDirectory()
    const child = await serveInto('/dev/full', directory.path)
    await using _ = child
    child.kill('SIGTERM')
    expect([await child.exited, await child.stderr.text()]).toEqual([0, ''])
  })

  test.skipIf(!succeeds('unshare', '--mount', 'true'))(
    'breaks no line that comes when there is room again',
    async () => {
      using directory = temporaryDirectory()
      using disk = smallDisk(join(directory.path, 'disk'))
      const path = join(disk.path, 'log')
      const other = join(disk.path, 'other')
      writeFileSync(other, Buffer.alloc(disk.bytes - PAGES))
      const child = await serveInto(path, join(directory.path, 'data'))
      await using _ = child
      // Each is a line of the log.
      const hangUp = async () => child.kill('SIGHUP')
      await until(hangUp, () => statSync(path).size === PAGES)
      rmSync(other)
      await until(hangUp, () => statSync(path).size > PAGES + 1_000)
      child.kill('SIGTERM')
      await child.exited
      const lines = readFileSync(path, 'utf8').trim().split('\n')
      // A line that was cut short has a line of its own.
      const begin = '{"@timestamp":'
      expect(lines.filter((line) => line.lastIndexOf(begin) !== 0)).toEqual([])
      expect(lines.filter((line) => !line.endsWith('}')).length).toBeLessThan(5)
      expect(lines.at(-1)).toContain('"message":"stopped"')
    },
  )
})

/** Starts a server whose log goes to a file, and resolves when it is ready. */
async function serveInto(stdout: string, dataDir: string) {
  const probe = Bun.serve({ port: 0, fetch: () => new Response() })
  const { port } = probe
  await probe.stop(true)
  const file = openSync(stdout, 'a')
  const args = ['serve', '--port', String(port), '--data-dir', dataDir]
  const child = Bun.spawn([...(await commandOf('compiled')), ...args], {
    stdio: ['ignore', file, 'pipe'],
  })
  closeSync(file)
  const ready = () => fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
  const over = (answer?: Response) => answer !== undefined || child.exitCode !== null
  expect((await until(ready, over))?.status).toBe(200)
  return child
}

/** A small file system. */
function smallDisk(path: string): Disposable & { path: string; bytes: number } {
  mkdirSync(path)
  const bytes = 1_048_576
  const mount = ['mount', '-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]
  expect(Bun.spawnSync(mount).exitCode).toBe(0)
  return { path, bytes, [Symbol.dispose]: () => void Bun.spawnSync(['umount', '-l', path]) }
}

test('a pipe that is closed ends a verb quietly', async () => {
  using directory = temporaryDirectory()
  await using txhook = await startTxhook({ cwd: directory.path })
  const long = 'x'.repeat(30_000)
  for (let i = 0; i < 20; i++) await txhook.post(transactionBody({ transaction_id: `${i}`, long }))
  for (const args of [['licenses'], ['list', '--url', txhook.url]]) {
    const { exitCode, stdout, stderr } = await runIntoHead(args)
    expect([args, exitCode, stderr]).toEqual([args, 0, '0\n'])
    expect(stdout.split('\n')).toHaveLength(2)
  }
})

test('output of any size goes out whole through a slow pipe', async () => {
  using directory = temporaryDirectory()
  await using txhook = await startTxhook({ cwd: directory.path })
  const long = 'x'.repeat(60_000)
  for (let i = 0; i < 20; i++) await txhook.post(transactionBody({ transaction_id: `${i}`, long }))
  const path = join(directory.path, 'pipe')
  Bun.spawnSync(['mkfifo', path])
  // As a pipe that a Node.js program shares with its child: a write to a full one is EAGAIN.
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const command = [...(await commandOf('compiled')), 'list', '--url', txhook.url]
  const child = Bun.spawn(command, { stdio: ['ignore', pipe, 'pipe'] })
  const reader = Bun.spawn(['wc', '-lc', path])
  expect([await child.exited, await child.stderr.text()]).toEqual([0, ''])
  closeSync(pipe)
  const [lines, bytes] = (await reader.stdout.text()).trim().split(/\s+/).map(Number)
  expect(lines).toBe(20)
  expect(bytes).toBeGreaterThan(20 * 60_000)
})
