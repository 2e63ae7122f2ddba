import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { commandOf, type RunningTxhook, startTxhook, until } from '../support/executable.ts'
import { succeeds } from '../support/processes.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'
import { secretOf, signedHeaders } from '../support/signature-cases.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

const ROOT = join(import.meta.dir, '../..')
const builtIn = mkdtempSync(join(tmpdir(), 'txhook-built-'))
/** What `bun run build` makes. */
const BUILT = join(builtIn, 'txhook')

beforeAll(() => {
  const build = [process.execPath, join(ROOT, '.ci/build.ts'), BUILT]
  expect(Bun.spawnSync(build, { cwd: ROOT }).exitCode).toBe(0)
})
afterAll(() => rmSync(builtIn, { recursive: true, force: true }))

type Signal = 'SIGTERM' | 'SIGINT' | 'SIGHUP'
const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }

/** Whether a process listens for a signal; undefined where it is gone. */
function listens(pid: number, signal: Signal): boolean | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const caught = BigInt(`0x${/^SigCgt:\s*(\w+)$/m.exec(status)?.[1]}`)
    return (caught & (1n << BigInt(NUMBERS[signal] - 1))) !== 0n
  } catch {
    return undefined
  }
}

/** Starts a server, and resolves when it listens for signals, with the ms since its start. */
async function startListening(command: readonly string[], directory: string) {
  const args = ['serve', '--port', '0', '--data-dir', join(directory, 'data')]
  const beganAt = performance.now()
  const child = Bun.spawn([...command, ...args], { stdout: 'pipe', stderr: 'pipe' })
  while (listens(child.pid, 'SIGHUP') === false) await Bun.sleep(0)
  return { child, ms: performance.now() - beganAt }
}

describe.skipIf(process.platform !== 'linux')('a signal right after the start', () => {
  // Of some 100 ms until it serves, 4 ms remain here, the least that Bun needs; source: 8 ms.
  test.each([
    ['built', () => [BUILT]],
    ['source', () => commandOf('source')],
  ] as const)(
    'is listened for within 60 ms, before anything else loads: %s',
    async (_, command) => {
      using directory = temporaryDirectory()
      const gaps: number[] = []
      for (let i = 0; i < 7; i++) {
        const { child, ms } = await startListening(await command(), directory.path)
        gaps.push(ms)
        child.kill('SIGKILL')
        await child.exited
      }
      // The shortest: another process may have had the processor meanwhile.
      expect(Math.min(...gaps)).toBeLessThan(60)
    },
  )

  test.each([
    ['built', () => [BUILT]],
    ['compiled', () => commandOf('compiled')],
    ['source', () => commandOf('source')],
  ] as const)('ends it in order, exit 0, whenever it comes: %s', async (_, command) => {
    using directory = temporaryDirectory()
    for (const [i, afterMs] of [0, 5, 20, 50, 100, 200].entries()) {
      const signal = i % 2 === 0 ? 'SIGTERM' : 'SIGINT'
      const { child } = await startListening(await command(), directory.path)
      await Bun.sleep(afterMs)
      child.kill(signal)
      const ended = [await child.exited, await child.stderr.text()]
      expect([afterMs, signal, ...ended]).toEqual([afterMs, signal, 0, ''])
      expect(await child.stdout.text()).toContain('"message":"stopped"')
    }
  })
})

const NAMESPACE = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']

describe.skipIf(!succeeds(...NAMESPACE, 'true'))('as PID 1', () => {
  /** Starts txhook as PID 1, and resolves with its pid outside when it listens for signals. */
  async function startAsInit(args: readonly string[]) {
    const child = Bun.spawn([...NAMESPACE, BUILT, ...args], { stdout: 'pipe', stderr: 'pipe' })
    const children = `/proc/${child.pid}/task/${child.pid}/children`
    const inner = async () => Number(readFileSync(children, 'utf8').split(' ')[0])
    const pid = await until(inner, (it) => it > 0 && listens(it, 'SIGHUP') === true)
    return { child, pid }
  }

  test('a TERM right after the start is not lost', async () => {
    using directory = temporaryDirectory()
    const args = ['serve', '--port', '0', '--data-dir', directory.path]
    for (let i = 0; i < 3; i++) {
      const { child, pid } = await startAsInit(args)
      process.kill(pid, 'SIGTERM')
      expect([await child.exited, await child.stderr.text()]).toEqual([0, ''])
    }
  })

  test('a verb that waits for a server ends too', async () => {
    const asked = Promise.withResolvers<void>()
    const server = Bun.serve({
      port: 0,
      fetch() {
        asked.resolve()
        return new Promise<Response>(() => {})
      },
    })
    const { child, pid } = await startAsInit(['list', '--url', server.url.href])
    await asked.promise
    process.kill(pid, 'SIGTERM')
    expect(await child.exited).toBe(143)
    await server.stop(true)
  })
})

/** Replaces a file in one step, as configuration management does. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

/** The log of a service that has ended. */
async function logOf(txhook: RunningTxhook): Promise<Record<string, unknown>[]> {
  const { exitCode, stdout, stderr } = await txhook.end('SIGTERM')
  expect([exitCode, stderr]).toEqual([0, ''])
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

describe('SIGHUP', () => {
  const [OLD, KEPT, NEW] = [secretOf('a'), secretOf('b'), secretOf('c')] as const

  /** A service whose secrets, keys and target secret come from files. */
  async function startWithFiles(directory: string, ...args: string[]) {
    const files = {
      secrets: join(directory, 'secrets'),
      keys: join(directory, 'keys'),
      target: join(directory, 'target'),
    }
    writeFileSync(files.secrets, `${OLD}\n${KEPT}\n`)
    writeFileSync(files.keys, 'key-old\nkey-kept\n')
    writeFileSync(files.target, OLD)
    const environment = {
      TXHOOK_WEBHOOK_SECRETS_FILE: files.secrets,
      TXHOOK_API_KEYS_FILE: files.keys,
      TXHOOK_TARGET_SECRET_FILE: files.target,
    }
    const target = ['--target-url', 'http://127.0.0.1:1/', ...args]
    const txhook = await startTxhook({ cwd: directory, args: target, environment })
    const post = (secret: string, id: string) => {
      const body = JSON.stringify(transactionBody({ transaction_id: id }))
      const headers = signedHeaders(body, Date.now(), { secret, id })
      return txhook.fetch('/webhook', { method: 'POST', headers, body })
    }
    const list = (key: string) =>
      txhook.fetch('/v1/transactions?limit=1', { headers: { authorization: `Bearer ${key}` } })
    return { txhook, files, post, list }
  }

  test('reads secrets and keys again; a bad one changes none of them', async () => {
    using directory = temporaryDirectory()
    const { txhook, files, post, list } = await startWithFiles(directory.path)
    await using _ = txhook
    const statuses = async (id: string) =>
      Promise.all([post(OLD, `old${id}`), post(NEW, `new${id}`), list('key-old'), list('key-new')])
    const allowed = async (id: string) => (await statuses(id)).map(({ ok }) => ok)
    expect(await allowed('1')).toEqual([true, false, true, false])

    replace(files.secrets, `${KEPT}\n${NEW}\n`)
    replace(files.keys, '"key-new"\n')
    process.kill(txhook.pid, 'SIGHUP')
    // The second answer comes after the signal, whatever the first one does.
    await allowed('2')
    expect(await allowed('3')).toEqual([true, false, true, false])

    replace(files.keys, 'key-kept\nkey-new\n')
    process.kill(txhook.pid, 'SIGHUP')
    let id = 4
    const now = await until(
      () => allowed(String(id++)),
      ([old]) => !old,
    )
    expect(now).toEqual([false, true, false, true])

    const log = await logOf(txhook)
    expect(log.filter(({ message }) => /secrets and keys/.test(String(message)))).toMatchObject([
      {
        level: 'ERROR',
        message: 'the secrets and keys stay as they were',
        faults: ['TXHOOK_API_KEYS_FILE must be without quotes around it'],
      },
      { message: 'the secrets and keys were read again', webhook_secrets: 2, api_keys: 2 },
    ])
  })

  test('a hundred times under load: no request fails that both old and new allow', async () => {
    using directory = temporaryDirectory()
    const { txhook, files, post, list } = await startWithFiles(directory.path)
    await using _ = txhook
    let over = false
    const refused: number[] = []
    let answered = 0
    const load = async (sender: number) => {
      for (let i = 0; !over; i++) {
        const answers = await Promise.all([post(KEPT, `${sender}_${i}`), list('key-kept')])
        refused.push(...answers.map(({ status }) => status).filter((status) => status >= 400))
        answered += answers.length
      }
    }
    const senders = Promise.all([1, 2, 3, 4].map(load))
    for (let i = 0; i < 100; i++) {
      const [secrets, keys] = [
        [`${OLD}\n${KEPT}`, 'key-old\nkey-kept'],
        [`${KEPT}\n${NEW}`, 'key-kept,key-new'],
        [`${NEW}\n'`, 'key-kept'],
        ['', 'key-kept'],
      ][i % 4] as [string, string]
      replace(files.secrets, secrets)
      replace(files.keys, keys)
      const before = answered
      process.kill(txhook.pid, 'SIGHUP')
      await until(
        () => Bun.sleep(0),
        () => answered > before + 4,
      )
    }
    over = true
    await senders
    expect(refused).toEqual([])
    const messages = (await logOf(txhook)).map(({ message }) => message)
    // Signals that come together may be one.
    for (const what of ['were read again', 'stay as they were'])
      expect(messages.filter((it) => it === `the secrets and keys ${what}`).length).toBeWithin(
        20,
        80,
      )
  })

  test('signs calls to the target with the new secret', async () => {
    using directory = temporaryDirectory()
    const signatures = new Map<string, string>()
    using target = Bun.serve({
      port: 0,
      async fetch(request) {
        const body = await request.text()
        for (const [name, secret] of Object.entries({ OLD, NEW })) {
          const [id, at] = ['webhook-id', 'webhook-timestamp'].map((it) => request.headers.get(it))
          const time = Number(at) * 1000
          const signed = signedHeaders(body, time, { secret, id: String(id) })['webhook-signature']
          if (signed === request.headers.get('webhook-signature')) signatures.set(String(id), name)
        }
        return new Response()
      },
    })
    const { txhook, files, post } = await startWithFiles(
      directory.path,
      '--target-url',
      target.url.href,
    )
    await using _ = txhook
    const signer = async (id: string) => {
      expect((await post(KEPT, id)).status).toBe(202)
      return until(
        () => Bun.sleep(0).then(() => signatures.get(id)),
        (it) => it !== undefined,
      )
    }
    expect(await signer('first')).toBe('OLD')
    replace(files.target, NEW)
    process.kill(txhook.pid, 'SIGHUP')
    let i = 0
    expect(
      await until(
        () => signer(`later${i++}`),
        (it) => it === 'NEW',
      ),
    ).toBe('NEW')
  })

  test('never ends it, while it starts, stops, or where a file is a pipe without a writer', async () => {
    using directory = temporaryDirectory()
    const { child } = await startListening([BUILT], directory.path)
    let ended = false
    void child.exited.then(() => {
      ended = true
    })
    const decoder = new TextDecoder()
    let output = ''
    for await (const chunk of child.stdout) {
      output += decoder.decode(chunk)
      child.kill('SIGHUP')
      if (output.includes('"url":"http')) break
    }
    child.kill('SIGTERM')
    while (!ended) {
      child.kill('SIGHUP')
      await Bun.sleep(0)
    }
    expect([child.exitCode, child.signalCode]).toEqual([0, null])

    const { txhook, files, list } = await startWithFiles(directory.path)
    await using _ = txhook
    rmSync(files.keys)
    Bun.spawnSync(['mkfifo', files.keys])
    process.kill(txhook.pid, 'SIGHUP')
    for (let i = 0; i < 3; i++) expect((await list('key-old')).status).toBe(200)
    const messages = (await logOf(txhook)).map(({ message }) => message)
    expect(messages).toContain('the secrets and keys stay as they were')
  })
})
