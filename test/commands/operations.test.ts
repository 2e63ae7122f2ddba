import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { createServer } from 'node:net'
import { ask, urlOf } from '../../src/commands/client.ts'
import { type Ran, run } from '../support/command-line.ts'
import { transactionPath } from '../support/contract-cases.ts'
import { runToEnd, startTxhook, until } from '../support/executable.ts'
import { type ScriptedService, scriptedService } from '../support/scripted-service.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

type Listening = ScriptedService & {
  url: string
  port: string
  /** What came by HTTP, in order: the method, the path and the query. */
  requests: string[]
  /** Called before each of these is answered. */
  before(): unknown
  /** Runs a command line that is told where this server is. */
  run(...words: string[]): Promise<Ran>
}

/** A service that really listens, on a port of its own. Its calls do as each script says. */
function listening(): Listening {
  const service = scriptedService({ flags: { '--port': '0' } })
  const { app } = service
  const { fetch: answer } = app
  app.fetch = async (request) => {
    const { host, pathname, search } = new URL(request.url)
    // What the test asks by itself doesn't come by a port.
    if (host === 'localhost') return answer(request)
    running.requests.push(`${request.method} ${pathname}${search}`)
    await running.before()
    return answer(request)
  }
  const url = service.listen()
  const running: Listening = {
    ...service,
    url,
    port: new URL(url).port,
    requests: [],
    before: () => {},
    run: (...words) => run([...words, '--url', url]),
  }
  return running
}

/** A server that is no txhook: it sends these bytes to whoever asks, and hangs up. */
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

const ids = ({ printed }: Ran) =>
  printed.map((line) => (JSON.parse(line) as { transaction_id: string }).transaction_id)

const MARKS = [
  'a/b',
  '../a',
  '/',
  'a?b=c#d',
  '%',
  '%2F',
  'a b',
  '💶👩‍👩‍👧',
  'é',
  'e\u0301',
  'שלום',
  "'; --",
]

describe('get', () => {
  test('prints the transaction as it is shown, for people to read', async () => {
    await using server = listening()
    await server.accept('a', 'FAIL')
    await server.workOff()
    const { exitCode, printed, errors } = await server.run('get', 'a')
    expect([exitCode, errors]).toEqual([0, ''])
    expect(printed).toEqual([JSON.stringify(await server.shown('a'), null, 2)])
    expect(printed[0]).toContain('\n  "status": "FAILED",\n')
  })

  test('finds every id that there can be', async () => {
    await using server = listening()
    const all = [...MARKS, 'retry', '...', '-x', '--url', '0', 'x'.repeat(255)]
    for (const id of all) await server.accept(id)
    for (const id of all) {
      // What looks like a flag is an id behind a --.
      const { exitCode, printed } = await run(['get', '--url', server.url, '--', id])
      expect([id, exitCode]).toEqual([id, 0])
      expect(JSON.parse(printed[0] as string)).toMatchObject({ transaction_id: id })
    }
  })

  test('of what is not there is exit 1, and says so', async () => {
    await using server = listening()
    expect(await server.run('get', 'nobody')).toEqual({
      exitCode: 1,
      printed: [],
      errors: `txhook: ${server.url} answers 404: There is no transaction of this transaction_id.\n`,
    })
    for (const id of ['', '.', '..', '../..']) {
      expect(await server.run('get', id)).toMatchObject({ exitCode: 1, printed: [] })
    }
  })
})

describe('list', () => {
  test('prints the newest 50, a line of JSON each, as they are shown', async () => {
    await using server = listening()
    for (let i = 0; i < 52; i++) await server.accept(`txn_${i}`)
    const ran = await server.run('list')
    expect(ran.exitCode).toBe(0)
    // A list that is cut off should not pass for the whole.
    expect(ran.errors).toBe('txhook: there are more transactions: set a higher --limit\n')
    expect(ids(ran)).toEqual(Array.from({ length: 50 }, (_, i) => `txn_${51 - i}`))
    expect(JSON.parse(ran.printed[0] as string)).toEqual(await server.shown('txn_51'))
    for (const line of ran.printed) expect(line).not.toContain('\n')
    expect(server.requests).toEqual(['GET /v1/transactions?limit=50'])
  })

  test('prints nothing where there is nothing', async () => {
    await using server = listening()
    expect(await server.run('list')).toEqual({ exitCode: 0, printed: [], errors: '' })
  })

  test.each([
    [1, [1]],
    [249, [249]],
    [250, [250]],
    [251, [250, 1]],
    [500, [250, 250]],
    [599, [250, 250, 99]],
    [600, [250, 250, 100]],
    [601, [250, 250, 101]],
    [999_999_999, [250, 250, 250]],
  ])('with a limit of %i asks for pages of %j', async (limit, pages) => {
    await using server = listening()
    const all = Array.from({ length: 600 }, (_, i) => `txn_${i}`)
    await Promise.all(all.map((id) => server.accept(id)))
    const shown = await server.run('list', '--limit', String(limit))
    expect(shown.exitCode).toBe(0)
    // All of them came at once: in which order they are is what the database says.
    const order = server.store.database.client
      .query('SELECT transaction_id FROM transactions ORDER BY id DESC')
      .values()
      .map(([id]) => id)
    expect(ids(shown)).toEqual(order.slice(0, limit) as string[])
    expect(order).toHaveLength(600)
    const asked = server.requests.map((it) => Number(/limit=(\d+)/.exec(it)?.[1]))
    expect(asked).toEqual(pages)
    expect(server.requests.filter((it) => it.includes('cursor='))).toHaveLength(pages.length - 1)
  })

  test('hands on each flag of the filter as the parameter that it stands for', async () => {
    await using server = listening()
    const flags = [
      ...['--status', 'FAILED', '--currency', 'EUR', '--source-account', 'a&b=+é'],
      ...['--destination-account', '100%', '--from', '2026-01-01T00:00:00+02:00'],
      ...['--to', '2026-02-01T00:00Z', '--limit', '7'],
    ]
    expect(await server.run('list', ...flags)).toEqual({ exitCode: 0, printed: [], errors: '' })
    const [request = ''] = server.requests
    expect(Object.fromEntries(new URL(request.slice(4), server.url).searchParams)).toEqual({
      status: 'FAILED',
      currency: 'EUR',
      source_account: 'a&b=+é',
      destination_account: '100%',
      created_from: '2026-01-01T00:00:00+02:00',
      created_to: '2026-02-01T00:00Z',
      limit: '7',
    })
  })

  test('keeps its filter from page to page', async () => {
    await using server = listening()
    for (let i = 0; i < 600; i++) {
      const currency = i % 2 ? 'EUR' : 'USD'
      await server.post(transactionBody({ transaction_id: `${i}`, currency }))
    }
    const ran = await server.run('list', '--currency', 'EUR', '--limit', '400')
    expect(ids(ran)).toEqual(Array.from({ length: 300 }, (_, i) => `${599 - 2 * i}`))
    expect(server.requests).toHaveLength(2)
  })

  test('of a filter that is refused is exit 1, with every fault by the parameter’s name', async () => {
    await using server = listening()
    const ran = await server.run(
      ...['list', '--status', 'x', '--currency', 'usd', '--source-account', ''],
      ...['--destination-account', 'x'.repeat(129), '--from', 'now', '--to', '2026-02-30T00:00Z'],
    )
    expect([ran.exitCode, ran.printed]).toEqual([1, []])
    const [first, ...faults] = ran.errors.trimEnd().split('\n')
    expect(first).toStartWith(`txhook: ${server.url} answers 422: `)
    expect(faults.map((line) => line.split(' ')[2]).sort()).toEqual([
      'created_from',
      'created_to',
      'currency',
      'destination_account',
      'source_account',
      'status',
    ])
  })

  test('that breaks off is exit 1, after what it had', async () => {
    await using server = listening()
    for (let i = 0; i < 260; i++) await server.accept(`txn_${i}`)
    let asked = 0
    server.before = async () => {
      if (asked++ !== 1) return
      // The disk fails between the first page and the second.
      server.store.database.client.run('PRAGMA query_only = ON')
      await server.store.probe().catch(() => {})
    }
    const ran = await server.run('list', '--limit', '260')
    expect([ran.exitCode, ran.printed.length]).toEqual([1, 250])
    expect(ran.errors).toStartWith(`txhook: ${server.url} answers 503: `)
  })
})

describe('retry', () => {
  test('of one prints it as it now is', async () => {
    await using server = listening()
    await server.accept('a', 'FAIL', 'OK')
    await server.accept('b', 'FAIL', 'OK')
    await server.workOff()
    const { exitCode, printed, errors } = await server.run('retry', 'a')
    expect([exitCode, errors]).toEqual([0, ''])
    const pending = await server.shown('a')
    expect(pending).toMatchObject({ status: 'PENDING', attempts: 1 })
    expect(printed).toEqual([JSON.stringify(pending, null, 2)])
    await server.workOff()
    expect(await server.shown('a')).toMatchObject({ status: 'PROCESSED', attempts: 2 })
    expect(await server.shown('b')).toMatchObject({ status: 'FAILED', attempts: 1 })
  })

  test('knows every id, and tries no other again', async () => {
    await using server = listening()
    const all = [...MARKS, 'retry', '...', '-x', '--dry-run']
    for (const id of all) await server.accept(id, 'FAIL')
    await server.workOff()
    for (const [i, id] of all.entries()) {
      const { exitCode, printed } = await run(['retry', '--url', server.url, '--', id])
      expect([id, exitCode]).toEqual([id, 0])
      expect(JSON.parse(printed[0] as string)).toMatchObject({ transaction_id: id })
      expect(server.store.readings().transactions.PENDING).toBe(i + 1)
    }
  })

  test('of what has not failed, or is not there, is exit 1', async () => {
    await using server = listening()
    await server.accept('a')
    expect(await server.run('retry', 'a')).toEqual({
      exitCode: 1,
      printed: [],
      errors:
        `txhook: ${server.url} answers 409: Only a FAILED transaction can be tried again.\n` +
        '  status is PENDING\n',
    })
    expect(await server.run('retry', 'nobody')).toEqual({
      exitCode: 1,
      printed: [],
      errors: `txhook: ${server.url} answers 404: There is no transaction of this transaction_id.\n`,
    })
  })

  test('of no id at all tries nothing again', async () => {
    await using server = listening()
    await server.accept('a', 'FAIL')
    await server.workOff()
    for (const id of ['', '.', '..']) {
      expect(await server.run('retry', id)).toMatchObject({ exitCode: 1, printed: [] })
    }
    expect(await server.shown('a')).toMatchObject({ status: 'FAILED' })
  })

  test('of many prints how many there were, and how many are tried again', async () => {
    await using server = listening()
    for (const [id, currency] of [
      ['a', 'USD'],
      ['b', 'EUR'],
      ['c', 'EUR'],
    ] as const) {
      await server.post(transactionBody({ transaction_id: id, currency, script: ['FAIL'] }))
      server.clock.pass(1_000)
    }
    await server.workOff()
    await server.accept('d')
    const said = async (...words: string[]) => {
      const { exitCode, printed, errors } = await server.run('retry', ...words)
      expect([exitCode, errors]).toEqual([0, ''])
      return printed
    }
    const failed = ['--status', 'FAILED']
    expect(await said(...failed, '--dry-run')).toEqual(['{"matched":3,"retried":0}'])
    expect(server.store.readings().transactions).toMatchObject({ PENDING: 1, FAILED: 3 })
    const euros = ['--currency', 'EUR', '--from', '2026-01-01T01:00:02+01:00']
    expect(await said('--dry-run', ...euros)).toEqual(['{"matched":1,"retried":0}'])
    expect(await said(...euros)).toEqual(['{"matched":1,"retried":1}'])
    expect(await server.shown('c')).toMatchObject({ status: 'PENDING', attempts: 1 })
    expect(await said('--to', '2026-01-01T00:00:01Z')).toEqual(['{"matched":1,"retried":1}'])
    expect(await server.shown('a')).toMatchObject({ status: 'PENDING' })
    expect(await said('--source-account', 'nobody')).toEqual(['{"matched":0,"retried":0}'])
    expect(await said('--destination-account', 'B456')).toEqual(['{"matched":1,"retried":1}'])
    expect(await said(...failed)).toEqual(['{"matched":0,"retried":0}'])
  })

  test('of many that cannot fail is exit 1, and says why', async () => {
    await using server = listening()
    const { exitCode, printed, errors } = await server.run('retry', '--status', 'PROCESSED')
    expect([exitCode, printed]).toEqual([1, []])
    expect(errors).toStartWith(`txhook: ${server.url} answers 422: `)
    expect(errors).toContain('\n  filter.status must be FAILED')
  })
})

describe('a command line that is no good', () => {
  test.each([
    [['get'], "missing required argument 'id'"],
    [['get', 'a', 'b'], 'too many arguments'],
    [['get', 'a', '--nope'], "unknown option '--nope'"],
    [['get', 'a', '--status', 'FAILED'], "unknown option '--status'"],
    [['get', '-x'], "unknown option '-x'"],
    [['list', 'a'], 'too many arguments'],
    [['list', '--dry-run'], "unknown option '--dry-run'"],
    [['list', '--limit'], 'argument missing'],
    [['list', '--status'], 'argument missing'],
    [['list', '--cursor', 'NTA'], "unknown option '--cursor'"],
    [['retry'], '--status FAILED alone selects all'],
    [['retry', '--dry-run'], '--status FAILED alone selects all'],
    [['retry', 'a', '--dry-run'], 'retry takes an id, or a filter'],
    [['retry', 'a', '--status', 'FAILED'], 'retry takes an id, or a filter'],
    [['retry', '', '--status', 'FAILED'], 'retry takes an id, or a filter'],
    [['retry', 'a', 'b'], 'too many arguments'],
    [['retry', '--currency', 'EUR', '--limit', '5'], "unknown option '--limit'"],
    [['retry', '--currency', 'EUR', '--force'], "unknown option '--force'"],
    [['get', 'a', '--url'], 'argument missing'],
    [['get', 'a', '--port', 'x'], '--port must be a whole number'],
    [['get', 'a', '--port'], '--port needs a value'],
    [['list', '--host', ''], '--host must not be empty'],
    [['retry', 'a', '--port', '65536', '--host', ''], '--host must not be empty'],
  ] as const)('%j is exit 2, and asks nobody', async (words, message) => {
    await using server = listening()
    await server.accept('a', 'FAIL')
    await server.workOff()
    const { port: PORT } = server
    const { exitCode, printed, errors } = await run(words, { PORT })
    expect([exitCode, printed, server.requests]).toEqual([2, [], []])
    expect(errors).toContain(message)
    expect(await server.shown('a')).toMatchObject({ status: 'FAILED' })
  })

  test.each([
    '',
    '0',
    '00',
    '-1',
    '+5',
    '1e2',
    '1.5',
    ' 5',
    '5 ',
    'all',
    '0x10',
    '٥',
    '1234567890',
  ])('a limit of %j is exit 2, and asks nobody', async (limit) => {
    await using server = listening()
    expect(await server.run('list', `--limit=${limit}`)).toEqual({
      exitCode: 2,
      printed: [],
      errors: `txhook: --limit must be a whole number from 1 to 999999999, not "${limit}"\n`,
    })
    expect(server.requests).toEqual([])
  })

  test('names every fault of the address and of the variables', async () => {
    const environment = { PORT: '70000', TXHOOK_PROT: '1', TXHOOK_URL: 'http://x' }
    for (const words of [['get', 'a'], ['list'], ['retry', 'a'], ['retry', '--status', 'FAILED']]) {
      const { exitCode, errors } = await run([...words, '--host', ''], environment)
      expect(exitCode).toBe(2)
      const [, ...faults] = errors.trimEnd().split('\n')
      expect(faults).toEqual([
        '  TXHOOK_PROT is not a variable of txhook',
        '  TXHOOK_URL is not a variable of txhook',
        '  PORT must be a whole number from 0 to 65535, not "70000"',
        '  --host must not be empty',
      ])
    }
  })

  test.each([
    '',
    'nope',
    'localhost:8000',
    '//localhost',
    'ftp://localhost',
    'http://',
    'file:///x',
  ])('a server at %j is exit 2', async (url) => {
    expect(await run(['get', 'a', '--url', url])).toEqual({
      exitCode: 2,
      printed: [],
      errors: 'txhook: --url must be an http or https URL, without white space or a fragment\n',
    })
  })

  test('asks for help, and gets it: exit 0', async () => {
    for (const [verb, ...flags] of [
      ['get', '--url', '--port', '--host'],
      ['list', '--limit', '--status', '--currency', '--source-account', '--from', '--to'],
      ['retry', '--dry-run', '--destination-account', '--from', '--to'],
    ] as const) {
      const { exitCode, printed, errors } = await run([verb, '--help'])
      expect([exitCode, errors]).toEqual([0, ''])
      for (const flag of flags) expect(printed.join('')).toContain(flag)
    }
    const { printed } = await run(['--help'])
    for (const verb of ['get', 'list', 'retry']) expect(printed.join('')).toContain(`  ${verb} [`)
  })
})

describe('the server', () => {
  test('is where PORT and HOST say, unless a flag says something else', async () => {
    await using server = listening()
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
    // What is set for the server alone isn't looked at.
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
  ])('that listens on %s is at %s', (host, url) => {
    expect(urlOf({ host, port: 8000 })).toBe(url)
  })

  test('that does not run is exit 1, and says where it should', async () => {
    const gone = await saying('')
    const { url } = gone
    await gone[Symbol.asyncDispose]()
    for (const words of [['get', 'a'], ['list'], ['retry', 'a'], ['retry', '--status', 'FAILED']]) {
      const { exitCode, printed, errors } = await run([...words, '--url', url])
      expect([exitCode, printed]).toEqual([1, []])
      expect(errors).toStartWith(`txhook: ${url} doesn't answer: `)
    }
  })

  test('that stops is exit 1, and says so', async () => {
    await using server = listening()
    await server.accept('a')
    const stopping = Promise.withResolvers<void>()
    server.before = () => {
      // It waits for the request that is under way, and takes no other.
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
      'answers for it',
      answer(502, `Content-Length: ${page.length}`, '', page),
      `502: ${JSON.stringify(page)}\n`,
    ],
    [
      'has a long page',
      answer(404, 'Content-Length: 9999', '', 'x'.repeat(9999)),
      `404: "${'x'.repeat(200)}"\n`,
    ],
    ['sends elsewhere', answer(302, 'Location: /y', 'Content-Length: 0', '', ''), '302: ""\n'],
    [
      'forges lines',
      answer(500, `Content-Length: ${FORGED.length}`, '', FORGED),
      '500:  [31mRED done\n   ]0;x  y \n',
    ],
    ['is some other site', answer(200, `Content-Length: ${page.length}`, '', page), 'JSON'],
    ['hangs up in the middle', answer(200, 'Content-Length: 99', '', '{"a":'), "doesn't answer"],
    [
      'hangs up in a chunk',
      answer(200, 'Transfer-Encoding: chunked', '', '5\r\n{"a'),
      "doesn't answer",
    ],
    ['hangs up at once', '', "doesn't answer"],
    ['speaks something else', '220 smtp.example ESMTP\r\n', "doesn't answer"],
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

  test('that never answers is given up', async () => {
    const server = createServer((socket) => void socket.on('error', () => {}).resume())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const answer = ask(new URL(`http://127.0.0.1:${port}`), { timeoutMs: 20 })
    expect(await answer.catch((error: Error) => error.message)).toBe('no answer in 20 ms')
    await new Promise((resolve) => server.close(resolve))
  })

  test('is asked for /readyz by the healthcheck, at the same address', async () => {
    await using server = listening()
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

test('operators do all of it from another process, with the real executable', async () => {
  using directory = temporaryDirectory()
  let status = 400
  using target = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: () => new Response('', { status }),
  })
  const variant = 'source'
  const cwd = directory.path
  const args = ['--target-url', target.url.href]
  await using txhook = await startTxhook({ variant, cwd, args })
  const transaction_id = 'a/b 💶'
  // Whatever the environment says of proxies: a request to one's own server goes nowhere else.
  const proxy = 'http://127.0.0.1:1'
  const environment = { PORT: new URL(txhook.url).port, HTTP_PROXY: proxy, http_proxy: proxy }
  const operate = (...words: string[]) => runToEnd({ variant, cwd, environment, args: words })
  const state = async () =>
    (await (await txhook.fetch(transactionPath(transaction_id))).json()) as { status: string }

  await txhook.post(transactionBody({ transaction_id }))
  await txhook.post(transactionBody({ transaction_id: 'other', currency: 'EUR' }))
  const failed = async () => (await txhook.fetch('/v1/transactions?status=FAILED')).json()
  await until(failed as () => Promise<{ data: unknown[] }>, ({ data }) => data.length === 2)

  const got = await operate('get', transaction_id)
  expect([got.exitCode, got.stderr]).toEqual([0, ''])
  expect<unknown>(JSON.parse(got.stdout)).toEqual(await state())
  const listed = await operate('list', '--status', 'FAILED')
  expect(listed.exitCode).toBe(0)
  expect(
    listed.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toMatchObject([{ transaction_id: 'other' }, { transaction_id }])
  const counted = await operate('retry', '--status', 'FAILED', '--dry-run')
  expect(counted).toEqual({ exitCode: 0, stdout: '{"matched":2,"retried":0}\n', stderr: '' })

  status = 200
  const retried = await operate('retry', transaction_id)
  expect([retried.exitCode, retried.stderr]).toEqual([0, ''])
  expect(JSON.parse(retried.stdout)).toMatchObject({ transaction_id, status: 'PENDING' })
  await until(state, (shown) => shown.status === 'PROCESSED')
  const again = await operate('retry', transaction_id)
  expect(again).toMatchObject({ exitCode: 1, stdout: '' })
  expect(again.stderr).toContain('answers 409: Only a FAILED transaction can be tried again.')
  const many = await operate('retry', '--currency', 'EUR')
  expect(many).toEqual({ exitCode: 0, stdout: '{"matched":1,"retried":1}\n', stderr: '' })

  expect(await operate('list', '--nope')).toMatchObject({ exitCode: 2, stdout: '' })
  expect((await txhook.end('SIGTERM')).exitCode).toBe(0)
  const gone = await operate('list')
  expect(gone).toMatchObject({ exitCode: 1, stdout: '' })
  expect(gone.stderr).toContain("doesn't answer")
})
