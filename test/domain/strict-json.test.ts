import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { objectWithout, sourceOf } from '../../src/domain/json-source.ts'
import { parseStrictJson } from '../../src/domain/strict-json.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)
const parse = (text: string) => parseBytes(bytesOf(text))

/** What is read, and the source of the root's `amount` where that is a number. */
function parseBytes(bytes: Uint8Array) {
  const result = parseStrictJson(bytes, 'amount')
  if (!result.ok) return result
  const { ok, value } = result
  const source = sourceOf(result, 'amount')
  return { ok, value, literal: /^[-\d]/.test(source ?? '') ? source : undefined }
}
/** The text is known to be read. */
function read(text: string) {
  const result = parseStrictJson(bytesOf(text), 'amount')
  if (!result.ok) throw new Error(result.message)
  return result
}

const nested = (depth: number, inner = '') => '['.repeat(depth) + inner + ']'.repeat(depth)

describe('what is read', () => {
  test('a webhook is read, with its amount as it was written', () => {
    expect(parse('{"transaction_id":"txn_001","amount":100.00,"currency":"USD"}')).toStrictEqual({
      ok: true,
      value: { transaction_id: 'txn_001', amount: 100, currency: 'USD' },
      literal: '100.00',
    })
  })

  test.each([
    '1',
    '-0',
    '"x"',
    'null',
    'true',
    '[]',
    '{}',
    ' \t\r\n[1, {"a": null}]\n',
    '"amount"',
  ])('any JSON value may be the root: %p', (text) => {
    expect(parse(text)).toStrictEqual({ ok: true, value: JSON.parse(text), literal: undefined })
  })

  test.each([
    '100',
    '100.00',
    '1e2',
    '1E+2',
    '-0',
    '0.10',
    '-1.5e-7',
    '1e400',
    '-1e400',
    `1${'0'.repeat(400)}`,
  ])('the literal is the source text: %p', (number) => {
    for (const text of [
      `{"amount":${number}}`,
      `{"a":[1],"amount" \n:\t ${number}\r\n }`,
      `{"amount":${number} ,"z":{"amount":7}}`,
      `{"a":{"amount":7},"b":[{"amount":8}],"\\u0061\\u006Dount":${number},"c":"\\n"}`,
    ])
      expect(parse(text)).toStrictEqual({ ok: true, value: JSON.parse(text), literal: number })
  })

  test.each([
    '{"amount":"100.00"}',
    '{"amount":null}',
    '{"amount":[1]}',
    '{"amount":{"amount":1}}',
    '{"Amount":1,"amounts":2,"\\"amount":3,"\\\\u0061mount":4}',
    '{"x":{"amount":1}}',
    '{"x":"amount","y":1}',
    '[{"amount":1}]',
    '["amount",1]',
  ])('there is no literal where no root member of that name is a number: %s', (text) => {
    expect(parse(text)).toStrictEqual({ ok: true, value: JSON.parse(text), literal: undefined })
  })

  test('a name that strings, arrays or all objects inherit is no member', () => {
    for (const text of ['"abc"', '[1,2]', '{"a":1}'])
      for (const name of ['length', 'toString', '__proto__'])
        expect(sourceOf(read(text), name)).toBeUndefined()
  })

  test('the key __proto__ makes a member like any other and pollutes nothing', () => {
    const result = parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}')
    if (!result.ok) throw new Error(result.message)
    const value = result.value as object
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor'])
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect('polluted' in value).toBe(false)
    expect('polluted' in {}).toBe(false)
  })

  test('a surrogate pair may be escaped, and a replacement character may be sent', () => {
    expect(parse('{"\\ud83d\\ude00":"\\uD83D\\uDE00 \ufffd"}')).toStrictEqual({
      ok: true,
      value: { '😀': '😀 \ufffd' },
      literal: undefined,
    })
  })

  test('an escaped backslash before "ud800" makes no surrogate', () => {
    expect(parse('["\\\\ud800"]')).toMatchObject({ ok: true, value: ['\\ud800'] })
  })

  test('objects of one shape may lie side by side with the same keys', () => {
    expect(parse('[{"a":{"a":1}},{"a":{"a":1}}]')).toMatchObject({ ok: true })
  })

  test('8 objects and arrays may lie inside one another, however many side by side', () => {
    expect(parse(nested(8, '1'))).toMatchObject({ ok: true })
    expect(parse(`${'{"a":'.repeat(8)}1${'}'.repeat(8)}`)).toMatchObject({ ok: true })
    expect(parse(`[${Array(100).fill('{"a":[]}').join()}]`)).toMatchObject({ ok: true })
    expect(parse(JSON.stringify(['['.repeat(100), '{"'.repeat(100)]))).toMatchObject({ ok: true })
  })
})

describe('what is refused', () => {
  test.each([
    ['', 'The body is empty, which is not JSON.'],
    [' \n', 'The body is not JSON: it ends too early, at character offset 2.'],
    ['{', 'The body is not JSON: it ends too early, at character offset 1.'],
    ['{"a":1', 'The body is not JSON: it ends too early, at character offset 6.'],
    ['{"a":[1,{}', 'The body is not JSON: it ends too early, at character offset 10.'],
    ['{"a" 1}', 'The body is not JSON: "1" at character offset 5 is out of place.'],
    ['{a:1}', 'The body is not JSON: "a" at character offset 1 is out of place.'],
    ["{'a':1}", 'The body is not JSON: "\'a\'" at character offset 1 is out of place.'],
    ['{"a":1,}', 'The body is not JSON: "}" at character offset 7 is out of place.'],
    ['{"a"}', 'The body is not JSON: "}" at character offset 4 is out of place.'],
    ['{1:2}', 'The body is not JSON: "1" at character offset 1 is out of place.'],
    ['{"a":1]', 'The body is not JSON: "]" at character offset 6 is out of place.'],
    ['{"a":1}}', 'The body is not JSON: "}" at character offset 7 is out of place.'],
    ['[1,]', 'The body is not JSON: "]" at character offset 3 is out of place.'],
    ['[[],]', 'The body is not JSON: "]" at character offset 4 is out of place.'],
    ['{"a":"a",}', 'The body is not JSON: "}" at character offset 9 is out of place.'],
    ['{},{}', 'The body is not JSON: "," at character offset 2 is out of place.'],
    ['["a":1]', 'The body is not JSON: ":" at character offset 4 is out of place.'],
    ['1 2', 'The body is not JSON: "2" at character offset 2 is out of place.'],
    ['01', 'The body is not JSON: "01" at character offset 0 is out of place.'],
    ['[+1]', 'The body is not JSON: "+1" at character offset 1 is out of place.'],
    ['[1.]', 'The body is not JSON: "1." at character offset 1 is out of place.'],
    ['[.5]', 'The body is not JSON: ".5" at character offset 1 is out of place.'],
    ['[NaN]', 'The body is not JSON: "NaN" at character offset 1 is out of place.'],
    ['nul', 'The body is not JSON: "nul" at character offset 0 is out of place.'],
    ['{}//', 'The body is not JSON: "//" at character offset 2 is out of place.'],
    ['1\0', 'The body is not JSON: "1\\u0000" at character offset 0 is out of place.'],
    ['\u00a01', 'The body is not JSON: "\u00a01" at character offset 0 is out of place.'],
    ['"abc', 'The body is not JSON: "\\"abc" at character offset 0 is out of place.'],
    ['["\t"]', 'The body is not JSON: "\\"\\t\\"" at character offset 1 is out of place.'],
    ['["\\x"]', 'The body is not JSON: "\\"\\\\x\\"" at character offset 1 is out of place.'],
    ['["\\u12"]', 'The body is not JSON: "\\"\\\\u12\\"" at character offset 1 is out of place.'],
  ])('a text that is no JSON, with the place: %p', (text, message) => {
    expect(parse(text)).toStrictEqual({ ok: false, message })
  })

  test('what a message quotes is cut short', () => {
    expect(parse('x'.repeat(5000))).toStrictEqual({
      ok: false,
      message: `The body is not JSON: "${'x'.repeat(60)}"… at character offset 0 is out of place.`,
    })
  })

  test.each([
    ['a byte that UTF-8 never has', [0xff], 0],
    ['a sequence cut off by a quote', [0x22, 0xc3, 0x22], 1],
    ['a lone surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22], 1],
    ['a surrogate pair, as CESU-8 has it', [0x22, 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80, 0x22], 1],
    ['an overlong form', [0x22, 0xc0, 0x80, 0x22], 1],
    ['a code point beyond Unicode', [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22], 1],
    ['a sequence cut off by the end', [0x22, 0xef, 0xbf, 0xbd, 0x22, 0xe2, 0x82], 5],
    ['a replacement character cut off by the end', [0x22, 0xef, 0xbf], 3],
    ['UTF-16', [0xff, 0xfe, 0x31, 0x00], 0],
  ])('invalid UTF-8: %s', (_, bytes, at) => {
    expect(parseBytes(Uint8Array.from(bytes))).toStrictEqual({
      ok: false,
      message: `The body is not valid UTF-8 at byte offset ${at}.`,
    })
  })

  test('a byte order mark, at the start or alone', () => {
    const message = 'The body begins with a byte order mark.'
    expect(parse('\ufeff{}')).toStrictEqual({ ok: false, message })
    expect(parse('\ufeff')).toStrictEqual({ ok: false, message })
    expect(parse('"\ufeff"')).toMatchObject({ ok: true, value: '\ufeff' })
  })

  test.each([
    ['{"a":1,"a":1}', '"a"', 7],
    ['{"a":1,"\\u0061":2}', '"a"', 7],
    ['{"a":{"b":1,"c":2},"a":3}', '"a"', 19],
    ['{"amount":1,"amount":2}', '"amount"', 12],
    ['{"":1,"":2}', '""', 6],
    ['{"x":[1,{"y":{"k":1,"l":2,"k":3}}]}', '"k"', 26],
    ['[{"k":1},{"k":1,"k":1}]', '"k"', 16],
    ['{"__proto__":1,"__proto__":2}', '"__proto__"', 15],
    ['{"__proto__":{},"\\u005f_proto__":{}}', '"__proto__"', 16],
    ['{"toString":1,"toString":2}', '"toString"', 14],
    ['{"1":1,"0":1,"1":2}', '"1"', 13],
    ['{"\\ud83d\\ude00":1,"😀":2}', '"😀"', 18],
    ['{"\\/":1,"/":2}', '"/"', 8],
  ])('a key twice in one object: %s', (text, key, at) => {
    const message = `The key ${key} comes twice in one object, again at character offset ${at}.`
    expect(parse(text)).toStrictEqual({ ok: false, message })
  })

  test.each([
    ['"\\ud800"', 'A string has a lone surrogate.'],
    ['["a","\\uDFFF"]', 'A string has a lone surrogate.'],
    ['{"a":"\\ude00\\ud83d"}', 'A string under the key "a" has a lone surrogate.'],
    ['{"a":[1,["\\ud83dx"]]}', 'A string under the key "a" has a lone surrogate.'],
    ['{"\\ud800":1}', 'The key "\\ud800" has a lone surrogate.'],
    ['{"x":{"y\\udfff":"\\ud800"}}', 'The key "y\\udfff" has a lone surrogate.'],
  ])('a lone surrogate: %s', (text, message) => {
    expect(parse(text)).toStrictEqual({ ok: false, message })
  })

  test.each([
    ['1e400', 'A number is beyond the doubles.'],
    ['[-1e999]', 'A number is beyond the doubles.'],
    ['{"a":[1e400]}', 'A number under the key "a" is beyond the doubles.'],
    ['{"amount":1e400,"a":1e400}', 'A number under the key "a" is beyond the doubles.'],
    ['{"amount":[1e400]}', 'A number under the key "amount" is beyond the doubles.'],
    ['{"a":{"amount":1e400}}', 'A number under the key "amount" is beyond the doubles.'],
    ['[{"amount":1e400}]', 'A number under the key "amount" is beyond the doubles.'],
  ])('a number that would read back as null: %s', (text, message) => {
    expect(parse(text)).toStrictEqual({ ok: false, message })
  })

  test.each([
    [nested(9), 8],
    [`${'{"a":'.repeat(9)}1${'}'.repeat(9)}`, 40],
    [`[[],${nested(8)}]`, 11],
    ['['.repeat(60_000), 8],
    [nested(30_000), 8],
    ['{"a":'.repeat(12_000), 40],
  ])('more than 8 objects and arrays inside one another', (text, at) => {
    const message = `The body nests deeper than 8 at character offset ${at}.`
    expect(parse(text)).toStrictEqual({ ok: false, message })
  })
})

describe('bodies made to be slow', () => {
  // Were any of these quadratic, it would run into the test's time limit.
  const many = (n: number, item: (i: number) => string) =>
    Array.from({ length: n }, (_, i) => item(i)).join()

  test('60 KB of one escaped key is a duplicate', () => {
    const text = `{${many(6_000, () => '"\\u0061":1')}}`
    expect(parse(text)).toMatchObject({
      ok: false,
      message: expect.stringContaining('"a" comes twice'),
    })
  })

  test.each([
    ['escaped keys', `{${many(150_000, (i) => `"\\u0061${i}":1`)}}`],
    [
      'escaped keys as long as the one asked for',
      `{${many(150_000, (i) => `"\\u0061mou${i}":1`)}}`,
    ],
    ['keys like array indexes', `{${many(150_000, (i) => `"${4_294_967_294 - i * 977}":1`)}}`],
    ['nested objects', `[${many(150_000, () => '{"a":{"a":[]}}')}]`],
    ['a long amount', `{"amount":${'1'.repeat(2_000_000)}}`],
    ['white space', `{"amount":${' '.repeat(2_000_000)}1}`],
    ['a string of escapes', `["${'\\n'.repeat(1_000_000)}"]`],
    ['white space between members', `{${many(20, (i) => `"${i}":1${' '.repeat(100_000)}`)}}`],
    ['backslashes', `{"a":"${'\\\\'.repeat(1_000_000)}"}`],
    ['escaped quotes', `{"a":"${'\\"'.repeat(1_000_000)}"}`],
  ])('2 MB of %s are read, and written without the amount', (_, text) => {
    const result = read(text)
    if (!text.startsWith('{')) return
    const { amount: _amount, ...others } = JSON.parse(text)
    expect(JSON.parse(objectWithout(['amount'], result))).toEqual(others)
  })

  test.each([
    ['a key twice at the end', `{${many(150_000, (i) => `"\\u0061${i}":1`)},"a0":1}`],
    ['a string without an end', `["${'\\"'.repeat(1_000_000)}`],
    ['invalid escapes', `{${many(150_000, (i) => `"\\x${i}":1`)}}`],
    ['closing brackets', ']'.repeat(2_000_000)],
    ['opening and closing brackets that don’t match', '[}'.repeat(1_000_000)],
    ['a word', 'x'.repeat(2_000_000)],
    ['quotes', '"'.repeat(2_000_001)],
    ['a missing end', `[${many(500_000, () => '"a"')}`],
  ])('2 MB of %s are refused', (_, text) => {
    expect(parse(text).ok).toBe(false)
  })

  test('2 MB of bytes that are no UTF-8 are refused', () => {
    expect(parseStrictJson(new Uint8Array(2_000_000).fill(0x80), 'amount').ok).toBe(false)
  })
})

/**
 * The rules again, slowly: a recursive reader with an array of the decoded keys for each object.
 * It is for JSON only. `refused` is why the text is not to be read, if it isn't.
 */
function readSlowly(text: string): { refused: Set<string>; literal: string | undefined } {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g) ?? []
  const refused = new Set<string>()
  let literal: string | undefined
  let next = 0
  const readString = (token: string): string => {
    const decoded: string = JSON.parse(token)
    for (const char of decoded) if (/^[\ud800-\udfff]$/.test(char)) refused.add('surrogate')
    return decoded
  }
  const readMembers = (depth: number): void => {
    const keys: string[] = []
    while (tokens[next] !== '}') {
      if (tokens[next] === ',') next++
      const key = readString(tokens[next] as string)
      if (keys.includes(key)) refused.add('duplicate')
      keys.push(key)
      next += 2
      const token = tokens[next] as string
      if (depth === 1 && key === 'amount' && /^[-\d]/.test(token)) {
        literal = token
        next++
      } else readValue(depth)
    }
    next++
  }
  const readElements = (depth: number): void => {
    while (tokens[next] !== ']') {
      if (tokens[next] === ',') next++
      readValue(depth)
    }
    next++
  }
  const readValue = (depth: number): void => {
    const token = tokens[next++] as string
    if ('{['.includes(token) && depth === 8) refused.add('depth')
    if (token === '{') readMembers(depth + 1)
    else if (token === '[') readElements(depth + 1)
    else if (token.startsWith('"')) readString(token)
    else if (Math.abs(JSON.parse(token)) === Number.POSITIVE_INFINITY) refused.add('number')
  }
  readValue(0)
  return { refused, literal }
}

/** Holds the parser's answer against JSON.parse and the slow reader. */
function expectRightAnswer(bytes: Uint8Array): void {
  const result = parseBytes(bytes)
  if (!result.ok) expectClear(result.message)
  let text: string
  let value: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    value = JSON.parse(text)
  } catch {
    expect(result.ok).toBe(false)
    return
  }
  const { refused, literal } = readSlowly(text)
  if (refused.size > 0) expect(result.ok).toBe(false)
  else {
    expect(result).toStrictEqual({ ok: true, value, literal })
    expect(JSON.stringify(result)).toBe(JSON.stringify({ ok: true, value, literal }))
  }
}

function expectClear(message: string): void {
  expect(message).toMatch(/^(The|A) .*\.$/s)
  expect(message).not.toMatch(/offset (?!\d)/)
  expect(message.length).toBeLessThan(500)
  expect(message.isWellFormed()).toBe(true)
}

describe('whatever comes', () => {
  const RUNS = { numRuns: 2_000 }

  test('a value without lone surrogates reads as JSON.parse reads it', () => {
    const values = fc.jsonValue({ maxDepth: 7, stringUnit: 'binary' })
    fc.assert(
      fc.property(values, fc.constantFrom(0, 2, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        const result = parse(text)
        expect(result).toMatchObject({ ok: true })
        expect(result).toHaveProperty('value', JSON.parse(text))
      }),
      RUNS,
    )
  })

  test('keys spelt and repeated in any way are judged as the slow reader judges them', () => {
    fc.assert(
      fc.property(jsonTexts, (text) => expectRightAnswer(bytesOf(text))),
      RUNS,
    )
  })

  test('bytes changed at random never throw, and are judged as the slow reader judges them', () => {
    fc.assert(
      fc.property(jsonTexts, fc.array(edits, { maxLength: 4 }), (text, changes) => {
        let bytes = [...bytesOf(text)]
        for (const { at, remove, insert } of changes) {
          const start = Math.floor(at * bytes.length)
          bytes = [...bytes.slice(0, start), ...insert, ...bytes.slice(start + remove)]
        }
        expectRightAnswer(Uint8Array.from(bytes))
      }),
      RUNS,
    )
  })

  test('bytes without any sense never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => expectRightAnswer(bytes)),
      RUNS,
    )
  })
})

const edits = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  remove: fc.nat(3),
  insert: fc.oneof(
    fc.constantFrom('"', '\\', '{', '}', '[', ']', ':', ',', '0', '-', 'e9', '1e400').map(bytesOf),
    fc.constantFrom('\\ud800', '\\u0061', '"a":1,', '[[[', '\ufeff', '\0', '\u2028').map(bytesOf),
    fc.uint8Array({ maxLength: 3 }),
  ),
})

/** A string as JSON, each of its code units plain or escaped. */
const spelt = (strings: fc.Arbitrary<string>) =>
  fc.tuple(strings, fc.infiniteStream(fc.nat(5))).map(([string, dice]) => {
    const units = string.split('').map((unit) => {
      const hex = unit.charCodeAt(0).toString(16).padStart(4, '0')
      const roll = dice.next().value
      if (roll === 0) return `\\u${hex}`
      if (roll === 1) return `\\u${hex.toUpperCase()}`
      return JSON.stringify(unit).slice(1, -1)
    })
    return `"${units.join('')}"`
  })

/** JSON texts of a few keys, so that they repeat; some too deep, some with lone surrogates. */
const jsonTexts = fc.letrec<Record<'text' | 'value' | 'object' | 'array', string>>((tie) => {
  const names = ['a', 'b', 'c', '__proto__', 'length', '0', 'é', '"\\', '', 'amount', 'amount']
  const strings = ['', 'a', 'amount', '{"a":1}', '😀', '\\', 'é', '\u2028']
  const scalars = ['0', '-0', '100.00', '1e2', '5E-324', '12345678901234567890', 'true', 'null']
  const rarely = fc.oneof(fc.constant('1e400'), spelt(fc.constantFrom('\ud83d', '😀\ude00')))
  const space = fc.constantFrom('', '', '', ' ', '\n\t')
  const listed = (item: fc.Arbitrary<string>) =>
    fc.array(item, { maxLength: 3, size: 'max' }).map((items) => items.join())
  const member = fc
    .tuple(space, spelt(fc.constantFrom(...names)), space, tie('value'), space)
    .map(([before, key, between, value, after]) => `${before}${key}${between}:${value}${after}`)
  return {
    text: fc.tuple(space, tie('object'), space).map((parts) => parts.join('')),
    value: fc.oneof(
      { maxDepth: 9, depthSize: 'max' },
      { weight: 9, arbitrary: fc.constantFrom(...scalars) },
      { weight: 4, arbitrary: spelt(fc.constantFrom(...strings)) },
      { weight: 1, arbitrary: rarely },
      { weight: 7, arbitrary: tie('object') },
      { weight: 7, arbitrary: tie('array') },
    ),
    object: listed(member).map((members) => `{${members}}`),
    array: listed(tie('value')).map((elements) => `[${elements}]`),
  }
}).text
