/**
 * Random webhooks and requests against the whole app. Every answer to a webhook is compared with a
 * second reading of its body, implemented here by other means.
 *
 * Some 12,000 cases by default; `PROPERTY_RUNS=1000000 bun test webhooks.property` makes a million,
 * faster with `TMPDIR=/dev/shm`. A failure prints its seed and its path.
 */

import { afterAll, expect, setDefaultTimeout, test } from 'bun:test'
import fc from 'fast-check'
import { CURRENCIES } from '../../../src/domain/currencies.ts'
import { transactionPath } from '../../support/contract-cases.ts'
import { type TestService, testService, transactionBody } from '../../support/service.ts'

const RUNS = Number(process.env.PROPERTY_RUNS ?? 12_000)
setDefaultTimeout(Math.max(60_000, RUNS * 10))

/** The parameters of a property that has this share of all runs. */
const share = (part: number) => ({ numRuns: Math.ceil(RUNS * part) })

const BODY_BYTES_MAX = 2_000
const NAMES = ['transaction_id', 'source_account', 'destination_account', 'amount', 'currency']
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/
const DIGITS: ReadonlyMap<unknown, number> = new Map(CURRENCIES.map(([code, , n]) => [code, n]))
const JSON_TYPE = { 'content-type': 'application/json' }

type Fields = Record<string, unknown>

// ---- The second reading of a body.

/** A transaction as its sender means it. */
type Meant = { fields: Record<string, string>; extra: string }
type Expected = { status: 400 | 413 } | { status: 422; paths: string[] } | ({ status: 202 } & Meant)

function expectedOf(bytes: Uint8Array): Expected {
  if (bytes.length > BODY_BYTES_MAX) return { status: 413 }
  const text = Buffer.from(bytes).toString('utf8')
  if (!Buffer.from(text, 'utf8').equals(bytes)) return { status: 400 }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { status: 400 }
  }
  const { depth, repeated, amountText } = outlineOf(text)
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (depth > 8 || repeated || !readsAlike(value, isObject)) return { status: 400 }
  if (!isObject) return { status: 422, paths: [''] }

  const { transaction_id, source_account, destination_account, amount, currency } = value as Fields
  const paths: string[] = []
  if (!isIdentifier(transaction_id, 255) || transaction_id === '.' || transaction_id === '..')
    paths.push('transaction_id')
  if (!isIdentifier(source_account, 128)) paths.push('source_account')
  if (!isIdentifier(destination_account, 128)) paths.push('destination_account')
  if (!DIGITS.has(currency)) paths.push('currency')
  const decimal = isAmount(amount, amountText) ? decimalOf(String(JSON.parse(amountText))) : null
  const exact = decimal !== null && typeof amount === 'number' ? decimalOf(amountText) : decimal
  if (exact === null || !isPayable(exact, DIGITS.get(currency))) paths.push('amount')
  if (exact === null || paths.length > 0) return { status: 422, paths: paths.sort() }
  const texts = { transaction_id, source_account, destination_account, currency } as {
    [name: string]: string
  }
  const tree = treeOf(text) as Map<string, Tree>
  const others = new Map([...tree].filter(([name]) => !NAMES.includes(name)))
  return { status: 202, fields: { ...texts, amount: shown(exact) }, extra: textOf(others) }
}

/** A JSON value whose members are in the order of the text, and whose numbers are text. */
type Tree = string | Tree[] | Map<string, Tree>

function treeOf(text: string): Tree {
  const tokens = tokensOf(text)
  let next = 0
  const read = (): Tree => {
    const token = tokens[next++] as string
    const close = { '{': '}', '[': ']' }[token]
    if (close === undefined)
      return token.startsWith('"') ? JSON.stringify(JSON.parse(token)) : token
    const members: [string, Tree][] = []
    const elements: Tree[] = []
    while (tokens[next] !== close) {
      if (tokens[next] === ',') next++
      if (close === ']') elements.push(read())
      else {
        const name = JSON.parse(tokens[next] as string) as string
        next += 2
        members.push([name, read()])
      }
    }
    next++
    return close === ']' ? elements : new Map(members)
  }
  return read()
}

/** The one text that a tree has. */
function textOf(tree: Tree): string {
  if (typeof tree === 'string') return tree
  if (Array.isArray(tree)) return `[${tree.map(textOf).join(',')}]`
  const members = [...tree].map(([name, value]) => `${JSON.stringify(name)}:${textOf(value)}`)
  return `{${members.join(',')}}`
}

const tokensOf = (text: string) => text.match(/[{}[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}[\],:"]+/g) ?? []

/** Of JSON text: its depth, whether a key repeats, and the root's amount. */
function outlineOf(text: string) {
  const tokens = tokensOf(text)
  const open: Set<unknown>[] = []
  let depth = 0
  let repeated = false
  let amountText = ''
  for (const [i, token] of tokens.entries()) {
    if (token === '{' || token === '[') depth = Math.max(depth, open.push(new Set()))
    else if (token === '}' || token === ']') open.pop()
    else if (tokens[i + 1] === ':') {
      const key = JSON.parse(token)
      repeated ||= open.at(-1)?.has(key) === true
      open.at(-1)?.add(key)
      if (open.length === 1 && key === 'amount') amountText = tokens[i + 2] ?? ''
    }
  }
  return { depth, repeated, amountText }
}

/** No lone surrogates, and no number beyond the doubles but the root's amount. */
function readsAlike(value: unknown, isRoot: boolean): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(
    ([name, member]) =>
      name.isWellFormed() &&
      (readsAlike(member, false) || (isRoot && name === 'amount' && typeof member === 'number')),
  )
}

/** Ranges that no identifier may contain: Cc, Zl and Zp, Bidi_Control. */
const REFUSED =
  '\0\u001f\u007f\u009f\u2028\u2029\u061c\u061c\u200e\u200f\u202a\u202e\u2066\u2069'.match(
    /../gs,
  ) ?? []

function isIdentifier(value: unknown, lengthMax: number): value is string {
  if (typeof value !== 'string' || value.length < 1 || value.length > lengthMax) return false
  if (value.trim() !== value) return false
  return [...value].every((char) =>
    REFUSED.every(([from = '', to = '']) => char < from || char > to),
  )
}

const isAmount = (amount: unknown, text: string): boolean =>
  typeof amount === 'number' ||
  (typeof amount === 'string' && /^"/.test(text) && /^(0|[1-9]\d*)(\.\d+)?(?!\n)$/.test(amount))

/** The value of a literal: significand × 10^exponent, the significand without trailing zeros. */
type Decimal = { significand: bigint; exponent: bigint }

function decimalOf(literal: string): Decimal | null {
  const match = /^(-?\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal)
  if (match === null) return null
  const [, whole = '', fraction = '', power = '0'] = match
  let significand = BigInt(whole + fraction)
  let exponent = BigInt(power) - BigInt(fraction.length)
  if (significand === 0n) return { significand, exponent: 0n }
  for (; significand % 10n === 0n; significand /= 10n) exponent++
  return { significand, exponent }
}

const shown = ({ significand, exponent }: Decimal) => `${significand}e${exponent}`

/** Whether an amount is valid in a currency of this many digits; undefined: in any currency. */
function isPayable({ significand, exponent }: Decimal, digits: number | undefined): boolean {
  if (significand <= 0n) return false
  const power = exponent + BigInt(digits ?? 0)
  if (power > 20n) return false
  if (power >= 0n) return significand * 10n ** power < 10n ** 15n
  // The decimals of an unknown currency are unknown: only the whole part counts, and no body is
  // long enough for one with such a power.
  return digits === undefined && (power < -5_000n || significand < 10n ** (15n - power))
}

// ---- The checks of every answer.

/** A service, and what must be stored in it. */
type Subject = { service: TestService; stored: Map<string, Meant>; statuses: Map<string, number> }

function subjectOf(service: TestService): Subject {
  return { service, stored: new Map(), statuses: new Map() }
}

const totals = new Map<string, number>()
afterAll(() => {
  if (process.env.PROPERTY_RUNS) process.stderr.write(`${JSON.stringify([...totals].sort())}\n`)
})

function count({ statuses }: Subject, status: string): void {
  statuses.set(status, (statuses.get(status) ?? 0) + 1)
  totals.set(status, (totals.get(status) ?? 0) + 1)
}

/** Every error is a problem whose parts agree. */
async function checkProblem(response: Response, text: string): Promise<Fields> {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  const problem = JSON.parse(text) as Fields
  expect(problem).toMatchObject({ status: response.status, type: 'about:blank' })
  expect(problem.request_id).toBe(response.headers.get('x-request-id'))
  return problem
}

type Pair = { response: Response; text: string }

/** Posts, and checks the answer against the reading of the body; the caller judges the headers. */
async function post(
  subject: Subject,
  body: string | Uint8Array,
  headers: Record<string, string> = JSON_TYPE,
): Promise<Pair & { status: number }> {
  const { service } = subject
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  const init = { method: 'POST', headers, body: bytes }
  const response = await service.app.fetch(new Request('http://localhost/webhook', init))
  const text = await response.text()
  expect(response.headers.get('x-request-id')).toMatch(UUID)
  expect(response.status).toBeLessThan(500)
  const { status } = response
  if (status === 415) await checkProblem(response, text)
  else await checkMeaning(subject, expectedOf(bytes), { response, text })
  const replayed = response.headers.has('idempotent-replayed')
  count(subject, replayed ? 'replayed' : String(status))
  return { response, text, status }
}

async function checkMeaning(subject: Subject, expected: Expected, { response, text }: Pair) {
  const { service, stored } = subject
  if (expected.status !== 202) {
    expect([response.status, text]).toEqual([expected.status, text])
    const { errors } = await checkProblem(response, text)
    if (expected.status === 422) expect(pathsOf(errors)).toEqual(expected.paths)
    return
  }
  const { fields, extra } = expected
  const id = fields.transaction_id as string
  const before = stored.get(id)
  const differing = NAMES.filter((name) => before && before.fields[name] !== fields[name]).sort()
  const status = differing.length > 0 ? 409 : 202
  expect([response.status, text]).toEqual([status, text])
  expect(response.headers.get('location')).toBe(transactionPath(id))
  if (status === 409) {
    const { errors } = await checkProblem(response, text)
    expect(pathsOf(errors)).toEqual(differing)
  } else {
    expect(response.headers.has('idempotent-replayed')).toBe(before !== undefined)
    if (before === undefined) stored.set(id, { fields, extra })
  }
  const got = await service.get(transactionPath(id))
  const gotText = await got.text()
  expect(got.status).toBe(200)
  if (status === 202) expect(gotText).toBe(text)
  checkShown(gotText, stored.get(id) as Meant)
}

const pathsOf = (errors: unknown) => (errors as Fields[]).map(({ path }) => path).sort()

/** GET shows what was sent first: the amount by its value, the other members by their text. */
function checkShown(text: string, meant: Meant): void {
  const { extra: _, ...fields } = JSON.parse(text) as Fields
  const { amountText } = outlineOf(text)
  const amount = shown(decimalOf(amountText) as Decimal)
  expect({ ...fields, amount }).toMatchObject(meant.fields)
  expect(textOf((treeOf(text) as Map<string, Tree>).get('extra') as Tree)).toBe(meant.extra)
  expect(text).toEndWith(`,"extra":${meant.extra}}`)
}

/** Exactly what was answered with a 2xx is stored, as it was sent. */
async function checkStored({ service, stored }: Subject): Promise<void> {
  const found = new Set<string>()
  let cursor: string | null = ''
  while (cursor !== null) {
    const query = cursor === '' ? '' : `&cursor=${cursor}`
    const text = await (await service.get(`/v1/transactions?limit=250${query}`)).text()
    const page = treeOf(text) as Map<string, Tree>
    for (const transaction of page.get('data') as Tree[]) {
      const shown = textOf(transaction)
      const id = (JSON.parse(shown) as Fields).transaction_id as string
      expect(found.has(id)).toBeFalse()
      found.add(id)
      checkShown(shown, stored.get(id) as Meant)
    }
    cursor = JSON.parse(page.get('next_cursor') as string)
  }
  expect(found.size).toBe(stored.size)
}

/** The generators made enough of each kind: otherwise the test would prove little. */
function checkEnough({ statuses }: Subject, part: number, ...kinds: string[]): void {
  const enough = RUNS * part * 0.02
  const seen = kinds.map((kind) => [kind, (statuses.get(kind) ?? 0) > enough])
  expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(kinds.map((kind) => [kind, true])))
}

// ---- The generators.

/** Characters with a rule for identifiers, and their neighbours. */
const particular = fc.constantFrom(
  ...'\0\t\u001f\u007f\u0085\u009f\u00a0\u061b\u061c\u200b\u200e\u200f\u2027\u2028\u2029\u202a\u202e',
  ...'\u202f\u2065\u2066\u2069\u206a\u3000\ufeff\ufffd\uffff\u{1f600}\u{10ffff}/"\\. ',
)

const identifier = (maxLength: number) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.stringMatching(/^[!-~]{3,40}$/) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength }) },
    { weight: 1, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.stringMatching(/^[a-z]{0,3}$/), particular, fc.stringMatching(/^[a-z]{0,3}$/))
        .map((parts) => parts.join('')),
    },
  )

const amount = fc.oneof(
  fc.integer({ min: 1, max: 10_000_000 }),
  fc.integer({ min: 1, max: 99_999_999 }).map((cents) => cents / 100),
  fc.integer({ min: 1, max: 99_999_999 }).map((cents) => (cents / 100).toFixed(2)),
)

const currency = fc.constantFrom(...DIGITS.keys())

const webhook = fc.record({
  transaction_id: identifier(255),
  source_account: identifier(128),
  destination_account: identifier(128),
  amount,
  currency,
})

const mostly = (often: string, throttle: string) =>
  fc.oneof(
    { weight: 9, arbitrary: fc.constant(often) },
    { weight: 1, arbitrary: fc.constant(throttle) },
  )

/** Few values of each field, so that there are replays and conflicts. */
const colliding = fc.record({
  transaction_id: fc.constantFrom(
    ...['é', 'e\u0301', '__proto__', '%41', 'toString', ...'abcdefghijklmnopqrstuvwxyzABCDEF'],
  ),
  source_account: mostly('A123', 'a123'),
  destination_account: mostly('B456', 'B-456'),
  amount: fc.constantFrom(100, 100, 100, 100, '100.0', '100', 1),
  currency: mostly('USD', 'JPY'),
})

/** A number that JSON.stringify writes as this literal. */
const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON(literal: string): { rawJSON: string }
  isRawJSON(value: unknown): value is { rawJSON: string }
}

/** Numbers in every notation that JSON has, most of which no double would be written as. */
const numberText = fc.oneof(
  fc.stringMatching(/^-?(0|[1-9]\d{0,30})(\.\d{1,30})?([eE][+-]?\d{1,2})?$/),
  fc.constantFrom(
    ...['9007199254740993', '-9007199254740993', '1.10', '100.00', '1e2', '1E+2', '-0', '-0.0e-0'],
    ...['0.1000000000000000055', '1e-400', '5e-324', '1.7976931348623157e308', '1e0000000000001'],
  ),
)

const extras = fc.dictionary(
  fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.constantFrom('__proto__', 'constructor', 'extra', 'status', 'id', '0', '', 'Amount', '7'),
  ),
  fc.oneof(
    fc.jsonValue({ maxDepth: 4 }),
    fc.anything({
      maxDepth: 4,
      values: [numberText.map(rawJSON), fc.string(), fc.boolean(), fc.constant(null)],
    }),
  ),
  { maxKeys: 4 },
)

/** Any value in place of a field. */
const anything = fc.oneof(
  fc.jsonValue(),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.constantFrom('', '.', '..', ' x', 'x ', 'x\u202ey', '1e2', -1, 0, 1e300, 0.001, 'usd', 'XXX'),
)

/** The largest amount in minor units. */
const MAX = 999_999_999_999_999n

/** Valid and invalid amounts in all notations; not all of them are JSON. */
const amountText = fc.oneof(
  fc
    .tuple(
      fc.oneof(fc.bigInt({ min: 1n, max: 10n ** 16n }), fc.constantFrom(1n, MAX, MAX, MAX + 1n)),
      fc.oneof(fc.nat(6), fc.constantFrom(0, 2, 2)),
      fc.nat(5),
    )
    .map(([units, power, form]) => {
      const digits = String(units).padStart(power + 1, '0')
      const point = digits.length - power
      const plain = power === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`
      const zeros = '0'.repeat(power)
      const exponent = `${units}${zeros}e-${2 * power}`
      const long = `0.${zeros}${units}E+${String(units).length}`
      return [plain, `"${plain}"`, exponent, long, `${plain}e0`, `${plain}${zeros}`][form] as string
    }),
  // As doubles these equal an amount that they are not.
  fc
    .tuple(
      fc.integer({ min: 1, max: 9_999 }),
      fc.integer({ min: 15, max: 30 }),
      fc.constantFrom('', '"'),
    )
    .map(([whole, zeros, quote]) => `${quote}${whole}.${'0'.repeat(zeros)}1${quote}`),
  fc.stringMatching(/^-?(0|[1-9]\d{0,20})(\.\d{1,20})?([eE][+-]?\d{1,5})?$/),
  fc.stringMatching(/^"?[-+0-9.eE_ x]{1,6}"?$/),
  fc.constantFrom(
    ...['0', '-0', '-1', '0e9', '1e999999999999999999999', '1e-99999999999', '1E400', '-1e400'],
    ...['9007199254740993', '999999999999999', '9999999999999.99', '10000000000000.00', '1e-400'],
    ...['0.1000000000000000055', '"0.1000000000000000055"', '100.000000000000000000000000000001'],
    ...['01', '1.', '.5', '+1', 'NaN', 'Infinity', '0x10', '1_000', '1e', '"1e2"', '"01"', '"1."'],
    ...['" 1"', '"1 "', '"1\\n"', '"\\u0031"', '"+1"', '"-1"', '"١"', '""', 'null', '[1]', '{}'],
  ),
)

/** Writes a value as JSON in one of its notations, by the choices. */
function writer(choices: readonly number[]) {
  let made = 0
  const choose = (of: number) => (choices[made++ % Math.max(choices.length, 1)] ?? 0) % of
  const space = () => ['', '', '', ' ', '\n', '\t', '\r\n  '][choose(7)] as string
  const spaced = (text: string) => space() + text + space()
  const char = (unit: string) => {
    const hex = unit.charCodeAt(0).toString(16).padStart(4, '0')
    if (choose(9) === 8) return `\\u${choose(2) === 0 ? hex : hex.toUpperCase()}`
    return unit === '/' && choose(2) === 1 ? '\\/' : JSON.stringify(unit).slice(1, -1)
  }
  const string = (value: string) =>
    `"${
      value
        .match(/[\ud800-\udbff][\udc00-\udfff]|./gsu)
        ?.map((point) => (point.length === 2 ? pair(point) : char(point)))
        .join('') ?? ''
    }"`
  const pair = (point: string) => (choose(9) === 8 ? escaped(point) : point)
  const escaped = (point: string) =>
    [0, 1].map((i) => `\\u${point.charCodeAt(i).toString(16)}`).join('')
  const json = (value: unknown): string => {
    if (typeof value === 'string') return string(value)
    if (isRawJSON(value)) return value.rawJSON
    if (Array.isArray(value)) return `[${value.map((it) => spaced(json(it))).join(',')}]`
    if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
    return object(Object.entries(value).map(([name, member]) => [name, json(member)]))
  }
  const object = (members: readonly (readonly [string, string])[]): string =>
    `{${members.map(([name, text]) => `${spaced(string(name))}:${spaced(text)}`).join(',')}}`
  return { json, object, spaced, choose }
}

const choices = fc.array(fc.nat(255), { maxLength: 24 })

/** A change of a webhook's structure. The place is taken modulo the number of places. */
type Change = { kind: string; place: number; text: string; depth: number }

const change = fc.record({
  kind: fc.constantFrom('amount', 'replace', 'drop', 'repeat', 'add', 'nest', 'wrap', 'rename'),
  place: fc.nat(20),
  text: fc.oneof(
    amountText,
    fc.constantFrom(
      '"\\ud800"',
      '"\\udc00\\ud800"',
      '"\\ud83d\\ude00"',
      '1e400',
      '-0',
      '"\\u0000"',
    ),
    fc.constantFrom(
      '1.10',
      '123456789012345678901',
      '"\ufeff"',
      '{"a":1,"a":1}',
      '{"":1}',
      'nul',
      '{"amount":7}',
      '[{"amount":"x"}]',
    ),
  ),
  depth: fc.nat(9),
})

function changed(members: [string, string][], { kind, place, text, depth }: Change) {
  const at = place % Math.max(members.length, 1)
  const [name = 'x', old = '0'] = members[at] ?? []
  const nested = '['.repeat(depth) + text + ']'.repeat(depth)
  switch (kind) {
    case 'amount':
      return members.map(([it, value]): [string, string] => [it, it === 'amount' ? text : value])
    case 'replace':
      return members.with(at, [name, text])
    case 'drop':
      return members.toSpliced(at, 1)
    case 'repeat':
      return [...members, [name, place % 2 === 0 ? old : text] as [string, string]]
    case 'rename':
      return members.with(at, [
        [`${name} `, name.toUpperCase(), 'amount', ''][depth % 4] ?? '',
        old,
      ])
    case 'nest':
      return [...members, ['nested', nested] as [string, string]]
    default:
      return [...members, [`added ${place}`, text] as [string, string]]
  }
}

/** Texts of webhooks in any notation, order and spacing: most are valid, some changed. */
const webhookText = fc
  .tuple(
    fc.oneof(webhook, colliding),
    extras,
    fc.option(amountText, { freq: 1 }),
    fc.oneof(fc.constant([]), fc.constant([]), fc.array(change, { maxLength: 2 })),
    choices,
  )
  .map(([fields, more, written, changes, choices]) => {
    const { json, object, spaced, choose } = writer(choices)
    const entries = Object.entries({ ...more, ...fields })
    let members = entries.map(([name, value]): [string, string] => [name, json(value)])
    if (written !== null) members = members.map(([k, v]) => [k, k === 'amount' ? written : v])
    for (const change of changes) members = changed(members, change)
    const from = choose(members.length + 1)
    const root = spaced(object([...members.slice(from), ...members.slice(0, from)]))
    const wraps = changes.filter(({ kind, depth }) => kind === 'wrap' && depth > 6).length
    return '['.repeat(wraps) + root + ']'.repeat(wraps)
  })

/** A change of bytes; places are taken modulo the length. */
const edit = fc.record({
  kind: fc.constantFrom(
    ...['exchange', 'exchange', 'exchange', 'exchange', 'exchange', 'exchange'],
    ...['flip', 'insert', 'insert', 'delete', 'duplicate', 'cut'],
  ),
  at: fc.oneof(fc.constant(0), fc.nat(2_000), fc.nat(2_000), fc.nat(2_000)),
  to: fc.nat(2_000),
  length: fc.nat(12),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 4 }),
    fc
      .constantFrom(
        ...['"', '\\', '{', '}', '[', ']', ',', ':', '\\ud800', '\\u0061', '0', '-', 'e9', '.'],
        ...[
          '\ufeff',
          '\u2028',
          '\0',
          '\n',
          ' ',
          '\u00a0',
          '/**/',
          '"x":{},',
          '"amount":1,',
          '[[[[',
        ],
      )
      .map((text) => new TextEncoder().encode(text)),
    fc
      .constantFrom('eda080', 'c0af', 'f4908080', 'ff', 'efbbbf', 'feff', 'e282', '80')
      .map((hex) => Uint8Array.fromHex(hex)),
  ),
})

/** Replaces the next letter by another letter, or the next digit by another digit. */
function exchanged(bytes: Buffer, start: number, by: number): Buffer {
  const text = bytes.toString('latin1')
  const tail = text
    .slice(start)
    .replace(/[a-z0-9]/i, (char) =>
      /[0-9]/.test(char)
        ? String((Number(char) + (by % 10)) % 10)
        : String.fromCharCode(97 + ((char.charCodeAt(0) + by) % 26)),
    )
  return Buffer.from(text.slice(0, start) + tail, 'latin1')
}

function edited(
  bytes: Buffer,
  edits: readonly (typeof edit extends fc.Arbitrary<infer T> ? T : never)[],
) {
  let now = bytes
  for (const { kind, at, to, length, bytes: inserted } of edits) {
    const start = at % (now.length + 1)
    const end = Math.min(start + length, now.length)
    const target = to % (now.length + 1)
    const [before, after] = [now.subarray(0, start), now.subarray(start)]
    if (kind === 'exchange') now = exchanged(now, start, to)
    else if (kind === 'flip') {
      now = Buffer.from(now)
      if (start < now.length) now[start] = (now[start] as number) ^ (1 << (to % 8))
    } else if (kind === 'insert') now = Buffer.concat([before, inserted, after])
    else if (kind === 'delete') now = Buffer.concat([before, now.subarray(end)])
    else if (kind === 'cut') now = Buffer.from(before)
    else {
      const copied = Buffer.from(now.subarray(start, end))
      now = Buffer.concat([now.subarray(0, target), copied, now.subarray(target)])
    }
  }
  return now
}

/** Headers, and whether the body is read with them; undefined: either. */
const headers = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ headers: JSON_TYPE, taken: true }) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('application/json;charset=utf-8', 'application/a.b+json', 'APPLICATION/JSON;')
      .map((type) => ({ headers: { 'content-type': type }, taken: true })),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(
        'text/plain',
        '',
        'application/json; charset=latin1',
        'json',
        'application/+json',
      )
      .map((type) => ({ headers: { 'content-type': type }, taken: false })),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('gzip', 'br', 'identity, identity', 'x')
      .map((it) => ({ headers: { ...JSON_TYPE, 'content-encoding': it }, taken: false })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({
        'content-type': fc.stringMatching(/^(application\/)?[!-~]{0,6}\+?(json)?[ -~]{0,12}$/),
        'content-encoding': fc.constantFrom('identity', 'Identity', '', 'gzip;q=0'),
      })
      .map((headers) => ({ headers, taken: undefined })),
  },
)

// ---- The properties.

test('any JSON is answered by its second reading', async () => {
  await using service = testService({ flags: { '--max-body-bytes': String(BODY_BYTES_MAX) } })
  const subject = subjectOf(service)
  await fc.assert(
    fc.asyncProperty(fc.jsonValue({ maxDepth: 9 }), async (value) => {
      await post(subject, JSON.stringify(value))
    }),
    share(0.05),
  )
  await checkStored(subject)
})

test('any text or bytes, with any headers, are answered without a 5xx', async () => {
  await using service = testService({ flags: { '--max-body-bytes': String(BODY_BYTES_MAX) } })
  const subject = subjectOf(service)
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  const texts = fc.string({ unit: 'binary' })
  await fc.assert(
    fc.asyncProperty(fc.oneof(bytes, texts), headers, async (body, { headers, taken }) => {
      const { status } = await post(subject, body, headers)
      expect([400, 415, 422]).toContain(status)
      if (taken !== undefined) expect(status !== 415).toBe(taken)
    }),
    share(0.05),
  )
  await checkStored(subject)
})

test('a webhook in any notation is answered by its second reading, and shown as sent', async () => {
  await using service = testService({ flags: { '--max-body-bytes': String(BODY_BYTES_MAX) } })
  const subject = subjectOf(service)
  await fc.assert(
    fc.asyncProperty(webhookText, headers, fc.boolean(), async (text, it, announced) => {
      const length = { 'content-length': String(Buffer.byteLength(text)) }
      const { status } = await post(subject, text, { ...it.headers, ...(announced ? length : {}) })
      if (it.taken !== undefined) expect(status !== 415).toBe(it.taken)
    }),
    share(0.4),
  )
  await checkStored(subject)
  checkEnough(subject, 0.4, '202', 'replayed', '400', '409', '415', '422')
})

test('a webhook with some bytes changed is answered by its second reading', async () => {
  await using service = testService({ flags: { '--max-body-bytes': String(BODY_BYTES_MAX) } })
  const subject = subjectOf(service)
  const edits = fc.array(edit, { minLength: 1, maxLength: 2 })
  await fc.assert(
    fc.asyncProperty(webhookText, edits, async (text, edits) => {
      await post(subject, edited(Buffer.from(text), edits))
    }),
    share(0.3),
  )
  await checkStored(subject)
  checkEnough(subject, 0.3, '202', '400', '422')
})

test('any value in place of a field is refused by the field’s name, or accepted unchanged', async () => {
  await using service = testService({ flags: { '--max-body-bytes': String(BODY_BYTES_MAX) } })
  const subject = subjectOf(service)
  let count = 0
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...NAMES), anything, async (name, value) => {
      const fields = transactionBody({ transaction_id: `mutated_${count++}`, [name]: value })
      const { status, text } = await post(subject, JSON.stringify(fields))
      if (status !== 422) return
      expect(new Set(pathsOf(JSON.parse(text).errors))).toEqual(new Set([name]))
    }),
    share(0.05),
  )
  checkEnough(subject, 0.05, '202', '422')
})

test('a body of about the maximum length is accepted up to it, and a 413 beyond', async () => {
  await using service = testService({ flags: { '--max-body-bytes': String(BODY_BYTES_MAX) } })
  const subject = subjectOf(service)
  let count = 0
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: -3, max: 3 }), fc.boolean(), async (more, announced) => {
      const fields = transactionBody({ transaction_id: `long_${count++}`, note: '' })
      const note = 'x'.repeat(BODY_BYTES_MAX + more - JSON.stringify(fields).length)
      const text = JSON.stringify({ ...fields, note })
      const headers = announced ? { 'content-length': String(text.length) } : {}
      await post(subject, text, { ...JSON_TYPE, ...headers } as Record<string, string>)
    }),
    share(0.01),
  )
  await checkStored(subject)
  checkEnough(subject, 0.01, '202', '413')
})

test('a transaction again is a replay; with any field changed, a conflict', async () => {
  await using service = testService({ flags: { '--max-body-bytes': String(BODY_BYTES_MAX) } })
  const subject = subjectOf(service)
  await fc.assert(
    fc.asyncProperty(webhook, webhook, extras, async (first, second, more) => {
      if ((await post(subject, JSON.stringify(first))).status !== 202) return
      const again = await post(subject, JSON.stringify({ ...more, ...first }))
      if (again.status !== 413) {
        expect(again.response.headers.get('idempotent-replayed')).toBe('true')
      }
      const { transaction_id, ...others } = second
      for (const [name, value] of Object.entries(others)) {
        await post(subject, JSON.stringify({ ...first, [name]: value }))
      }
    }),
    share(0.01),
  )
  checkEnough(subject, 0.01, 'replayed', '409')
})

const KEY = 'a-key-of-the-properties-of-txhook'

const piece = fc.oneof(
  fc.constantFrom(
    ...['v1', 'transactions', 'webhooks', 'webhook', 'retry', 'attempts', 'conflicts', 'metrics'],
    ...[
      'livez',
      'readyz',
      'swagger',
      'json',
      'ui.js',
      'ui.css',
      'start.js',
      'txn_001',
      'dashboard',
    ],
    ...['', '.', '..', '%', '%2F', '%2e%2e', '%00', '%ff', '%C3%A9', 'é', '*', ':transaction_id'],
    ...['__proto__', 'constructor', '%25', '%u0041', '\ufffd', ';', '@', '\\'],
  ),
  fc.webSegment(),
)
const KNOWN_PATHS = [
  ...['/', '/livez', '/readyz', '/metrics', '/swagger', '/swagger/json', '/v1/conflicts'],
  ...['/v1/transactions', '/v1/transactions/txn_001', '/v1/transactions/txn_001/attempts'],
  ...['/v1/transactions/txn_001/retry', '/v1/transactions/retry', '/webhook', '/swagger/ui.js'],
]
const path = fc.oneof(
  fc.constantFrom(...KNOWN_PATHS),
  fc.array(piece, { maxLength: 5 }).map((pieces) => `/${pieces.join('/')}`),
)
const parameter = fc.tuple(
  fc.oneof(
    fc.constantFrom('status', 'currency', 'source_account', 'destination_account', 'limit'),
    fc.constantFrom('created_from', 'created_to', 'cursor', 'transaction_id', '__proto__', ''),
    fc.webQueryParameters(),
  ),
  fc.oneof(
    fc.constantFrom('FAILED', 'PENDING', 'USD', 'A123', '1', '250', '251', '0', '-1', '1e2', ''),
    fc.constantFrom(
      '2026-01-31T12:00:00Z',
      '2026-02-30T00:00:00Z',
      '0000-01-01T00:00Z',
      '%',
      '%ff',
    ),
    fc.constantFrom(
      '9999-12-31T23:59:59.9999%2B23:59',
      '0000-01-01T00:00:00-23:59',
      'MQ',
      'OTk5OTk',
    ),
    fc.constantFrom('%00', '%ED%A0%80', '+'),
    fc.webQueryParameters(),
  ),
)
const cursors = ['0', '1', '9'.repeat(16), '9'.repeat(17), '10000000000000000000', '-1', '1.5', '']
const query = fc.oneof(
  fc.constant(''),
  fc
    .array(parameter, { minLength: 1, maxLength: 3 })
    .map((all) => `?${all.map(([name, value]) => `${name}=${value}`).join('&')}`),
  fc
    .constantFrom(...cursors)
    .map((before) => `?cursor=${Buffer.from(before).toString('base64url')}`),
)
const method = fc.constantFrom(
  ...['GET', 'GET', 'GET', 'POST', 'POST', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
)
const authorization = fc.constantFrom(
  ...[undefined, `Bearer ${KEY}`, `bearer  ${KEY}`, `Bearer ${KEY}x`, `Bearer ${KEY.slice(1)}`],
  ...['Bearer x', 'Bearer', `Basic ${KEY}`, KEY, ''],
)
const otherHeaders = fc.dictionary(
  fc.constantFrom(
    ...['content-type', 'accept', 'if-none-match', 'origin', 'range', 'cookie'],
    ...['x-request-id', 'x-http-method-override', 'x-forwarded-host', 'accept-encoding', 'upgrade'],
  ),
  fc.oneof(
    fc.constantFrom('application/json', '*/*', 'Basic'),
    fc.constantFrom('"5.35.0"', 'bytes=0-10', 'DELETE', 'websocket', 'http://evil.example', KEY),
    fc.stringMatching(/^[ -~]{0,20}$/),
  ),
  { maxKeys: 3 },
)
const filter = fc.dictionary(
  fc.constantFrom('status', 'currency', 'source_account', 'created_from', 'created_to', 'x'),
  fc.oneof(fc.constantFrom('FAILED', 'USD', '2026-01-31T12:00:00Z'), fc.jsonValue()),
  { maxKeys: 2 },
)
const requestBody = fc.oneof(
  fc.record({ filter, dry_run: fc.boolean() }).map((value) => JSON.stringify(value)),
  fc.record({ filter: fc.jsonValue(), dry_run: fc.jsonValue() }).map((it) => JSON.stringify(it)),
  fc.string({ unit: 'binary' }),
)

test('any request, with or without keys, is answered without a 5xx, and errors are problems', async () => {
  await using open = testService()
  await using keyed = testService({ flags: { '--api-keys': KEY } })
  for (const service of [open, keyed]) {
    await service.start()
    expect((await service.post(transactionBody())).status).toBe(202)
  }
  let succeeded = 0
  const asked = fc.record({
    path,
    query,
    method,
    authorization,
    others: otherHeaders,
    body: requestBody,
  })
  await fc.assert(
    fc.asyncProperty(
      asked,
      fc.boolean(),
      async ({ path, query, method, authorization, others, body }, locked) => {
        const url = `http://localhost${path}${query}`
        fc.pre(URL.canParse(url))
        const headers = { ...others, ...(authorization === undefined ? {} : { authorization }) }
        const init = { method, headers, ...(/^P/.test(method) ? { body } : {}) }
        const { app } = locked ? keyed : open
        const response = await app.fetch(new Request(url, init))
        const text = await response.text()
        expect(response.status).toBeLessThan(500)
        expect(response.headers.get('x-request-id')).toMatch(UUID)
        expect(response.headers.get('x-content-type-options')).toBe('nosniff')
        if (response.status >= 400) {
          if (method !== 'HEAD' || text !== '') await checkProblem(response, text)
          return
        }
        succeeded++
        const { pathname } = new URL(url)
        const isOpen = /^\/($|livez$|readyz$|webhook$|v1\/webhooks\/|swagger)/.test(pathname)
        if (locked && !isOpen) {
          expect([`Bearer ${KEY}`, `bearer  ${KEY}`]).toContain(authorization as string)
        }
      },
    ),
    share(0.15),
  )
  expect(succeeded).toBeGreaterThan(RUNS * 0.15 * 0.1)
  for (const { log } of [open, keyed])
    expect(log.entries.filter(({ level }) => level === 'error')).toEqual([])
})
