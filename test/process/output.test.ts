import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { commandOf, startTxhook, until } from '../support/executable.ts'
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
    const probe = Bun.serve({ port: 0, fetch: () => new Response() })
    const { port } = probe
    await probe.stop(true)
    const file = openSync('/dev/full', 'w')
    const args = ['serve', '--port', String(port), '--data-dir', directory.path]
    const child = Bun.spawn([...(await commandOf('compiled')), ...args], {
      stdio: ['ignore', file, 'pipe'],
    })
    closeSync(file)
    const ready = await until(
      () => fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined),
      (answer) => answer !== undefined || child.exitCode !== null,
    )
    expect(ready?.status).toBe(200)
    child.kill('SIGTERM')
    expect([await child.exited, await child.stderr.text()]).toEqual([0, ''])
  })
})

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
