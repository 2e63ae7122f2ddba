import { describe, expect, test } from 'bun:test'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CommandLineDeps, runCommandLine } from '../src/commands/command-line.ts'
import { type Config, type Environment, readConfig, SETTINGS } from '../src/config.ts'
import { VERSION } from '../src/version.ts'
import { temporaryDirectory } from './support/service.ts'

type Flags = Parameters<typeof readConfig>[0]

function config(flags: Flags, environment: Environment = {}): Config {
  const read = readConfig(flags, environment)
  if (Array.isArray(read)) throw new Error(read.join('\n'))
  return read as Config
}

function faults(flags: Flags, environment: Environment = {}): string[] {
  const read = readConfig(flags, environment)
  if (!Array.isArray(read)) throw new Error('there is no fault')
  return read
}

const secretOf = (char: string) => `whsec_${Buffer.from(char.repeat(32)).toString('base64')}`
const keyOf = (char: string) => Buffer.from(char.repeat(32))

/** A setting with one value written in three ways, and what is to become of the first. */
const GOOD: [key: keyof Config, flag: string, variable: string, read: unknown, unset: unknown][] = [
  ['port', '0', '65535', 0, 8000],
  ['host', '::1', '0.0.0.0', '::1', '127.0.0.1'],
  ['dataDir', '/a b', './c', '/a b', './data'],
  ['processingDelayMs', '0', '5', 0, 30_000],
  ['maxBodyBytes', '1', '67108864', 1, 65_536],
  ['maxBacklog', '1', '9007199254740991', 1, 1_000_000],
  ['logLevel', 'debug', 'error', 'debug', 'info'],
  ['webhookSecrets', secretOf('a'), secretOf('b'), [keyOf('a')], []],
]

describe.each(GOOD)('the setting %s', (key, first, second, read, unset) => {
  const { flag, variable } = SETTINGS[key]

  test('has its default', () => {
    expect(config({})[key]).toEqual(unset as Config[typeof key])
  })

  test('takes its variable, and an empty one counts as unset', () => {
    expect(config({}, { [variable]: first })[key]).toEqual(read as Config[typeof key])
    expect(config({}, { [variable]: '' })[key]).toEqual(unset as Config[typeof key])
    expect(config({}, { [variable]: undefined })[key]).toEqual(unset as Config[typeof key])
  })

  test('takes its flag before its variable, also where that one is bad', () => {
    for (const value of [second, '', ' bad ']) {
      expect(config({ [flag]: first }, { [variable]: value })[key]).toEqual(
        read as Config[typeof key],
      )
    }
  })

  test('needs a value for its flag', () => {
    expect(faults({ [flag]: true })).toEqual([`${flag} needs a value`])
    expect(faults({ [flag]: true }, { [variable]: first })).toEqual([`${flag} needs a value`])
    // An empty value is one, and a bad one.
    expect(faults({ [flag]: '' }, { [variable]: first })[0]).toStartWith(`${flag} must `)
  })
})

const NOT_NUMBERS = ['-1', '+1', '1.0', '1e3', '0x10', ' 1', '1 ', '1_000', '', 'ten', '١', '1\n']

const BAD: [key: keyof Config, values: string[]][] = [
  ['port', [...NOT_NUMBERS, '65536', '99999999999999999999']],
  ['host', ['']],
  ['dataDir', ['']],
  ['processingDelayMs', [...NOT_NUMBERS, '2592000001']],
  ['maxBodyBytes', [...NOT_NUMBERS, '0', '67108865']],
  ['maxBacklog', [...NOT_NUMBERS, '0', '9007199254740992']],
  ['logLevel', ['', 'INFO', 'warning', 'trace', 'info ', 'toString']],
  [
    'webhookSecrets',
    [
      '',
      ',',
      'secret',
      'whsec_',
      'whsec_!!!!',
      `whsec_${Buffer.alloc(23).toString('base64')}`,
      `whsec_${Buffer.alloc(65).toString('base64')}`,
      `${secretOf('a')},`,
      `${secretOf('a')},,${secretOf('b')}`,
      `${secretOf('a')};${secretOf('b')}`,
      `${secretOf('a')} ${secretOf('b')}`,
    ],
  ],
]

describe.each(BAD)('the setting %s', (key, values) => {
  const { flag, variable } = SETTINGS[key]

  test.each(values)('is not %p', (value) => {
    const [fault, ...more] = faults({ [flag]: value })
    expect(fault).toStartWith(`${flag} must `)
    expect(more).toBeEmpty()
    if (value === '') return
    expect(faults({}, { [variable]: value })).toEqual([(fault as string).replace(flag, variable)])
  })
})

test('there is nothing among the settings that these tests don’t know', () => {
  const known = new Set<string>([...GOOD, ...BAD].map(([key]) => key))
  const later = ['targetUrl', 'targetSecret', 'targetTimeoutMs', 'concurrency', 'maxAttempts']
  const others = [...later, 'apiKeys', 'allowInsecure']
  expect(
    Object.keys(SETTINGS).filter((key) => !known.has(key) && !others.includes(key)),
  ).toBeEmpty()
})

test('a configuration can’t be changed', () => {
  expect(Object.isFrozen(config({}))).toBe(true)
})

test('a day and a month are delays', () => {
  expect(config({ '--processing-delay-ms': '2592000000' }).processingDelayMs).toBe(2_592_000_000)
})

test('several secrets are all taken, with spaces around the commas', () => {
  const secrets = `${secretOf('a')} , ${secretOf('b')},${secretOf('c')}`
  expect(config({ '--webhook-secrets': secrets }).webhookSecrets).toEqual(
    ['a', 'b', 'c'].map(keyOf),
  )
})

test('every fault is named, wherever it is', () => {
  const all = faults(
    { '--port': '70000', '--host': true, '--log-level': 'loud' },
    {
      PORT: 'unread',
      TXHOOK_MAX_BODY_BYTES: '0',
      TXHOOK_MAX_BACKLOG: '-1',
      TXHOOK_WEBHOOK_SECRETS: 'nonsense',
      TXHOOK_PROCESSING_DELAY_MS: 'soon',
      TXHOOK_NO_SUCH_THING: '1',
      TXHOOK_: '1',
      TXHOOK_UNSET: '',
    },
  )
  expect(all.map((fault) => fault.split(' ')[0]).sort()).toEqual([
    '--host',
    '--log-level',
    '--port',
    'TXHOOK_',
    'TXHOOK_MAX_BACKLOG',
    'TXHOOK_MAX_BODY_BYTES',
    'TXHOOK_NO_SUCH_THING',
    'TXHOOK_PROCESSING_DELAY_MS',
    'TXHOOK_WEBHOOK_SECRETS',
  ])
})

test('only variables that begin with TXHOOK_ are looked for, letter by letter', () => {
  config({}, { PATH: '/bin', NODE_ENV: 'x', txhook_port: 'x', MY_TXHOOK_PORT: 'x', TXHOOK: 'x' })
  for (const name of [
    'TXHOOK_PORT',
    'TXHOOK_data_dir',
    'TXHOOK_DATA_DIR_FILE',
    'TXHOOK_DATA_DIR ',
  ]) {
    expect(faults({}, { [name]: '1' })).toEqual([`${name} is not a variable of txhook`])
  }
})

test('no fault shows a secret', () => {
  const secret = `${secretOf('s')},bad`
  const [fault] = faults({}, { TXHOOK_WEBHOOK_SECRETS: secret })
  expect(fault).not.toContain(secret.slice(6, 20))
  expect(fault).not.toContain('bad')
})

describe('a secret from a file', () => {
  function fileWith(directory: string, text: string): string {
    const path = join(directory, 'secrets')
    writeFileSync(path, text)
    return path
  }

  test('counts as the variable would, with or without a line end', () => {
    using directory = temporaryDirectory()
    for (const text of [secretOf('a'), `${secretOf('a')}\n`, `${secretOf('a')}\r\n`]) {
      const path = fileWith(directory.path, text)
      const { webhookSecrets } = config({}, { TXHOOK_WEBHOOK_SECRETS_FILE: path })
      expect(webhookSecrets).toEqual([keyOf('a')])
    }
  })

  test('gives way to the flag, and an empty name to the variable', () => {
    using directory = temporaryDirectory()
    const path = fileWith(directory.path, secretOf('a'))
    const flags = { '--webhook-secrets': secretOf('b') }
    expect(config(flags, { TXHOOK_WEBHOOK_SECRETS_FILE: path }).webhookSecrets).toEqual([
      keyOf('b'),
    ])
    const environment = { TXHOOK_WEBHOOK_SECRETS: secretOf('c'), TXHOOK_WEBHOOK_SECRETS_FILE: '' }
    expect(config({}, environment).webhookSecrets).toEqual([keyOf('c')])
    const other = { TXHOOK_WEBHOOK_SECRETS: '', TXHOOK_WEBHOOK_SECRETS_FILE: path }
    expect(config({}, other).webhookSecrets).toEqual([keyOf('a')])
  })

  test('and one from the variable can’t both be', () => {
    using directory = temporaryDirectory()
    const path = fileWith(directory.path, secretOf('a'))
    const both = { TXHOOK_WEBHOOK_SECRETS: secretOf('a'), TXHOOK_WEBHOOK_SECRETS_FILE: path }
    expect(faults({}, both)).toEqual([
      'TXHOOK_WEBHOOK_SECRETS and TXHOOK_WEBHOOK_SECRETS_FILE are both set',
    ])
  })

  test('is a fault where the file is missing, a directory, empty or bad', () => {
    using directory = temporaryDirectory()
    const paths = [
      join(directory.path, 'missing'),
      directory.path,
      ...['', '\n', 'nonsense'].map((text, i) => {
        const path = join(directory.path, `bad${i}`)
        writeFileSync(path, text)
        chmodSync(path, 0o600)
        return path
      }),
    ]
    for (const path of paths) {
      const [fault, ...more] = faults({}, { TXHOOK_WEBHOOK_SECRETS_FILE: path })
      expect(fault).toMatch(/^TXHOOK_WEBHOOK_SECRETS_FILE(:| must)/)
      expect(fault).not.toContain('nonsense')
      expect(more).toBeEmpty()
    }
  })
})

type Run = { exitCode: number; printed: string; complaint: string }

/** Runs a command line in this process; a server ends as soon as it listens and was used. */
async function run(
  words: string[],
  environment: Environment = {},
  use: (url: string) => Promise<void> = () => Promise.reject(new Error('the server started')),
): Promise<Run> {
  const printed: string[] = []
  const complaints: string[] = []
  const used = Promise.withResolvers<string>()
  const deps: CommandLineDeps = {
    environment,
    terminal: false,
    print(text) {
      printed.push(text)
      const [url] = /http:[^"]+/.exec(text) ?? []
      if (url) use(url).then(() => used.resolve('SIGTERM'), used.reject)
    },
    complain: (text) => void complaints.push(text),
    stopSignal: used.promise,
    exit(code) {
      throw new Error(`exit ${code}`)
    },
  }
  const exitCode = await runCommandLine(words, deps)
  return { exitCode, printed: printed.join(''), complaint: complaints.join('') }
}

describe('the command line', () => {
  test.each([['version'], ['--version'], ['-V'], ['serve --version']])(
    'prints its version: %s',
    async (line) => {
      const done = { exitCode: 0, printed: `${VERSION}\n`, complaint: '' }
      expect(await run(line.split(' '))).toEqual(done)
    },
  )

  test.each([['--help'], ['-h'], ['help']])('prints its help: %s', async (line) => {
    const { exitCode, printed, complaint } = await run(line.split(' '))
    expect([exitCode, complaint]).toEqual([0, ''])
    for (const verb of ['serve', 'healthcheck', 'version']) expect(printed).toContain(verb)
  })

  test.each([['serve --help'], ['help serve']])(
    'prints every flag with its variable and default: %s',
    async (line) => {
      const { exitCode, printed, complaint } = await run(line.split(' '))
      expect([exitCode, complaint]).toEqual([0, ''])
      const words = printed.replace(/\s+/g, ' ')
      for (const { flag, variable, default: fallback } of Object.values(SETTINGS)) {
        expect(words).toContain(` ${flag} `)
        expect(words).toContain(`(${variable}; default: ${fallback ?? 'none'})`)
      }
    },
  )

  /** What comes on standard error, without the headline. */
  const complaints: [line: string[], environment: Environment, faults: string[]][] = [
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

  test.each(complaints)(
    '%j with %j exits 2 and names every fault',
    async (line, environment, all) => {
      const { exitCode, printed, complaint } = await run(line, environment)
      const [headline, ...named] = complaint.trimEnd().split('\n')
      expect(headline).toBe("txhook: can't start:")
      expect(named.map((fault) => fault.trim()).sort()).toEqual(all.sort())
      expect([exitCode, printed]).toEqual([2, ''])
    },
  )

  test.each([['version extra'], ['version --bogus'], ['help nonsense']])(
    'takes nothing more where nothing more is due: %s',
    async (line) => {
      const { exitCode, printed, complaint } = await run(line.split(' '))
      expect([exitCode, printed]).toEqual([2, ''])
      expect(complaint).not.toBeEmpty()
    },
  )

  test('doesn’t show the value of a flag that it doesn’t know: it may be a secret', async () => {
    const secret = secretOf('s')
    for (const line of [
      ['--webhook-secret', secret],
      [`--webhook-secret=${secret}`],
      ['--bogus', secret, '--port', 'x'],
    ]) {
      const { exitCode, complaint } = await run(line)
      expect(exitCode).toBe(2)
      expect(complaint).not.toContain(secret.slice(6, 20))
    }
  })

  test('gives the settings of flags in both forms to the verb', async () => {
    using server = Bun.serve({ port: 0, fetch: () => new Response('', { status: 200 }) })
    const port = String(server.port)
    for (const line of [['--port', port], [`--port=${port}`]]) {
      expect((await run(['healthcheck', ...line])).exitCode).toBe(0)
    }
    expect((await run(['healthcheck'], { PORT: port })).exitCode).toBe(0)
  })
})

describe('serve', () => {
  test('is the default, creates what is missing, answers, and ends with 0', async () => {
    using directory = temporaryDirectory()
    const dataDir = join(directory.path, 'new', 'data')
    for (const verb of [[], ['serve']]) {
      let ready: number | undefined
      const line = [...verb, '--port', '0', '--data-dir', dataDir]
      const { exitCode, printed, complaint } = await run(line, {}, async (url) => {
        ready = (await fetch(`${url}/readyz`)).status
      })
      expect([exitCode, ready, complaint]).toEqual([0, 200, ''])
      const lines = printed.trimEnd().split('\n')
      const messages = lines.map((text) => (JSON.parse(text) as { message: string }).message)
      expect(messages.at(-4)).toStartWith('listening on http://127.0.0.1:')
      expect(messages.at(-3)).toStartWith('the service is open: ')
      expect(messages.slice(-2)).toEqual(['stopping', 'stopped'])
    }
  })

  test('ends with 1 where the port is taken, and lets go of the directory', async () => {
    using directory = temporaryDirectory()
    using server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
    const line = ['--port', String(server.port), '--data-dir', directory.path]
    for (let i = 0; i < 2; i++) {
      const { exitCode, complaint } = await run(line)
      expect(exitCode).toBe(1)
      expect(complaint).toStartWith(`txhook: Can't listen on 127.0.0.1:${server.port}: `)
    }
  })

  test('ends with 1 where the data directory is a file', async () => {
    using directory = temporaryDirectory()
    const dataDir = join(directory.path, 'file')
    writeFileSync(dataDir, '')
    const { exitCode, complaint } = await run(['--port', '0', '--data-dir', dataDir])
    expect(exitCode).toBe(1)
    expect(complaint).toContain(dataDir)
  })
})

describe('the health check', () => {
  test('asks for /readyz, and any answer but 200 is a fault', async () => {
    const paths: string[] = []
    let status = 200
    using server = Bun.serve({
      port: 0,
      fetch(request) {
        paths.push(new URL(request.url).pathname)
        return new Response('', { status })
      },
    })
    const line = ['healthcheck', '--port', String(server.port)]
    expect(await run(line)).toEqual({ exitCode: 0, printed: '', complaint: '' })
    for (status of [503, 500, 404, 204]) {
      const { exitCode, complaint } = await run(line)
      expect(exitCode).toBe(1)
      expect(complaint).toContain(String(status))
    }
    expect(new Set(paths)).toEqual(new Set(['/readyz']))
  })

  test('where nobody listens is a fault that names the address', async () => {
    const server = Bun.serve({ port: 0, fetch: () => new Response() })
    const { port } = server
    await server.stop(true)
    const { exitCode, complaint } = await run(['healthcheck', '--port', String(port)])
    expect(exitCode).toBe(1)
    expect(complaint).toContain(`http://127.0.0.1:${port}/readyz`)
  })

  test('of a server that listens everywhere asks on the loopback address', async () => {
    using server = Bun.serve({ port: 0, hostname: '0.0.0.0', fetch: () => new Response() })
    const line = ['healthcheck', '--port', String(server.port), '--host', '0.0.0.0']
    expect((await run(line)).exitCode).toBe(0)
  })
})
