import { describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, readConfig } from '../../src/config/read-config.ts'
import { ALL_SETTINGS, SETTINGS, type Setting } from '../../src/config/settings.ts'
import { temporaryDirectory } from '../support/service.ts'
import { secretOf } from '../support/signature-cases.ts'

/** A valid value of each setting. */
const VALID: Record<string, string> = {
  ...Object.fromEntries(ALL_SETTINGS.map((key) => [key, (SETTINGS[key] as Setting).default ?? ''])),
  targetUrl: 'http://127.0.0.1:9/a',
  targetSecret: secretOf('a'),
  webhookSecrets: `${secretOf('a')},${secretOf('b')}`,
  apiKeys: 'key-a,key-b',
  allowHost: 'txhook.example',
}

type Read = { value: unknown } | { faults: string[] }

/** Reads one setting in each way in which it can be given: by flag, variable and file. */
function readEach(key: keyof Config, text: string): [name: string, read: Read][] {
  const { flag, variable, file }: Setting = SETTINGS[key]
  using directory = temporaryDirectory()
  const path = join(directory.path, 'value')
  writeFileSync(path, text)
  const ways: [string, Parameters<typeof readConfig>][] = [
    [flag, [{ [flag]: text }, {}, [key]]],
    [variable, [{}, { [variable]: text }, [key]]],
  ]
  if (file) ways.push([`${variable}_FILE`, [{}, { [`${variable}_FILE`]: path }, [key]]])
  return ways.map(([name, args]) => {
    const read = readConfig(...args)
    return [name, Array.isArray(read) ? { faults: read } : { value: read[key] }]
  })
}

describe.each(ALL_SETTINGS)('the text of %s', (key) => {
  const good = VALID[key] as string
  const [, expected] = readEach(key, good)[0] as [string, Read]

  test('counts without the white space at its ends, wherever it comes from', () => {
    expect(expected).toHaveProperty('value')
    for (const text of [` ${good}`, `${good}\n`, `\t${good}\r\n`, `${good}\n\n`, `\ufeff${good}`]) {
      for (const [name, read] of readEach(key, text)) expect([name, read]).toEqual([name, expected])
    }
  })

  test.each([
    ['a line end', (text: string) => `${text}\n${text}`],
    ['a NUL', (text: string) => `${text}\0${text}`],
    ['an escape', (text: string) => `${text}\u001b[31m${text}`],
    ['a C1 control', (text: string) => `${text}\u009b${text}`],
    ['double quotes', (text: string) => `"${text}"`],
    ['single quotes', (text: string) => `'${text}'`],
    ['quotes and a line end', (text: string) => `"${text}"\n`],
  ])('is a fault with %s, which names where it comes from and nothing more', (_name, edit) => {
    const text = edit(good)
    for (const [name, read] of readEach(key, text)) {
      // The parts of a list may stand on lines of their own.
      if (text === `${good}\n${good}` && good.includes(',')) continue
      const { faults } = read as { faults: string[] }
      expect(faults[0]).toStartWith(`${name} must be `)
      expect(faults).toHaveLength(1)
      if ((SETTINGS[key] as Setting).file) expect(faults[0]).not.toContain(good.slice(6, 20))
    }
  })
})

test('each part of a list is a fault where it is in quotes', () => {
  for (const text of ['"key-a","key-b"', "key-a,'key-b'", 'key-a\n"key-b"']) {
    for (const [name, read] of readEach('apiKeys', text)) {
      expect([name, read]).toEqual([name, { faults: [`${name} must be without quotes around it`] }])
    }
  }
  for (const [, read] of readEach('webhookSecrets', `"${secretOf('a')}",${secretOf('b')}`)) {
    expect(read).toHaveProperty('faults')
  }
  // Quotes within a key, or at one end, are part of it.
  for (const [, read] of readEach('apiKeys', 'a"b,"c'))
    expect(read).toEqual({ value: ['a"b', '"c'] })
})

test('a path that begins with ~ is a fault, also that of a file', () => {
  const rule = 'must be a path that does not begin with ~, which only a shell replaces'
  for (const path of ['~', '~/data', '~user/data', ' ~/data']) {
    for (const [name, read] of readEach('dataDir', path)) {
      expect([name, read]).toEqual([name, { faults: [`${name} ${rule}`] }])
    }
    const variable = 'TXHOOK_API_KEYS_FILE'
    expect(readConfig({}, { [variable]: path }, ['apiKeys'])).toEqual([`${variable} ${rule}`])
  }
  expect(readConfig({ '--data-dir': './~' }, {}, ['dataDir'])).toEqual({ dataDir: './~' })
})

test('the name of a file is a value like any other', () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'keys')
  writeFileSync(path, 'key-a\n')
  const variable = 'TXHOOK_API_KEYS_FILE'
  const read = (text: string) => readConfig({}, { [variable]: text }, ['apiKeys'])
  expect(read(`${path}\n`)).toEqual({ apiKeys: ['key-a'] })
  expect(read(`"${path}"`)).toEqual([`${variable} must be without quotes around it`])
  expect(read(`${path}\0`)).toEqual([`${variable} must be without control characters`])
})

test('a variable of white space alone counts as unset', () => {
  expect(readConfig({}, { PORT: ' \n' }, ['port'])).toEqual({ port: 8000 })
})

test('whole numbers may begin with zeros', () => {
  for (const [, read] of readEach('concurrency', '0064')) expect(read).toEqual({ value: 64 })
  for (const [, read] of readEach('port', '0000000000')) expect(read).toEqual({ value: 0 })
})
