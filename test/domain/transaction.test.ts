import { describe, expect, test } from 'bun:test'
import { parseStrictJson } from '../../src/domain/strict-json.ts'
import {
  differences,
  type FieldFault,
  parseTransaction,
  type Transaction,
} from '../../src/domain/transaction.ts'
import { transactionBody } from '../support/service.ts'

function parse(changes: Record<string, unknown> = {}): Transaction | FieldFault[] {
  return parseText(JSON.stringify(transactionBody(changes)))
}

function parseText(text: string): Transaction | FieldFault[] {
  const json = parseStrictJson(new TextEncoder().encode(text), 'amount')
  if (!json.ok) throw new Error(json.message)
  return parseTransaction(json)
}

function transaction(changes: Record<string, unknown> = {}): Transaction {
  const parsed = parse(changes)
  if (Array.isArray(parsed)) throw new Error(JSON.stringify(parsed))
  return parsed
}

function faults(changes: Record<string, unknown>): FieldFault[] {
  const parsed = parse(changes)
  if (!Array.isArray(parsed)) throw new Error('this is a transaction')
  return parsed
}

describe('reading', () => {
  test('gives the five fields, with the amount in minor units, and the extras', () => {
    expect(transaction({ amount: '12.5', note: 'x' })).toEqual({
      transactionId: 'txn_001',
      sourceAccount: 'A123',
      destinationAccount: 'B456',
      amount: 1250,
      currency: 'USD',
      extra: '{"note":"x"}',
    })
  })

  test('gives null where there are no extras', () => {
    expect(transaction().extra).toBeNull()
  })

  test('judges the amount by its text, which says more than its double', () => {
    // 0.1000000000000000055 is the double 0.1.
    const text = JSON.stringify(transactionBody({ amount: 0.1 }))
    expect(parseText(text)).toMatchObject({ amount: 10 })
    expect(parseText(text.replace('0.1', '0.1000000000000000055'))).toEqual([
      { path: 'amount', code: 'precision', message: expect.any(String) },
    ])
  })

  test('keeps the digits of the extras, and the order in which they came', () => {
    const numbers = '[9007199254740993,1.10,1e2,-0,{"2":1E+2,"1":0.10}]'
    const text = JSON.stringify(transactionBody()).slice(1)
    expect(parseText(`{ "b" : ${numbers} , "1": [ ], ${text}`)).toMatchObject({
      extra: `{"b":${numbers},"1":[]}`,
    })
  })

  test('finds an amount’s faults that no currency could mend beside a faulty currency', () => {
    const paths = (changes: Record<string, unknown>) =>
      faults({ currency: 'XXX', ...changes })
        .map(({ path }) => path)
        .sort()
    expect(paths({ amount: 0 })).toEqual(['amount', 'currency'])
    expect(paths({ amount: '1e2' })).toEqual(['amount', 'currency'])
    expect(paths({ amount: null })).toEqual(['amount', 'currency'])
    // How many decimals there may be, nobody knows.
    expect(paths({ amount: 0.12345 })).toEqual(['currency'])
  })

  test('names one fault a field', () => {
    const all = faults({
      transaction_id: ` ${'\n'.repeat(300)}`,
      source_account: '\u2028\u202e ',
      destination_account: undefined,
      amount: -0.001,
      currency: 'usd ',
    })
    expect(all.map(({ path }) => path).sort()).toEqual([
      'amount',
      'currency',
      'destination_account',
      'source_account',
      'transaction_id',
    ])
  })

  test('tells in words what is wrong, and repeats no value', () => {
    for (const { message } of faults({
      transaction_id: `secret${'x'.repeat(300)}`,
      source_account: 'secret\u202e',
      destination_account: ['secret'],
      amount: 'secret',
      currency: 'secret',
    })) {
      expect(message).toMatch(/^(must|is) /)
      expect(message).not.toContain('secret')
    }
  })
})

/**
 * The characters of the contract, written out from UCD 17.0 (PropList: White_Space, Bidi_Control;
 * general categories Cc, Zl, Zp) and ECMA-262's WhiteSpace, which has U+FEFF as well.
 */
const WHITE_SPACE: [number, number][] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]
const NOWHERE: [number, number][] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0x061c, 0x061c],
  [0x200e, 0x200f],
  [0x2028, 0x202e],
  [0x2066, 0x2069],
]
const isIn = (ranges: [number, number][], code: number) =>
  ranges.some(([first, last]) => code >= first && code <= last)

test('of all characters there are, those of the contract are refused, and no other', () => {
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const char = String.fromCodePoint(code)
    const nowhere = isIn(NOWHERE, code)
    const notAtAnEnd = nowhere || isIn(WHITE_SPACE, code)
    const value = transactionBody({
      transaction_id: `a${char}b`,
      source_account: `${char}b`,
      destination_account: `a${char}`,
      amount: '100',
    })
    // Not from text: a million texts take longer than the rest.
    const source = { text: '', members: [], spaces: false, escapes: false }
    const found = parseTransaction({ ok: true, value, ...source })
    const refused = Array.isArray(found) ? found.map(({ path }) => path) : []
    const expected = [
      ...(nowhere ? ['transaction_id'] : []),
      ...(notAtAnEnd ? ['source_account', 'destination_account'] : []),
    ]
    // A comparison of texts first: a million expectations take longer than the rest.
    if (`${refused}` !== `${expected}`) expect([code, refused]).toEqual([code, expected])
  }
})

describe('sameness', () => {
  test.each([
    ['the amount written otherwise', { amount: '100.00' }],
    ['other extras', { note: 'x' }],
  ])('is not touched by %s', (_name, changes) => {
    expect(differences(transaction(), transaction(changes))).toBeEmpty()
  })

  test.each([
    ['transaction_id', 'txn_002'],
    ['source_account', 'a123'],
    ['destination_account', 'B456 7'],
    ['amount', 100.01],
    ['currency', 'EUR'],
  ])('ends where %s differs', (field, received) => {
    const { [field]: stored } = transactionBody()
    const found = differences(transaction(), transaction({ [field]: received }))
    expect(found).toEqual([{ field, stored, received } as (typeof found)[number]])
  })

  test('shows amounts in major units, also where two currencies have the same number', () => {
    const [usd, jpy] = [transaction({ amount: 1 }), transaction({ amount: 100, currency: 'JPY' })]
    expect([usd.amount, jpy.amount]).toEqual([100, 100])
    expect(differences(usd, jpy)).toEqual([
      { field: 'amount', stored: 1, received: 100 },
      { field: 'currency', stored: 'USD', received: 'JPY' },
    ])
    expect(differences(usd, transaction({ amount: 1, currency: 'JPY' }))).toEqual([
      { field: 'currency', stored: 'USD', received: 'JPY' },
    ])
  })

  test('tells composed letters from decomposed ones', () => {
    const found = differences(
      transaction({ source_account: 'é' }),
      transaction({ source_account: 'e\u0301' }),
    )
    expect(found.map(({ field }) => field)).toEqual(['source_account'])
  })
})
