import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import type { Environment } from '../../src/config/read-config.ts'
import { SETTINGS, type Setting } from '../../src/config/settings.ts'
import { VERSION } from '../../src/version.ts'
import { listeningService, run, runText } from '../support/command-line.ts'
import { transactionPath } from '../support/contract-cases.ts'
import { runToEnd, startTxhook, until } from '../support/executable.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'
import { secretOf } from '../support/signature-cases.ts'

// A process of its own takes time on a busy machine.
setDefaultTimeout(60_000)

describe('the command line', () => {
  test.each([['version'], ['--version'], ['-V'], ['serve --version']])(
    'prints its version: %s',
    async (line) => {
      const done = { exitCode: 0, printed: `${VERSION}\n`, errors: '' }
      expect(await runText(line.split(' '))).toEqual(done)
    },
  )

  test.each([['--help'], ['-h'], ['help']])('prints its help: %s', async (line) => {
    const { exitCode, printed, errors } = await runText(line.split(' '))
    expect([exitCode, errors]).toEqual([0, ''])
    for (const verb of ['serve', 'healthcheck', 'version']) expect(printed).toContain(verb)
  })

  test.each([['serve --help'], ['help serve']])(
    'prints every flag with its variable and default: %s',
    async (line) => {
      const { exitCode, printed, errors } = await runText(line.split(' '))
      expect([exitCode, errors]).toEqual([0, ''])
      const words = printed.replace(/\s+/g, ' ')
      for (const { flag, variable, default: fallback } of Object.values<Setting>(SETTINGS)) {
        expect(words).toContain(` ${flag} `)
        expect(words).toContain(`(${variable}; default: ${fallback ?? 'none'})`)
      }
    },
  )

  /** Lines with faults, and what is printed to standard error after the first line. */
  const FAULTY_LINES: [line: string[], environment: Environment, faults: string[]][] = [
    [['--bogus'], {}, ['--bogus is not a flag of txhook']],
    [
      ['--bogus=1', '--other', '2'],
      {},
      ['--bogus is not a flag of txhook', '--other is not a flag of txhook'],
    ],
    [['-x'], {}, ['-x is not a flag of txhook']],
    [['--PORT=1'], {}, ['--PORT is not a flag of txhook']],
    [['--no-port'], {}, ['--no-port is not a flag of txhook']],
    [['serv'], {}, ['"serv" is not a verb of txhook']],
    [['serve', 'now'], {}, ['"now" is not a verb of txhook']],
    [['serve', 'serve'], {}, ['"serve" is not a verb of txhook']],
    [['healthcheck', '--bogus'], {}, ['--bogus is not a flag of txhook']],
    [['--port'], {}, ['--port needs a value']],
    [['--port', '--host', 'localhost'], {}, ['--port needs a value']],
    [['--port='], {}, ['--port must be a whole number from 0 to 65535, not ""']],
    [['--port=x'], {}, ['--port must be a whole number from 0 to 65535, not "x"']],
    [['serve', '--port', '-1'], {}, ['--port must be a whole number from 0 to 65535, not "-1"']],
    [
      ['--port', '1', '--port', 'x'],
      {},
      ['--port must be a whole number from 0 to 65535, not "x"'],
    ],
    [[], { TXHOOK_NOPE: '1' }, ['TXHOOK_NOPE is not a variable of txhook']],
    [['healthcheck'], { PORT: 'x' }, ['PORT must be a whole number from 0 to 65535, not "x"']],
    [
      ['start', '--bogus', 'value', '--port=70000', '--log-level', 'loud'],
      { TXHOOK_NOPE: '1', TXHOOK_MAX_BACKLOG: 'many', PORT: 'unread' },
      [
        '"start" is not a verb of txhook',
        '--bogus is not a flag of txhook',
        'TXHOOK_NOPE is not a variable of txhook',
        '--port must be a whole number from 0 to 65535, not "70000"',
        'TXHOOK_MAX_BACKLOG must be a whole number from 1 to 9007199254740991, not "many"',
        '--log-level must be one of debug, info, warn, error',
      ],
    ],
  ]

  test.each(FAULTY_LINES)(
    '%j with %j exits 2 and names every fault',
    async (line, environment, all) => {
      const { exitCode, printed, errors } = await runText(line, environment)
      const [headline, ...named] = errors.trimEnd().split('\n')
      expect(headline).toBe("txhook: can't start:")
      expect(named.map((fault) => fault.trim()).sort()).toEqual(all.sort())
      expect([exitCode, printed]).toEqual([2, ''])
    },
  )

  test.each([['version extra'], ['version --bogus'], ['help nonsense']])(
    'refuses too many arguments: %s',
    async (line) => {
      const { exitCode, printed, errors } = await runText(line.split(' '))
      expect([exitCode, printed]).toEqual([2, ''])
      expect(errors).not.toBeEmpty()
    },
  )

  test('does not show the value of an unknown flag: it may be a secret', async () => {
    const secret = secretOf('s')
    for (const line of [
      ['--webhook-secret', secret],
      [`--webhook-secret=${secret}`],
      ['--bogus', secret, '--port', 'x'],
    ]) {
      const { exitCode, errors } = await runText(line)
      expect(exitCode).toBe(2)
      expect(errors).not.toContain(secret.slice(6, 20))
    }
  })

  test('takes flags in both forms', async () => {
    using server = Bun.serve({ port: 0, fetch: () => new Response('', { status: 200 }) })
    const port = String(server.port)
    for (const line of [['--port', port], [`--port=${port}`]]) {
      expect((await runText(['healthcheck', ...line])).exitCode).toBe(0)
    }
    expect((await runText(['healthcheck'], { PORT: port })).exitCode).toBe(0)
  })
})

describe('bad usage', () => {
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
  ] as const)('%j is exit 2 without a request', async (words, message) => {
    await using server = listeningService()
    await server.accept('a', 'FAIL')
    await server.workOff()
    const { port: PORT } = server
    const { exitCode, printed, errors } = await run(words, { PORT })
    expect([exitCode, printed, server.requests]).toEqual([2, [], []])
    expect(errors).toContain(message)
    expect(await server.shown('a')).toMatchObject({ status: 'FAILED' })
  })

  test.each(['', '0', '00', '-1', '+5', '1e2', '1.5', '5 5', 'all', '0x10', '٥', '1234567890'])(
    'a limit of %j is exit 2 without a request',
    async (limit) => {
      await using server = listeningService()
      expect(await server.run('list', `--limit=${limit}`)).toEqual({
        exitCode: 2,
        printed: [],
        errors: `txhook: --limit must be a whole number from 1 to 999999999, not "${limit}"\n`,
      })
      expect(server.requests).toEqual([])
    },
  )

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

  test('--help lists the flags of a verb and is exit 0', async () => {
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

test.each([
  [['list', '--api-key=hidden']],
  [['send', '--webhook-secret=hidden']],
  [['send', 'http://a/', 'hidden', 'hidden']],
  [['secret', 'hidden']],
  [['send', 'http://hidden:hidden@127.0.0.1:1/']],
  [['send', 'http://127.0.0.1:1/?token=hidden']],
])('an error does not show what may be a secret: %j', async (words) => {
  const { exitCode, errors } = await runText(words)
  expect(exitCode).not.toBe(0)
  expect(errors).not.toBe('')
  expect(errors).not.toContain('hidden')
})

test('licenses prints the licenses of what the executable contains', async () => {
  const { exitCode, printed, errors } = await runText(['licenses'])
  expect([exitCode, errors]).toEqual([0, ''])
  // By line: a failure does not print the whole text.
  const lines = printed.split('\n')
  expect(lines.filter((line) => /^ {2}(?:commander|elysia) \S+ \(MIT\)$/.test(line))).toHaveLength(
    2,
  )
  for (const heading of ['txhook', 'Bun']) {
    expect([heading, lines.includes(heading)]).toEqual([heading, true])
  }
  for (const name of ['`sqlite`', 'JavaScriptCore', 'Permission is hereby granted']) {
    expect([name, printed.includes(name)]).toEqual([name, true])
  }
})

test('the verbs work from other processes', async () => {
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
  // A proxy in the environment is not used.
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
