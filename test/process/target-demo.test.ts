import { expect, setDefaultTimeout, test } from 'bun:test'
import { commandOf, runToEnd, startTxhook, until } from '../support/executable.ts'
import { type ShownTransaction, temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

/** Starts the receiver on a free port. `lines` are what it has printed about calls. */
async function startDemo(...args: string[]) {
  const command = [...(await commandOf('compiled')), 'target-demo', '--port', '0', ...args]
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'pipe' })
  const started = Promise.withResolvers<string>()
  let output = ''
  const read = async () => {
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      output += chunk
      const url = /--target-url (\S+)\n/.exec(output)?.[1]
      if (url) started.resolve(url)
    }
  }
  void read()
  const url = await started.promise
  return {
    child,
    url,
    lines: () => output.trimEnd().split('\n').slice(1),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}

test('target-demo receives what a txhook posts, and prints it', async () => {
  using directory = temporaryDirectory()
  await using demo = await startDemo('--delay-ms', '20')
  const args = ['--target-url', demo.url]
  await using txhook = await startTxhook({ cwd: directory.path, args })
  const posted = await txhook.post(transactionBody({ transaction_id: 'a b' }))
  const path = posted.headers.get('location') ?? ''
  const done = await until(
    async () => (await (await txhook.fetch(path)).json()) as ShownTransaction,
    ({ status }) => status === 'PROCESSED',
  )
  const { processing_started_at: began, processed_at: ended } = done
  expect(Date.parse(ended) - Date.parse(began)).toBeGreaterThanOrEqual(20)
  const [line, ...more] = demo.lines()
  expect([line, more]).toEqual([expect.stringContaining('200 a%20b {"transaction_id":"a b"'), []])
  demo.child.kill('SIGINT')
  await demo.child.exited
  expect([demo.child.signalCode, await demo.child.stderr.text()]).toEqual(['SIGINT', ''])
})

test('target-demo answers 500 by its rate, so that retries and FAILED can be seen', async () => {
  using directory = temporaryDirectory()
  await using demo = await startDemo('--fail-rate', '1')
  const args = ['--target-url', demo.url, '--max-attempts', '1']
  await using txhook = await startTxhook({ cwd: directory.path, args })
  const posted = await txhook.post(transactionBody())
  const path = posted.headers.get('location') ?? ''
  await until(
    async () => (await (await txhook.fetch(path)).json()) as ShownTransaction,
    ({ status }) => status === 'FAILED',
  )
  expect(demo.lines()[0]).toStartWith('500 txn_001 ')
  // Half of 200 calls, or some more or less.
  await using half = await startDemo('--fail-rate', '0.5')
  const answers = await Promise.all(
    Array.from({ length: 200 }, () => fetch(half.url, { method: 'POST', body: 'a\u001b[31m\nb' })),
  )
  const failed = answers.filter(({ status }) => status === 500).length
  expect(failed).toBeWithin(50, 151)
  await until(
    () => Bun.sleep(0),
    () => half.lines().length === 200,
  )
  for (const line of half.lines()) expect(line).toMatch(/^(200|500) - a \[31m b$/)
})

test.each([
  [['--fail-rate', '2'], '--fail-rate must be a number from 0 to 1, as 0.5'],
  [['--fail-rate', '-1'], '--fail-rate must be a number from 0 to 1, as 0.5'],
  [['--port', 'x'], '--port must be a whole number from 0 to 65535, not "x"'],
  [['--delay-ms', '600001'], '--delay-ms must be a whole number from 0 to 600000, not "600001"'],
])('target-demo %j is exit 2', async (args, message) => {
  using directory = temporaryDirectory()
  const ended = await runToEnd({ cwd: directory.path, args: ['target-demo', ...args] })
  expect(ended).toEqual({ exitCode: 2, stdout: '', stderr: `txhook: ${message}\n` })
})

test('target-demo on a port that is taken is exit 1', async () => {
  using directory = temporaryDirectory()
  using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
  const args = ['target-demo', '--port', String(other.port)]
  const { exitCode, stderr } = await runToEnd({ cwd: directory.path, args })
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`Can't listen on 127.0.0.1:`)])
})
