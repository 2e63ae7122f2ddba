import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { type TestService, testService, transactionBody } from '../support/service.ts'

// Long bodies take their time on a busy machine.
setDefaultTimeout(60_000)

const MIB = 1024 * 1024
const FLAGS = { '--max-body-bytes': String(64 * MIB) }
/** Refused before anything takes long. */
const NOT_UTF_8 = 0xff
const HEADERS = { 'content-type': 'application/json' }

/** A request whose body comes in as the test sends it. */
function slowPost({ app }: TestService, path: string, headers: Record<string, string> = {}) {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const body = new ReadableStream<Uint8Array>({
    start: (it) => {
      controller = it
    },
  })
  const init = { method: 'POST', headers: { ...HEADERS, ...headers }, body }
  const answer = app.fetch(new Request(`http://localhost${path}`, init))
  return {
    answer,
    async send(bytes: number) {
      controller?.enqueue(new Uint8Array(bytes).fill(NOT_UTF_8))
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
    },
    end: () => controller?.close(),
  }
}

async function expectOverloaded(answer: Promise<Response>): Promise<void> {
  const response = await answer
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5'])
  expect(await response.json()).toMatchObject({ code: 'overloaded' })
}

describe('the bytes of all bodies under way are bounded', () => {
  test.each([
    ['in chunks', {}],
    ['with a length', { 'content-length': String(60 * MIB) }],
  ])('as they come in, %s', async (_, headers) => {
    await using service = testService({ flags: FLAGS })
    const paths = ['/webhook', '/v1/webhooks/transactions', '/v1/transactions/retry'] as const
    const [first, second, third] = paths.map((path) => slowPost(service, path, headers))
    if (!first || !second || !third) throw new Error('There are three.')
    await first.send(60 * MIB)
    await second.send(60 * MIB)
    await third.send(7 * MIB)
    await third.send(2 * MIB)
    await expectOverloaded(third.answer)
    // Small ones go on, and the room of a refused one is free again.
    expect((await service.post(transactionBody())).status).toBe(202)
    const fourth = slowPost(service, '/webhook', headers)
    await fourth.send(7 * MIB)

    first.end()
    expect((await first.answer).status).toBe(400)
    await fourth.send(50 * MIB)
    for (const { end } of [second, fourth]) end()
    for (const { answer } of [second, fourth]) expect((await answer).status).toBe(400)
  })

  test('and short ones as a whole, before they have come in', async () => {
    await using service = testService()
    const length = { 'content-length': String(8 * 1024) }
    const room = Array.from({ length: (128 * MIB) / (8 * 1024) }, () =>
      slowPost(service, '/webhook', length),
    )
    await expectOverloaded(slowPost(service, '/webhook', length).answer)
    expect((await service.get('/livez')).status).toBe(200)
    for (const { end } of room) end()
    await Promise.all(room.map(({ answer }) => answer))
    expect((await service.post(transactionBody())).status).toBe(202)
  })

  test('whatever becomes of them', async () => {
    const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
    await using service = testService({ flags: { ...FLAGS, '--webhook-secrets': secret } })
    // Three of these are more than there is room for.
    for (const [path, status] of [
      ...Array(3).fill(['/webhook', 401]),
      ...Array(3).fill(['/v1/transactions/retry', 400]),
    ]) {
      const post = slowPost(service, path)
      await post.send(44 * MIB)
      post.end()
      expect([path, (await post.answer).status]).toEqual([path, status])
    }
  })

  test('also of those that are too long', async () => {
    await using service = testService({ flags: { '--max-body-bytes': String(50 * MIB) } })
    for (let n = 0; n < 3; n++) {
      const tooLong = slowPost(service, '/webhook')
      await tooLong.send(50 * MIB + 1)
      expect((await tooLong.answer).status).toBe(413)
    }
  })
})
