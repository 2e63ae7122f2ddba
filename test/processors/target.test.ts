import { describe, expect, setSystemTime, spyOn, test } from 'bun:test'
import type { Socket } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { VERSION } from '../../src/version.ts'
import { START } from '../support/clock.ts'
import {
  type TestService,
  type TestServiceOptions,
  temporaryDirectory,
  testService,
  transactionBody,
} from '../support/service.ts'
import { rowsOf } from '../support/store.ts'
import {
  answering,
  breakingOff,
  goingOn,
  headOf,
  type Script,
  saying,
  type TargetRequest,
  type TestTarget,
  testTarget,
} from '../support/target.ts'

/** How long the target takes for an answer, by the service's clock. */
const CALL_MS = 40

/** What is read of an answer. */
const ANSWER_BYTES_MAX = 64 * 1024

const FIRST_WAIT_MS = 5_625
const SECOND_WAIT_MS = 11_250

const TIMEOUT_FLAGS = { '--target-timeout-ms': '1000' }
const TIMEOUT_DETAIL = 'The target did not answer within 1000 ms.'
const NO_ANSWER = expect.stringMatching(/^There was no answer from the target: [\w ]+\.$/)

/** More commits than any call on this machine takes. */
const COMMITS_MAX = 4_000

type Run = {
  target: TestTarget
  service: TestService
  /** Makes the calls that are due, sees them to their ends, and returns when to look again. */
  work(): Promise<number | undefined>
  /** The same, with calls that take CALL_MS and are answered like this. */
  answer(script: Script): Promise<number | undefined>
  [Symbol.asyncDispose](): Promise<void>
}

/** The real service with a target of its own. */
async function targetRun(flags: Record<string, string> = {}): Promise<Run> {
  const target = await testTarget()
  const service = testService({ flags: { '--target-url': target.url, ...flags } })
  return {
    target,
    service,
    work: () => workOff(service),
    answer(script) {
      target.script = async (exchange) => {
        service.clock.pass(CALL_MS)
        await script(exchange)
      }
      return workOff(service)
    },
    async [Symbol.asyncDispose]() {
      // First the target, so that no call is under way for which the service would wait.
      await target[Symbol.asyncDispose]()
      await service[Symbol.asyncDispose]()
    },
  }
}

/** @param look at the database, after each commit */
async function workOff(service: TestService, look?: () => void): Promise<number | undefined> {
  for (;;) {
    const delay = await service.work()
    if (underWay(service) === 0) return delay
    await settled(service, look)
  }
}

/** Resolves when the outcomes of all calls under way are on the disk. */
async function settled(service: TestService, look?: () => void): Promise<void> {
  for (let commits = 0; commits < COMMITS_MAX; commits++) {
    await service.store.health()
    look?.()
    if (underWay(service) > 0) continue
    await service.store.health()
    return
  }
  throw new Error('The calls under way came to no end.')
}

/** Time for whatever should not happen: it would have been there by now. */
async function nothingMore(service: TestService): Promise<void> {
  for (let commits = 0; commits < 5; commits++) await service.store.health()
}

/** Resolves when the one call that was made has the head of its answer, read by Bun. */
async function headIn({ mock }: { mock: { results: { value: unknown }[] } }): Promise<void> {
  expect(mock.results).toHaveLength(1)
  await mock.results[0]?.value
}

function underWay({ dataDir }: TestService): number {
  return rowsOf(dataDir, 'SELECT 1 FROM attempts WHERE outcome IS NULL').length
}

/** All transactions and attempts as another connection reads them; times from START on. */
function recorded({ dataDir }: TestService) {
  const attempts = rowsOf(
    dataDir,
    `SELECT attempt, outcome, http_status, detail, started_at - ${START} AS started,
      finished_at - ${START} AS finished FROM attempts ORDER BY id, attempt`,
  )
  const transactions = rowsOf(
    dataDir,
    `SELECT status, error, processed_at - ${START} AS processed FROM transactions ORDER BY id`,
  )
  return { transactions, attempts }
}

/** What is recorded of a transaction whose first attempt ended like this. */
function afterFirst(
  status: 'PROCESSED' | 'PENDING' | 'FAILED',
  httpStatus: number | null,
  detail: unknown = null,
  finished = CALL_MS,
) {
  const outcome = { PROCESSED: 'done', PENDING: 'retry', FAILED: 'fail' }[status]
  const processed = status === 'PROCESSED' ? finished : null
  return {
    transactions: [{ status, error: detail, processed }],
    attempts: [{ attempt: 1, outcome, http_status: httpStatus, detail, started: 0, finished }],
  }
}

/** What the target is sent again is what it was sent before. */
function expectTheSame(requests: readonly TargetRequest[]): void {
  const [first, ...others] = requests.map(({ method, path, body, headers }) => {
    const { connection: _, ...sent } = headers
    return { method, path, body, headers: sent }
  })
  expect(first?.headers).toMatchObject({ 'idempotency-key': 'txn_001', 'webhook-id': 'txn_001' })
  for (const other of others) expect(other).toEqual(first as typeof other)
}

/**
 * The transaction is to be tried again after this wait and not a millisecond earlier, and is
 * PROCESSED then.
 */
async function expectRetryIn(ms: number, run: Run): Promise<void> {
  const { service, target } = run
  const requests = target.requests.length
  service.clock.pass(ms - 1)
  expect(await run.work()).toBe(1)
  expect(target.requests).toHaveLength(requests)
  service.clock.pass(1)
  const started = service.clock.now().wall - START
  expect(await run.answer(answering(200))).toBeUndefined()
  expect(target.requests).toHaveLength(requests + 1)
  expectTheSame(target.requests)
  const { transactions, attempts } = recorded(service)
  const finished = started + CALL_MS
  expect(transactions).toEqual([{ status: 'PROCESSED', error: null, processed: finished }])
  const last = { outcome: 'done', http_status: 200, detail: null, started, finished }
  expect(attempts.at(-1)).toEqual({ attempt: attempts.length, ...last })
}

describe('an answer of', () => {
  test.each([200, 201, 204, 299])('%i: the transaction is PROCESSED', async (status) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    expect(await run.answer(answering(status))).toBeUndefined()
    expect(recorded(run.service)).toEqual(afterFirst('PROCESSED', status))
    expect(run.target.requests).toHaveLength(1)
  })

  test.each([408, 425, 429, 500, 501, 502, 503, 504, 599])(
    '%i: it is tried again after the backoff',
    async (status) => {
      await using run = await targetRun()
      await run.service.post(transactionBody())
      expect(await run.answer(answering(status, {}, 'not now'))).toBe(FIRST_WAIT_MS)
      const detail = `The target answered ${status}: not now`
      expect(recorded(run.service)).toEqual(afterFirst('PENDING', status, detail))
      await expectRetryIn(FIRST_WAIT_MS, run)
      expect(run.target.requests).toHaveLength(2)
    },
  )

  test.each([101, 300, 304, 400, 401, 403, 404, 407, 409, 410, 422, 424, 426, 428, 499, 600, 999])(
    '%i: it is FAILED at once',
    async (status) => {
      await using run = await targetRun()
      await run.service.post(transactionBody())
      expect(await run.answer(answering(status))).toBeUndefined()
      const detail = `The target answered ${status}.`
      expect(recorded(run.service)).toEqual(afterFirst('FAILED', status, detail))
      expect(run.target.requests).toHaveLength(1)
    },
  )

  test.each([301, 302, 303, 307, 308])(
    '%i: it is FAILED at once, and the redirect is not followed',
    async (status) => {
      await using run = await targetRun()
      await run.service.post(transactionBody())
      await run.answer(answering(status, { location: run.target.url }, 'over there'))
      const detail = `The target answered ${status}: over there`
      expect(recorded(run.service)).toEqual(afterFirst('FAILED', status, detail))
      await nothingMore(run.service)
      expect(run.target.requests).toHaveLength(1)
    },
  )

  test('101 with an upgrade that nobody asked for: it is FAILED at once', async () => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    await run.answer(saying(headOf(101, { connection: 'upgrade', upgrade: 'websocket' })))
    const detail = 'The target answered 101.'
    expect(recorded(run.service)).toEqual(afterFirst('FAILED', 101, detail))
  })

  test.each([100, 102, 103])('%i is none: the one that follows counts', async (status) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    const interim = headOf(status).repeat(2)
    await run.answer(({ write }) => write(interim + headOf(500, { 'content-length': '0' })))
    const detail = 'The target answered 500.'
    expect(recorded(run.service)).toEqual(afterFirst('PENDING', 500, detail))
  })
})

describe('a target that', () => {
  test('hangs is given up at the deadline and no earlier, and its connection closed', async () => {
    await using run = await targetRun(TIMEOUT_FLAGS)
    const { service, target } = run
    target.script = ({ closed }) => closed
    await service.post(transactionBody())
    await service.work()
    const { closed } = await target.next()
    service.clock.pass(999)
    await nothingMore(service)
    expect(recorded(service).transactions).toMatchObject([{ status: 'PROCESSING', error: null }])
    service.clock.pass(1)
    await closed
    expect(await run.work()).toBe(FIRST_WAIT_MS)
    expect(recorded(service)).toEqual(afterFirst('PENDING', null, TIMEOUT_DETAIL, 1000))
    await expectRetryIn(FIRST_WAIT_MS, run)
  })

  test('drips its head is given up at the deadline as well', async () => {
    await using run = await targetRun(TIMEOUT_FLAGS)
    const { service, target } = run
    const dripped = Promise.withResolvers<void>()
    target.script = async ({ write, socket }) => {
      for (let bytes = 0; !socket.destroyed; bytes++) {
        await write('HTTP/1.1 200 OK\r\nx: '[bytes] ?? 'y')
        await new Promise(setImmediate)
        if (bytes === 100) dripped.resolve()
      }
    }
    await service.post(transactionBody())
    await service.work()
    await dripped.promise
    service.clock.pass(999)
    await nothingMore(service)
    expect(recorded(service).transactions).toMatchObject([{ status: 'PROCESSING' }])
    service.clock.pass(1)
    expect(await run.work()).toBe(FIRST_WAIT_MS)
    expect(recorded(service)).toEqual(afterFirst('PENDING', null, TIMEOUT_DETAIL, 1000))
    await expectRetryIn(FIRST_WAIT_MS, run)
  })

  test.each([
    ['closes without an answer', breakingOff('', 'end')],
    ['resets the connection', breakingOff('', 'reset')],
    ['closes in the middle of its status line', breakingOff('HTTP/1.1 20', 'end')],
    ['closes in the middle of its head', breakingOff('HTTP/1.1 200 OK\r\nx: ', 'end')],
    ['resets in the middle of its head', breakingOff('HTTP/1.1 200 OK\r\nx: ', 'reset')],
  ] as const)('%s is called again after the backoff', async (_name, script) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    expect(await run.answer(script)).toBe(FIRST_WAIT_MS)
    expect(recorded(run.service)).toEqual(afterFirst('PENDING', null, NO_ANSWER))
    await expectRetryIn(FIRST_WAIT_MS, run)
    expect(run.target.requests).toHaveLength(2)
  })

  test.each([
    ['garbage', saying('Hello, who is there?\r\n\r\n')],
    ['binary garbage', saying(Buffer.alloc(1000, '\x00\x01\xff', 'latin1'))],
    ['no number for a status', saying('HTTP/1.1 two OK\r\n\r\n')],
    ['a longer status', saying('HTTP/1.1 2000 OK\r\n\r\n')],
    ['a shorter status', saying('HTTP/1.1 20 OK\r\n\r\n')],
    ['200 and 300 headers', answering(200, manyHeaders(300))],
    ['two lengths', saying('HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\n')],
    ['no number for a length', saying('HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n')],
    ['chunks in chunks', saying('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n')],
  ] as const)('answers with %s is called again after the backoff', async (_name, script) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    expect(await run.answer(script)).toBe(FIRST_WAIT_MS)
    // It has answered: that is another thing than a connection that failed.
    const unreadable = expect.stringMatching(
      /^The target's answer is not valid HTTP, or has more than 256 headers: \w+\.$/,
    )
    expect(recorded(run.service)).toEqual(afterFirst('PENDING', null, unreadable))
    await expectRetryIn(FIRST_WAIT_MS, run)
    expect(run.target.requests).toHaveLength(2)
  })

  test('answers 200 with 256 headers has succeeded: so many are read', async () => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    await run.answer(answering(200, manyHeaders(255)))
    expect(recorded(run.service)).toEqual(afterFirst('PROCESSED', 200))
  })

  test('is not there is called again after the backoff', async () => {
    await using run = await targetRun()
    const { service, target } = run
    await target[Symbol.asyncDispose]()
    await service.post(transactionBody())
    expect(await run.work()).toBe(FIRST_WAIT_MS)
    expect(recorded(service)).toEqual(afterFirst('PENDING', null, NO_ANSWER, 0))
    service.clock.pass(FIRST_WAIT_MS)
    expect(await run.work()).toBe(SECOND_WAIT_MS)
    expect(recorded(service).attempts).toHaveLength(2)
  })

  test.each(['end', 'reset'] as const)(
    'closes a connection that it has kept (%s) gets the same attempt once more, on a new one',
    async (how) => {
      await using run = await targetRun()
      const { service, target } = run
      await service.post(transactionBody({ transaction_id: 'before' }))
      await run.answer(answering(200))
      await service.post(transactionBody())
      const script: Script = (exchange) =>
        (exchange.request.connection === 1 ? breakingOff('', how) : answering(200))(exchange)
      expect(await run.answer(script)).toBeUndefined()
      expect(target.requests.map(({ connection }) => connection)).toEqual([1, 1, 2])
      expectTheSame(target.requests.slice(1))
      expect(recorded(service).attempts).toMatchObject([
        { attempt: 1, outcome: 'done' },
        { attempt: 1, outcome: 'done', http_status: 200, detail: null },
      ])
    },
  )

  test('closes its idle connections just when they are used again costs no attempt', async () => {
    await using run = await targetRun()
    const { service, target } = run
    let idle: Socket | undefined
    let taken = 0
    const { fetch } = globalThis
    using _fetches = spyOn(globalThis, 'fetch').mockImplementation(((url: string, init) => {
      const answer = fetch(url, init)
      // The thread that sends needs about as long: sometimes the request is first, sometimes this.
      const until = performance.now() + (target.requests.length % 8) * 0.01
      while (performance.now() < until);
      idle?.destroy()
      return answer
    }) as typeof fetch)
    const ROUNDS = 80
    for (let round = 0; round < ROUNDS; round++) {
      await service.post(transactionBody({ transaction_id: `txn_${round}` }))
      await run.work()
      for (; taken < target.requests.length; taken++) idle = (await target.next()).socket
    }
    expect(recorded(service).attempts.filter(({ outcome }) => outcome !== 'done')).toEqual([])
    expect(recorded(service).attempts).toHaveLength(ROUNDS)
  })

  test('closes a kept connection and the new one as well is called again after the backoff', async () => {
    await using run = await targetRun()
    const { service, target } = run
    await service.post(transactionBody({ transaction_id: 'before' }))
    await run.answer(answering(200))
    await service.post(transactionBody())
    expect(await run.answer(breakingOff('', 'end'))).toBe(FIRST_WAIT_MS)
    expect(target.requests.map(({ connection }) => connection)).toEqual([1, 1, 2])
    const outcomes = recorded(service).attempts.map(({ outcome }) => outcome)
    expect(outcomes).toEqual(['done', 'retry'])
    // There is no kept connection any more: one request an attempt.
    service.clock.pass(FIRST_WAIT_MS)
    expect(await run.answer(breakingOff('', 'end'))).toBe(SECOND_WAIT_MS)
    expect(target.requests).toHaveLength(4)
    service.clock.pass(SECOND_WAIT_MS)
    await run.answer(answering(200))
    expect(target.requests).toHaveLength(5)
    expectTheSame(target.requests.slice(1))
  })

  test.each([
    ['twice the time of the fastest answer', 2 * CALL_MS, [1, 1, 2]],
    ['more than that', 2 * CALL_MS + 1, [1, 1]],
  ])('closes a kept connection after %s may have read, or not', async (_name, ms, connections) => {
    await using run = await targetRun()
    const { service, target } = run
    await service.post(transactionBody({ transaction_id: 'before' }))
    await run.answer(answering(200))
    await service.post(transactionBody())
    target.script = async (exchange) => {
      service.clock.pass(ms)
      await breakingOff('', 'end')(exchange)
    }
    expect(await run.work()).toBe(FIRST_WAIT_MS)
    expect(target.requests.map(({ connection }) => connection)).toEqual(connections)
  })

  test('says the time of the deadline on a kept connection gets no more time on the new one', async () => {
    await using run = await targetRun(TIMEOUT_FLAGS)
    const { service, target } = run
    await service.post(transactionBody({ transaction_id: 'before' }))
    await run.answer(async (exchange) => {
      service.clock.pass(200)
      await answering(200)(exchange)
    })
    await target.next()
    await service.post(transactionBody())
    target.script = async (exchange) => {
      service.clock.pass(400)
      await (exchange.request.connection === 1 ? breakingOff('', 'end')(exchange) : exchange.closed)
    }
    await service.work()
    await target.next()
    const { closed } = await target.next()
    service.clock.pass(200)
    await closed
    expect(await run.work()).toBe(FIRST_WAIT_MS)
    expect(recorded(service).attempts.at(-1)).toMatchObject({ detail: TIMEOUT_DETAIL })
  })

  test('has closed its idle connection is called on a new one, with no attempt lost', async () => {
    await using run = await targetRun()
    const { service, target } = run
    await service.post(transactionBody({ transaction_id: 'before' }))
    await run.answer(answering(200))
    const { socket, closed } = await target.next()
    socket.end()
    await closed
    await service.post(transactionBody())
    expect(await run.answer(answering(200))).toBeUndefined()
    expect(target.requests.map(({ connection }) => connection)).toEqual([1, 2])
    expect(recorded(service).attempts.map(({ outcome }) => outcome)).toEqual(['done', 'done'])
  })
})

describe('bytes that nobody asked for answer no later request:', () => {
  const unasked = headOf(200, { 'content-length': '0' })

  test.each([
    ['a second answer', headOf(200, { 'content-length': '0' })],
    ['a body longer than its length', `${headOf(200, { 'content-length': '5' })}hello`],
    ['a body where there is none', headOf(204, { 'content-length': String(unasked.length) })],
  ])('%s', async (_name, answer) => {
    await using run = await targetRun()
    await run.service.post(transactionBody({ transaction_id: 'before' }))
    await run.answer(({ write }) => write(answer + unasked))
    await run.service.post(transactionBody())
    await run.answer(answering(500))
    expect(run.target.requests).toHaveLength(2)
    expect(recorded(run.service).attempts.at(-1)).toMatchObject({ http_status: 500 })
  })

  test('an answer while no request is under way', async () => {
    await using run = await targetRun()
    await run.service.post(transactionBody({ transaction_id: 'before' }))
    await run.answer(answering(200))
    const { write, closed } = await run.target.next()
    await write(unasked)
    await closed
    await run.service.post(transactionBody())
    await run.answer(answering(500))
    expect(run.target.requests).toHaveLength(2)
    expect(recorded(run.service).attempts.at(-1)).toMatchObject({ http_status: 500 })
  })
})

describe('the status line judges', () => {
  const half = { 'content-length': '10' }
  const chunked = { 'transfer-encoding': 'chunked' }
  const gzip = { 'content-encoding': 'gzip', 'content-length': '8' }

  test.each([
    ['closes in the middle of', breakingOff(`${headOf(200, half)}hello`, 'end')],
    ['closes in front of', breakingOff(headOf(200, half), 'end')],
    ['resets in the middle of', breakingOff(`${headOf(200, half)}hello`, 'reset')],
    ['sends no number for a chunk in', saying(`${headOf(200, chunked)}zz\r\nhello\r\n`)],
    ['sends a chunk longer than it said in', saying(`${headOf(200, chunked)}2\r\nhello\r\n`)],
    ['closes in the middle of the chunks of', breakingOff(`${headOf(200, chunked)}5\r\nh`, 'end')],
    ['claims gzip for', saying(`${headOf(200, gzip)}no gzip!`)],
    ['says by its closing where the end is of', breakingOff(`${headOf(200)}hello`, 'end')],
  ] as const)('a target that answers 200 and %s its body has succeeded', async (_name, script) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    expect(await run.answer(script)).toBeUndefined()
    expect(recorded(run.service)).toEqual(afterFirst('PROCESSED', 200))
    expect(run.target.requests).toHaveLength(1)
  })

  test.each([
    ['before its body', headOf(200, half), ''],
    ['in the middle of its body', `${headOf(200, half)}hello`, ''],
    ['in the middle of a chunk', `${headOf(200, chunked)}5\r\nhel`, ''],
    ['with no end of its body said', `${headOf(200)}hello`, ''],
    ['never, dripping its body', headOf(200), 'y'],
    ['never, dripping chunks', headOf(200, chunked), '1\r\ny\r\n'],
  ])('a target that stops %s has succeeded at the deadline', async (_name, bytes, drop) => {
    using fetches = spyOn(globalThis, 'fetch')
    await using run = await targetRun(TIMEOUT_FLAGS)
    const { service, target } = run
    // Fewer bytes than are read of an answer, however long the test takes.
    target.script = drop === '' ? saying(bytes) : goingOn(bytes, drop, 10_000)
    await service.post(transactionBody())
    await service.work()
    const { closed } = await target.next()
    await headIn(fetches)
    service.clock.pass(999)
    await nothingMore(service)
    expect(recorded(service).transactions).toMatchObject([{ status: 'PROCESSING' }])
    service.clock.pass(1)
    await closed
    expect(await run.work()).toBeUndefined()
    expect(recorded(service)).toEqual(afterFirst('PROCESSED', 200, null, 1000))
  })

  test.each([
    ['400', 'FAILED', undefined],
    ['503', 'PENDING', FIRST_WAIT_MS],
  ] as const)('a target that answers %s and breaks off: it is %s', async (text, status, wait) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    const httpStatus = Number(text)
    expect(await run.answer(breakingOff(headOf(httpStatus, half), 'reset'))).toBe(wait)
    const detail = `The target answered ${httpStatus}.`
    expect(recorded(run.service)).toEqual(afterFirst(status, httpStatus, detail))
  })

  test('a target that has answered and goes on holds a place for a second, whatever its time', async () => {
    using fetches = spyOn(globalThis, 'fetch')
    await using run = await targetRun()
    const { service, target } = run
    target.script = saying(`${headOf(200, half)}hello`)
    await service.post(transactionBody())
    await service.work()
    await headIn(fetches)
    await nothingMore(service)
    service.clock.pass(999)
    await nothingMore(service)
    expect(recorded(service).transactions).toMatchObject([{ status: 'PROCESSING' }])
    service.clock.pass(1)
    await run.work()
    expect(recorded(service).transactions).toMatchObject([{ status: 'PROCESSED' }])
  })

  test('a target that answers 503 and hangs is told from one that said nothing', async () => {
    using fetches = spyOn(globalThis, 'fetch')
    await using run = await targetRun(TIMEOUT_FLAGS)
    const { service, target } = run
    target.script = saying(`${headOf(503, { ...half, 'retry-after': '7' })}hello`)
    await service.post(transactionBody())
    await service.work()
    await headIn(fetches)
    await nothingMore(service)
    service.clock.pass(1000)
    expect(await run.work()).toBe(7_000)
    const detail = 'The target answered 503: hello'
    expect(recorded(service)).toEqual(afterFirst('PENDING', 503, detail, 1000))
  })
})

describe('of an answer', () => {
  test.each([
    ['by its length', { 'content-length': '1000000000' }, 'x'.repeat(1000)],
    ['in chunks', { 'transfer-encoding': 'chunked' }, `3e8\r\n${'x'.repeat(1000)}\r\n`],
    ['until it closes', {}, 'x'.repeat(1000)],
  ])('that is endless %s no more is taken, and its connection closed', async (_name, how, more) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    expect(await run.answer(goingOn(headOf(200, how), more))).toBeUndefined()
    const { closed } = await run.target.next()
    await closed
    expect(recorded(run.service)).toEqual(afterFirst('PROCESSED', 200))
  })

  test('64 KiB are read to the end, and one byte more closes the connection', async () => {
    await using run = await targetRun()
    const { service, target } = run
    const head = headOf(200, { 'content-length': String(ANSWER_BYTES_MAX + 100) })
    await service.post(transactionBody({ transaction_id: 'too long' }))
    await run.answer(saying(head + 'x'.repeat(ANSWER_BYTES_MAX + 1)))
    const { closed } = await target.next()
    await closed
    expect(recorded(service).transactions).toMatchObject([{ status: 'PROCESSED' }])

    await service.post(transactionBody())
    target.script = saying(head + 'x'.repeat(ANSWER_BYTES_MAX))
    await service.work()
    const { write } = await target.next()
    await nothingMore(service)
    expect(recorded(service).transactions.at(-1)).toMatchObject({ status: 'PROCESSING' })
    await write('x')
    await settled(service)
    expect(recorded(service).transactions.at(-1)).toMatchObject({ status: 'PROCESSED' })
  })

  test('with 64 KiB the connection serves again', async () => {
    await using run = await targetRun()
    const { service, target } = run
    for (const transaction_id of ['a', 'b', 'c']) {
      await service.post(transactionBody({ transaction_id }))
      await run.answer(answering(500, {}, 'x'.repeat(ANSWER_BYTES_MAX)))
    }
    expect(target.requests.map(({ connection }) => connection)).toEqual([1, 1, 1])
  })

  test('that is compressed what came counts, and not what it could become', async () => {
    await using run = await targetRun()
    const { service, target } = run
    const bomb = Bun.gzipSync(new Uint8Array(1024 * ANSWER_BYTES_MAX), { level: 9 })
    const headers = { 'content-encoding': 'gzip', 'content-length': String(bomb.length) }
    const half = Buffer.concat([Buffer.from(headOf(200, headers)), bomb.subarray(0, 30_000)])
    target.script = saying(half)
    await service.post(transactionBody())
    await service.work()
    const { write } = await target.next()
    await nothingMore(service)
    expect(recorded(service).transactions).toMatchObject([{ status: 'PROCESSING' }])
    await write(bomb.subarray(30_000))
    await settled(service)
    expect(recorded(service)).toEqual(afterFirst('PROCESSED', 200, null, 0))
  })

  test('that is enormous the beginning is kept, short and in one line', async () => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    const line = 'no\r\n\tsense \u2028\u2029\u202e\u0000\u001b[31m\u0085'
    expect(await run.answer(goingOn(headOf(500), line.repeat(100)))).toBe(FIRST_WAIT_MS)
    const [attempt] = recorded(run.service).attempts
    const detail = String(attempt?.detail)
    expect(detail).toMatch(/^The target answered 500: (?:no sense \[31m ?)+/)
    expect(detail).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u)
    expect(detail.length).toBeGreaterThan(150)
    expect(detail.length).toBeLessThan(250)
    expect(recorded(run.service)).toEqual(afterFirst('PENDING', 500, detail))
  })

  test.each([
    ['text cut in a character', Buffer.from(`x${'😀'.repeat(1000)}`)],
    ['no text', Buffer.alloc(5000, 0xff)],
  ])('that is %s what is kept is well-formed', async (_name, body) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    const head = headOf(400, { 'content-length': String(body.length) })
    await run.answer(({ write }) => write(Buffer.concat([Buffer.from(head), body])))
    const [transaction] = recorded(run.service).transactions
    const error = String(transaction?.error)
    expect(error).toStartWith('The target answered 400: ')
    expect(error.isWellFormed()).toBe(true)
    expect(error.length).toBeLessThan(250)
  })
})

describe('Retry-After', () => {
  const waits = [
    ['7', 7_000],
    ['3599', 3_599_000],
    ['0', 1_000],
    ['3600', 3_600_000],
    ['3601', 3_600_000],
    ['9999999999', 3_600_000],
    ['9'.repeat(400), 3_600_000],
    // The answer comes CALL_MS after the full second.
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000 - CALL_MS],
    ['Thursday, 01-Jan-26 00:01:00 GMT', 60_000 - CALL_MS],
    ['Thu Jan  1 00:01:00 2026', 60_000 - CALL_MS],
    ['Wed, 31 Dec 2025 23:59:59 GMT', 1_000],
    ['Fri, 01 Jan 2027 00:00:00 GMT', 3_600_000],
    ['', FIRST_WAIT_MS],
    ['soon', FIRST_WAIT_MS],
    ['-5', FIRST_WAIT_MS],
    ['5 s', FIRST_WAIT_MS],
    ['90.5', 91_000],
    ['1.0', 1_000],
    ['0.001', 1_000],
  ] as const
  test.each(waits)('%p: the next attempt is in %i ms', async (header, wait) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    expect(await run.answer(answering(503, { 'retry-after': header }))).toBe(wait)
    const detail = 'The target answered 503.'
    expect(recorded(run.service)).toEqual(afterFirst('PENDING', 503, detail))
    await expectRetryIn(wait, run)
  })

  test.each([408, 425, 429, 500, 599])('counts with %i as well', async (status) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    expect(await run.answer(answering(status, { 'retry-after': '7' }))).toBe(7_000)
    await expectRetryIn(7_000, run)
  })

  test('that is a date is judged by the wall clock, stepped or not', async () => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    run.service.clock.stepWall(3_600_000)
    const headers = { 'retry-after': 'Thu, 01 Jan 2026 01:00:30 GMT' }
    expect(await run.answer(answering(503, headers))).toBe(30_000 - CALL_MS)
  })

  const target20s = { 'retry-after': 'Tue, 03 Mar 2026 10:00:20 GMT' }
  const local50s = { 'retry-after': 'Thu, 01 Jan 2026 00:00:50 GMT' }
  test.each([
    ['is ahead', { ...target20s, date: 'Tue, 03 Mar 2026 10:00:00 GMT' }, 20_000],
    ['writes an old format', { ...target20s, date: 'Tuesday, 03-Mar-26 10:00:00 GMT' }, 20_000],
    ['has passed it', { ...target20s, date: 'Tue, 03 Mar 2026 10:00:21 GMT' }, 1_000],
    ['is missing', local50s, 50_000 - CALL_MS],
    ['is no time', { ...local50s, date: 'Tue, 03 Mar 2026 25:00:00 GMT' }, 50_000 - CALL_MS],
    ['is no date of HTTP', { ...local50s, date: '2026-03-03T10:00:00Z' }, 50_000 - CALL_MS],
    ['does not matter to seconds', { 'retry-after': '7', date: target20s['retry-after'] }, 7_000],
  ])('that is a date goes by the clock of the target, which %s', async (_name, headers, wait) => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    expect(await run.answer(answering(503, headers))).toBe(wait)
  })

  test('on a refusal asks for nothing: it is FAILED', async () => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    expect(await run.answer(answering(400, { 'retry-after': '7' }))).toBeUndefined()
    const detail = 'The target answered 400.'
    expect(recorded(run.service)).toEqual(afterFirst('FAILED', 400, detail))
  })
})

describe('out of attempts', () => {
  test('the transaction is FAILED with the last error, the waits doubling until then', async () => {
    await using run = await targetRun({ '--max-attempts': '3' })
    const { service, target } = run
    await service.post(transactionBody())
    expect(await run.answer(answering(500, {}, 'one'))).toBe(FIRST_WAIT_MS)
    service.clock.pass(FIRST_WAIT_MS)
    // The connection was a kept one: the second attempt is two requests.
    expect(await run.answer(breakingOff('', 'reset'))).toBe(SECOND_WAIT_MS)
    service.clock.pass(SECOND_WAIT_MS - 1)
    expect(await run.work()).toBe(1)
    expect(target.requests).toHaveLength(3)
    service.clock.pass(1)
    // There is no more that it could be asked to wait for.
    const last = answering(503, { 'retry-after': '1' }, 'three')
    expect(await run.answer(last)).toBeUndefined()
    const error = 'The target answered 503: three'
    const second = FIRST_WAIT_MS + CALL_MS
    const third = second + SECOND_WAIT_MS + 2 * CALL_MS
    expect(recorded(service)).toEqual({
      transactions: [{ status: 'FAILED', error, processed: null }],
      attempts: [
        ...afterFirst('PENDING', 500, 'The target answered 500: one').attempts,
        {
          attempt: 2,
          outcome: 'retry',
          http_status: null,
          detail: NO_ANSWER,
          started: second,
          finished: second + 2 * CALL_MS,
        },
        {
          attempt: 3,
          outcome: 'fail',
          http_status: 503,
          detail: error,
          started: third,
          finished: third + CALL_MS,
        },
      ],
    })
    expect(target.requests).toHaveLength(4)
    expectTheSame(target.requests)
    service.clock.pass(7_200_000)
    expect(await run.work()).toBeUndefined()
    expect(target.requests).toHaveLength(4)
  })

  test('one that comes to an end by the deadline is FAILED with that', async () => {
    await using run = await targetRun({ ...TIMEOUT_FLAGS, '--max-attempts': '1' })
    const { service, target } = run
    target.script = ({ closed }) => closed
    await service.post(transactionBody())
    await service.work()
    await target.next()
    service.clock.pass(1000)
    expect(await run.work()).toBeUndefined()
    expect(recorded(service)).toEqual(afterFirst('FAILED', null, TIMEOUT_DETAIL, 1000))
  })
})

test('a call that has ended leaves no timer behind', async () => {
  await using run = await targetRun()
  await run.service.post(transactionBody())
  await run.answer(answering(200))
  // Past the watch for stalls, which goes on for a while after each commit.
  run.service.clock.pass(2_000)
  expect(run.service.clock.timers).toBe(0)
})

describe('what the target is sent', () => {
  test('is a POST of JSON with these headers and no others', async () => {
    await using run = await targetRun()
    await run.service.post(transactionBody())
    await run.work()
    const [{ method, path, headers, body }] = run.target.requests as [TargetRequest]
    expect({ method, path }).toEqual({ method: 'POST', path: '/hook?from=txhook' })
    expect(headers).toEqual({
      'content-type': 'application/json',
      'user-agent': `txhook/${VERSION}`,
      'idempotency-key': 'txn_001',
      'webhook-id': 'txn_001',
      accept: '*/*',
      'accept-encoding': 'identity',
      connection: 'keep-alive',
      'content-length': String(Buffer.byteLength(body)),
      host: new URL(run.target.url).host,
    })
    expect(JSON.parse(body)).toEqual({
      ...transactionBody(),
      created_at: '2026-01-01T00:00:00.000Z',
      extra: {},
    })
  })

  test.each([
    ['azAZ09_-~', 'azAZ09_-~'],
    ['a.b', 'a%2Eb'],
    ['...', '%2E%2E%2E'],
    ['a b', 'a%20b'],
    ['a+b', 'a%2Bb'],
    ['/a//b?c#d', '%2Fa%2F%2Fb%3Fc%23d'],
    ["!'()*~", '%21%27%28%29%2A~'],
    ['100%', '100%25'],
    ['%41', '%2541'],
    ['a:b,c;d=e', 'a%3Ab%2Cc%3Bd%3De'],
    ['ü', '%C3%BC'],
    ['u\u0308', 'u%CC%88'],
    ['€', '%E2%82%AC'],
    ['😀', '%F0%9F%98%80'],
    ['a\u00a0b', 'a%C2%A0b'],
  ])('has %p under the key %p', async (transaction_id, key) => {
    await using run = await targetRun()
    const response = await run.service.post(transactionBody({ transaction_id }))
    expect(response.status).toBe(202)
    await run.work()
    const [{ headers, body }] = run.target.requests as [TargetRequest]
    expect(headers).toMatchObject({ 'idempotency-key': key, 'webhook-id': key })
    expect(JSON.parse(body)).toMatchObject({ transaction_id })
  })

  test('has each byte in its key that a header could not carry, or that ends an id', async () => {
    const ascii = Array.from({ length: 0x7f - 0x21 }, (_, i) => String.fromCharCode(0x21 + i))
    const ids = [ascii.join(''), '\uffff'.repeat(255), '😀'.repeat(127)]
    await using run = await targetRun({ '--concurrency': '1' })
    for (const transaction_id of ids) await run.service.post(transactionBody({ transaction_id }))
    await run.work()
    const keys = run.target.requests.map(({ headers }) => headers['webhook-id'])
    expect(keys).toEqual(ids.map(percentEncoded))
    expect(recorded(run.service).attempts.every(({ outcome }) => outcome === 'done')).toBe(true)
  })

  test.each([
    ['USD', '100', 100],
    ['USD', '0.1', 0.1],
    ['USD', '"12.30"', 12.3],
    ['JPY', '5', 5],
    ['KWD', '1.234', 1.234],
    ['USD', '9999999999999.99', 9999999999999.99],
    ['JPY', '999999999999999', 999999999999999],
  ])('is, of %s, the amount %s as GET shows it', async (currency, literal, amount) => {
    await using run = await targetRun()
    const text = JSON.stringify(transactionBody({ currency, amount: 0 }))
    const response = await run.service.post(text.replace('"amount":0', `"amount":${literal}`))
    expect(response.status).toBe(202)
    await run.work()
    const [{ body }] = run.target.requests as [TargetRequest]
    expect(JSON.parse(body)).toMatchObject({ amount, currency })
    expect(body).toBe(await asShown(run.service))
  })

  test('is what else the sender sent, as GET shows it', async () => {
    await using run = await targetRun()
    const text = `{"memo": "Grüße 😀 \\u0000\\u2028", "n": [1e21, -0, 9007199254740993, null],
      "": {"a": {"b": [true, {"c": 1.10}]}}, "2": 2, "1": 1E+2, "status": "mine", "extra": "mine",
      "__proto__": {"constructor": 1}, `
    const sent = text + JSON.stringify(transactionBody()).slice(1)
    expect((await run.service.post(sent)).status).toBe(202)
    await run.work()
    const [{ body }] = run.target.requests as [TargetRequest]
    expect(body).toBe(await asShown(run.service))
    // The text, since doubles would make wrong digits equal to right ones.
    const extra = `{"memo":"Grüße 😀 \\u0000\u2028","n":[1e21,-0,9007199254740993,null],
      "":{"a":{"b":[true,{"c":1.10}]}},"2":2,"1":1E+2,"status":"mine","extra":"mine",
      "__proto__":{"constructor":1}}`
    expect(body).toEndWith(`,"extra":${extra.replaceAll('\n      ', '')}}`)
  })

  test('does not change while the transaction does', async () => {
    await using run = await targetRun()
    const { service } = run
    await service.post(transactionBody({ memo: 'as it was' }))
    const wait = await run.answer(answering(500, {}, 'a reason'))
    // A replay with other members beyond the five fields changes nothing either.
    const replay = await service.post(transactionBody({ memo: 'as it is' }))
    expect(replay.headers.get('idempotent-replayed')).toBe('true')
    await expectRetryIn(wait ?? 0, run)
  })
})

describe('signatures', () => {
  const secret = `whsec_${Buffer.from('k'.repeat(32)).toString('base64')}`
  const strange = `whsec_${Buffer.from('s'.repeat(32)).toString('base64')}`
  const flags = { '--target-secret': secret }

  /** As a receiver does that uses the official library, at that time. */
  function verify(signer: string, { headers, body }: TargetRequest, time: number): unknown {
    setSystemTime(new Date(time))
    try {
      return new Webhook(signer).verify(body, { ...headers })
    } finally {
      setSystemTime()
    }
  }

  test.each(['txn_001', "a.b /%'😀"])(
    'of %p are those of the official library',
    async (transaction_id) => {
      await using run = await targetRun(flags)
      const { service, target } = run
      service.clock.stepWall(1_999)
      await service.post(transactionBody({ transaction_id, memo: 'Grüße 😀' }))
      await run.work()
      const [request] = target.requests as [TargetRequest]
      const { headers, body } = request
      expect(headers['webhook-timestamp']).toBe(String(START / 1000 + 1))
      const time = new Date(START + 1_000)
      const signature = new Webhook(secret).sign(headers['webhook-id'] ?? '', time, body)
      expect(headers['webhook-signature']).toBe(signature)
      expect(verify(secret, request, START)).toEqual(JSON.parse(body))
      expect(() => verify(strange, request, START)).toThrow('No matching signature')
      const tampered = { ...request, body: body.replace('100', '900') }
      expect(() => verify(secret, tampered, START)).toThrow('No matching signature')
    },
  )

  test('have the time of their attempt, and are otherwise over the same', async () => {
    await using run = await targetRun(flags)
    const { service, target } = run
    await service.post(transactionBody())
    const wait = await run.answer(answering(503, { 'retry-after': '3600' }))
    service.clock.pass(wait ?? 0)
    const later = service.clock.now().wall
    await run.answer(answering(200))
    const [first, second] = target.requests as [TargetRequest, TargetRequest]
    expect(first.headers['webhook-timestamp']).toBe(String(START / 1000))
    expect(second.headers['webhook-timestamp']).toBe(String(Math.floor(later / 1000)))
    expect(verify(secret, first, START)).toEqual(verify(secret, second, later))
    expect(() => verify(secret, first, later)).toThrow('timestamp too old')
    const { 'webhook-timestamp': _, 'webhook-signature': __, ...same } = first.headers
    expect(second).toMatchObject({ body: first.body, headers: same })
    expect(Object.keys(second.headers)).toEqual(Object.keys(first.headers))
  })
})

describe('the connections', () => {
  test('are one for five transactions that go out one after the other', async () => {
    await using run = await targetRun({ '--concurrency': '1' })
    const { service, target } = run
    const ids = names(5)
    for (const transaction_id of ids) await service.post(transactionBody({ transaction_id }))
    expect(await run.answer(answering(200, {}, '{"ok": true}'))).toBeUndefined()
    expect(target.requests.map(({ headers }) => headers['webhook-id'])).toEqual(ids)
    expect(target.connections).toBe(1)
    expect(target.underWayMax).toBe(1)
    const states = recorded(service).transactions.map(({ status }) => status)
    expect(states).toEqual(ids.map(() => 'PROCESSED'))
  })

  test('have no more requests under way than allowed, and each that ends makes room', async () => {
    await using run = await targetRun({ '--concurrency': '3' })
    const { service, target } = run
    const held: (() => void)[] = []
    target.script = async (exchange) => {
      await new Promise<void>((resolve) => held.push(resolve))
      await answering(200)(exchange)
    }
    for (const transaction_id of names(20)) await service.post(transactionBody({ transaction_id }))
    await service.start()
    for (let i = 0; i < 3; i++) await target.next()
    await nothingMore(service)
    for (let ended = 1; ended <= 20; ended++) {
      expect(target.requests).toHaveLength(Math.min(ended + 2, 20))
      held.shift()?.()
      if (ended <= 17) await target.next()
    }
    await settled(service)
    expect(target.underWayMax).toBe(3)
    expect(target.connections).toBeLessThanOrEqual(3)
    const keys = target.requests.map(({ headers }) => headers['webhook-id'])
    expect(keys.toSorted()).toEqual(names(20).toSorted())
    const states = recorded(service).transactions.map(({ status }) => status)
    expect(states).toEqual(names(20).map(() => 'PROCESSED'))
  })
})

describe('a process that dies in the middle of a call', () => {
  const detail = 'txhook ended in the middle of the attempt'
  const interrupted = { attempt: 1, outcome: 'interrupted', http_status: null, detail, started: 0 }

  /** A service whose store is gone when its call ends: the outcome is on no disk. */
  async function dieInACall(target: TestTarget, options: TestServiceOptions): Promise<void> {
    const { post, work, store, scheduler } = testService(options)
    const answer = Promise.withResolvers<void>()
    target.script = async (exchange) => {
      await answer.promise
      await answering(200)(exchange)
    }
    await post(transactionBody())
    await work()
    await target.next()
    await store.close()
    answer.resolve()
    await scheduler.stop()
  }

  test('leaves it interrupted: the next one calls again at once, under the same key', async () => {
    await using target = await testTarget()
    using directory = temporaryDirectory()
    const options = { dataDir: directory.path, flags: { '--target-url': target.url } }
    await dieInACall(target, options)
    await using service = testService(options)
    service.clock.pass(70)
    await service.start()
    await target.next()
    await settled(service)
    const last = { outcome: 'done', http_status: 200, detail: null, started: 70, finished: 70 }
    expect(recorded(service)).toEqual({
      transactions: [{ status: 'PROCESSED', error: null, processed: 70 }],
      attempts: [
        { ...interrupted, finished: 70 },
        { attempt: 2, ...last },
      ],
    })
    expect(target.requests).toHaveLength(2)
    expectTheSame(target.requests)
  })

  test('with the last attempt leaves it FAILED, and the next one does not call', async () => {
    await using target = await testTarget()
    using directory = temporaryDirectory()
    const flags = { '--target-url': target.url, '--max-attempts': '1' }
    const options = { dataDir: directory.path, flags }
    await dieInACall(target, options)
    await using service = testService(options)
    await service.start()
    await nothingMore(service)
    expect(recorded(service)).toEqual({
      transactions: [{ status: 'FAILED', error: detail, processed: null }],
      attempts: [{ ...interrupted, finished: 0 }],
    })
    expect(target.requests).toHaveLength(1)
  })

  test('by a stop hangs up after 8 s, which uses up no attempt', async () => {
    await using run = await targetRun({ '--max-attempts': '1' })
    const { service, target } = run
    target.script = ({ closed }) => closed
    await service.post(transactionBody())
    await service.start()
    const { closed } = await target.next()
    const waiting = service.clock.nextTimer()
    const stopped = service.stop()
    await waiting
    service.clock.pass(8_000)
    await closed
    await stopped
    const error = 'txhook was stopped in the middle of the attempt'
    expect(recorded(service)).toMatchObject({
      transactions: [{ status: 'PENDING', error, processed: null }],
      attempts: [{ outcome: 'interrupted', http_status: null, finished: 8_000 }],
    })
  })
})

describe('with a target that answers anyhow', () => {
  const CHUNKED = headOf(200, { 'transfer-encoding': 'chunked' })
  /** What each answer makes of its attempt. */
  const ANSWERS: readonly (readonly ['done' | 'retry' | 'fail', Script])[] = [
    ['done', answering(200)],
    ['done', answering(204)],
    ['done', breakingOff(`${CHUNKED}5\r\nh`, 'reset')],
    ['fail', answering(400)],
    ['fail', answering(302, { location: '/elsewhere' })],
    ['retry', answering(500, {}, 'oops')],
    ['retry', answering(503, { 'retry-after': '7' })],
    ['retry', answering(429, { 'retry-after': '0' })],
    ['retry', breakingOff('', 'end')],
    ['retry', breakingOff('', 'reset')],
    ['retry', saying('Hello, who is there?\r\n\r\n')],
  ]

  /** What the states promise of each other, and the attempts that break it. */
  const BROKEN = `
    SELECT 'PROCESSED without its answer' AS fault, id FROM transactions AS t
      WHERE status = 'PROCESSED' AND NOT EXISTS (
        SELECT 1 FROM attempts AS a WHERE a.id = t.id AND attempt = t.attempts
          AND outcome = 'done' AND http_status BETWEEN 200 AND 299)
    UNION ALL SELECT 'answered, but not PROCESSED', id FROM transactions
      WHERE status <> 'PROCESSED' AND id IN (SELECT id FROM attempts WHERE outcome = 'done')
    UNION ALL SELECT 'FAILED without a refusal', id FROM transactions AS t
      WHERE status = 'FAILED' AND NOT EXISTS (
        SELECT 1 FROM attempts AS a WHERE a.id = t.id AND attempt = t.attempts
          AND outcome = 'fail')
    UNION ALL SELECT 'under way, but not PROCESSING', id FROM transactions
      WHERE status <> 'PROCESSING' AND id IN (SELECT id FROM attempts WHERE outcome IS NULL)
    UNION ALL SELECT 'final with a job, or not final without one', id FROM transactions
      WHERE (status IN ('PROCESSED', 'FAILED')) = (id IN (SELECT id FROM jobs))`

  test('no commit shows a state without the attempt that made it so', async () => {
    const maxAttempts = 4
    await using run = await targetRun({
      '--concurrency': '5',
      '--max-attempts': String(maxAttempts),
    })
    const { service, target } = run
    /** By key, how the last request of each of its attempts was answered. */
    const log = new Map<string, string[]>()
    let requests = 0
    target.script = async (exchange) => {
      const key = exchange.request.headers['webhook-id'] ?? ''
      const [row] = rowsOf(
        service.dataDir,
        `SELECT attempts FROM transactions WHERE transaction_id = '${key}'`,
      )
      const answered = [...(log.get(key) ?? [])]
      const [kind, script] = ANSWERS[
        Number(Bun.hash(`${key} ${++requests}`) % BigInt(ANSWERS.length))
      ] as (typeof ANSWERS)[number]
      answered[Number(row?.attempts) - 1] = kind
      log.set(key, answered)
      await script(exchange)
    }

    const ids = names(50)
    for (const transaction_id of ids) await service.post(transactionBody({ transaction_id }))
    const seen = new Set<string>()
    const look = () => {
      expect(rowsOf(service.dataDir, BROKEN)).toEqual([])
      const sql = 'SELECT DISTINCT status FROM transactions ORDER BY status'
      seen.add(rowsOf(service.dataDir, sql).map(Object.values).join())
    }
    for (;;) {
      const delay = await workOff(service, look)
      if (delay === undefined) break
      service.clock.pass(delay)
    }

    // It was looked at while much was under way, and not only at the end.
    expect(seen).toContain('FAILED,PENDING,PROCESSED,PROCESSING')
    expect([...log.keys()].toSorted()).toEqual(ids.toSorted())
    const sql = `SELECT transaction_id, status, group_concat(outcome) AS outcomes
      FROM transactions JOIN (SELECT * FROM attempts ORDER BY id, attempt) USING (id) GROUP BY id`
    for (const { transaction_id, status, outcomes } of rowsOf(service.dataDir, sql)) {
      const answered = log.get(String(transaction_id)) ?? []
      const last = answered.at(-1)
      const expected = last === 'done' ? 'PROCESSED' : 'FAILED'
      expect([transaction_id, status]).toEqual([transaction_id, expected])
      // Each attempt was recorded as what its answer was.
      const made = last === 'retry' ? [...answered.slice(0, -1), 'fail'] : answered
      expect([transaction_id, outcomes]).toEqual([transaction_id, made.join()])
      if (last === 'retry') expect(answered).toHaveLength(maxAttempts)
    }
  })
})

function manyHeaders(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, '']))
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `txn_${i}`)
}

/** As the contract has it: each byte of the UTF-8 outside `A-Z a-z 0-9 _ - ~` percent-encoded. */
function percentEncoded(id: string): string {
  const encoded = [...Buffer.from(id)].map((byte) => {
    const character = String.fromCharCode(byte)
    const hex = byte.toString(16).toUpperCase().padStart(2, '0')
    return /[A-Za-z0-9_~-]/.test(character) ? character : `%${hex}`
  })
  return encoded.join('')
}

/** The transaction as GET shows it, without what changes from attempt to attempt. */
async function asShown(service: TestService): Promise<string> {
  const text = await (await service.get('/v1/transactions/txn_001')).text()
  return text
    .replace(/"status":.*?(?="created_at")/s, '')
    .replace(/"processing_started_at":.*?(?="extra":)/s, '')
}
