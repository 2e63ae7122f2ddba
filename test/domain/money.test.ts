import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { CURRENCIES } from '../../src/domain/currencies.ts'
import { type AmountFault, majorUnits, minorDigits, parseAmount } from '../../src/domain/money.ts'

const MAX = 999_999_999_999_999
const DIGITS = [0, 2, 3, 4]

/** The code of the fault, or the minor units. */
function judge(text: string, kind: 'number' | 'string', digits: number | undefined) {
  const result = parseAmount(text, kind, digits)
  return typeof result === 'number' ? result : result.code
}

/**
 * A second implementation, by fractions of BigInts: slow, and only for small exponents. It shares
 * no pattern and no step with the code under test.
 */
function slowly(text: string, kind: 'number' | 'string', digits: number) {
  if (!isWellFormed(text, kind)) return 'format'
  const [mantissa = '', power = '0'] = text.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  let numerator = BigInt(whole + fraction) * 10n ** BigInt(digits)
  let denominator = 10n ** BigInt(fraction.length)
  const powerOfTen = 10n ** BigInt(Math.abs(Number(power)))
  if (power.startsWith('-')) denominator *= powerOfTen
  else numerator *= powerOfTen
  if (numerator <= 0n) return 'range'
  if (numerator % denominator !== 0n) return 'precision'
  const minor = numerator / denominator
  return minor > BigInt(MAX) ? 'range' : Number(minor)
}

/** By JSON.parse; a decimal string is a JSON number of digits and at most one point. */
function isWellFormed(text: string, kind: 'number' | 'string'): boolean {
  const allowed = kind === 'number' ? '0123456789.eE+-' : '0123456789.'
  if (![...text].every((char) => allowed.includes(char))) return false
  try {
    return typeof JSON.parse(text) === 'number'
  } catch {
    return false
  }
}

/** `12345` with 2 digits is `123.45`. */
function decimalText(minor: number, digits: number): string {
  const padded = String(minor).padStart(digits + 1, '0')
  const cut = padded.length - digits
  return digits === 0 ? padded : `${padded.slice(0, cut)}.${padded.slice(cut)}`
}

const digitsArbitrary = fc.constantFrom(...DIGITS)

/** Minor units over the whole range: each number of digits is equally likely. */
const minorArbitrary = fc
  .integer({ min: 0, max: 14 })
  .chain((power) => fc.integer({ min: 10 ** power, max: 10 ** (power + 1) - 1 }))

const digitRun = (maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...'0001234599'), minLength: 1, maxLength })

const literalArbitrary = fc
  .record({
    sign: fc.constantFrom('', '', '', '-'),
    whole: fc.oneof(
      fc.constant('0'),
      digitRun(18).map((run) => run.replace(/^0+(?=.)/, '')),
    ),
    fraction: fc.oneof(
      fc.constant(''),
      digitRun(8).map((run) => `.${run}`),
    ),
    power: fc.oneof(
      fc.constant(''),
      fc
        .tuple(fc.constantFrom('e', 'E', 'e+', 'e-', 'E-'), fc.integer({ min: 0, max: 24 }))
        .map(([mark, size]) => mark + size),
    ),
  })
  .map(({ sign, whole, fraction, power }) => sign + whole + fraction + power)

// Short, since the reference can't take exponents of six digits.
const noiseArbitrary = fc.string({
  unit: fc.constantFrom(...'00112599..', '-', '+', 'e', 'E', ' ', '\n', ',', '_', 'x', '٣', '５'),
  maxLength: 6,
})

describe('amounts', () => {
  test('any number literal is judged as by exact arithmetic', () => {
    fc.assert(
      fc.property(literalArbitrary, digitsArbitrary, (text, digits) => {
        expect(judge(text, 'number', digits)).toBe(slowly(text, 'number', digits))
      }),
      { numRuns: 5000 },
    )
  })

  test('any text is judged as by exact arithmetic', () => {
    const kinds = fc.constantFrom('number' as const, 'string' as const)
    const texts = fc.oneof(noiseArbitrary, literalArbitrary)
    fc.assert(
      fc.property(texts, kinds, digitsArbitrary, (text, kind, digits) => {
        expect(judge(text, kind, digits)).toBe(slowly(text, kind, digits))
      }),
      { numRuns: 5000 },
    )
  })

  test('all spellings of a value are the same amount', () => {
    const spelling = fc.tuple(minorArbitrary, digitsArbitrary, fc.nat(20), fc.nat(30))
    fc.assert(
      fc.property(spelling, ([minor, digits, zeros, shift]) => {
        const plain = decimalText(minor, digits)
        const padded = (plain.includes('.') ? plain : `${plain}.`) + '0'.repeat(zeros + 1)
        expect(judge(plain, 'string', digits)).toBe(minor)
        expect(judge(padded, 'string', digits)).toBe(minor)
        for (const text of [
          plain,
          padded,
          `${minor}e-${digits}`,
          `${minor}${'0'.repeat(shift)}E-00${digits + shift}`,
          `0.${'0'.repeat(shift)}${minor}e+${String(minor).length + shift - digits}`.replace(
            '+-',
            '-',
          ),
        ]) {
          expect(judge(text, 'number', digits)).toBe(minor)
        }
      }),
    )
  })

  test('one minor unit and the maximum are valid, beyond them nothing is', () => {
    for (const digits of DIGITS) {
      expect(judge(decimalText(1, digits), 'string', digits)).toBe(1)
      expect(judge(decimalText(MAX, digits), 'string', digits)).toBe(MAX)
      expect(judge(decimalText(MAX + 1, digits), 'string', digits)).toBe('range')
      expect(judge(`1e${15 - digits}`, 'number', digits)).toBe('range')
      expect(judge(`1e${14 - digits}`, 'number', digits)).toBe(1e14)
      expect(judge(`1e-${digits}`, 'number', digits)).toBe(1)
      expect(judge(`1e-${digits + 1}`, 'number', digits)).toBe('precision')
    }
  })

  test('zero and less is out of range in any notation', () => {
    for (const text of ['0', '-0', '0.00', '0e999999999', '-0.0E-5', '-1', '-0.001', '-1e99']) {
      expect(judge(text, 'number', 2)).toBe('range')
    }
    expect(judge('0', 'string', 2)).toBe('range')
    expect(judge('0.000', 'string', 2)).toBe('range')
  })

  test('a value that is valid only as a double has too many decimals', () => {
    expect(judge('0.1000000000000000055', 'number', 2)).toBe('precision')
    expect(judge('0.30000000000000004', 'number', 2)).toBe('precision')
    expect(judge('100.00000000000000000000000000001', 'number', 2)).toBe('precision')
    expect(judge('0.1000000000000000000', 'number', 2)).toBe(10)
  })

  test('a string is digits or digits.digits, in ASCII', () => {
    expect(judge('0.50', 'string', 2)).toBe(50)
    expect(judge('100', 'string', 2)).toBe(10000)
    expect(judge('100.0000', 'string', 0)).toBe(100)
    const others =
      '|5.|.5|.|00.5|01|00| 5|5 |5\n|+5|-5|1e2|1E2|0x1|1_000|1,5|1.2.3|٣|５|NaN|Infinity'
    for (const text of others.split('|')) expect(judge(text, 'string', 2)).toBe('format')
  })

  test('with an invalid currency only faults in any currency count', () => {
    expect(judge('1.234567', 'number', undefined)).toBeNaN()
    expect(judge(String(MAX), 'string', undefined)).toBeNaN()
    expect(judge('1e-1000000000', 'number', undefined)).toBeNaN()
    expect(judge('0.00', 'number', undefined)).toBe('range')
    expect(judge('-3', 'number', undefined)).toBe('range')
    expect(judge(String(MAX + 1), 'number', undefined)).toBe('range')
    expect(judge('1e1000000000', 'number', undefined)).toBe('range')
    expect(judge('1,5', 'string', undefined)).toBe('format')
  })

  test('hostile sizes are judged correctly in linear time', () => {
    const zeros = '0'.repeat(1_000_000)
    const nines = '9'.repeat(1_000_000)
    const began = performance.now()
    expect(judge('1e1000000000', 'number', 2)).toBe('range')
    expect(judge('1e-1000000000', 'number', 2)).toBe('precision')
    expect(judge(`1e${nines}`, 'number', 2)).toBe('range')
    expect(judge(`1e-${nines}`, 'number', 2)).toBe('precision')
    expect(judge(`0e${nines}`, 'number', 2)).toBe('range')
    expect(judge(nines, 'number', 2)).toBe('range')
    expect(judge(nines, 'string', 2)).toBe('range')
    expect(judge(`${nines}x`, 'string', 2)).toBe('format')
    expect(judge(`0.${nines}x`, 'number', 2)).toBe('format')
    expect(judge(`0.${zeros}1`, 'number', 2)).toBe('precision')
    expect(judge(`0.${zeros}1`, 'string', 2)).toBe('precision')
    expect(judge(`0.${zeros}1e1000001`, 'number', 2)).toBe(100)
    expect(judge(`1${zeros}e-1000000`, 'number', 2)).toBe(100)
    expect(judge(`1.${zeros}`, 'string', 2)).toBe(100)
    expect(judge(`1.${zeros}1`, 'string', 2)).toBe('precision')
    expect(judge(`0.1${'01'.repeat(500_000)}`, 'number', 2)).toBe('precision')
    // Some 30 ms; with quadratic time it would be minutes.
    expect(performance.now() - began).toBeLessThan(2000)
  })

  test('a fault says what is valid', () => {
    const message = (text: string, digits: number) =>
      (parseAmount(text, 'string', digits) as AmountFault).message
    expect(message('0', 2)).toBe('must be greater than 0')
    expect(message('1.234', 2)).toBe('must have at most 2 decimals in this currency')
    expect(message('1.5', 0)).toBe('must have no decimals in this currency')
    expect(message('1e2', 2)).toContain('must be a decimal string')
    expect(message(decimalText(MAX + 1, 2), 2)).toBe('must be at most 9999999999999.99')
    expect(message(decimalText(MAX + 1, 0), 0)).toBe('must be at most 999999999999999')
  })
})

describe('major units', () => {
  const expectExact = (minor: number, digits: number) => {
    const json = JSON.stringify(majorUnits(minor, digits))
    const text = decimalText(minor, digits)
    expect(json).toBe(digits === 0 ? text : text.replace(/\.?0+$/, ''))
    expect(parseAmount(json, 'number', digits)).toBe(minor)
  }

  test('they print exactly and read back, over the whole range', () => {
    fc.assert(fc.property(minorArbitrary, digitsArbitrary, expectExact), { numRuns: 10_000 })
  })

  test('they print exactly around powers of ten, and at both ends', () => {
    for (const digits of DIGITS) {
      for (let power = 1; power <= MAX; power *= 10) {
        for (const minor of [power - 1, power, power + 1]) {
          if (minor > 0) expectExact(minor, digits)
        }
      }
      for (let minor = 1; minor <= 2000; minor++) expectExact(minor, digits)
      for (let minor = MAX - 2000; minor <= MAX; minor++) expectExact(minor, digits)
    }
  })
})

describe('currencies', () => {
  const codesWith = (digits: number) =>
    CURRENCIES.filter((row) => row[2] === digits)
      .map(([code]) => code)
      .join(' ')

  test('the list has 165 codes, each once, in order, each with its own number', () => {
    const codes = CURRENCIES.map(([code]) => code)
    expect(codes).toHaveLength(165)
    expect(codes).toEqual([...new Set(codes)].sort())
    expect(codes.every((code) => /^[A-Z]{3}$/.test(code))).toBe(true)
    expect(CURRENCIES.every(([, number]) => /^[0-9]{3}$/.test(number))).toBe(true)
    expect(new Set(CURRENCIES.map(([, number]) => number)).size).toBe(165)
  })

  test('minor units are 2 except for these codes', () => {
    expect(codesWith(0)).toBe('BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF')
    expect(codesWith(3)).toBe('BHD IQD JOD KWD LYD OMR TND')
    expect(codesWith(4)).toBe('CLF UYW')
    expect(codesWith(2).split(' ')).toHaveLength(165 - 17 - 7 - 2)
  })

  test('codes added by the amendments up to 180 are in', () => {
    const added = 'BYN MRU SLE STN VED VES XAD XCG ZWG'
    const funds = 'BOV CHE CHW CLF COU MXV USN UYI UYW'
    for (const code of `${added} ${funds}`.split(' ')) expect(minorDigits(code)).toBeNumber()
  })

  test('codes that were withdrawn, have no minor units or another spelling are out', () => {
    const withdrawn = 'ANG BGN BYR CUC DEM HRK LTL MRO SLL STD USS VEF ZMK ZWL'
    const withoutUnits = 'XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX'
    for (const code of `${withdrawn} ${withoutUnits}`.split(' ')) {
      expect(minorDigits(code)).toBeUndefined()
    }
    for (const text of ['usd', 'Usd', ' USD', 'USD\n', '', '840', '__proto__', 'constructor']) {
      expect(minorDigits(text)).toBeUndefined()
    }
  })
})
