import { Database } from 'bun:sqlite'
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { version } from '../../package.json'
import { commandOf, runToEnd, startTxhook, until, VARIANTS } from '../support/executable.ts'
import { type ShownTransaction, temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

describe.each([...VARIANTS])('a newcomer with txhook (%s)', (variant) => {
  test('gets the seed example taken, processed and shown, in an empty directory', async () => {
    using directory = temporaryDirectory()
    const cwd = directory.path
    const args = ['--processing-delay-ms', '50']
    await using txhook = await startTxhook({ variant, cwd, args })

    const posted = await txhook.post(transactionBody())
    expect(posted.status).toBe(202)
    expect(await posted.json()).toMatchObject({ transaction_id: 'txn_001', status: 'PENDING' })
    const path = posted.headers.get('location') ?? ''
    const done = await until(
      async () => (await (await txhook.fetch(path)).json()) as ShownTransaction,
      ({ status }) => status === 'PROCESSED',
    )
    expect(done).toMatchObject({ ...transactionBody(), attempts: 1, error: null })
    expect(Date.parse(done.processed_at) - Date.parse(done.processing_started_at)).toBeWithin(
      50,
      1_000,
    )
    expect(await (await txhook.fetch('/')).json()).toMatchObject({ status: 'HEALTHY' })
    expect(readdirSync(cwd)).toEqual(['data'])
  })

  test('finds the docs page and its script in the executable', async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ variant, cwd: directory.path })
    const page = await (await txhook.fetch('/swagger')).text()
    const sources = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source)
    expect(sources.filter((source) => /^(https?:)?\/\//.test(source ?? ''))).toEqual([])
    expect(sources).toContain('/swagger/ui.js')
    expect((await txhook.fetch('/swagger/ui.js')).headers.get('content-type')).toStartWith(
      'text/javascript',
    )
    expect(await (await txhook.fetch('/swagger/json')).json()).toHaveProperty([
      'paths',
      '/v1/webhooks/transactions',
      'post',
    ])
  })

  test('ends it with Ctrl-C or a TERM, and the exit code is 0', async () => {
    using directory = temporaryDirectory()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      await using txhook = await startTxhook({ variant, cwd: directory.path })
      await txhook.post(transactionBody())
      expect(await txhook.end(signal)).toMatchObject({ exitCode: 0, stderr: '' })
    }
    // A clean stop folds the write-ahead log into the database, and leaves it empty.
    const data = join(directory.path, 'data')
    const names = ['txhook.db', 'txhook.db-shm', 'txhook.db-wal', 'txhook.lock']
    expect(readdirSync(data).sort()).toEqual(names)
    expect(readFileSync(join(data, 'txhook.db-wal'))).toHaveLength(0)
  })

  test('is told every fault of the command line and of the variables in one go', async () => {
    using directory = temporaryDirectory()
    const args = ['--prot', '8000', '--max-body-bytes', 'many', '--host', '']
    const environment = { PORT: '70000', TXHOOK_PROCESING_DELAY_MS: '5' }
    const { exitCode, stdout, stderr } = await runToEnd({
      variant,
      cwd: directory.path,
      args,
      environment,
    })
    expect(exitCode).toBe(2)
    expect(stdout).toBe('')
    expect(stderr.trimEnd().split('\n')).toEqual([
      "txhook: can't start:",
      '  --prot is not a flag of txhook',
      '  TXHOOK_PROCESING_DELAY_MS is not a variable of txhook',
      '  PORT must be a whole number from 0 to 65535, not "70000"',
      '  --host must not be empty',
      '  --max-body-bytes must be a whole number from 1 to 67108864, not "many"',
    ])
    expect(readdirSync(directory.path)).toEqual([])
  })

  test('reads no .env of the directory that it is started in', async () => {
    using directory = temporaryDirectory()
    writeFileSync(join(directory.path, '.env'), 'TXHOOK_DATA_DIR=elsewhere\nTXHOOK_BOGUS=1\n')
    await using txhook = await startTxhook({ variant, cwd: directory.path })
    expect((await txhook.fetch('/readyz')).status).toBe(200)
    expect(readdirSync(directory.path).sort()).toEqual(['.env', 'data'])
  })
})

test('a sender that never finishes its body does not keep txhook from ending within 10 s', async () => {
  using directory = temporaryDirectory()
  await using txhook = await startTxhook({ cwd: directory.path })
  const { hostname, port } = new URL(txhook.url)
  const head = 'POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
  const socket = await Bun.connect({ hostname, port: Number(port), socket: { data() {} } })
  socket.write(`${head}Content-Length: 100\r\n\r\n{`)
  // By the time of this answer the server has the stalled request as well.
  expect((await txhook.post(transactionBody())).status).toBe(202)

  const began = performance.now()
  expect((await txhook.end('SIGTERM')).exitCode).toBe(0)
  expect(performance.now() - began).toBeLessThan(10_000)
  socket.end()
})

describe('exit codes', () => {
  test('a port that is taken is exit 1, and says so', async () => {
    using directory = temporaryDirectory()
    await using other = await startTxhook({ cwd: directory.path })
    const port = new URL(other.url).port
    const args = ['--port', port, '--data-dir', 'second']
    const { exitCode, stderr } = await runToEnd({ cwd: directory.path, args })
    expect(exitCode).toBe(1)
    expect(stderr).toContain(`Can't listen on 127.0.0.1:${port}`)
  })

  test('a data directory that cannot be made is exit 1', async () => {
    using directory = temporaryDirectory()
    writeFileSync(join(directory.path, 'data'), '')
    const { exitCode, stderr } = await runToEnd({ cwd: directory.path, args: ['--port', '0'] })
    expect(exitCode).toBe(1)
    expect(stderr).toContain("can't be made")
  })

  test('a second txhook on the same data directory is exit 3, and the first goes on', async () => {
    using directory = temporaryDirectory()
    await using first = await startTxhook({ cwd: directory.path })
    const second = await runToEnd({ cwd: directory.path, args: ['--port', '0'] })
    expect(second.exitCode).toBe(3)
    expect(second.stdout).not.toContain('listening')
    expect(second.stderr).toContain('in use by another txhook')
    expect((await first.post(transactionBody())).status).toBe(202)
  })

  test.each([
    ['newer than the executable', (path: string) => alter(path, 'PRAGMA user_version = 99')],
    ["another program's", (path: string) => alter(path, 'PRAGMA application_id = 1')],
    ['cut short', (path: string) => writeFileSync(path, readFileSync(path).subarray(0, 9_000))],
    ['no database', (path: string) => writeFileSync(path, 'a diary')],
  ])('a database that is %s is exit 4 and left untouched', async (_name, damage) => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'data', 'txhook.db')
    await using first = await startTxhook({ cwd: directory.path })
    await first.end('SIGTERM')
    damage(path)
    const before = readFileSync(path)
    const { exitCode, stderr } = await runToEnd({ cwd: directory.path, args: ['--port', '0'] })
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 4 })
    expect(stderr).toContain('It is left untouched.')
    expect(readFileSync(path).equals(before)).toBeTrue()
  })

  test('a start without a target where there was one is exit 2, unless it is meant', async () => {
    using directory = temporaryDirectory()
    const cwd = directory.path
    await using first = await startTxhook({ cwd, args: ['--target-url', 'http://127.0.0.1:9/'] })
    await first.end('SIGTERM')
    const { exitCode, stderr } = await runToEnd({ cwd, args: ['--port', '0'] })
    expect(exitCode).toBe(2)
    expect(stderr).toContain('--target-url is not set')
    expect(stderr).toContain('--simulate')
    await using second = await startTxhook({ cwd, environment: { TXHOOK_SIMULATE: 'true' } })
    expect((await second.post(transactionBody())).status).toBe(202)
    await second.end('SIGTERM')
    expect((await runToEnd({ cwd, args: ['--port', '0'] })).exitCode).toBe(2)
  })

  test('version and --version print the version, --help the verbs', async () => {
    using directory = temporaryDirectory()
    for (const word of ['version', '--version']) {
      const ended = await runToEnd({ cwd: directory.path, args: [word] })
      expect(ended).toEqual({ exitCode: 0, stdout: `${version}\n`, stderr: '' })
    }
    const help = await runToEnd({ cwd: directory.path, args: ['--help'] })
    expect(help.exitCode).toBe(0)
    for (const verb of ['serve', 'healthcheck', 'version']) expect(help.stdout).toContain(verb)
  })

  test('healthcheck is 0 while the server is ready and 1 when it is gone', async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ cwd: directory.path })
    const args = ['healthcheck', '--port', new URL(txhook.url).port]
    expect(await runToEnd({ cwd: directory.path, args })).toMatchObject({ exitCode: 0 })
    await txhook.end('SIGTERM')
    expect(await runToEnd({ cwd: directory.path, args })).toMatchObject({ exitCode: 1 })
  })
})

function alter(path: string, sql: string): void {
  const database = new Database(path)
  database.run(sql)
  database.close(true)
}

test('Ctrl-C ends a verb that waits for a server', async () => {
  using directory = temporaryDirectory()
  const asked = Promise.withResolvers<void>()
  await using server = {
    listener: Bun.serve({
      port: 0,
      fetch() {
        asked.resolve()
        return new Promise<Response>(() => {})
      },
    }),
    [Symbol.asyncDispose]: () => server.listener.stop(true),
  }
  const child = Bun.spawn(
    [...(await commandOf('source')), 'list', '--url', server.listener.url.href],
    {
      cwd: directory.path,
      stdio: ['ignore', 'ignore', 'ignore'],
    },
  )
  await asked.promise
  child.kill('SIGINT')
  await child.exited
  expect(child.signalCode).toBe('SIGINT')
})

test('a start says whether calls are simulated, or where they go, and no more of the URL', async () => {
  using directory = temporaryDirectory()
  const log = async (args: readonly string[]) => {
    await using txhook = await startTxhook({ cwd: directory.path, args })
    return (await txhook.end('SIGTERM')).stdout
  }
  expect(await log([])).toContain('"message":"calls are simulated"')
  const stdout = await log(['--target-url', 'http://127.0.0.1:9/hidden?token=hidden'])
  expect(stdout).toContain('"message":"calls go to the target"')
  expect(stdout).toContain('"target":"http://127.0.0.1:9"')
  expect(stdout).not.toContain('hidden')
})
