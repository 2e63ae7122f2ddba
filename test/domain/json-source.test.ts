import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { objectWithout, sourceOf } from '../../src/domain/json-source.ts'
import { parseStrictJson, type StrictJson } from '../../src/domain/strict-json.ts'

function read(text: string): StrictJson {
  const json = parseStrictJson(new TextEncoder().encode(text))
  if (!json.ok) throw new Error(json.message)
  return json
}

const others = (text: string) => objectWithout(['a', 'b'], read(text))

/** Numbers that JSON.stringify would write otherwise, or that a double rounds. */
const NUMBERS = [
  ...['9007199254740993', '-9007199254740993', '123456789012345678901234567890', '1.10', '100.00'],
  ...['1e2', '1E+2', '1e0002', '-0', '-0.0e-0', '0.1000000000000000055', '1e-400', '5e-324'],
]

describe('an object without some of its members', () => {
  test.each(NUMBERS)('keeps the number %s at any depth', (number) => {
    const kept = `{"c":${number},"d":[${number},{"e":[[${number}]],"f":"x"},${number}]}`
    expect(others(kept)).toBe(kept)
    expect(others(`{"a":1,${kept.slice(1)}`)).toBe(kept)
  })

  test('keeps the order of the text, also of keys that objects would move or hide', () => {
    const kept = '{"z":1,"10":{"2":1,"1":2},"__proto__":{"x":1},"9":3,"":4,"constructor":5}'
    expect(others(kept)).toBe(kept)
  })

  test.each([
    ['{}', '{}'],
    ['{ }', '{}'],
    ['{"a":1}', '{}'],
    ['{"a":1,"b":{"c":2}}', '{}'],
    ['{"c":1}', '{"c":1}'],
    ['{"a":1,"c":2,"b":3}', '{"c":2}'],
    ['{"c":1,"a":1,"d":2,"b":3,"e":4}', '{"c":1,"d":2,"e":4}'],
    ['{"c":{"a":1,"b":2},"a":[{"c":1}]}', '{"c":{"a":1,"b":2}}'],
    ['{"\\u0061":1,"\\u0063":2,"A":3}', '{"c":2,"A":3}'],
    ['{"a":"}","c":"{\\",\\"a\\":1}","b":","}', '{"c":"{\\",\\"a\\":1}"}'],
  ])('of %s is %s', (text, kept) => {
    expect(others(text)).toBe(kept)
    const spaced = text.replace(/"(?:[^"\\]|\\.)*"|[{}[\]:,]/g, ' \t$&\r\n')
    expect(others(spaced)).toBe(kept)
  })

  test.each([
    ['"\\u00e9\\/\\u0041\\ud83d\\ude00"', '"é/A😀"'],
    ['"\\u0000\\u001F\\u007f\\u2028"', '"\\u0000\\u001f\u007f\u2028"'],
    ['"\\"\\\\"', '"\\"\\\\"'],
    ['"  \\n  "', '"  \\n  "'],
    ['"\\\\"', '"\\\\"'],
  ])('has the string %s as JSON.stringify writes it', (written, kept) => {
    expect(others(`{"c":[${written}, "\\t" ,${written}],${written}:1}`)).toBe(
      `{"c":[${kept},"\\t",${kept}],${kept}:1}`,
    )
  })

  test('is otherwise what JSON.stringify makes of its value', () => {
    const members = fc.dictionary(
      fc.oneof(fc.constantFrom('a', 'b', 'c'), fc.string({ unit: 'binary' })),
      fc.jsonValue({ maxDepth: 6, stringUnit: 'binary' }),
    )
    fc.assert(
      fc.property(members, fc.constantFrom(0, 2, '\t'), (value, indent) => {
        const { a: _a, b: _b, ...kept } = value
        const text = JSON.stringify(value, null, indent)
        expect(others(text)).toBe(JSON.stringify(JSON.parse(JSON.stringify(kept))))
      }),
      { numRuns: 1_000 },
    )
  })
})

test('the source of a member is the text of its value, whatever its key looks like', () => {
  const json = read('{"x" :[ 1 , 2 ] ,"\\u0079":"\\u0061"\n, "": 1.10 ,"z":{"x":0} }')
  expect(['x', 'y', '', 'z', 'w'].map((key) => sourceOf(json, key))).toEqual([
    ...['[ 1 , 2 ]', '"\\u0061"', '1.10', '{"x":0}', undefined],
  ])
  expect(sourceOf(read('[{"x":1}]'), 'x')).toBeUndefined()
})
