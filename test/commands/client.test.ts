import { describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { ask, urlOf } from '../../src/commands/client.ts'
import { listeningService, recordingService, run, runText } from '../support/command-line.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'

/** A server other than txhook: it answers any request with these bytes and closes. */
async function saying(bytes: string): Promise<AsyncDisposable & { url: string }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(bytes))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

describe('the server', () => {
  test('is found by PORT and HOST, or by the flags, which win', async () => {
    await using server = listeningService()
    await server.accept('a')
    const { port } = server
    for (const [words, environment] of [
      [[], { PORT: port }],
      [[], { PORT: port, HOST: '127.0.0.1' }],
      [[], { PORT: port, HOST: '0.0.0.0' }],
      [[], { PORT: port, HOST: '' }],
      [['--port', port], {}],
      [[`--port=${port}`, '--host=127.0.0.1'], { PORT: '1', HOST: 'nowhere.invalid' }],
      [['--url', server.url], { PORT: '1', HOST: 'nowhere.invalid' }],
      [['--url', server.url, '--port', '1'], {}],
      [['--url', `${server.url}/`], {}],
    ] as const) {
      const { exitCode, errors } = await run(['get', 'a', ...words], environment)
      expect([words, environment, exitCode, errors]).toEqual([words, environment, 0, ''])
    }
    // Settings that only the server uses are not read.
    const forTheServer = { PORT: port, TXHOOK_MAX_ATTEMPTS: 'many', TXHOOK_DATA_DIR: '/nowhere' }
    expect(await run(['get', 'a'], forTheServer)).toMatchObject({ exitCode: 0 })
  })

  test.each([
    ['127.0.0.1', 'http://127.0.0.1:8000'],
    ['0.0.0.0', 'http://127.0.0.1:8000'],
    ['localhost', 'http://localhost:8000'],
    ['::', 'http://[::1]:8000'],
    ['[::]', 'http://[::1]:8000'],
    ['::1', 'http://[::1]:8000'],
    ['[fe80::1]', 'http://[fe80::1]:8000'],
    ['txhook.example', 'http://txhook.example:8000'],
  ])('that listens on %s has the URL %s', (host, url) => {
    expect(urlOf({ host, port: 8000 })).toBe(url)
  })

  test('that does not run is exit 1 with its URL', async () => {
    const gone = await saying('')
    const { url } = gone
    await gone[Symbol.asyncDispose]()
    for (const words of [['get', 'a'], ['list'], ['retry', 'a'], ['retry', '--status', 'FAILED']]) {
      const { exitCode, printed, errors } = await run([...words, '--url', url])
      expect([exitCode, printed]).toEqual([1, []])
      expect(errors).toStartWith(`txhook: ${url} doesn't answer: `)
    }
  })

  test('that stops is exit 1', async () => {
    await using server = listeningService()
    await server.accept('a')
    const stopping = Promise.withResolvers<void>()
    server.before = () => {
      // It answers the request that is under way, and accepts no other.
      void server.stop().then(stopping.resolve)
    }
    expect(await server.run('get', 'a')).toMatchObject({ exitCode: 0 })
    await stopping.promise
    const { exitCode, errors } = await server.run('get', 'a')
    expect(exitCode).toBe(1)
    expect(errors).toContain("doesn't answer")
  })

  const FORGED = JSON.stringify({
    detail: '\u001b[31mRED\ndone',
    errors: [{ path: '\u001b]0;x\u0007', message: 'y\r' }],
  })
  const page = '<html><body><h1>Bad gateway</h1></body></html>'
  const answer = (status: number, ...lines: string[]) =>
    [`HTTP/1.1 ${status} X`, 'Connection: close', ...lines].join('\r\n')
  test.each([
    [
      'is a proxy with an error page',
      answer(502, `Content-Length: ${page.length}`, '', page),
      `502: ${JSON.stringify(page)}\n`,
    ],
    [
      'answers with a long page',
      answer(404, 'Content-Length: 9999', '', 'x'.repeat(9999)),
      `404: "${'x'.repeat(200)}"\n`,
    ],
    ['redirects', answer(302, 'Location: /y', 'Content-Length: 0', '', ''), '302: ""\n'],
    [
      'answers with control characters',
      answer(500, `Content-Length: ${FORGED.length}`, '', FORGED),
      '500:  [31mRED done\n   ]0;x  y \n',
    ],
    ['answers with HTML', answer(200, `Content-Length: ${page.length}`, '', page), 'JSON'],
    ['closes within the body', answer(200, 'Content-Length: 99', '', '{"a":'), "doesn't answer"],
    [
      'closes within a chunk',
      answer(200, 'Transfer-Encoding: chunked', '', '5\r\n{"a'),
      "doesn't answer",
    ],
    ['closes at once', '', "doesn't answer"],
    ['speaks another protocol', '220 smtp.example ESMTP\r\n', "doesn't answer"],
  ])('that %s is exit 1, and nothing is printed', async (_name, bytes, message) => {
    await using other = await saying(bytes)
    for (const words of [
      ['get', 'a'],
      ['retry', 'a'],
    ]) {
      const { exitCode, printed, errors } = await run([...words, '--url', other.url])
      expect([exitCode, printed]).toEqual([1, []])
      expect(errors).toStartWith(`txhook: ${other.url} `)
      expect(errors).toContain(message)
      expect(errors.length).toBeLessThan(400)
    }
  })

  test('that never answers is a timeout', async () => {
    const server = createServer((socket) => void socket.on('error', () => {}).resume())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const answer = ask(new URL(`http://127.0.0.1:${port}`), { timeoutMs: 20 })
    expect(await answer.catch((error: Error) => error.message)).toBe('no answer in 20 ms')
    await new Promise((resolve) => server.close(resolve))
  })

  test('is found by the healthcheck at the same address', async () => {
    await using server = listeningService()
    await server.start()
    const { port: PORT } = server
    expect(await run(['healthcheck'], { PORT })).toEqual({
      exitCode: 0,
      printed: [],
      errors: '',
    })
    expect(server.requests).toEqual(['GET /readyz'])
    await server.scheduler.stop()
    const { exitCode, errors } = await run(['healthcheck'], { PORT })
    expect([exitCode, errors]).toEqual([1, `txhook: ${server.url}/readyz answers 503\n`])
  })
})

describe('the API key', () => {
  const KEYS = 'key-8d7fca12b1,key-5e90bd44c7'
  const VERBS = [
    ['get', 'txn_001'],
    ['list'],
    ['retry', 'txn_001'],
    ['retry', '--status', 'FAILED', '--dry-run'],
  ]

  test('is the first of the configured ones', async () => {
    await using server = await recordingService({ '--api-keys': KEYS })
    await server.service.post(transactionBody())
    using directory = temporaryDirectory()
    const file = join(directory.path, 'keys')
    writeFileSync(file, KEYS.replace(',', '\n'))
    for (const environment of [{ TXHOOK_API_KEYS: KEYS }, { TXHOOK_API_KEYS_FILE: file }]) {
      expect((await runText(['get', 'txn_001', '--url', server.url], environment)).exitCode).toBe(0)
      expect((await runText(['list', '--url', server.url], environment)).exitCode).toBe(0)
    }
    expect((await runText(['list', '--url', server.url, '--api-keys', KEYS])).exitCode).toBe(0)
    server.requests.length = 0
    for (const words of VERBS) {
      const { errors } = await runText([...words, '--url', server.url], { TXHOOK_API_KEYS: KEYS })
      expect(errors).not.toContain('answers 401')
      expect(server.requests.pop()?.headers.get('authorization')).toBe('Bearer key-8d7fca12b1')
    }
  })

  test('is exit 1 where it is missing or unknown', async () => {
    await using server = await recordingService({ '--api-keys': KEYS })
    await server.service.post(transactionBody())
    for (const words of VERBS) {
      const none = await runText([...words, '--url', server.url])
      expect([none.exitCode, none.printed, none.errors]).toEqual([
        1,
        '',
        `txhook: ${server.url} answers 401: The header Authorization is missing.\n`,
      ])
      const wrong = await runText([...words, '--url', server.url], {
        TXHOOK_API_KEYS: 'wrong-key-1',
      })
      expect([wrong.exitCode, wrong.printed, wrong.errors]).toEqual([
        1,
        '',
        `txhook: ${server.url} answers 401: The API key is not known.\n`,
      ])
    }
  })

  test('is not sent where none is set', async () => {
    await using server = await recordingService()
    expect((await runText(['list', '--url', server.url])).exitCode).toBe(0)
    expect(server.requests.pop()?.headers.has('authorization')).toBe(false)
  })

  test('is exit 2 where it is malformed, and is not shown', async () => {
    for (const words of VERBS) {
      const { exitCode, errors } = await runText([...words, '--api-keys', 'a secret key'])
      expect(exitCode).toBe(2)
      expect(errors).toContain('--api-keys must be')
      expect(errors).not.toContain('a secret key')
    }
  })
})
