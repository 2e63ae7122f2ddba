import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { FILTER_NAMES } from '../../src/domain/filter.ts'
import { Problem, type ProblemPart } from '../../src/http/problem.ts'
import {
  type Parameter,
  type ParameterValues,
  readParameters,
  readQuery,
} from '../../src/http/query.ts'

const ALL = [...FILTER_NAMES, 'transaction_id', 'limit', 'cursor'] as const

function read(query: string, names: readonly Parameter[] = ALL): ParameterValues<Parameter> {
  return readQuery(`http://localhost/list?${query}`, names)
}

/** The faults of a query. */
function faultsOf(query: string, names?: readonly Parameter[]): readonly ProblemPart[] {
  try {
    throw new Error(`It was accepted: ${JSON.stringify(read(query, names))}`)
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'invalid_parameters') throw error
    return error.errors ?? []
  }
}

const named = (parts: readonly ProblemPart[]) => parts.map(({ path, code }) => [path, code])

describe('a query', () => {
  test.each(['http://localhost/list', 'http://localhost/list?', 'http://localhost/list?&&'])(
    'without parameters has no values: %s',
    (url) => {
      expect(readQuery(url, ALL)).toEqual({})
    },
  )

  test('is decoded, with its parameters in any order', () => {
    const query =
      'limit=7&cursor=NTA&created_to=2026-01-01T00%3A00Z&created_from=2025-12-31T23:00-01:00' +
      '&destination_account=a%26b%3Dc+d&source_account=%F0%9F%92%B6&transaction_id=%25&currency=EUR' +
      '&%73tatus=FAILED'
    expect(read(query)).toEqual({
      limit: 7,
      cursor: 'NTA',
      created_to: Date.UTC(2026, 0, 1),
      created_from: Date.UTC(2026, 0, 1),
      destination_account: 'a&b=c d',
      source_account: '💶',
      transaction_id: '%',
      currency: 'EUR',
      status: 'FAILED',
    })
  })

  test('begins after the first question mark; another one belongs to it', () => {
    expect(read('source_account=what?')).toEqual({ source_account: 'what?' })
    expect(named(faultsOf('?limit=1'))).toEqual([['?limit', 'unknown']])
  })

  test.each([
    ['limit=1&limit=2', [['limit', 'repeated']]],
    ['limit=1&li%6Dit=1', [['limit', 'repeated']]],
    ['nope=', [['nope', 'unknown']]],
    ['Limit=1', [['Limit', 'unknown']]],
    ['limit[]=1', [['limit[]', 'unknown']]],
    ['%20limit=1', [[' limit', 'unknown']]],
    ['limit%00=1', [['limit\0', 'unknown']]],
    ['=1', [['', 'unknown']]],
    ['%ff=1', [['%ff', 'value']]],
    ['limit=1&limit=2&limit=3', [['limit', 'repeated']]],
    [
      'limit=0&limit=5',
      [
        ['limit', 'repeated'],
        ['limit', 'value'],
      ],
    ],
    ['toString=1&__proto__=1&constructor=1', ['toString', '__proto__', 'constructor']],
    ['status=FAILED;limit=1', [['status', 'value']]],
    ['limit', [['limit', 'value']]],
  ])('with unknown or repeated parameters is refused: %s', (query, faults) => {
    const expected = faults.map((it) => (typeof it === 'string' ? [it, 'unknown'] : it))
    expect(named(faultsOf(query))).toEqual(expected)
  })

  test('is refused with all of its faults, each with a message', () => {
    const query =
      'limit=1&limit=0&nope=1&status=x&currency=x&source_account=&destination_account=' +
      '&transaction_id=&created_from=x&created_to=x&cursor=x'
    const faults = faultsOf(query)
    expect(named(faults).sort()).toEqual([
      ['created_from', 'value'],
      ['created_to', 'value'],
      ['currency', 'value'],
      ['cursor', 'value'],
      ['destination_account', 'value'],
      ['limit', 'repeated'],
      ['limit', 'value'],
      ['nope', 'unknown'],
      ['source_account', 'value'],
      ['status', 'value'],
      ['transaction_id', 'value'],
    ])
    for (const { message } of faults) expect(message).not.toBeEmpty()
  })

  test('of a list without a parameter refuses it as unknown', () => {
    for (const name of ALL) {
      const others = ALL.filter((other) => other !== name)
      expect(named(faultsOf(`${name}=1`, others))).toEqual([[name, 'unknown']])
    }
  })

  test('of any text is read, or refused with a Problem', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...ALL, '%', '=', '&'))
    fc.assert(
      fc.property(
        fc.array(text).map((texts) => texts.join('')),
        (query) => {
          try {
            read(query)
          } catch (error) {
            expect(error).toBeInstanceOf(Problem)
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('members of an object', () => {
  const faults = (members: Record<string, unknown>) => {
    const parts: ProblemPart[] = []
    readParameters(new Map(Object.entries(members)), FILTER_NAMES, 'filter.', parts)
    return named(parts)
  }

  test('are read as in a query', () => {
    const members = { status: 'FAILED', created_to: '2026-01-01T01:00:00+01:00' }
    const parts: ProblemPart[] = []
    const parameters = readParameters(
      new Map(Object.entries(members)),
      FILTER_NAMES,
      'filter.',
      parts,
    )
    expect(parameters).toEqual({ status: 'FAILED', created_to: Date.UTC(2026, 0, 1) })
    expect(parts).toBeEmpty()
  })

  test('must be strings, and faults name their path', () => {
    for (const name of FILTER_NAMES) {
      for (const value of [null, 0, 20260101, true, [], ['USD'], {}, { eq: 'USD' }]) {
        expect(faults({ [name]: value })).toEqual([[`filter.${name}`, 'value']])
      }
    }
    expect(faults({ limit: '1', nope: null })).toEqual([
      ['filter.limit', 'unknown'],
      ['filter.nope', 'unknown'],
    ])
  })
})

describe('a limit', () => {
  test.each([
    ['1', 1],
    ['9', 9],
    ['50', 50],
    ['250', 250],
    ['%32%35%30', 250],
    ['007', 7],
  ])('of %s is accepted', (text, limit) => {
    expect(read(`limit=${text}`)).toEqual({ limit })
  })

  test.each([
    ...['', '0', '00', '000', '251', '999', '1000', '0001', '1e2', '-1', '-0', '%2B1', '+5'],
    ...['%205', '5%20', '5%0A', '5.0', '5.', '0x10', '1_0', '1,0', '5,', 'all', 'null', 'NaN'],
    ...['Infinity', '%D9%A5', '%EF%BC%95', '9007199254740993', '5%00'],
  ])('of %j is refused', (text) => {
    const decoded = decodeURIComponent(text.replace('+', ' '))
    const message = `must be a whole number from 1 to 250, not "${decoded}"`
    expect(faultsOf(`limit=${text}`)).toEqual([{ path: 'limit', code: 'value', message }])
  })
})

describe('an account and an id', () => {
  test.each([
    ['source_account', 128],
    ['destination_account', 128],
    ['transaction_id', 255],
  ] as const)('%s may have %i characters', (name, most) => {
    for (const text of [
      'x',
      'x'.repeat(most),
      '€'.repeat(most),
      '😀'.repeat(Math.floor(most / 2)),
    ]) {
      expect(read(`${name}=${encodeURIComponent(text)}`)).toEqual({ [name]: text })
    }
    for (const text of ['', 'x'.repeat(most + 1), '😀'.repeat(Math.floor(most / 2) + 1)]) {
      expect(named(faultsOf(`${name}=${encodeURIComponent(text)}`))).toEqual([[name, 'value']])
    }
  })

  test.each(['%', '%zz', '%ff', 'a%C3', '%C3%28', '%C0%AF', '%ED%A0%80', '%F5%80%80%80', 'a%80b'])(
    'that is not UTF-8 is refused: %s',
    (text) => {
      for (const name of ['source_account', 'destination_account', 'transaction_id']) {
        const message = 'must be percent-encoded UTF-8'
        expect(faultsOf(`${name}=${text}`)).toEqual([{ path: name, code: 'value', message }])
      }
    },
  )

  test('is not changed', () => {
    const texts = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 60 })
      .filter((text) => !text.includes('\ufffd'))
    fc.assert(
      fc.property(texts, (text) => {
        const query = new URLSearchParams({ source_account: text })
        expect(read(`${query}`)).toEqual({ source_account: text })
      }),
    )
  })
})

const UTC = Date.UTC(2026, 0, 31, 12)

describe('a time', () => {
  test.each([
    ['2026-01-31T12:00:00Z', UTC],
    ['2026-01-31T12:00Z', UTC],
    ['2026-01-31T12:00:00.000Z', UTC],
    ['2026-01-31T12:00:00,000Z', UTC],
    ['2026-01-31T12:00:00+00:00', UTC],
    ['2026-01-31T12:00:00-00:00', UTC],
    ['2026-01-31T14:00:00+02:00', UTC],
    ['2026-01-31T14:00:00+0200', UTC],
    ['2026-01-31T06:30-05:30', UTC],
    ['2026-02-01T11:59+23:59', UTC],
    ['2026-01-30T12:01-23:59', UTC],
    ['2026-01-31T12:00:00.1Z', UTC + 100],
    ['2026-01-31T12:00:00.12Z', UTC + 120],
    ['2026-01-31T12:00:00.123Z', UTC + 123],
    ['2026-01-31T12:00:00.123000000Z', UTC + 123],
    ['2026-01-31T12:00:00.999999Z', UTC + 1_000],
    ['2026-01-31T11:59:59.9990001+00:00', UTC],
    ['2024-02-29T00:00Z', Date.UTC(2024, 1, 29)],
    ['2000-02-29T00:00Z', Date.UTC(2000, 1, 29)],
    ['1970-01-01T00:00Z', 0],
    ['1969-12-31T23:59:59.999Z', -1],
    ['0000-01-01T00:00:00Z', Date.parse('0000-01-01T00:00:00Z')],
    ['0000-02-29T00:00:00Z', Date.parse('0000-02-29T00:00:00Z')],
    ['0099-12-31T00:00:00Z', Date.parse('0099-12-31T00:00:00Z')],
    ['0000-01-01T00:00:00+23:59', Date.parse('-000001-12-31T00:01:00Z')],
    ['9999-12-31T23:59:59.999Z', Date.parse('9999-12-31T23:59:59.999Z')],
    ['9999-12-31T23:59:59-23:59', Date.parse('+010000-01-01T23:58:59Z')],
  ])('%s is that millisecond', (text, ms) => {
    for (const name of ['created_from', 'created_to']) {
      expect(read(`${name}=${encodeURIComponent(text)}`)).toEqual({ [name]: ms })
    }
  })

  test.each([
    ...['', 'now', '0', '1767225600', '1767225600000', '2026', '2026-01', '2026-01-31', 'Z'],
    ...['2026-01-31T12:00', '2026-01-31T12:00:00', '2026-01-31T12:00:00.000', 'T12:00:00Z'],
    ...['2026-01-31 12:00:00Z', '2026-01-31T12Z', '2026-01-31T12:00:00 Z', '2026-1-31T12:00:00Z'],
    ...['2026-01-31t12:00:00z', '20260131T120000Z', '2026-W05-6T12:00:00Z', '2026-031T12:00:00Z'],
    ...['2026-01-31T12:00:00.Z', '2026-01-31T12:00.5Z', '2026-01-31T12:00:00CET', '+', '-00:00'],
    ...['2026-01-31T12:00:00+1', '2026-01-31T12:00:00+01', '2026-01-31T12:00:00+01:0'],
    ...['2026-01-31T12:00:00Z\n', ' 2026-01-31T12:00:00Z', '2026-01-31T12:00:00Z '],
    ...['-001-01-01T00:00:00Z', '10000-01-01T00:00:00Z', '+002026-01-31T12:00:00Z', '\ufffd'],
    ...['２０２６-01-31T12:00:00Z', '2026-01-31T12:00:00+02:00Z', '2026-01-31T12:00:00±02:00'],
    ...['2026-01-31T12:00:00−02:00', '2026-01-31T12:00:00Z/P1D', 'Sat, 31 Jan 2026 12:00:00 GMT'],
  ])('%j is not a time with a zone', (text) => {
    const message = 'must be a time like 2026-01-31T12:00:00Z, with a zone'
    expect(faultsOf(`created_from=${encodeURIComponent(text)}`)).toEqual([
      { path: 'created_from', code: 'value', message },
    ])
  })

  test.each([
    ...['2026-02-29T12:00:00Z', '2100-02-29T12:00:00Z', '1900-02-29T12:00:00Z'],
    ...['2026-02-30T12:00:00Z', '2026-04-31T12:00:00Z', '2026-01-32T12:00:00Z'],
    ...['2026-01-00T12:00:00Z', '2026-13-01T12:00:00Z', '2026-00-01T12:00:00Z'],
    ...['0000-00-00T00:00:00Z', '0001-02-29T00:00:00Z', '9999-12-32T00:00:00Z'],
    ...['2026-01-31T24:00:00Z', '2026-01-31T24:00Z', '2026-01-31T25:00:00Z'],
    ...['2026-01-31T12:60:00Z', '2026-01-31T12:00:60Z', '2016-12-31T23:59:60Z'],
    ...['2026-01-31T12:00:00+24:00', '2026-01-31T12:00:00-24:00', '2026-01-31T12:00:00+00:60'],
    ...['2026-01-31T12:00:00+99:99', '2026-01-31T12:00:99.5+01:00', '9999-12-31T24:00:00-23:59'],
  ])('%s does not exist', (text) => {
    expect(faultsOf(`created_to=${encodeURIComponent(text)}`)).toEqual([
      { path: 'created_to', code: 'value', message: 'must be a time that exists' },
    ])
  })

  test('with a raw + in its zone is refused with how to write it', () => {
    for (const text of ['2026-01-31T12:00:00+02:00', '2026-01-31T12:00+0200', '+02:00']) {
      const [fault] = faultsOf(`created_from=${text}`)
      expect(fault?.message).toEndWith('with a zone; a + in a query is written %2B')
    }
  })

  test('is the millisecond that it names, in any zone and form', () => {
    const DAY = 24 * 60 * 60 * 1000
    const times = fc.record({
      ms: fc.integer({
        min: Date.parse('0000-01-01T00:00:00Z') + DAY,
        max: Date.parse('9999-12-31T00:00:00Z') - DAY,
      }),
      zone: fc.integer({ min: -1439, max: 1439 }),
      colon: fc.constantFrom(':', ''),
      comma: fc.constantFrom('.', ','),
      more: fc.constantFrom('', '0', '000', '1', '0001', '999999'),
    })
    fc.assert(
      fc.property(times, ({ ms, zone, colon, comma, more }) => {
        const local = new Date(ms + zone * 60_000).toISOString().slice(0, -1)
        const twoDigits = (value: number) => String(Math.floor(value)).padStart(2, '0')
        const [hours, minutes] = [Math.abs(zone) / 60, Math.abs(zone) % 60].map(twoDigits)
        const offset = `${zone < 0 ? '-' : '+'}${hours}${colon}${minutes}`
        const text = `${local.replace('.', comma)}${more}${offset}`
        // A fraction of a millisecond is rounded up.
        const expected = /[1-9]/.test(more) ? ms + 1 : ms
        expect(read(`created_from=${encodeURIComponent(text)}`)).toEqual({ created_from: expected })
      }),
      { numRuns: 1000 },
    )
  })
})

describe('a status and a currency', () => {
  test.each(['PENDING', 'PROCESSING', 'PROCESSED', 'FAILED'])('%s is a status', (status) => {
    expect(read(`status=${status}`) as unknown).toEqual({ status })
  })

  test.each([
    '',
    'failed',
    'Failed',
    'DONE',
    ' FAILED',
    'FAILED ',
    'FAILED,PENDING',
    '0',
    '__proto__',
  ])('%j is no status, and the message names all of them', (status) => {
    const message = 'must be one of PENDING, PROCESSING, PROCESSED, FAILED'
    expect(faultsOf(`status=${encodeURIComponent(status)}`)).toEqual([
      { path: 'status', code: 'value', message },
    ])
  })

  test.each(['USD', 'JPY', 'XCG', 'CLF'])('%s is a currency', (currency) => {
    expect(read(`currency=${currency}`)).toEqual({ currency })
  })

  test.each(['', 'usd', 'US', 'USDD', 'USD ', '840', 'XXX', 'XAU', 'HRK', 'ＵＳＤ', 'constructor'])(
    '%j is no currency',
    (currency) => {
      const message = 'must be an ISO 4217 code in capitals that has minor units'
      expect(faultsOf(`currency=${encodeURIComponent(currency)}`)).toEqual([
        { path: 'currency', code: 'value', message },
      ])
    },
  )
})
