import { describe, expect, test } from 'bun:test'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CommandLineDeps, runCommandLine } from '../../src/commands/command-line.ts'
import { type Config, type Environment, readConfig } from '../../src/config/read-config.ts'
import { SETTINGS, type Setting } from '../../src/config/settings.ts'
import { VERSION } from '../../src/version.ts'
import { temporaryDirectory } from '../support/service.ts'

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
  ['targetUrl', 'https://a.example/b?c', 'http://[::1]:1/', 'https://a.example/b?c', undefined],
  ['targetSecret', secretOf('a'), secretOf('b'), keyOf('a'), undefined],
  ['targetTimeoutMs', '1', '600000', 1, 15_000],
  ['concurrency', '1', '256', 1, 64],
  ['maxAttempts', '1', '1000', 1, 8],
  ['apiKeys', 'key-a,key-b', 'key-c', ['key-a', 'key-b'], []],
]

describe.each(GOOD)('the setting %s', (key, first, second, value, unset) => {
  const { flag, variable } = SETTINGS[key]
  // A secret for a target goes with one.
  const read = (flags: Flags, environment: Environment = {}) =>
    config(key === 'targetSecret' ? { '--target-url': 'http://a/', ...flags } : flags, environment)

  test('has its default', () => {
    expect(read({})[key]).toEqual(unset as Config[typeof key])
  })

  test('takes its variable, and an empty one counts as unset', () => {
    expect(read({}, { [variable]: first })[key]).toEqual(value as Config[typeof key])
    expect(read({}, { [variable]: '' })[key]).toEqual(unset as Config[typeof key])
    expect(read({}, { [variable]: undefined })[key]).toEqual(unset as Config[typeof key])
  })

  test('takes its flag before its variable, also where that one is bad', () => {
    for (const other of [second, '', ' bad ']) {
      expect(read({ [flag]: first }, { [variable]: other })[key]).toEqual(
        value as Config[typeof key],
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
  [
    'targetUrl',
    [
      '',
      'ledger.example',
      '//ledger.example/',
      '/transactions',
      'ftp://ledger.example/',
      'file:///etc/passwd',
      'javascript:alert(1)',
      'http://',
      'http://a b/',
      'http://a:70000/',
      'http://user@ledger.example/',
      'http://user:password@ledger.example/',
      'http://:password@ledger.example/',
    ],
  ],
  ['targetSecret', ['', 'secret', 'whsec_', `${secretOf('a')},${secretOf('b')}`]],
  ['targetTimeoutMs', [...NOT_NUMBERS, '0', '600001']],
  ['concurrency', [...NOT_NUMBERS, '0', '257']],
  ['maxAttempts', [...NOT_NUMBERS, '0', '1001']],
  ['apiKeys', ['', ',', 'a,', ',a', 'a,,b', 'a b', 'a\tb', 'ä', 'a\x7f', 'a,b c', '\u00a0a\u200b']],
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
  // It alone has a flag without a value.
  expect(Object.keys(SETTINGS).filter((key) => !known.has(key))).toEqual(['allowInsecure'])
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

test('API keys may be any visible ASCII, with spaces around the commas', () => {
  const keys = '!"#$%&\'()*+-./:;<=>?@[]^_`{|}~'
  expect(config({ '--api-keys': `${keys} , a,\tb ` }).apiKeys).toEqual([keys, 'a', 'b'])
})

describe('what is allowed insecurely', () => {
  const { flag, variable } = SETTINGS.allowInsecure

  test.each([
    [{}, {}, false],
    [{ [flag]: true }, {}, true],
    [{ [flag]: 'true' }, {}, true],
    [{ [flag]: 'false' }, {}, false],
    [{}, { [variable]: 'true' }, true],
    [{}, { [variable]: 'false' }, false],
    [{}, { [variable]: '' }, false],
    [{ [flag]: 'false' }, { [variable]: 'true' }, false],
    [{ [flag]: true }, { [variable]: 'false' }, true],
    [{ [flag]: 'true' }, { [variable]: 'nonsense' }, true],
  ] as [Flags, Environment, boolean][])('is by %j and %j: %p', (flags, environment, allowed) => {
    expect(config(flags, environment).allowInsecure).toBe(allowed)
  })

  test.each(['', 'yes', '1', '0', 'TRUE', 'True', ' true', 'on', 'no'])('is not by %p', (value) => {
    expect(faults({ [flag]: value })).toEqual([`${flag} must be true or false`])
    if (value === '') return
    expect(faults({}, { [variable]: value })).toEqual([`${variable} must be true or false`])
  })
})

describe('a host', () => {
  const OTHERS = [
    '0.0.0.0',
    '::',
    '[::]',
    '192.168.1.1',
    '10.0.0.1',
    '8.8.8.8',
    '128.0.0.1',
    '1.127.0.0.1',
    '127.0.0.1.example',
    'x127.0.0.1',
    'fe80::1',
    '2001:db8::1',
    '::2',
    '::ffff:192.168.1.1',
    'txhook.example',
    'localhost.example',
    'notlocalhost',
    '*',
  ]
  const secrets = { '--webhook-secrets': secretOf('a') }
  const keys = { '--api-keys': 'key-a' }

  test.each([
    'localhost',
    'LOCALHOST',
    '127.0.0.1',
    '127.1.2.3',
    '127.255.255.254',
    '::1',
    '[::1]',
  ])('that only this machine reaches needs neither secrets nor keys: %s', (host) => {
    expect(config({ '--host': host }).host).toBe(host)
    expect(config({ '--host': host, ...secrets }).host).toBe(host)
    expect(config({}, { HOST: host }).host).toBe(host)
  })

  test.each(OTHERS)('that others reach needs both, or leave: %s', (host) => {
    const [fault = '', ...more] = faults({ '--host': host })
    expect(more).toBeEmpty()
    expect(fault).toContain(`refusing to listen on ${host} without webhook secrets and API keys: `)
    for (const way of [
      'set --webhook-secrets and --api-keys',
      'use --host 127.0.0.1',
      'or --allow-insecure',
    ]) {
      expect(fault).toContain(way)
    }
    expect(faults({}, { HOST: host })).toEqual([fault])
    expect(faults({ '--host': host, '--allow-insecure': 'false' })).toEqual([fault])
    expect(faults({ '--host': host, ...secrets })[0]).toContain(' without API keys: ')
    expect(faults({ '--host': host, ...keys })[0]).toContain(' without webhook secrets: ')

    expect(config({ '--host': host, ...secrets, ...keys }).host).toBe(host)
    expect(config({ '--host': host, '--allow-insecure': true }).host).toBe(host)
    expect(config({ '--host': host }, { TXHOOK_ALLOW_INSECURE: 'true' }).host).toBe(host)
    const variables = { TXHOOK_WEBHOOK_SECRETS: secretOf('a'), TXHOOK_API_KEYS: 'key-a' }
    expect(config({ '--host': host }, variables).host).toBe(host)
  })

  test('that others reach is a fault among others', () => {
    const all = faults({ '--host': '0.0.0.0', '--port': 'x' }, { TXHOOK_NOPE: '1' })
    expect(all).toHaveLength(3)
    expect(all.filter((fault) => fault.includes('0.0.0.0'))).toHaveLength(1)
    // Bad secrets are one fault, and not two.
    const bad = faults({ '--host': '0.0.0.0', '--webhook-secrets': 'bad', ...keys })
    expect(bad.map((fault) => fault.split(' ')[0])).toEqual(['--webhook-secrets'])
    const lacking = faults({ '--host': '0.0.0.0', '--webhook-secrets': 'bad' })
    expect(lacking).toHaveLength(2)
    expect(lacking[1]).toContain(' without API keys: ')
    const unclear = faults({ '--host': '0.0.0.0', '--allow-insecure': 'perhaps' })
    expect(unclear).toEqual(['--allow-insecure must be true or false'])
  })

  test('of a server to ask needs neither', () => {
    for (const host of OTHERS) {
      expect(readConfig({ '--host': host }, {}, ['host', 'port'])).toEqual({ host, port: 8000 })
    }
  })
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

test('no fault shows a key, a secret or what may be a token in a URL', () => {
  const hidden = 'hidden-8d7fca12'
  for (const [{ flag, variable }, value] of [
    [SETTINGS.apiKeys, `${hidden},b c`],
    [SETTINGS.apiKeys, `${hidden},,`],
    [SETTINGS.webhookSecrets, hidden],
    [SETTINGS.webhookSecrets, `whsec_${hidden}`],
    [SETTINGS.targetSecret, hidden],
    [SETTINGS.targetSecret, `whsec_${hidden}`],
    [SETTINGS.targetUrl, `ftp://ledger.example/${hidden}`],
    [SETTINGS.targetUrl, `http://${hidden}@ledger.example/`],
    [SETTINGS.targetUrl, `http://x:${hidden}@ledger.example/`],
    [SETTINGS.targetUrl, `nowhere?token=${hidden}`],
  ] as const) {
    for (const all of [faults({ [flag]: value }), faults({}, { [variable]: value })]) {
      expect(all).toHaveLength(1)
      expect(all[0]).not.toContain('hidden')
    }
  }
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

describe('keys from a file', () => {
  const VARIABLES = { apiKeys: 'TXHOOK_API_KEYS', targetSecret: 'TXHOOK_TARGET_SECRET' } as const

  function fileWith(directory: string, text: string): string {
    const path = join(directory, 'keys')
    writeFileSync(path, text)
    return path
  }

  test.each([
    ['one', 'key-a', ['key-a']],
    ['with a line end', 'key-a\n', ['key-a']],
    ['one on each line', 'key-a\nkey-b\n', ['key-a', 'key-b']],
    ['with the line ends of Windows', 'key-a\r\nkey-b\r\n', ['key-a', 'key-b']],
    ['comma-separated', 'key-a, key-b,key-c', ['key-a', 'key-b', 'key-c']],
    ['in both ways', 'key-a,key-b\nkey-c', ['key-a', 'key-b', 'key-c']],
    ['with blank lines around them', '\n\nkey-a\n\n', ['key-a']],
  ])('count: %s', (_name, text, keys) => {
    using directory = temporaryDirectory()
    const environment = { TXHOOK_API_KEYS_FILE: fileWith(directory.path, text) }
    expect(config({}, environment).apiKeys).toEqual(keys)
  })

  test('of a target go with its URL', () => {
    const secret = { '--target-secret': secretOf('a') }
    const alone = 'there is a target secret without a target URL: set --target-url'
    expect(faults(secret)).toEqual([alone])
    expect(faults({ ...secret, '--target-url': 'ftp://a/' })).toHaveLength(1)
  })

  test('are secrets one on each line, and a target secret alone', () => {
    using directory = temporaryDirectory()
    const two = fileWith(directory.path, `${secretOf('a')}\n${secretOf('b')}\n`)
    const { webhookSecrets } = config({}, { TXHOOK_WEBHOOK_SECRETS_FILE: two })
    expect(webhookSecrets).toEqual([keyOf('a'), keyOf('b')])
    expect(faults({}, { TXHOOK_TARGET_SECRET_FILE: two })[0]).toStartWith(
      'TXHOOK_TARGET_SECRET_FILE must be one secret',
    )
    const one = fileWith(directory.path, `${secretOf('a')}\r\n`)
    const { targetSecret } = config(
      { '--target-url': 'http://a/' },
      { TXHOOK_TARGET_SECRET_FILE: one },
    )
    expect(targetSecret).toEqual(keyOf('a'))
  })

  test('and from the variable can’t both be, but the flag wins over either', () => {
    using directory = temporaryDirectory()
    for (const [key, variable] of Object.entries(VARIABLES)) {
      const path = fileWith(directory.path, secretOf('a'))
      const both = { [variable]: secretOf('b'), [`${variable}_FILE`]: path }
      expect(faults({}, both)).toEqual([`${variable} and ${variable}_FILE are both set`])
      const { flag } = SETTINGS[key as keyof typeof VARIABLES]
      const { apiKeys, targetSecret } = config(
        { [flag]: secretOf('c'), '--target-url': 'http://a/' },
        both,
      )
      expect(key === 'apiKeys' ? apiKeys : targetSecret).toEqual(
        key === 'apiKeys' ? [secretOf('c')] : keyOf('c'),
      )
    }
  })

  test('are a fault where the file is missing, a directory, empty or bad', () => {
    using directory = temporaryDirectory()
    const missing = join(directory.path, 'missing')
    const texts = ['', '\n', 'hidden key', 'hidden,,key', 'hidden\n\nkey', 'hidden\0key', '\ufeffä']
    for (const variable of Object.values(VARIABLES)) {
      for (const path of [missing, directory.path]) {
        const [fault, ...more] = faults({}, { [`${variable}_FILE`]: path })
        expect(fault).toStartWith(`${variable}_FILE: `)
        expect(more).toBeEmpty()
      }
      for (const text of texts) {
        const path = fileWith(directory.path, text)
        const [fault, ...more] = faults({}, { [`${variable}_FILE`]: path })
        expect(fault).toStartWith(`${variable}_FILE must be `)
        expect(fault).not.toContain('hidden')
        expect(more).toBeEmpty()
      }
    }
  })
})

type Run = { exitCode: number; printed: string; errors: string }

/** Runs a command line in this process; a server ends as soon as it listens and was used. */
async function run(
  words: string[],
  environment: Environment = {},
  use: (url: string) => Promise<void> = () => Promise.reject(new Error('the server started')),
): Promise<Run> {
  const printed: string[] = []
  const errors: string[] = []
  const used = Promise.withResolvers<string>()
  const deps: CommandLineDeps = {
    environment,
    terminal: false,
    print(text) {
      printed.push(text)
      const [url] = /http:[^"]+/.exec(text) ?? []
      if (url) use(url).then(() => used.resolve('SIGTERM'), used.reject)
    },
    printError: (text) => void errors.push(text),
    stopSignal: () => used.promise,
    exit(code) {
      throw new Error(`exit ${code}`)
    },
  }
  const exitCode = await runCommandLine(words, deps)
  return { exitCode, printed: printed.join(''), errors: errors.join('') }
}

describe('the command line', () => {
  test.each([['version'], ['--version'], ['-V'], ['serve --version']])(
    'prints its version: %s',
    async (line) => {
      const done = { exitCode: 0, printed: `${VERSION}\n`, errors: '' }
      expect(await run(line.split(' '))).toEqual(done)
    },
  )

  test.each([['--help'], ['-h'], ['help']])('prints its help: %s', async (line) => {
    const { exitCode, printed, errors } = await run(line.split(' '))
    expect([exitCode, errors]).toEqual([0, ''])
    for (const verb of ['serve', 'healthcheck', 'version']) expect(printed).toContain(verb)
  })

  test.each([['serve --help'], ['help serve']])(
    'prints every flag with its variable and default: %s',
    async (line) => {
      const { exitCode, printed, errors } = await run(line.split(' '))
      expect([exitCode, errors]).toEqual([0, ''])
      const words = printed.replace(/\s+/g, ' ')
      for (const { flag, variable, default: fallback } of Object.values<Setting>(SETTINGS)) {
        expect(words).toContain(` ${flag} `)
        expect(words).toContain(`(${variable}; default: ${fallback ?? 'none'})`)
      }
    },
  )

  /** What comes on standard error, without the headline. */
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
      const { exitCode, printed, errors } = await run(line, environment)
      const [headline, ...named] = errors.trimEnd().split('\n')
      expect(headline).toBe("txhook: can't start:")
      expect(named.map((fault) => fault.trim()).sort()).toEqual(all.sort())
      expect([exitCode, printed]).toEqual([2, ''])
    },
  )

  test.each([['version extra'], ['version --bogus'], ['help nonsense']])(
    'takes nothing more where nothing more is due: %s',
    async (line) => {
      const { exitCode, printed, errors } = await run(line.split(' '))
      expect([exitCode, printed]).toEqual([2, ''])
      expect(errors).not.toBeEmpty()
    },
  )

  test('doesn’t show the value of a flag that it doesn’t know: it may be a secret', async () => {
    const secret = secretOf('s')
    for (const line of [
      ['--webhook-secret', secret],
      [`--webhook-secret=${secret}`],
      ['--bogus', secret, '--port', 'x'],
    ]) {
      const { exitCode, errors } = await run(line)
      expect(exitCode).toBe(2)
      expect(errors).not.toContain(secret.slice(6, 20))
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
      const { exitCode, printed, errors } = await run(line, {}, async (url) => {
        ready = (await fetch(`${url}/readyz`)).status
      })
      expect([exitCode, ready, errors]).toEqual([0, 200, ''])
      const lines = printed.trimEnd().split('\n')
      const messages = lines.map((text) => (JSON.parse(text) as { message: string }).message)
      expect(messages.at(-4)).toStartWith('listening on http://127.0.0.1:')
      expect(messages.at(-3)).toStartWith('the service is open: ')
      expect(messages.slice(-2)).toEqual(['stopping', 'stopped'])
    }
  })

  test.each([[['--host', '0.0.0.0']], [['--host=::']], [['--host', '192.168.1.1', '--port', 'x']]])(
    'is refused on a host that others reach, with all ways out: %j',
    async (line) => {
      using directory = temporaryDirectory()
      const dataDir = join(directory.path, 'data')
      const { exitCode, printed, errors } = await run([...line, '--data-dir', dataDir])
      expect([exitCode, printed, existsSync(dataDir)]).toEqual([2, '', false])
      for (const way of ['--webhook-secrets', '--api-keys', '--host 127.0.0.1']) {
        expect(errors).toContain(way)
      }
      expect(errors).toContain('--allow-insecure')
      expect(errors.includes('--port must be')).toBe(line.includes('x'))
    },
  )

  test.each([
    [
      ['--webhook-secrets', secretOf('a'), '--api-keys', 'key-a'],
      [401, 401],
    ],
    [['--allow-insecure'], [415, 200]],
    [
      ['--allow-insecure', '--api-keys', 'key-a'],
      [415, 401],
    ],
    [
      ['--allow-insecure=true', '--webhook-secrets', secretOf('a')],
      [401, 200],
    ],
  ])('starts on every address with both, or where it is allowed: %j', async (line, statuses) => {
    using directory = temporaryDirectory()
    const address = ['--host', '0.0.0.0', '--port', '0', '--data-dir', directory.path]
    let answers: number[] = []
    const { exitCode, printed, errors } = await run([...address, ...line], {}, async (url) => {
      const { port } = new URL(url)
      const type = statuses[0] === 401 ? 'application/json' : 'text/plain'
      const headers = { 'content-type': type }
      const init = { method: 'POST', headers, body: '{}' }
      const asked = [fetch(`http://127.0.0.1:${port}/webhook`, init)]
      asked.push(fetch(`http://127.0.0.1:${port}/v1/transactions`))
      answers = (await Promise.all(asked)).map(({ status }) => status)
    })
    expect([exitCode, errors, answers]).toEqual([0, '', statuses])
    // And says what is open to whom.
    const anyone = (what: string) => printed.includes(`anyone who reaches it can ${what}`)
    expect([anyone('post'), anyone('read')]).toEqual(statuses.map((status) => status !== 401))
    for (const hidden of [secretOf('a').slice(6, 20), 'key-a'])
      expect(printed).not.toContain(hidden)
  })

  test('ends with 1 where the port is taken, and lets go of the directory', async () => {
    using directory = temporaryDirectory()
    using server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
    const line = ['--port', String(server.port), '--data-dir', directory.path]
    for (let i = 0; i < 2; i++) {
      const { exitCode, errors } = await run(line)
      expect(exitCode).toBe(1)
      expect(errors).toStartWith(`txhook: Can't listen on 127.0.0.1:${server.port}: `)
    }
  })

  test('ends with 1 where the data directory is a file', async () => {
    using directory = temporaryDirectory()
    const dataDir = join(directory.path, 'file')
    writeFileSync(dataDir, '')
    const { exitCode, errors } = await run(['--port', '0', '--data-dir', dataDir])
    expect(exitCode).toBe(1)
    expect(errors).toContain(dataDir)
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
    expect(await run(line)).toEqual({ exitCode: 0, printed: '', errors: '' })
    for (status of [503, 500, 404, 204]) {
      const { exitCode, errors } = await run(line)
      expect(exitCode).toBe(1)
      expect(errors).toContain(String(status))
    }
    expect(new Set(paths)).toEqual(new Set(['/readyz']))
  })

  test('where nobody listens is a fault that names the address', async () => {
    const server = Bun.serve({ port: 0, fetch: () => new Response() })
    const { port } = server
    await server.stop(true)
    const { exitCode, errors } = await run(['healthcheck', '--port', String(port)])
    expect(exitCode).toBe(1)
    expect(errors).toContain(`http://127.0.0.1:${port}/readyz`)
  })

  test('of a server that listens everywhere asks on the loopback address', async () => {
    using server = Bun.serve({ port: 0, hostname: '0.0.0.0', fetch: () => new Response() })
    const line = ['healthcheck', '--port', String(server.port), '--host', '0.0.0.0']
    expect((await run(line)).exitCode).toBe(0)
  })
})
