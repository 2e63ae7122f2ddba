import { describe, expect, test } from 'bun:test'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Config,
  type Environment,
  type Flags,
  readConfig,
} from '../../src/config/read-config.ts'
import { SETTINGS } from '../../src/config/settings.ts'
import { temporaryDirectory } from '../support/service.ts'
import { secretOf } from '../support/signature-cases.ts'

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

const keyOf = (char: string) => Buffer.from(char.repeat(32))

/** A setting, two valid values, what the first is read as, and the value where it is unset. */
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
  [
    'allowHost',
    'Hook.example., 10.0.0.1,[FE80::0]',
    'b',
    ['hook.example', '10.0.0.1', '[fe80::]'],
    [],
  ],
]

describe.each(GOOD)('the setting %s', (key, first, second, value, unset) => {
  const { flag, variable } = SETTINGS[key]
  // A target secret needs a target URL.
  const read = (flags: Flags, environment: Environment = {}) =>
    config(key === 'targetSecret' ? { '--target-url': 'http://a/', ...flags } : flags, environment)

  test('has its default', () => {
    expect(read({})[key]).toEqual(unset as Config[typeof key])
  })

  test('is read from its variable; an empty one counts as unset', () => {
    expect(read({}, { [variable]: first })[key]).toEqual(value as Config[typeof key])
    expect(read({}, { [variable]: '' })[key]).toEqual(unset as Config[typeof key])
    expect(read({}, { [variable]: undefined })[key]).toEqual(unset as Config[typeof key])
  })

  test('is read from its flag before its variable, also where the variable is invalid', () => {
    for (const other of [second, '', ' bad ']) {
      expect(read({ [flag]: first }, { [variable]: other })[key]).toEqual(
        value as Config[typeof key],
      )
    }
  })

  test('needs a value for its flag', () => {
    expect(faults({ [flag]: true })).toEqual([`${flag} needs a value`])
    expect(faults({ [flag]: true }, { [variable]: first })).toEqual([`${flag} needs a value`])
    // An empty value is a value, and is invalid.
    expect(faults({ [flag]: '' }, { [variable]: first })[0]).toStartWith(`${flag} must `)
  })
})

const NOT_NUMBERS = ['-1', '+1', '1.0', '1e3', '0x10', '1 1', '1_000', '', 'ten', '١', '1\n1']

const BAD: [key: keyof Config, values: string[]][] = [
  ['port', [...NOT_NUMBERS, '65536', '99999999999999999999']],
  ['host', ['']],
  ['dataDir', ['']],
  ['processingDelayMs', [...NOT_NUMBERS, '2592000001']],
  ['maxBodyBytes', [...NOT_NUMBERS, '0', '67108865']],
  ['maxBacklog', [...NOT_NUMBERS, '0', '9007199254740992']],
  ['logLevel', ['', 'INFO', 'warning', 'trace', 'in fo', 'toString']],
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
  [
    'allowHost',
    ['', ',', 'a,', 'a:80', '[::1]:80', '::1', 'http://a', 'a/b', 'u@a', '*', 'a b', '%'],
  ],
  ['apiKeys', ['', ',', 'a,', ',a', 'a,,b', 'a b', 'a\tb', 'ä', 'a\x7f', 'a,b c', '\u00a0a\u200b']],
]

describe.each(BAD)('the setting %s', (key, values) => {
  const { flag, variable } = SETTINGS[key]

  test.each(values)('refuses %p', (value) => {
    const [fault, ...more] = faults({ [flag]: value })
    expect(fault).toStartWith(`${flag} must `)
    expect(more).toBeEmpty()
    if (value === '') return
    expect(faults({}, { [variable]: value })).toEqual([(fault as string).replace(flag, variable)])
  })
})

test('these tests cover every setting', () => {
  const known = new Set<string>([...GOOD, ...BAD].map(([key]) => key))
  // The flags without a value: see below.
  expect(Object.keys(SETTINGS).filter((key) => !known.has(key))).toEqual([
    'simulate',
    'allowInsecure',
  ])
})

test('a configuration is frozen', () => {
  expect(Object.isFrozen(config({}))).toBe(true)
})

test('a delay may be 30 days long', () => {
  expect(config({ '--processing-delay-ms': '2592000000' }).processingDelayMs).toBe(2_592_000_000)
})

test('several secrets are all read, with spaces around the commas', () => {
  const secrets = `${secretOf('a')} , ${secretOf('b')},${secretOf('c')}`
  expect(config({ '--webhook-secrets': secrets }).webhookSecrets).toEqual(
    ['a', 'b', 'c'].map(keyOf),
  )
})

test('API keys may be any visible ASCII, with spaces around the commas', () => {
  const keys = '!"#$%&\'()*+-./:;<=>?@[]^_`{|}~'
  expect(config({ '--api-keys': `${keys} , a,\tb ` }).apiKeys).toEqual([keys, 'a', 'b'])
})

describe.each(['simulate', 'allowInsecure'] as const)('the switch %s', (name) => {
  const { flag, variable } = SETTINGS[name]

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
  ] as [Flags, Environment, boolean][])(
    'is read from %j and %j as %p',
    (flags, environment, allowed) => {
      expect(config(flags, environment)[name]).toBe(allowed)
    },
  )

  test.each(['', 'yes', '1', '0', 'TRUE', 'True', 't rue', 'on', 'no'])('refuses %p', (value) => {
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
  ])('that is a loopback address needs neither secrets nor keys: %s', (host) => {
    expect(config({ '--host': host }).host).toBe(host)
    expect(config({ '--host': host, ...secrets }).host).toBe(host)
    expect(config({}, { HOST: host }).host).toBe(host)
  })

  test.each(OTHERS)('that other machines reach needs both, or --allow-insecure: %s', (host) => {
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

  test('that other machines reach is one of several faults', () => {
    const all = faults({ '--host': '0.0.0.0', '--port': 'x' }, { TXHOOK_NOPE: '1' })
    expect(all).toHaveLength(3)
    expect(all.filter((fault) => fault.includes('0.0.0.0'))).toHaveLength(1)
    // Invalid secrets are not missing as well.
    const bad = faults({ '--host': '0.0.0.0', '--webhook-secrets': 'bad', ...keys })
    expect(bad.map((fault) => fault.split(' ')[0])).toEqual(['--webhook-secrets'])
    const lacking = faults({ '--host': '0.0.0.0', '--webhook-secrets': 'bad' })
    expect(lacking).toHaveLength(2)
    expect(lacking[1]).toContain(' without API keys: ')
    const unclear = faults({ '--host': '0.0.0.0', '--allow-insecure': 'perhaps' })
    expect(unclear).toEqual(['--allow-insecure must be true or false'])
  })

  test('of a server to call needs neither', () => {
    for (const host of OTHERS) {
      expect(readConfig({ '--host': host }, {}, ['host', 'port'])).toEqual({ host, port: 8000 })
    }
  })
})

test('every fault is named', () => {
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

test('only variables that begin with TXHOOK_ must be known, in that exact case', () => {
  config({}, { PATH: '/bin', NODE_ENV: 'x', txhook_port: 'x', MY_TXHOOK_PORT: 'x', TXHOOK: 'x' })
  for (const name of [
    'TXHOOK_PORTS',
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

test('no fault shows a key, a secret, or a URL, which may contain a token', () => {
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

  test('is read with or without a line end', () => {
    using directory = temporaryDirectory()
    for (const text of [secretOf('a'), `${secretOf('a')}\n`, `${secretOf('a')}\r\n`]) {
      const path = fileWith(directory.path, text)
      const { webhookSecrets } = config({}, { TXHOOK_WEBHOOK_SECRETS_FILE: path })
      expect(webhookSecrets).toEqual([keyOf('a')])
    }
  })

  test('is not read where the flag is set, nor where the name is empty', () => {
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

  test('and one in the variable are a fault', () => {
    using directory = temporaryDirectory()
    const path = fileWith(directory.path, secretOf('a'))
    const both = { TXHOOK_WEBHOOK_SECRETS: secretOf('a'), TXHOOK_WEBHOOK_SECRETS_FILE: path }
    expect(faults({}, both)).toEqual([
      'TXHOOK_WEBHOOK_SECRETS and TXHOOK_WEBHOOK_SECRETS_FILE are both set',
    ])
  })

  test('is a fault where the file is missing, a directory, empty or invalid', () => {
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
  ])('are read: %s', (_name, text, keys) => {
    using directory = temporaryDirectory()
    const environment = { TXHOOK_API_KEYS_FILE: fileWith(directory.path, text) }
    expect(config({}, environment).apiKeys).toEqual(keys)
  })

  test('for a target need its URL', () => {
    const secret = { '--target-secret': secretOf('a') }
    const alone = 'there is a target secret without a target URL: set --target-url'
    expect(faults(secret)).toEqual([alone])
    expect(faults({ ...secret, '--target-url': 'ftp://a/' })).toHaveLength(1)
  })

  test('are several secrets, one a line, but only one target secret', () => {
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

  test('and in the variable are a fault, unless the flag is set', () => {
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

  test('are a fault where the file is missing, a directory, empty or invalid', () => {
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
