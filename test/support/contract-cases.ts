/**
 * The contract of single requests, as data. The same table runs against the app in process and,
 * over HTTP, against the compiled executable: `checkCase` needs only a way to send a request.
 *
 * Every case has its own transaction ids, so that all can run against one service in any order.
 * They expect the flags CONTRACT_FLAGS and no webhook secrets.
 */

import { expect } from 'bun:test'
import { parseExact } from '../../src/commands/exact-json.ts'
import { transactionBody } from './service.ts'

/** Sends a request to the service under test; `path` begins with a slash. */
export type Send = (path: string, init: RequestInit) => Promise<Response>

export type ContractRequest = {
  method: string
  path: string
  headers?: Record<string, string>
  body?: Uint8Array
  /** The body is sent in chunks of this many bytes, without a Content-Length. */
  chunkBytes?: number
}

export type ContractCase = {
  name: string
  /** Posted before; each must be a 202. */
  before?: readonly ContractRequest[]
  request: ContractRequest
  status: number
  /** The `code` of the problem; undefined: the answer is no problem. */
  code?: string
  /** The `errors` of the problem, as path and code; undefined: it has no such member. */
  errors?: readonly (readonly [path: string, code: string])[]
  /** The whole body of an answer that is no problem; undefined: any. */
  answer?: unknown
  /** Headers that the answer must have. */
  headers?: Readonly<Record<string, string>>
  /** The transaction that the case is about, and whether it is stored afterwards. */
  transactionId?: string
  stored: boolean
  /** The five fields and `extra` of what is stored afterwards. */
  shown?: Readonly<Record<string, unknown>>
}

export const CONTRACT_BODY_BYTES_MAX = 1024

/** The flags that the cases expect; any others are allowed. */
export const CONTRACT_FLAGS = { '--max-body-bytes': String(CONTRACT_BODY_BYTES_MAX) } as const

const WEBHOOK_PATH = '/v1/webhooks/transactions'
const LIST_PATH = '/v1/transactions'
const CONFLICTS_PATH = '/v1/conflicts'
const RETRY_PATH = '/v1/transactions/retry'
const JSON_HEADERS = { 'content-type': 'application/json' } as const
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/

/** Sends a case's request, and throws where the answer or what is stored is not as expected. */
export async function checkCase(send: Send, it: ContractCase): Promise<void> {
  for (const request of it.before ?? []) {
    expect((await sendRequest(send, request)).status).toBe(202)
  }
  const response = await sendRequest(send, it.request)
  const text = await response.text()
  const body = it.request.method === 'HEAD' ? undefined : text
  expect([response.status, text]).toEqual([it.status, text])
  expect(response.headers.get('x-request-id')).toMatch(UUID)
  for (const [name, value] of Object.entries(it.headers ?? {})) {
    expect([name, response.headers.get(name)]).toEqual([name, value])
  }
  if (it.code === undefined) {
    expect(response.headers.get('content-type')).not.toContain('problem')
  } else if (body !== undefined) {
    checkProblem(response, body, it)
  }
  if (it.answer !== undefined) expect(JSON.parse(text)).toEqual(it.answer)
  if (it.status === 202 && body !== undefined) checkAccepted(response, body, it)
  await checkStored(send, it)
}

function checkProblem(response: Response, body: string, it: ContractCase): void {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expect(response.headers.get('cache-control')).toBe('no-store')
  const problem = JSON.parse(body)
  expect(problem).toMatchObject({ type: 'about:blank', status: it.status, code: it.code })
  expect(problem.title).toBeString()
  expect(problem.detail).toBeString()
  expect(problem.detail).not.toBeEmpty()
  expect(problem.request_id).toBe(response.headers.get('x-request-id'))
  const faults = problem.errors as { path: string; code: string; message: string }[] | undefined
  // The contract fixes which faults are named, not their order.
  const found = faults?.map(({ path, code }) => `${path}: ${code}`).sort()
  expect(found).toEqual(it.errors?.map(([path, code]) => `${path}: ${code}`).sort())
  for (const { message } of faults ?? []) expect(message).not.toBeEmpty()
}

function checkAccepted(response: Response, body: string, it: ContractCase): void {
  if (it.transactionId === undefined) throw new Error('A case with a 202 needs a transactionId.')
  expect(response.headers.get('location')).toBe(transactionPath(it.transactionId))
  checkShown(body, it)
}

/** A GET right after the answer shows what is stored. */
async function checkStored(send: Send, it: ContractCase): Promise<void> {
  if (it.transactionId === undefined) return
  const response = await send(transactionPath(it.transactionId), { method: 'GET' })
  expect(response.status).toBe(it.stored ? 200 : 404)
  if (it.stored) checkShown(await response.text(), it)
}

function checkShown(json: string, it: ContractCase): void {
  if (it.shown === undefined) throw new Error('A case with a stored transaction needs `shown`.')
  const { transaction_id, source_account, destination_account, amount, currency, extra } =
    parseExact(json) as Record<string, unknown>
  const five = { transaction_id, source_account, destination_account, amount, currency }
  // As text: equality ignores a member `__proto__` and the order of members.
  expect(JSON.stringify({ ...five, extra })).toBe(JSON.stringify(it.shown))
}

function sendRequest(send: Send, { method, path, headers, body, chunkBytes }: ContractRequest) {
  const init: RequestInit = { method }
  if (headers) init.headers = headers
  if (body) init.body = chunkBytes === undefined ? body : chunked(body, chunkBytes)
  return send(path, init)
}

function chunked(body: Uint8Array, chunkBytes: number): ReadableStream<Uint8Array> {
  let offset = 0
  return new ReadableStream({
    pull(controller) {
      if (offset >= body.length) return controller.close()
      controller.enqueue(body.slice(offset, offset + chunkBytes))
      offset += chunkBytes
    },
  })
}

export function transactionPath(transactionId: string): string {
  return `/v1/transactions/${encodeURIComponent(transactionId)}`
}

/** A webhook with this text, or these bytes, as its body. */
export function webhookRequest(
  body: string | Uint8Array,
  headers: Record<string, string> = JSON_HEADERS,
): ContractRequest {
  return postTo(WEBHOOK_PATH, body, headers)
}

/** A bulk retry with this text, or these bytes, as its body. */
function retryRequest(
  body: string | Uint8Array,
  headers: Record<string, string> = JSON_HEADERS,
): ContractRequest {
  return postTo(RETRY_PATH, body, headers)
}

function postTo(
  path: string,
  body: string | Uint8Array,
  headers: Record<string, string>,
): ContractRequest {
  // Always bytes: with text, fetch would add a Content-Type where there is none.
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  return { method: 'POST', path, headers, body: bytes }
}

/** Makes unique ids, the same ones in every run. */
function idSource(prefix: string): () => string {
  let count = 0
  return () => `${prefix}_${++count}`
}

const newId = idSource('contract')

function idOf({ transaction_id }: Record<string, unknown>): string {
  return transaction_id as string
}

/** The five fields and `extra` as they are shown, from the fields that were sent. */
function shownAs(fields: Record<string, unknown>, changes: Record<string, unknown> = {}) {
  const { transaction_id, source_account, destination_account, amount, currency, ...extra } = fields
  const five = { transaction_id, source_account, destination_account, amount, currency }
  return { ...five, extra, ...changes }
}

function accepted(
  name: string,
  changes: Record<string, unknown>,
  shown: Record<string, unknown> = {},
): ContractCase {
  const fields = transactionBody({ transaction_id: newId(), ...changes })
  return {
    name: `accepted: ${name}`,
    request: webhookRequest(JSON.stringify(fields)),
    status: 202,
    transactionId: idOf(fields),
    stored: true,
    shown: shownAs(fields, shown),
  }
}

function invalid(
  name: string,
  changes: Record<string, unknown>,
  ...errors: [path: string, code: string][]
): ContractCase {
  const fields = transactionBody({ transaction_id: newId(), ...changes })
  const { transaction_id: id } = fields
  // An id that a GET can ask for: it must not be stored.
  const askable = typeof id === 'string' && id !== '' && id !== '.' && id !== '..'
  return {
    name: `422: ${name}`,
    request: webhookRequest(JSON.stringify(fields)),
    status: 422,
    code: 'invalid_transaction',
    errors,
    ...(askable ? { transactionId: id } : {}),
    stored: false,
  }
}

/** The text of a webhook with the source text of its amount. */
export function webhookText(transactionId: string, amount: string, currency: string): string {
  const fields = transactionBody({ transaction_id: transactionId, amount: 0, currency })
  return JSON.stringify(fields).replace('"amount":0,', () => `"amount":${amount},`)
}

function amountIs(amount: string, currency: string, shown: number): ContractCase {
  const id = newId()
  return {
    name: `accepted: the amount ${amount} ${currency}`,
    request: webhookRequest(webhookText(id, amount, currency)),
    status: 202,
    transactionId: id,
    stored: true,
    shown: shownAs(transactionBody({ transaction_id: id, amount: shown, currency })),
  }
}

function amountIsnt(amount: string, currency: string, code: string): ContractCase {
  const id = newId()
  return {
    name: `422: the amount ${amount} ${currency} (${code})`,
    request: webhookRequest(webhookText(id, amount, currency)),
    status: 422,
    code: 'invalid_transaction',
    errors: [['amount', code]],
    transactionId: id,
    stored: false,
  }
}

function notJson(name: string, text: (id: string) => string | Uint8Array): ContractCase {
  const id = newId()
  return {
    name: `400: ${name}`,
    request: webhookRequest(text(id)),
    status: 400,
    code: 'invalid_json',
    transactionId: id,
    stored: false,
  }
}

function withHeaders(
  name: string,
  headers: Record<string, string>,
  fault?: { status: number; code: string },
): ContractCase {
  const fields = transactionBody({ transaction_id: newId() })
  return {
    name: `${fault?.status ?? 'accepted'}: ${name}`,
    request: webhookRequest(JSON.stringify(fields), headers),
    status: 202,
    ...fault,
    transactionId: idOf(fields),
    stored: fault === undefined,
    shown: shownAs(fields),
  }
}

const UNSUPPORTED = { status: 415, code: 'unsupported_media_type' } as const
const INVALID_JSON = 'invalid_json'

/** A webhook of exactly this many bytes. */
function webhookOfLength(id: string, bytes: number): { text: string; extra: string } {
  const empty = JSON.stringify(transactionBody({ transaction_id: id, note: '' }))
  const extra = 'x'.repeat(bytes - empty.length)
  return { text: JSON.stringify(transactionBody({ transaction_id: id, note: extra })), extra }
}

function ofLength(bytes: number, chunkBytes?: number): ContractCase {
  const id = newId()
  const { text, extra } = webhookOfLength(id, bytes)
  const fits = bytes <= CONTRACT_BODY_BYTES_MAX
  const way = chunkBytes === undefined ? 'in one piece' : `in chunks of ${chunkBytes}`
  return {
    name: `${fits ? 'accepted' : '413'}: a body of ${bytes} bytes ${way}`,
    request: { ...webhookRequest(text), ...(chunkBytes === undefined ? {} : { chunkBytes }) },
    ...(fits ? { status: 202 } : { status: 413, code: 'body_too_large' }),
    transactionId: id,
    stored: fits,
    shown: shownAs(transactionBody({ transaction_id: id, note: extra })),
  }
}

/** A request with several faults: the check that comes first answers. */
function firstFault(
  name: string,
  request: ContractRequest,
  status: number,
  code: string,
): ContractCase {
  return {
    name: `${status}, the first of several faults: ${name}`,
    request,
    status,
    code,
    stored: false,
  }
}

function replay(
  name: string,
  first: (id: string) => string,
  second: (id: string) => string,
  extra: Record<string, unknown> = {},
): ContractCase {
  const id = newId()
  return {
    name: `replayed: ${name}`,
    before: [webhookRequest(first(id))],
    request: webhookRequest(second(id)),
    status: 202,
    headers: { 'idempotent-replayed': 'true' },
    transactionId: id,
    stored: true,
    shown: shownAs(transactionBody({ transaction_id: id, ...extra })),
  }
}

function conflict(changes: Record<string, unknown>): ContractCase {
  const fields = transactionBody({ transaction_id: newId() })
  const id = idOf(fields)
  const differing = Object.keys(fields).filter((field) => field in changes)
  return {
    name: `409: the second time ${JSON.stringify(changes)}`,
    before: [webhookRequest(JSON.stringify(fields))],
    request: webhookRequest(JSON.stringify({ ...fields, ...changes })),
    status: 409,
    code: 'transaction_conflict',
    errors: differing.map((field) => [field, 'differs']),
    headers: { location: transactionPath(id) },
    transactionId: id,
    stored: true,
    shown: shownAs(fields),
  }
}

function route(
  method: string,
  path: string,
  status: number,
  code?: string,
  headers: Record<string, string> = {},
): ContractCase {
  const end = code === undefined ? {} : { code }
  return {
    name: `${status}: ${method} ${path}`,
    request: { method, path },
    status,
    ...end,
    headers,
    stored: false,
  }
}

const wrongMethod = (method: string, path: string, allow: string) =>
  route(method, path, 405, 'method_not_allowed', { allow })

/** A valid query of a list, and the whole answer where nothing can match it. */
function goodQuery(path: string, query: string, answer?: unknown): ContractCase {
  return { ...route('GET', `${path}?${query}`, 200), ...(answer === undefined ? {} : { answer }) }
}

function badQuery(
  path: string,
  query: string,
  ...errors: [path: string, code: string][]
): ContractCase {
  return { ...route('GET', `${path}?${query}`, 422, 'invalid_parameters'), errors }
}

/** An invalid body of a bulk retry, and its faults. */
function badRetry(body: string, ...errors: [path: string, code: string][]): ContractCase {
  return {
    name: `422: a retry by ${body}`,
    request: retryRequest(body),
    status: 422,
    code: 'invalid_parameters',
    errors,
    stored: false,
  }
}

/** A bulk retry that changes nothing, since no case has a FAILED transaction. */
function goodRetry(
  name: string,
  body: string,
  headers?: Record<string, string>,
  chunkBytes?: number,
): ContractCase {
  return {
    name: `200: a retry ${name}`,
    request: {
      ...retryRequest(body, headers),
      ...(chunkBytes === undefined ? {} : { chunkBytes }),
    },
    status: 200,
    answer: { matched: 0, retried: 0 },
    stored: false,
  }
}

/** A bulk retry that is refused as a whole. */
function refusedRetry(
  name: string,
  request: ContractRequest,
  status: number,
  code: string,
): ContractCase {
  return { name: `${status}: a retry ${name}`, request, status, code, stored: false }
}

const text = (changes: Record<string, unknown>) => JSON.stringify(transactionBody(changes))

/** Ids that must not be changed by normalisation, trimming, case folding or URLs. */
const KEPT_IDS = {
  'an upper-case id': 'TXN_KEPT',
  'its lower-case twin, another one': 'txn_kept',
  'inner spaces': 'kept  two spaces',
  'URL characters': 'kept/a?b#c%2Fd+e&f=g;h:i@j',
  'percent signs': '%kept%%41',
  'path traversal': '../kept/../..',
  'three dots': '...',
  emoji: 'kept 💶👩‍👩‍👧',
  'a composed letter': 'kept é',
  'the same letter decomposed, another one': 'kept e\u0301',
  'a ligature that NFKC would split': 'kept ﬁ',
  'full-width letters': 'ｋｅｐｔ',
  'right-to-left letters': 'kept שלום',
  'quotes and backslashes': `kept"'\\\`$`,
  SQL: "kept'); DROP TABLE transactions; --",
  markup: '<kept onload=alert(1)>&amp;',
  'a zero-width space, which is no white space': 'kept\u200b',
  'an inner U+FEFF': 'kept\ufeffbom',
  'an inner U+3000': 'kept\u3000ideographic',
  'a noncharacter': 'kept\uffff',
  'a private-use character': 'kept\ue000',
  'the name of a prototype': '__proto__',
  'the name of a constructor': 'constructor',
  'the word null': 'null',
  'a number': '1',
  'the same number with a zero before it, another one': '01',
} as const

const hex = (char: string) => `U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`

/** White space that is allowed inside but not at an end. */
const SPACES = [...' \u00a0\u1680\u2000\u200a\u202f\u205f\u3000\ufeff']
/** Control characters, both separators, and every bidirectional control. */
const REFUSED = [
  ...'\0\u0001\t\n\r\u001f\u007f\u0080\u0085\u009f\u2028\u2029',
  ...'\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069',
]

const NAMES = ['transaction_id', 'source_account', 'destination_account'] as const
const FIELD_NAMES = [...NAMES, 'amount', 'currency'] as const

const lengths: ContractCase[] = [
  accepted('an id of 1 character', { transaction_id: 'L' }),
  accepted('an id of 255 characters', { transaction_id: 'l'.repeat(255) }),
  accepted('an id of 255 UTF-16 units', { transaction_id: `l${'😀'.repeat(127)}` }),
  accepted('an id of 255 characters of 3 bytes', { transaction_id: '€'.repeat(255) }),
  accepted('accounts of 1 character', { source_account: 'a', destination_account: 'b' }),
  accepted('accounts of 128 characters', {
    source_account: 'a'.repeat(128),
    destination_account: '€'.repeat(128),
  }),
  accepted('accounts of 128 UTF-16 units', {
    source_account: '😀'.repeat(64),
    destination_account: `b${'é'.repeat(127)}`,
  }),
  accepted('both accounts alike', { source_account: 'same', destination_account: 'same' }),
  accepted('accounts that are dots', { source_account: '.', destination_account: '..' }),
  invalid('an id of 256 characters', { transaction_id: 'm'.repeat(256) }, [
    'transaction_id',
    'length',
  ]),
  invalid('an id of 256 UTF-16 units', { transaction_id: '😀'.repeat(128) }, [
    'transaction_id',
    'length',
  ]),
  ...NAMES.map((name) => invalid(`an empty ${name}`, { [name]: '' }, [name, 'length'])),
  invalid(
    'accounts of 129 characters and units',
    { source_account: 'a'.repeat(129), destination_account: `b${'😀'.repeat(64)}` },
    ['source_account', 'length'],
    ['destination_account', 'length'],
  ),
]

const characters: ContractCase[] = [
  ...Object.entries(KEPT_IDS).map(([name, id]) => accepted(name, { transaction_id: id })),
  ...SPACES.map((char) =>
    accepted(`${hex(char)} inside`, {
      transaction_id: `${newId()}${char}x`,
      source_account: `a${char}b`,
      destination_account: `c${char}d`,
    }),
  ),
  ...SPACES.flatMap((char) => [
    invalid(
      `${hex(char)} in front`,
      {
        transaction_id: `${char}${newId()}`,
        source_account: `${char}a`,
        destination_account: `${char}b`,
      },
      ...NAMES.map((name): [string, string] => [name, 'characters']),
    ),
    invalid(
      `${hex(char)} at the end`,
      {
        transaction_id: `${newId()}${char}`,
        source_account: `a${char}`,
        destination_account: `b${char}`,
      },
      ...NAMES.map((name): [string, string] => [name, 'characters']),
    ),
    invalid(`${hex(char)} alone`, { source_account: char }, ['source_account', 'characters']),
  ]),
  ...REFUSED.map((char) =>
    invalid(
      `${hex(char)} inside`,
      {
        transaction_id: `${newId()}${char}x`,
        source_account: `a${char}b`,
        destination_account: `é${char}é`,
      },
      ...NAMES.map((name): [string, string] => [name, 'characters']),
    ),
  ),
  invalid('the id .', { transaction_id: '.' }, ['transaction_id', 'reserved']),
  invalid('the id ..', { transaction_id: '..' }, ['transaction_id', 'reserved']),
]

const JSON_VALUES = { null: null, true: true, number: 1, array: ['a'], object: { a: 1 } } as const

const types: ContractCase[] = [
  ...NAMES.flatMap((name) =>
    Object.entries(JSON_VALUES).map(([type, value]) =>
      invalid(`${name} is ${type}`, { [name]: value }, [name, 'type']),
    ),
  ),
  ...Object.entries(JSON_VALUES).map(([type, value]) =>
    invalid(`currency is ${type}`, { currency: value }, ['currency', 'type']),
  ),
  ...[null, true, false, [1], [], { value: 1 }].map((value) =>
    invalid(`amount is ${JSON.stringify(value)}`, { amount: value }, ['amount', 'type']),
  ),
  ...FIELD_NAMES.map((name) =>
    invalid(`${name} is missing`, { [name]: undefined }, [name, 'required']),
  ),
  ...['null', '[]', '"text"', '1', 'true', `[${text({ transaction_id: 'rooted' })}]`].map(
    (root): ContractCase => ({
      name: `422: the root is ${root}`,
      request: webhookRequest(root),
      status: 422,
      code: 'invalid_transaction',
      errors: [['', 'type']],
      transactionId: 'rooted',
      stored: false,
    }),
  ),
  {
    name: '422: an empty object lacks all five fields',
    request: webhookRequest('{}'),
    status: 422,
    code: 'invalid_transaction',
    errors: FIELD_NAMES.map((name) => [name, 'required']),
    stored: false,
  },
  {
    name: '422: members of the prototype do not count as fields',
    request: webhookRequest(`{"__proto__":${text({ transaction_id: 'inherited' })}}`),
    status: 422,
    code: 'invalid_transaction',
    errors: FIELD_NAMES.map((name) => [name, 'required']),
    transactionId: 'inherited',
    stored: false,
  },
  {
    name: '422: field names are case-sensitive',
    request: webhookRequest(text({}).replace('"currency"', '"Currency"')),
    status: 422,
    code: 'invalid_transaction',
    errors: [['currency', 'required']],
    stored: false,
  },
  invalid(
    'every field has a fault of its own',
    {
      transaction_id: '..',
      source_account: 'a\u202eb',
      destination_account: 7,
      amount: '1e2',
      currency: 'usd',
    },
    ['source_account', 'characters'],
    ['destination_account', 'type'],
    ['currency', 'currency'],
    ['amount', 'format'],
    ['transaction_id', 'reserved'],
  ),
]

const currencies: ContractCase[] = [
  ...['USD', 'EUR', 'XCG', 'ZWG', 'SLE', 'BOV', 'CHE', 'UYI', 'JPY', 'KWD', 'CLF', 'UYW'].map(
    (currency) => accepted(`the currency ${currency}`, { currency }),
  ),
  ...['ANG', 'BGN', 'CUC', 'HRK', 'SLL', 'ZWL', 'DEM', 'XXX', 'XTS', 'XAU', 'XAG', 'XDR'].map(
    (currency) => invalid(`the currency ${currency}`, { currency }, ['currency', 'currency']),
  ),
  ...['', 'usd', 'Usd', ' USD', 'USD ', 'US', 'USDD', '840', 'ＵＳＤ', 'USD\0', '__proto__'].map(
    (currency) =>
      invalid(`the currency ${JSON.stringify(currency)}`, { currency }, ['currency', 'currency']),
  ),
]

const amounts: ContractCase[] = [
  ...[
    '100',
    '100.0',
    '100.00',
    '100.000000',
    '1e2',
    '1E2',
    '1e+2',
    '1e02',
    '0.1e3',
    '10000e-2',
  ].map((amount) => amountIs(amount, 'USD', 100)),
  ...['"100"', '"100.0"', '"100.00"', '"100.000000"', '"\\u0031\\u0030\\u0030"'].map((amount) =>
    amountIs(amount, 'USD', 100),
  ),
  amountIs('0.01', 'USD', 0.01),
  amountIs('"0.01"', 'USD', 0.01),
  amountIs('1e-2', 'USD', 0.01),
  amountIs(`0.01${'0'.repeat(400)}`, 'USD', 0.01),
  amountIs(`1${'0'.repeat(400)}e-400`, 'USD', 1),
  amountIs('0.29', 'USD', 0.29),
  amountIs('1.005', 'KWD', 1.005),
  amountIs('0.001', 'KWD', 0.001),
  amountIs('0.0001', 'CLF', 0.0001),
  amountIs('1', 'JPY', 1),
  amountIs('1.00', 'JPY', 1),
  amountIs('"1.00"', 'JPY', 1),
  amountIs('9999999999999.99', 'USD', 9999999999999.99),
  amountIs('"9999999999999.99"', 'USD', 9999999999999.99),
  amountIs('999999999999999e-2', 'USD', 9999999999999.99),
  amountIs('999999999999999', 'JPY', 999999999999999),
  amountIs('999999999999.999', 'KWD', 999999999999.999),
  amountIs('"99999999999.9999"', 'CLF', 99999999999.9999),

  ...['0', '-0', '0.0', '0e9', '-0.0', '0e999999999999', '-1', '-100.00', '-1e400', '"0"'].map(
    (amount) => amountIsnt(amount, 'USD', 'range'),
  ),
  ...[
    '10000000000000',
    '10000000000000.00',
    '"10000000000000"',
    '1e13',
    '1e400',
    '1e99999999999999999999',
  ].map((amount) => amountIsnt(amount, 'USD', 'range')),
  amountIsnt('1000000000000000', 'JPY', 'range'),
  amountIsnt('1000000000000', 'KWD', 'range'),
  amountIsnt('"100000000000"', 'CLF', 'range'),
  ...[
    '0.001',
    '100.001',
    '"100.001"',
    '0.1000000000000000055',
    '1e-3',
    '1e-400',
    '9999999999999.991',
  ].map((amount) => amountIsnt(amount, 'USD', 'precision')),
  amountIsnt('0.1', 'JPY', 'precision'),
  amountIsnt('"1.5"', 'JPY', 'precision'),
  amountIsnt('0.0001', 'KWD', 'precision'),
  amountIsnt('0.00001', 'CLF', 'precision'),
  ...[
    '',
    ' ',
    '1e2',
    '+1',
    '-1',
    '01',
    '00.1',
    '1.',
    '.1',
    ' 1',
    '1 ',
    '1\n',
    '1,000',
    '1_000',
    '0x10',
  ].map((amount) => amountIsnt(JSON.stringify(amount), 'USD', 'format')),
  ...['１', '١', 'Infinity', 'NaN', '1.2.3', '$1', 'one'].map((amount) =>
    amountIsnt(JSON.stringify(amount), 'USD', 'format'),
  ),
]

const syntax: ContractCase[] = [
  notJson('an empty body', () => ''),
  notJson('white space alone', () => ' \n'),
  notJson('a text cut off', (id) => text({ transaction_id: id }).slice(0, -1)),
  notJson('a comma too many', (id) => text({ transaction_id: id }).replace(/}$/, ',}')),
  notJson('something after the end', (id) => `${text({ transaction_id: id })};`),
  notJson('two texts', (id) => text({ transaction_id: id }).repeat(2)),
  notJson('two lines', (id) => `${text({ transaction_id: id })}\n${text({ transaction_id: id })}`),
  notJson('single quotes', (id) => text({ transaction_id: id }).replaceAll('"', "'")),
  notJson('a comment', (id) => `${text({ transaction_id: id })} // so`),
  notJson('a form', (id) => `transaction_id=${id}&amount=100`),
  notJson('a BOM', (id) => `\ufeff${text({ transaction_id: id })}`),
  notJson('UTF-16', (id) => Buffer.from(text({ transaction_id: id }), 'utf16le')),
  notJson('invalid UTF-8', (id) => Buffer.from(text({ transaction_id: id, x: '\xff' }), 'latin1')),
  notJson('an overlong encoding', (id) => {
    const [before, after] = text({ transaction_id: id, x: 'HERE' }).split('HERE') as [
      string,
      string,
    ]
    return Buffer.concat([Buffer.from(before), Buffer.from([0xc0, 0xaf]), Buffer.from(after)])
  }),
  notJson('a surrogate encoded as UTF-8', (id) => {
    const [before, after] = text({ transaction_id: id, x: 'HERE' }).split('HERE') as [
      string,
      string,
    ]
    return Buffer.concat([Buffer.from(before), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from(after)])
  }),
  notJson('a lone surrogate in a field', (id) =>
    text({ transaction_id: id, source_account: 'HERE' }).replace('HERE', '\\ud800'),
  ),
  notJson('a lone surrogate deep in the extras', (id) =>
    text({ transaction_id: id, x: [{ y: 'HERE' }] }).replace('HERE', '\\udc00\\ud800'),
  ),
  notJson('a lone surrogate in a key', (id) =>
    text({ transaction_id: id, HERE: 1 }).replace('HERE', '\\ud800'),
  ),
  notJson('a raw control character', (id) =>
    text({ transaction_id: id, x: 'HERE' }).replace('HERE', '\t'),
  ),
  notJson('a field twice', (id) => text({ transaction_id: id }).replace(/}$/, ',"amount":100}')),
  notJson('a field twice, once escaped', (id) =>
    text({ transaction_id: id }).replace(/}$/, ',"\\u0061mount":100}'),
  ),
  notJson('a key twice in the extras', (id) =>
    text({ transaction_id: id, x: [{ y: 0 }] }).replace('"y":0', '"y":0,"y":0'),
  ),
  notJson('__proto__ twice', (id) =>
    text({ transaction_id: id, y: 0 }).replace('"y":0', '"__proto__":0,"__proto__":0'),
  ),
  notJson('9 objects and arrays inside one another', (id) =>
    text({ transaction_id: id, x: [[[{ y: [[[[]]]] }]]] }),
  ),
  notJson('900 arrays inside one another', () => '['.repeat(900)),
  notJson('a number beyond the doubles in the extras', (id) =>
    text({ transaction_id: id, x: 0 }).replace('"x":0', '"x":1e400'),
  ),
  ...['01', '+1', '.5', '1.', '1e', '0x1', 'NaN', 'Infinity', '-', 'nul'].map((amount) =>
    notJson(`the amount ${amount}`, (id) => webhookText(id, amount, 'USD')),
  ),
]

const extras: ContractCase[] = [
  accepted('extras of every type', {
    text: 'é"\\\n💶',
    number: -0.5,
    yes: true,
    nothing: null,
    list: [1, [2, { three: 3 }], {}],
    nested: { a: { b: [] } },
    '': 'the empty key',
    ' Key ': 'kept',
  }),
  accepted('extras with the names of members of the answer', {
    status: 'FAILED',
    attempts: 7,
    created_at: 'never',
    error: 'none',
    extra: { extra: {} },
    id: 1,
  }),
  accepted('8 objects and arrays inside one another', { x: [[[{ y: [[{}]] }]]] }),
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty'].map((name): ContractCase => {
    const id = newId()
    const body = text({ transaction_id: id, HERE: { polluted: [1] } }).replace('HERE', name)
    return {
      name: `accepted: an extra named ${name}`,
      request: webhookRequest(body),
      status: 202,
      transactionId: id,
      stored: true,
      shown: shownAs(JSON.parse(body)),
    }
  }),
  ((id): ContractCase => {
    const numbers = '[9007199254740993,1.10,1e2,-0,[{"n":1E-400}]]'
    const body = text({ transaction_id: id, n: 0 }).replace('"n":0', `"n":${numbers}`)
    return {
      name: 'accepted: numbers in the extras keep their digits',
      request: webhookRequest(body),
      status: 202,
      transactionId: id,
      stored: true,
      shown: shownAs(parseExact(body) as Record<string, unknown>),
    }
  })(newId()),
]

const mediaTypes: ContractCase[] = [
  ...[
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'application/json; charset="utf-8"',
    'application/json ; charset=utf8',
    'APPLICATION/JSON',
    'Application/Json; Charset=Utf-8',
    'application/json; version=1',
    'application/json;',
    'application/foo+json',
    'application/vnd.api+json; charset=utf-8',
    'application/cloudevents+json',
  ].map((type) => withHeaders(`Content-Type: ${type}`, { 'content-type': type })),
  ...[
    'text/plain',
    'text/json',
    'application/jsonp',
    'application/json5',
    'application/x-json',
    'application/json-seq',
    'application/+json',
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'json',
    '*/*',
    'application/json, text/plain',
    'application/json, application/json',
    'application/json; charset=utf-16',
    'application/json; charset=iso-8859-1',
    'application/json; charset="us-ascii"',
    'application/json; charset=',
    'application/json; charset="utf-16',
    'application/json; charset=utf-8; charset=utf-16',
    'application/foo+json; charset=latin1',
    'text/foo+json',
  ].map((type) => withHeaders(`Content-Type: ${type}`, { 'content-type': type }, UNSUPPORTED)),
  withHeaders('no Content-Type', {}, UNSUPPORTED),
  withHeaders('Content-Encoding: identity', { ...JSON_HEADERS, 'content-encoding': 'identity' }),
  ...['gzip', 'br', 'deflate', 'zstd', 'identity, gzip', 'utf-8'].map((encoding) =>
    withHeaders(
      `Content-Encoding: ${encoding}`,
      { ...JSON_HEADERS, 'content-encoding': encoding },
      UNSUPPORTED,
    ),
  ),
]

const sizes: ContractCase[] = [
  ofLength(CONTRACT_BODY_BYTES_MAX),
  ofLength(CONTRACT_BODY_BYTES_MAX, CONTRACT_BODY_BYTES_MAX),
  ofLength(CONTRACT_BODY_BYTES_MAX, 100),
  ofLength(CONTRACT_BODY_BYTES_MAX + 1),
  ofLength(CONTRACT_BODY_BYTES_MAX + 1, CONTRACT_BODY_BYTES_MAX + 1),
  ofLength(CONTRACT_BODY_BYTES_MAX + 1, 100),
  ofLength(CONTRACT_BODY_BYTES_MAX * 64, 1000),
]

const tooLong = 'x'.repeat(CONTRACT_BODY_BYTES_MAX + 1)
const order: ContractCase[] = [
  firstFault('the type, before the size', webhookRequest(tooLong, {}), 415, UNSUPPORTED.code),
  firstFault('the type, before JSON', webhookRequest('{', {}), 415, UNSUPPORTED.code),
  firstFault('the type, before fields', webhookRequest('{}', {}), 415, UNSUPPORTED.code),
  firstFault('the size, before JSON', webhookRequest(tooLong), 413, 'body_too_large'),
  firstFault(
    'the size, before JSON, chunked',
    { ...webhookRequest(tooLong), chunkBytes: 64 },
    413,
    'body_too_large',
  ),
  firstFault(
    'the size, before fields',
    webhookRequest(text({ amount: 0, note: tooLong })),
    413,
    'body_too_large',
  ),
  firstFault('JSON, before fields', webhookRequest('{"amount":0,"amount":0}'), 400, 'invalid_json'),
]

const known: ContractCase[] = [
  replay(
    'the same bytes',
    (id) => text({ transaction_id: id }),
    (id) => text({ transaction_id: id }),
  ),
  ...['100.0', '100.00', '"100.00"', '1e2'].map((amount) =>
    replay(
      `100 and ${amount} are the same`,
      (id) => webhookText(id, '100', 'USD'),
      (id) => webhookText(id, amount, 'USD'),
    ),
  ),
  replay(
    'another order of members, other white space and escapes',
    (id) => text({ transaction_id: id }),
    (id) =>
      JSON.stringify(
        Object.fromEntries(Object.entries(transactionBody({ transaction_id: id })).reverse()),
        null,
        2,
      ).replace('A123', '\\u0041123'),
  ),
  replay(
    'the first extras are kept',
    (id) => text({ transaction_id: id, note: 'first' }),
    (id) => text({ transaction_id: id, note: 'second', more: [1] }),
    { note: 'first' },
  ),
  replay(
    'no extras are kept where the first had none',
    (id) => text({ transaction_id: id }),
    (id) => text({ transaction_id: id, note: 'second' }),
  ),
  conflict({ source_account: 'a123' }),
  conflict({ destination_account: 'B457' }),
  conflict({ amount: 100.01 }),
  conflict({ currency: 'EUR' }),
  conflict({ currency: 'JPY' }),
  conflict({ source_account: 'B456', destination_account: 'A123' }),
  conflict({ source_account: 'x', destination_account: 'y', amount: '1', currency: 'KWD' }),
  conflict({ amount: 1, note: 'an extra is no difference' }),
  ((id): ContractCase => ({
    name: 'the alias /webhook is the same webhook',
    before: [webhookRequest(text({ transaction_id: id }))],
    request: { ...webhookRequest(text({ transaction_id: id })), path: '/webhook' },
    status: 202,
    headers: { 'idempotent-replayed': 'true' },
    transactionId: id,
    stored: true,
    shown: shownAs(transactionBody({ transaction_id: id })),
  }))(newId()),
  ((id): ContractCase => ({
    name: 'the alias /webhook accepts a new one',
    request: { ...webhookRequest(text({ transaction_id: id })), path: '/webhook' },
    status: 202,
    transactionId: id,
    stored: true,
    shown: shownAs(transactionBody({ transaction_id: id })),
  }))(newId()),
]

/** Encoded as a `next_cursor` is. */
const cursorOf = (id: number | string) => Buffer.from(String(id)).toString('base64url')

const NOTHING_FOUND = { data: [], next_cursor: null }

const lists: ContractCase[] = [
  ...[LIST_PATH, CONFLICTS_PATH].flatMap((path) => [
    route('GET', path, 200),
    route('HEAD', path, 200),
    goodQuery(path, 'li%6Dit=%32%35%30'),
    goodQuery(path, `cursor=${cursorOf(1)}`, NOTHING_FOUND),
    badQuery(path, 'limit', ['limit', 'value']),
    badQuery(path, 'limit=251', ['limit', 'value']),
    badQuery(path, 'cursor=50', ['cursor', 'value']),
    badQuery(path, '%ff=1', ['%ff', 'value']),
    badQuery(path, '__proto__=1', ['__proto__', 'unknown']),
    badQuery(path, 'limit=1&li%6Dit=1', ['limit', 'repeated']),
    badQuery(
      path,
      'nope=1&nope=1&limit=0&Limit=1',
      ['nope', 'repeated'],
      ['nope', 'unknown'],
      ['limit', 'value'],
      ['Limit', 'unknown'],
    ),
  ]),
  ...['0', '1e2', '-1', '%205', '+5'].map((limit) =>
    badQuery(LIST_PATH, `limit=${limit}`, ['limit', 'value']),
  ),
  ...['', 'x', 'NTA=', '%ff', cursorOf(0), cursorOf(-1), cursorOf('9007199254740993')].map(
    (cursor) => badQuery(LIST_PATH, `cursor=${cursor}`, ['cursor', 'value']),
  ),
  ...['PENDING', 'PROCESSING', 'PROCESSED', 'FAILED'].map((status) =>
    goodQuery(LIST_PATH, `status=${status}`),
  ),
  ...['', 'failed', 'DONE', 'FAILED%20', '%ff'].map((status) =>
    badQuery(LIST_PATH, `status=${status}`, ['status', 'value']),
  ),
  goodQuery(LIST_PATH, 'currency=NOK', NOTHING_FOUND),
  ...['', 'nok', '578', 'XXX', '%ff'].map((currency) =>
    badQuery(LIST_PATH, `currency=${currency}`, ['currency', 'value']),
  ),
  ...['source_account', 'destination_account'].flatMap((name) => [
    // A value, whatever it means in SQL.
    goodQuery(LIST_PATH, `${name}=%25%27%20OR%201%3D1--`, NOTHING_FOUND),
    goodQuery(LIST_PATH, `${name}=${'x'.repeat(128)}`, NOTHING_FOUND),
    ...['', 'x'.repeat(129), '%ff', '%ED%A0%80'].map((account) =>
      badQuery(LIST_PATH, `${name}=${account}`, [name, 'value']),
    ),
  ]),
  ...['created_from', 'created_to'].flatMap((name) => [
    goodQuery(LIST_PATH, `${name}=2024-02-29T23:59:59.999%2B23:59`),
    goodQuery(LIST_PATH, `${name}=0000-01-01T00:00Z`),
    ...[
      '2026-01-31T12:00:00',
      '2026-02-29T12:00:00Z',
      '2026-01-31T24:00:00Z',
      '2026-01-31T12:00:60Z',
      '2026-01-31T12:00:00%2B24:00',
      // A + in a query is a space; the + of a zone is written %2B.
      '2026-01-31T12:00:00+02:00',
      '%ff',
    ].map((time) => badQuery(LIST_PATH, `${name}=${time}`, [name, 'value'])),
  ]),
  goodQuery(LIST_PATH, 'created_from=9999-12-31T23:59:59.9999-23:59', NOTHING_FOUND),
  goodQuery(LIST_PATH, 'created_to=0000-01-01T00:00:00%2B23:59', NOTHING_FOUND),
  goodQuery(
    LIST_PATH,
    'status=FAILED&currency=USD&source_account=a&destination_account=b' +
      '&created_from=2026-01-01T00:00Z&created_to=2027-01-01T00:00Z&limit=9&cursor=NTA',
    NOTHING_FOUND,
  ),
  badQuery(
    LIST_PATH,
    'status=x&currency=x&source_account=&destination_account=&created_from=x&created_to=x' +
      '&limit=x&cursor=x&transaction_id=x',
    ['status', 'value'],
    ['currency', 'value'],
    ['source_account', 'value'],
    ['destination_account', 'value'],
    ['created_from', 'value'],
    ['created_to', 'value'],
    ['limit', 'value'],
    ['cursor', 'value'],
    ['transaction_id', 'unknown'],
  ),
  goodQuery(CONFLICTS_PATH, `transaction_id=${'x'.repeat(255)}`, NOTHING_FOUND),
  ...['', 'x'.repeat(256), '%ff'].map((id) =>
    badQuery(CONFLICTS_PATH, `transaction_id=${id}`, ['transaction_id', 'value']),
  ),
  badQuery(CONFLICTS_PATH, 'status=FAILED', ['status', 'unknown']),
]

const RETRY_BODY = JSON.stringify({ filter: { currency: 'NOK' }, dry_run: false })

const retries: ContractCase[] = [
  ...['true', 'false'].flatMap((dryRun) => [
    goodRetry(`of all, dry_run ${dryRun}`, `{"filter":{},"dry_run":${dryRun}}`),
    goodRetry(
      `by every filter, dry_run ${dryRun}`,
      JSON.stringify({
        filter: {
          status: 'FAILED',
          currency: 'USD',
          source_account: 'a',
          destination_account: 'b',
          created_from: '2026-01-01T00:00:00+01:00',
          created_to: '2027-01-01T00:00:00Z',
        },
        dry_run: dryRun === 'true',
      }),
    ),
  ]),
  goodRetry('in chunks', RETRY_BODY, JSON_HEADERS, 7),
  goodRetry('in JSON of another name', RETRY_BODY, { 'content-type': 'application/x+json' }),
  goodRetry('as long as a body may be', RETRY_BODY.padEnd(CONTRACT_BODY_BYTES_MAX)),

  badRetry('{}', ['filter', 'required'], ['dry_run', 'required']),
  badRetry('{"filter":{}}', ['dry_run', 'required']),
  badRetry('{"dry_run":true}', ['filter', 'required']),
  ...['null', '[]', '"all"'].map((filter) =>
    badRetry(`{"filter":${filter},"dry_run":true}`, ['filter', 'type']),
  ),
  ...['null', '"true"', '1'].map((dryRun) =>
    badRetry(`{"filter":{},"dry_run":${dryRun}}`, ['dry_run', 'type']),
  ),
  ...['PENDING', 'PROCESSING', 'PROCESSED', 'failed'].map((status) =>
    badRetry(`{"filter":{"status":"${status}"},"dry_run":true}`, ['filter.status', 'value']),
  ),
  ...['status', 'currency', 'source_account', 'created_from'].flatMap((name) =>
    ['null', '0', '""'].map((value) =>
      badRetry(`{"filter":{"${name}":${value}},"dry_run":true}`, [`filter.${name}`, 'value']),
    ),
  ),
  ...['limit', 'cursor', 'transaction_id', '__proto__'].map((name) =>
    badRetry(`{"filter":{"${name}":"1"},"dry_run":true}`, [`filter.${name}`, 'unknown']),
  ),
  ...['dryRun', '', '__proto__'].map((name) =>
    badRetry(`{"filter":{},"dry_run":true,"${name}":{}}`, [name, 'unknown']),
  ),
  badRetry(
    '{"filter":{"status":"DONE","created_to":"soon","limit":"1"},"dry_run":"no","force":true}',
    ['filter.status', 'value'],
    ['filter.created_to', 'value'],
    ['filter.limit', 'unknown'],
    ['dry_run', 'type'],
    ['force', 'unknown'],
  ),

  refusedRetry(
    'with no body',
    { method: 'POST', path: RETRY_PATH, headers: JSON_HEADERS },
    400,
    INVALID_JSON,
  ),
  ...['', '{', `\ufeff${RETRY_BODY}`].map((body) =>
    refusedRetry(`by ${JSON.stringify(body)}`, retryRequest(body), 400, INVALID_JSON),
  ),
  refusedRetry(
    'with its filter twice',
    retryRequest('{"filter":{"currency":"NOK"},"filter":{},"dry_run":false}'),
    400,
    INVALID_JSON,
  ),
  refusedRetry(
    'with a parameter twice',
    retryRequest('{"filter":{"currency":"NOK","currency":"USD"},"dry_run":true}'),
    400,
    INVALID_JSON,
  ),
  refusedRetry(
    'in invalid UTF-8',
    retryRequest(Buffer.from('{"filter":{"source_account":"\xff"},"dry_run":true}', 'latin1')),
    400,
    INVALID_JSON,
  ),
  ...[undefined, 100].map((chunkBytes) =>
    refusedRetry(
      `longer than the limit, ${chunkBytes === undefined ? 'in one piece' : 'chunked'}`,
      {
        ...retryRequest(RETRY_BODY.padEnd(CONTRACT_BODY_BYTES_MAX + 1)),
        ...(chunkBytes === undefined ? {} : { chunkBytes }),
      },
      413,
      'body_too_large',
    ),
  ),
  refusedRetry('without a type', retryRequest(RETRY_BODY, {}), 415, UNSUPPORTED.code),
  ...['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=latin1'].map(
    (type) =>
      refusedRetry(
        `as ${type}`,
        retryRequest(RETRY_BODY, { 'content-type': type }),
        415,
        UNSUPPORTED.code,
      ),
  ),
  refusedRetry(
    'that is compressed',
    retryRequest(RETRY_BODY, { ...JSON_HEADERS, 'content-encoding': 'gzip' }),
    415,
    UNSUPPORTED.code,
  ),
  firstFault(
    'the type of a retry, before its size',
    retryRequest(tooLong, {}),
    415,
    UNSUPPORTED.code,
  ),
  firstFault('the type of a retry, before JSON', retryRequest('{', {}), 415, UNSUPPORTED.code),
  firstFault('the size of a retry, before JSON', retryRequest(tooLong), 413, 'body_too_large'),
  firstFault(
    'the JSON of a retry, before members',
    retryRequest('{"a":0,"a":0}'),
    400,
    INVALID_JSON,
  ),

  ((id): ContractCase => ({
    name: '409: a retry of what is not FAILED',
    before: [webhookRequest(text({ transaction_id: id }))],
    request: { method: 'POST', path: `${transactionPath(id)}/retry` },
    status: 409,
    code: 'transaction_not_failed',
    errors: [['status', 'not_failed']],
    transactionId: id,
    stored: true,
    shown: shownAs(transactionBody({ transaction_id: id })),
  }))(newId()),
]

const UNDECODABLE = [
  '%',
  '%4',
  '%ZZ',
  '%80',
  'a%C3',
  '%C3%28',
  '%C0%AF',
  '%ED%A0%80',
  '%F5%80%80%80',
]
const UNKNOWN = ['unknown', '%00', '%2E%2E%2F', 'toString', 'retry', 'x'.repeat(300)]

const READ_ONLY = [
  '/',
  '/livez',
  '/readyz',
  '/swagger',
  '/swagger/json',
  '/swagger/ui.js',
  LIST_PATH,
  CONFLICTS_PATH,
  '/v1/transactions/unknown',
  '/v1/transactions/unknown/attempts',
] as const

const routes: ContractCase[] = [
  ...READ_ONLY.flatMap((path) =>
    ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) =>
      wrongMethod(method, path, 'GET, HEAD'),
    ),
  ),
  ...['/webhook', WEBHOOK_PATH, '/v1/transactions/unknown/retry'].flatMap((path) =>
    ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) =>
      wrongMethod(method, path, 'POST'),
    ),
  ),
  // The path of a transaction with the id `retry`, and that of a bulk retry.
  ...['PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) =>
    wrongMethod(method, RETRY_PATH, 'GET, HEAD, POST'),
  ),
  ...[
    '/nope',
    '/v1',
    '/v1/',
    '/v2/transactions/a',
    '/v1/transactions/',
    '/v1/transactions//',
    '/v1/transactions/a/b',
    '/v1/transactions/unknown/',
    '/v1/transactions//attempts',
    '/v1/transactions//retry',
    '/v1/transactions/unknown/attempts/',
    '/v1/transactions/unknown/attempts/1',
    '/v1/transactions/unknown/retry/',
    '/v1/transactions/unknown/Retry',
    '/v1/transactions/retry/',
    '/v1/conflicts/',
    '/v1/conflicts/unknown',
    '/livez/',
    '/LIVEZ',
    '/webhook/',
    `${WEBHOOK_PATH}/`,
    '/swagger/',
    '/swagger/nope.js',
    '/favicon.ico',
  ].flatMap((path) =>
    ['GET', 'POST', 'HEAD'].map((method) => route(method, path, 404, 'not_found')),
  ),
  ...(
    [
      ['GET', ''],
      ['GET', '/attempts'],
      ['POST', '/retry'],
    ] as const
  ).flatMap(([method, end]) => [
    ...UNDECODABLE.map((id) => route(method, `${LIST_PATH}/${id}${end}`, 400, 'invalid_path')),
    ...UNKNOWN.map((id) => route(method, `${LIST_PATH}/${id}${end}`, 404, 'transaction_not_found')),
  ]),
  route('HEAD', '/v1/transactions/unknown', 404, 'transaction_not_found'),
  route('HEAD', '/v1/transactions/unknown/attempts', 404, 'transaction_not_found'),
  route('GET', '/livez', 200),
  route('HEAD', '/livez', 200),
  route('GET', '/livez?x=1', 200),
]

export const CONTRACT_CASES: readonly ContractCase[] = [
  accepted('the seed example', {}),
  ...lengths,
  ...characters,
  ...types,
  ...currencies,
  ...amounts,
  ...syntax,
  ...extras,
  ...mediaTypes,
  ...sizes,
  ...order,
  ...known,
  ...lists,
  ...retries,
  ...routes,
]
