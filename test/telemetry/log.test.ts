import { describe, expect, test } from 'bun:test'
import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { createLog, type Log, type LogLevel } from '../../src/telemetry/log.ts'

type Fields = Record<string, unknown>
type Written = Log & { lines: string[] }

function logOf(terminal: boolean, level: LogLevel = 'debug'): Written {
  const lines: string[] = []
  return { ...createLog({ level, terminal, write: (line) => void lines.push(line) }), lines }
}

/** The line of one entry. */
function written(terminal: boolean, fields: Fields, message = 'it happened'): string {
  const log = logOf(terminal)
  log.error(message, fields)
  expect(log.lines).toHaveLength(1)
  return log.lines[0] as string
}

const json = (fields: Fields, message?: string) =>
  JSON.parse(written(false, fields, message)) as Fields

/** The line on a terminal, without the colors of the log. */
const shown = (fields: Fields, message?: string) =>
  stripVTControlCharacters(written(true, fields, message))

/** Controls (C0, C1, DEL), line and paragraph separators, and bidirectional controls. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\p{Bidi_Control}]/u

/** One of each kind that could begin a line, move the cursor or reverse the text. */
const NASTY = [
  '\n',
  '\r',
  '\r\n',
  '\v',
  '\f',
  '\0',
  '\b',
  '\t',
  '\x1b[2J',
  '\x1b]0;title\x07',
  '\x7f',
  '\x85',
  '\x9b2J',
  '\u2028',
  '\u2029',
  '\u200e',
  '\u200f',
  '\u061c',
  '\u202a',
  '\u202e',
  '\u2066',
  '\u2069',
  '\n{"level":"ERROR","message":"forged"}\n',
] as const

// biome-ignore lint/suspicious/noControlCharactersInRegex: colors begin with one
const COLOR = /\x1b\[\d+m/g

/** The number of color changes in a line without fields. */
const COLORS = Object.fromEntries(
  (['debug', 'info', 'warn', 'error'] as const).map((level) => {
    const log = logOf(true)
    log[level]('it happened')
    return [level, log.lines[0]?.match(COLOR)?.length ?? 0]
  }),
) as Record<LogLevel, number>

describe('a line of JSON', () => {
  test('has level, message, time and the fields', () => {
    const { '@timestamp': time, ...rest } = json({ request_id: 'r', count: 3, list: [1, null] })
    expect(new Date(String(time)).toISOString()).toBe(String(time))
    expect(rest).toEqual({
      level: 'ERROR',
      message: 'it happened',
      logger: 'txhook',
      request_id: 'r',
      count: 3,
      list: [1, null],
    })
  })

  test('shows an error with its causes', () => {
    const error = new TypeError('outer', { cause: new Error('inner', { cause: 'the root' }) })
    expect(json({ error })).toMatchObject({
      error: {
        name: 'TypeError',
        message: 'outer',
        stack: expect.stringContaining('log.test.ts'),
        cause: { name: 'Error', message: 'inner', cause: 'the root' },
      },
    })
  })

  test('shows an error that is its own cause', () => {
    const error = new Error('round')
    error.cause = error
    expect(json({ error })).toMatchObject({ error: expect.stringContaining('error: round') })
  })
})

describe('a line for a terminal', () => {
  test('has the level, the message and the fields', () => {
    const line = shown({ signal: 'SIGTERM', count: 3, list: [1, null] }, 'stopping')
    expect(line).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} ERR .*stopping signal="SIGTERM" count=3 list=\[1,null\]\n$/,
    )
  })

  test('shows the message of an error', () => {
    expect(shown({ error: new Error('full') })).toEndWith(' error="full"\n')
  })
})

describe.each([
  ['of JSON', false],
  ['for a terminal', true],
])('a line %s', (_name, terminal) => {
  test.each(NASTY.map((text) => [JSON.stringify(text), text]))(
    'is one line without control characters: %s',
    (_shown, text) => {
      for (const value of [
        text,
        [text],
        { deep: { [text]: text } },
        new Error(text, { cause: new Error(text) }),
        new AggregateError([new Error(text)], text),
      ]) {
        const line = written(terminal, { value, after: 1 })
        const bare = terminal ? stripVTControlCharacters(line) : line
        expect(bare).toEndWith('\n')
        expect(bare.slice(0, -1)).not.toMatch(UNPRINTABLE)
      }
    },
  )

  test('is one line for any text', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom(...NASTY, '"', '\\', '\\u', ' ', 'a', '\ud800') }),
    )
    const value = fc.oneof(
      text,
      fc.array(text),
      fc.dictionary(text, text),
      text.map((message) => new Error(message)),
    )
    fc.assert(
      fc.property(value, fc.constantFrom('debug', 'info', 'warn', 'error'), (it, level) => {
        const log = logOf(terminal)
        log[level]('it happened', { value: it, after: 1 })
        const [line = '', ...more] = log.lines
        expect(more).toBeEmpty()
        const colors = terminal ? (line.match(COLOR)?.length ?? 0) : 0
        expect(colors).toBe(terminal ? COLORS[level] : 0)
        const bare = terminal ? line.replace(COLOR, '') : line
        expect(bare).toEndWith('\n')
        expect(bare.slice(0, -1)).not.toMatch(UNPRINTABLE)
      }),
      { numRuns: 300 },
    )
  })

  test.each([
    ['text', (length: number) => 'x'.repeat(length)],
    ['a list', (length: number) => ['x'.repeat(length)]],
    ['an object', (length: number) => ({ a: { b: 'x'.repeat(length) } })],
    ['an error', (length: number) => new Error('x'.repeat(length))],
    ['a cause', (length: number) => new Error('outer', { cause: new Error('x'.repeat(length)) })],
  ])('cuts long values, with an ellipsis: %s', (_kind, make) => {
    const short = written(terminal, { value: make(100), after: 'here' })
    expect(short).not.toContain('…')
    const long = written(terminal, { value: make(1_000_000), after: 'here' })
    expect(long.length).toBeLessThan(2_500)
    expect(long).toContain('…')
    expect(long).toContain('here')
  })

  test('cuts text that is longer than 2,000 characters', () => {
    const text = 'x'.repeat(2_000)
    const line = written(terminal, { value: text })
    expect(line).toContain(`"${text}"`)
    expect(written(terminal, { value: `${text}y` })).toContain(`"${text}…"`)
  })

  test('is written where its level is high enough', () => {
    const levels = ['debug', 'info', 'warn', 'error'] as const
    for (const [i, level] of levels.entries()) {
      const log = logOf(terminal, level)
      for (const each of levels) log[each](`at ${each}`)
      const names = log.lines.map((line) => /at (\w+)/.exec(line)?.[1])
      expect(names).toEqual(levels.slice(i))
    }
  })
})

test('any text is read back unchanged from a line of JSON', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (value) => {
      expect(json({ value }).value).toBe(value)
    }),
    { numRuns: 300 },
  )
})
