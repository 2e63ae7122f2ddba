import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { CURRENCIES } from '../../src/currencies.ts'
import { transactionPath } from '../support/contract-cases.ts'
import { type TestService, testService, transactionBody } from '../support/service.ts'

const NAMES = ['transaction_id', 'source_account', 'destination_account', 'amount', 'currency']

type Fields = Record<string, unknown>

/** Numbers as JSON text gives them back: it has no -0. */
const asJson = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown

/** What must hold of every answer to a webhook, whatever was posted. */
async function checkAnswer(service: TestService, posted: unknown, text: string): Promise<number> {
  const response = await service.post(text)
  const body = (await response.json()) as Fields
  expect([202, 400, 409, 422]).toContain(response.status)
  expect(response.headers.get('x-request-id')).not.toBeNull()
  if (response.status !== 202) {
    const { errors, request_id } = body
    expect(request_id).toBe(response.headers.get('x-request-id'))
    expect(Array.isArray(errors)).toBe(response.status !== 400)
    return response.status
  }
  const { transaction_id, source_account, destination_account, amount, currency, ...extra } =
    posted as Fields
  const stored = await service.get(transactionPath(transaction_id as string))
  expect(stored.status).toBe(200)
  const shown = (await stored.json()) as Fields
  expect(shown).toEqual(body)
  expect(shown).toMatchObject({
    transaction_id,
    source_account,
    destination_account,
    amount: Number(amount),
    currency,
  })
  if (response.headers.get('idempotent-replayed') === null) {
    const { extra: shownExtra } = shown
    expect(JSON.stringify(shownExtra)).toBe(JSON.stringify(asJson(extra)))
  }
  return response.status
}

const identifier = (maxLength: number) =>
  fc.oneof(
    fc.stringMatching(/^[!-~]{3,40}$/),
    fc.string({ unit: 'binary', minLength: 1, maxLength }),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength }),
  )

const amount = fc.oneof(
  fc.integer({ min: 1, max: 10_000_000 }),
  fc.integer({ min: 1, max: 99_999_999 }).map((cents) => cents / 100),
  fc.integer({ min: 1, max: 99_999_999 }).map((cents) => (cents / 100).toFixed(2)),
)

const webhook = fc.record({
  transaction_id: identifier(255),
  source_account: identifier(128),
  destination_account: identifier(128),
  amount,
  currency: fc.constantFrom(...CURRENCIES.map(([code]) => code)),
})

const extras = fc.dictionary(
  fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'extra', 'status', '0')),
  fc.jsonValue({ maxDepth: 5 }),
  { maxKeys: 5 },
)

/** Anything that may stand where a field should. */
const anything = fc.oneof(
  fc.jsonValue(),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.constantFrom('', '.', '..', ' x', 'x ', 'x\u202ey', '1e2', -1, 0, 1e300, 0.001, 'usd', 'XXX'),
)

const RUNS = { numRuns: 300 }

test('whatever JSON is posted, no answer is a 5xx', async () => {
  await using service = testService()
  await fc.assert(
    fc.asyncProperty(fc.jsonValue({ maxDepth: 9 }), async (value) => {
      await checkAnswer(service, value, JSON.stringify(value))
    }),
    RUNS,
  )
})

test('whatever text or bytes are posted, no answer is a 5xx', async () => {
  await using service = testService()
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  await fc.assert(
    fc.asyncProperty(fc.oneof(bytes, fc.string({ unit: 'binary' })), async (body) => {
      const headers = { 'content-type': 'application/json' }
      const request = new Request('http://localhost/webhook', { method: 'POST', headers, body })
      expect([400, 422]).toContain((await service.app.fetch(request)).status)
    }),
    RUNS,
  )
})

test('a transaction that is taken reads back as it was sent, with its extras', async () => {
  await using service = testService()
  let taken = 0
  await fc.assert(
    fc.asyncProperty(webhook, extras, async (fields, more) => {
      const body = JSON.stringify({ ...more, ...fields })
      const status = await checkAnswer(service, JSON.parse(body), body)
      if (status === 202) taken++
    }),
    RUNS,
  )
  // The generators make enough that is good, or this would show nothing.
  expect(taken).toBeGreaterThan(RUNS.numRuns / 4)
})

test('a field exchanged for anything is either refused by its name or taken as it is', async () => {
  await using service = testService()
  let refused = 0
  let count = 0
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...NAMES), anything, async (name, value) => {
      const fields = transactionBody({ transaction_id: `mutated_${count++}`, [name]: value })
      const text = JSON.stringify(fields)
      if ((await checkAnswer(service, JSON.parse(text), text)) !== 422) return
      const { errors } = (await (await service.post(text)).json()) as { errors: Fields[] }
      expect(new Set(errors.map(({ path }) => path))).toEqual(new Set([name]))
      refused++
    }),
    RUNS,
  )
  expect(refused).toBeGreaterThan(RUNS.numRuns / 4)
  expect(refused).toBeLessThan(RUNS.numRuns)
})

test('a text with some characters changed is never a 5xx', async () => {
  await using service = testService()
  const original = JSON.stringify(transactionBody({ note: { a: [1, 'é'] } }))
  const edit = fc.tuple(
    fc.nat({ max: original.length }),
    fc.nat({ max: 3 }),
    fc.oneof(
      fc.string({ maxLength: 3 }),
      fc.constantFrom('"', '\\', '{', '}', ',', ':', '\\ud800'),
    ),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
      let text = original
      for (const [at, length, insert] of edits) {
        text = text.slice(0, at) + insert + text.slice(at + length)
      }
      expect([202, 400, 409, 422]).toContain((await service.post(text)).status)
    }),
    RUNS,
  )
})

test('posted again, a transaction is a replay; with any field changed, a conflict', async () => {
  await using service = testService()
  await fc.assert(
    fc.asyncProperty(webhook, webhook, extras, async (first, second, more) => {
      const before = await service.post(first)
      if (before.status !== 202) return
      const again = await service.post({ ...more, ...first })
      expect(again.headers.get('idempotent-replayed')).toBe('true')
      const { transaction_id, ...others } = second
      for (const [name, value] of Object.entries(others)) {
        const changed = { ...first, [name]: value }
        const response = await service.post(changed)
        if (response.status === 422) continue
        const shown = (await (
          await service.get(transactionPath(first.transaction_id))
        ).json()) as Fields
        const same = shown[name] === (name === 'amount' ? Number(value) : value)
        expect([name, response.status]).toEqual([name, same ? 202 : 409])
      }
    }),
    { numRuns: 100 },
  )
})
