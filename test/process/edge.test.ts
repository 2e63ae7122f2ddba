/**
 * What only a socket can do to txhook: requests that are none, bodies that don't end, senders that
 * don't send. Bun refuses much of it itself, with a bare answer, before the app sees it. Above all:
 * what is answered with a 2xx is stored, and nothing is stored that nobody meant.
 */

import { beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import fc from 'fast-check'
import {
  commandOf,
  type RunningTxhook,
  startTxhook,
  until,
  VARIANTS,
} from '../support/executable.ts'
import { type RawSocket, rawSocket } from '../support/raw-socket.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

/** A call that doesn't end here: what is stored stays as it came. */
const ARGS = ['--processing-delay-ms', '3600000'] as const

/** The idle timeout is 10 s, and Bun looks every 4 s. */
const CUT_MS = { from: 9_000, to: 15_000 } as const

const bodyOf = (id: string) => JSON.stringify(transactionBody({ transaction_id: id }))
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
const CHUNKED = 'Transfer-Encoding: chunked'
const LAST_CHUNK = '0\r\n\r\n'

type Parts = { line?: string; host?: string[]; headers?: string[]; body?: string; eol?: string }

/** A webhook; the headers given come instead of its Content-Length. */
function webhook(id: string, parts: Parts = {}): string {
  const {
    line = 'POST /webhook HTTP/1.1',
    host = ['Host: localhost'],
    body = bodyOf(id),
    eol = '\r\n',
  } = parts
  const { headers = [`Content-Length: ${body.length}`] } = parts
  return [line, ...host, 'Content-Type: application/json', ...headers, '', body].join(eol)
}

const get = (path: string, ...headers: string[]) =>
  [`GET ${path} HTTP/1.1`, 'Host: localhost', ...headers, '', ''].join('\r\n')

/** A request whose head announces all of the body; what it says comes in `headers` too. */
const withHeaders = (id: string, ...headers: string[]) =>
  webhook(id, { headers: [...headers, `Content-Length: ${bodyOf(id).length}`] })

const chunkedWebhook = (id: string, body: string) => webhook(id, { headers: [CHUNKED], body })

type EdgeCase = {
  name: string
  /** What is sent; the ids that it is about are `id` and, for a second request, `other`. */
  bytes(id: string, other: string): string
  /** The statuses of the answers, interim ones included. */
  statuses: number[]
  /**
   * How it goes on. `open`: the next request on the same connection is answered as if nothing had
   * been, so that both sides agree on where requests end. `closed`: txhook hangs up. `waiting`: it
   * waits for more, and the connection is reset. `reset`: the connection is reset at once.
   */
  after: 'open' | 'closed' | 'waiting' | 'reset'
  /** What the sender still sends when it has the answers. */
  rest?: string
  /** The sender says that nothing more will come. */
  halfClosed?: boolean
  /** The `code` of the problem; none: the refusal is Bun's, without a body. */
  code?: string
  /** The transactions that are there afterwards. */
  stored?: 'id' | 'other' | 'both'
  /**
   * The sender can't know whether these are stored: it sends them once more, and then they are.
   */
  sentAgain?: boolean
}

const refusedByBun = (name: string, status: number, bytes: EdgeCase['bytes']): EdgeCase => ({
  name,
  bytes,
  statuses: [status],
  after: 'closed',
})

const taken = (name: string, bytes: EdgeCase['bytes']): EdgeCase => ({
  name,
  bytes,
  statuses: [202],
  after: 'open',
  stored: 'id',
})

const problem = (
  name: string,
  status: number,
  code: string,
  bytes: EdgeCase['bytes'],
): EdgeCase => ({ name, bytes, statuses: [status], after: 'open', code })

const hungUpOn = (name: string, bytes: EdgeCase['bytes']): EdgeCase => ({
  name,
  bytes,
  statuses: [],
  after: 'closed',
})

const requestLines: EdgeCase[] = [
  taken('an ordinary webhook', (id) => webhook(id)),
  refusedByBun('bare line feeds', 505, (id) => webhook(id, { eol: '\n' })),
  ...[
    'POST /webhook',
    'POST /webhook HTTP/2.0',
    'POST /webhook HTTP/1.2',
    'POST /a b HTTP/1.1',
  ].map((line) => refusedByBun(`the line ${line}`, 505, (id) => webhook(id, { line }))),
  ...['POST  /webhook HTTP/1.1', 'POST \\webhook HTTP/1.1', '\r\nPOST /webhook HTTP/1.1'].map(
    (line) => refusedByBun(`the line ${JSON.stringify(line)}`, 400, (id) => webhook(id, { line })),
  ),
  refusedByBun('a NUL in the path', 505, (id) => webhook(id, { line: 'POST /webhook\0 HTTP/1.1' })),
  ...['post', 'FOO', 'POSTS'].map((method) =>
    hungUpOn(`the method ${method}`, (id) => webhook(id, { line: `${method} /webhook HTTP/1.1` })),
  ),
  ...['PROPFIND', 'TRACE', 'MKCOL', 'DELETE', 'GET'].map((method) =>
    problem(`the method ${method}`, 405, 'method_not_allowed', (id) =>
      webhook(id, { line: `${method} /webhook HTTP/1.1` }),
    ),
  ),
  ...['http://x/webhook', 'http://evil.example/webhook', '/a/../webhook', '/webhook?x=1'].map(
    (target) =>
      taken(`the target ${target}`, (id) => webhook(id, { line: `POST ${target} HTTP/1.1` })),
  ),
  ...['/webhook#x', '/%77ebhook', '//webhook', '/webhook/', '/WEBHOOK'].map((target) =>
    problem(`the target ${target}`, 404, 'not_found', (id) =>
      webhook(id, { line: `POST ${target} HTTP/1.1` }),
    ),
  ),
  refusedByBun('the target *', 400, () => 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n'),
  problem('a path that is too long', 414, 'uri_too_long', (id) =>
    webhook(id, { line: `POST /webhook?${'x'.repeat(9_000)} HTTP/1.1` }),
  ),
  refusedByBun(
    'a TLS hello',
    400,
    () => `\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03${'r'.repeat(500)}`,
  ),
  refusedByBun(
    'the preface of HTTP/2',
    400,
    () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
  ),
  refusedByBun('bytes at random', 400, () => '\xff\xfe\xfd\0\x01\r\n\r\n'),
  refusedByBun('nothing but line ends', 400, () => '\r\n\r\n\r\n\r\n'),
  { ...hungUpOn('nothing at all', () => ''), halfClosed: true },
]

const heads: EdgeCase[] = [
  refusedByBun('no Host', 400, (id) => webhook(id, { host: [] })),
  ...['X: a\0b', 'X\0: a', 'X : a', 'nothing', ': a', 'X: a\r\n b', 'X: a\rb', 'X(: a'].map(
    (line) =>
      refusedByBun(`the header ${JSON.stringify(line)}`, 400, (id) => withHeaders(id, line)),
  ),
  taken('a header of Latin-1', (id) => withHeaders(id, 'X: \xe9\xff')),
  taken('an upgrade to h2c', (id) =>
    withHeaders(id, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMA'),
  ),
  refusedByBun('a head of over 16 KiB', 431, (id) => withHeaders(id, `X: ${'x'.repeat(17_000)}`)),
  refusedByBun(
    'a head without an end',
    431,
    () => `${get('/livez').slice(0, -2)}X: ${'x'.repeat(99_000)}`,
  ),
  refusedByBun('300 headers', 431, (id) => withHeaders(id, ...Array(300).fill('X: x'))),
  ...['gzip', 'br', 'x', 'gzip, identity'].map((encoding) =>
    problem(`the encoding ${encoding}`, 415, 'unsupported_media_type', (id) =>
      withHeaders(id, `Content-Encoding: ${encoding}`),
    ),
  ),
]

const lengths: EdgeCase[] = [
  ...[
    '-1',
    '+112',
    '0x70',
    '99999999999999999999999',
    '18446744073709551615',
    '',
    '112, 112',
    '1 12',
  ].map((length) =>
    refusedByBun(`a Content-Length of ${JSON.stringify(length)}`, 400, (id) =>
      webhook(id, { headers: [`Content-Length: ${length}`] }),
    ),
  ),
  refusedByBun('two lengths', 400, (id) => withHeaders(id, 'Content-Length: 5')),
  taken('the same length twice', (id) => withHeaders(id, `Content-Length: ${bodyOf(id).length}`)),
  refusedByBun('a length and chunks', 400, (id) =>
    webhook(id, {
      headers: [`Content-Length: ${bodyOf(id).length}`, CHUNKED],
      body: chunk(bodyOf(id)) + LAST_CHUNK,
    }),
  ),
  refusedByBun('a length of 5, chunks, and a second request in wait', 400, (id, other) =>
    webhook(id, { headers: ['Content-Length: 5', CHUNKED], body: LAST_CHUNK + webhook(other) }),
  ),
  refusedByBun('chunks, a length, and a second request in wait', 400, (id, other) =>
    webhook(id, {
      headers: [CHUNKED, `Content-Length: ${webhook(other).length + 5}`],
      body: LAST_CHUNK + webhook(other),
    }),
  ),
  ...[
    'xchunked',
    'identity',
    'gzip, chunked',
    'chunked, chunked',
    'chunked, identity',
    'chunked x',
  ].map((coding) =>
    refusedByBun(`a Transfer-Encoding of ${coding}`, 400, (id, other) =>
      webhook(id, {
        headers: [`Transfer-Encoding: ${coding}`],
        body: chunk(bodyOf(id)) + LAST_CHUNK + webhook(other),
      }),
    ),
  ),
  refusedByBun('two Transfer-Encodings', 400, (id) =>
    webhook(id, {
      headers: [CHUNKED, 'Transfer-Encoding: identity'],
      body: chunk(bodyOf(id)) + LAST_CHUNK,
    }),
  ),
  {
    name: 'a length that is too short, with a rest that is no request',
    bytes: (id) => webhook(id, { headers: [`Content-Length: ${bodyOf(id).length - 10}`] }),
    statuses: [400, 400],
    after: 'closed',
    code: 'invalid_json',
  },
  {
    ...hungUpOn('a length that is too long, and a FIN', (id) =>
      webhook(id, { headers: [`Content-Length: ${bodyOf(id).length + 10}`] }),
    ),
    halfClosed: true,
  },
  {
    name: 'a length that is too long',
    bytes: (id) => webhook(id, { headers: [`Content-Length: ${bodyOf(id).length + 10}`] }),
    statuses: [],
    after: 'waiting',
  },
  {
    name: 'half a body',
    bytes: (id) => webhook(id).slice(0, -40),
    statuses: [],
    after: 'waiting',
  },
  { ...hungUpOn('half a body, and a FIN', (id) => webhook(id).slice(0, -40)), halfClosed: true },
  {
    name: 'no length, and a body',
    bytes: (id) => webhook(id, { headers: [] }),
    statuses: [400, 400],
    after: 'closed',
    code: 'invalid_json',
  },
]

const chunks: EdgeCase[] = [
  taken('a body in many chunks', (id) =>
    chunkedWebhook(id, [...bodyOf(id)].map(chunk).join('') + LAST_CHUNK),
  ),
  taken('a chunk with an extension', (id) =>
    chunkedWebhook(id, chunk(bodyOf(id)).replace('\r\n', ';a=b\r\n') + LAST_CHUNK),
  ),
  ...['zz', '-5', '0x70', 'fffffffffffffffff', '', ' 70', '7 0', '70\n'].map((size) =>
    refusedByBun(`a chunk of size ${JSON.stringify(size)}`, 400, (id, other) =>
      chunkedWebhook(id, `${size}\r\n${bodyOf(id)}\r\n${LAST_CHUNK}${webhook(other)}`),
    ),
  ),
  refusedByBun('a chunk that is longer than its size', 400, (id) =>
    chunkedWebhook(id, `5\r\n${bodyOf(id)}\r\n${LAST_CHUNK}`),
  ),
  refusedByBun('chunks that end in line feeds', 400, (id) =>
    chunkedWebhook(id, (chunk(bodyOf(id)) + LAST_CHUNK).replaceAll('\r\n', '\n')),
  ),
  refusedByBun('a chunked request of HTTP/1.0', 400, (id) =>
    webhook(id, {
      line: 'POST /webhook HTTP/1.0',
      headers: [CHUNKED],
      body: chunk(bodyOf(id)) + LAST_CHUNK,
    }),
  ),
  {
    ...hungUpOn('no last chunk, and a FIN', (id) => chunkedWebhook(id, chunk(bodyOf(id)))),
    halfClosed: true,
  },
  {
    name: 'a chunk of 2 GiB that has hardly begun',
    bytes: (id) => chunkedWebhook(id, `7fffffff\r\n${bodyOf(id)}`),
    statuses: [],
    after: 'waiting',
  },
]

const unknown = (name: string, statuses: number[], bytes: EdgeCase['bytes']): EdgeCase => ({
  name,
  bytes,
  statuses,
  after: 'closed',
  stored: 'id',
  sentAgain: true,
})

/**
 * Bun hands a body on as soon as it is complete. Where what follows it is already there before the
 * answer, Bun hangs up, or even answers with a 400 of its own: the app can't prevent it. The sender
 * should get its 202. Where one of these fails because it does, Bun has mended it, and the README
 * needs no sentence about bytes behind a body.
 */
const brokenOff: EdgeCase[] = [
  { ...unknown('a webhook, and a FIN', [], (id) => webhook(id)), halfClosed: true },
  { ...unknown('a webhook, and a RST', [], (id) => webhook(id)), after: 'reset' },
  unknown('a webhook, and a line end', [400], (id) => `${webhook(id)}\r\n`),
  unknown(
    'a webhook, and a rest that is no request',
    [400],
    (id) => `${webhook(id)}\xff\0\r\n\r\n`,
  ),
  unknown('a chunked webhook, and a line end', [400], (id) =>
    chunkedWebhook(id, `${chunk(bodyOf(id))}${LAST_CHUNK}\r\n`),
  ),
  unknown('a webhook with a trailer', [400], (id) =>
    chunkedWebhook(id, `${chunk(bodyOf(id))}0\r\nX: x\r\n\r\n`),
  ),
  unknown('a webhook with an announced trailer', [400], (id) =>
    webhook(id, {
      headers: [CHUNKED, 'Trailer: X', 'TE: trailers'],
      body: `${chunk(bodyOf(id))}0\r\nX: x\r\n\r\n`,
    }),
  ),
  unknown('a webhook that ends the connection, with a trailer', [400], (id) =>
    webhook(id, {
      headers: [CHUNKED, 'Connection: close'],
      body: `${chunk(bodyOf(id))}0\r\nX: x\r\n\r\n`,
    }),
  ),
  unknown('a webhook, and a reading behind it', [], (id) => webhook(id) + get('/livez')),
  {
    ...unknown(
      'two webhooks, one behind the other',
      [],
      (id, other) => webhook(id) + webhook(other),
    ),
    stored: 'both',
  },
]

/** With `Connection: close` Bun ignores what comes behind the body. */
const lastOnes: EdgeCase[] = [
  { name: 'a line end', rest: '\r\n' },
  { name: 'a rest that is no request', rest: '\xff\0\r\n\r\n' },
  { name: 'a second webhook', rest: webhook('behind') },
].map(({ name, rest }) => ({
  name: `a webhook that ends the connection, and ${name}`,
  bytes: (id) => withHeaders(id, 'Connection: close') + rest,
  statuses: [202],
  after: 'closed',
  stored: 'id',
}))

/** Bytes of a body that nobody reads must not be taken for a request. */
const hidden: EdgeCase[] = [
  ...['GET', 'DELETE', 'PUT'].map((method) =>
    problem(`a request in the body of a ${method}`, 405, 'method_not_allowed', (id, other) =>
      webhook(id, { line: `${method} /webhook HTTP/1.1`, body: webhook(other) }),
    ),
  ),
  problem('a request in the body of a request for nothing', 404, 'not_found', (id, other) =>
    webhook(id, { line: 'POST /nothing HTTP/1.1', body: webhook(other) }),
  ),
  problem('a request in a chunk of a request for nothing', 404, 'not_found', (id, other) =>
    webhook(id, {
      line: 'POST /nothing HTTP/1.1',
      headers: [CHUNKED],
      body: chunk(webhook(other)) + LAST_CHUNK,
    }),
  ),
  problem('a request in the body of one that is no JSON', 400, 'invalid_json', (id, other) =>
    webhook(id, { body: webhook(other) }),
  ),
  problem('a request in a body of the wrong type', 415, 'unsupported_media_type', (id, other) =>
    webhook(id, {
      headers: ['Content-Encoding: gzip', `Content-Length: ${webhook(other).length}`],
      body: webhook(other),
    }),
  ),
  problem('a request in a body that is too long', 413, 'body_too_large', (id, other) => {
    const body = webhook(other).repeat(600)
    return webhook(id, { body })
  }),
  problem('a request in a body that is too long, in chunks', 413, 'body_too_large', (id, other) =>
    chunkedWebhook(id, chunk(webhook(other)).repeat(600) + LAST_CHUNK),
  ),
  {
    ...problem('a body that is too long, before its end', 413, 'body_too_large', (id, other) =>
      chunkedWebhook(id, chunk(webhook(other)).repeat(400)),
    ),
    rest: `${chunk(webhook('behind'))}${LAST_CHUNK}`,
  },
  {
    ...problem('a body that is announced too long, before it', 413, 'body_too_large', (id) =>
      webhook(id, { headers: [`Content-Length: ${webhook('behind').length * 400}`], body: '' }),
    ),
    rest: webhook('behind').repeat(400),
  },
  problem('a request in the body of one whose path is too long', 414, 'uri_too_long', (id, other) =>
    webhook(id, { line: `POST /webhook?${'x'.repeat(9_000)} HTTP/1.1`, body: webhook(other) }),
  ),
]

const several: EdgeCase[] = [
  {
    name: 'two pipelined readings',
    bytes: () => get('/livez') + get('/livez'),
    statuses: [200, 200],
    after: 'open',
  },
  {
    name: 'a webhook behind a reading',
    bytes: (id) => get('/livez') + webhook(id),
    statuses: [200, 202],
    after: 'open',
    stored: 'id',
  },
  {
    name: 'a webhook behind a refused one',
    bytes: (id, other) => webhook(id, { body: '{}' }) + webhook(other),
    statuses: [422, 202],
    after: 'open',
    code: 'invalid_transaction',
    stored: 'other',
  },
  {
    name: 'a request that expects 100-continue, with its body',
    bytes: (id) => withHeaders(id, 'Expect: 100-continue'),
    statuses: [100, 202],
    after: 'open',
    stored: 'id',
  },
  {
    name: 'a request that expects 100-continue, and never sends its body',
    bytes: (id) => withHeaders(id, 'Expect: 100-continue').slice(0, -bodyOf(id).length),
    statuses: [100],
    after: 'waiting',
  },
]

const CASES = [
  ...requestLines,
  ...heads,
  ...lengths,
  ...chunks,
  ...brokenOff,
  ...lastOnes,
  ...hidden,
  ...several,
]

type Listed = { transaction_id: string }

/** All that is stored, by id. */
async function storedIn(txhook: RunningTxhook): Promise<Map<string, Listed>> {
  const found = new Map<string, Listed>()
  let cursor = ''
  for (;;) {
    const query = cursor === '' ? '' : `&cursor=${cursor}`
    const response = await txhook.fetch(`/v1/transactions?limit=250${query}`)
    expect(response.status).toBe(200)
    const page = (await response.json()) as { data: Listed[]; next_cursor: string | null }
    for (const transaction of page.data) found.set(transaction.transaction_id, transaction)
    if (page.next_cursor === null) return found
    cursor = page.next_cursor
  }
}

/** Plays a case, and throws where it goes otherwise; returns the ids that must be stored. */
async function play(txhook: RunningTxhook, it: EdgeCase, id: string): Promise<string[]> {
  const other = `${id}_other`
  const ids = { id: [id], other: [other], both: [id, other] }
  const stored = it.stored === undefined ? [] : ids[it.stored]
  using socket = await rawSocket(txhook.url)
  socket.write(it.bytes(id, other))
  if (it.halfClosed) socket.halfClose()
  if (it.after === 'reset') socket.reset()
  if (it.after === 'waiting') {
    await socket.answered(it.statuses.filter((status) => status >= 200).length)
    // An answer to a later request: by then this one would have had its own.
    for (let n = 0; n < 3; n++) expect((await txhook.fetch('/livez')).status).toBe(200)
    expect({ statuses: statusesOf(socket), closed: socket.closed }).toEqual({
      statuses: it.statuses,
      closed: false,
    })
    socket.reset()
    return []
  }
  if (it.after === 'closed' || it.after === 'reset') await socket.hungUp
  else {
    const count = it.statuses.filter((status) => status >= 200).length
    await socket.answered(count)
    expect(statusesOf(socket)).toEqual(it.statuses)
    socket.write((it.rest ?? '') + get('/livez'))
    await socket.answered(count + 1)
    expect(socket.answers.at(-1)?.body).toBe('{"status":"LIVE"}')
  }
  const answers = socket.answers.slice(0, it.statuses.length)
  expect(statusesOf(socket)).toEqual([...it.statuses, ...(it.after === 'open' ? [200] : [])])
  const first = answers.find(({ status }) => status >= 400)
  if (first && it.code === undefined) expect(first.body).toBe('')
  if (it.code !== undefined) {
    expect(first?.head.toLowerCase()).toContain('content-type: application/problem+json')
    expect(JSON.parse(first?.body ?? '')).toMatchObject({ status: first?.status, code: it.code })
  }
  if (it.sentAgain) {
    for (const each of stored) {
      expect((await txhook.post(transactionBody({ transaction_id: each }))).status).toBe(202)
    }
  }
  return stored
}

const statusesOf = ({ answers }: RawSocket) => answers.map(({ status }) => status)

beforeAll(async () => {
  // The builds block everything else, so that they must not fall into what is measured.
  for (const variant of VARIANTS) await commandOf(variant)
})

describe.each([...VARIANTS])('on a socket, txhook (%s)', (variant) => {
  test('answers or hangs up, stores what it answered with 202, and nothing else', async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ variant, cwd: directory.path, args: ARGS })
    const expected = await Promise.all(
      CASES.map((it, n) =>
        play(txhook, it, `edge_${n}`).catch((cause) => {
          throw new Error(it.name, { cause })
        }),
      ),
    )
    expect([...(await storedIn(txhook)).keys()].sort()).toEqual(expected.flat().sort())
    expect(await txhook.end('SIGTERM')).toMatchObject({ exitCode: 0, stderr: '' })
  })
})

test('slow senders are cut within 15 s, and keep nobody from being answered at once', async () => {
  using directory = temporaryDirectory()
  await using txhook = await startTxhook({ variant: 'source', cwd: directory.path, args: ARGS })
  const sockets = await Promise.all(Array.from({ length: 300 }, () => rawSocket(txhook.url)))
  const [ofHeads, ofBodies, silent] = [0, 1, 2].map((kind) =>
    sockets.filter((_, n) => n % 3 === kind),
  ) as [RawSocket[], RawSocket[], RawSocket[]]
  const request = webhook('slow')
  const bodyAt = request.length - bodyOf('slow').length
  for (const socket of ofBodies) socket.write(request.slice(0, bodyAt))
  let sent = 0
  const bytes = setInterval(() => {
    for (const socket of ofHeads) socket.write(request.charAt(sent))
    for (const socket of ofBodies) socket.write(request.charAt(bodyAt + sent))
    sent++
  }, 200)

  const began = performance.now()
  const durations: number[] = []
  while (performance.now() - began < 5_000) {
    const postedAt = performance.now()
    const response = await txhook.post(
      transactionBody({ transaction_id: `quick_${durations.length}` }),
    )
    await response.arrayBuffer()
    expect(response.status).toBe(202)
    durations.push(performance.now() - postedAt)
  }
  const open = sockets.filter(({ closed }) => !closed).length
  const cuts = await Promise.all(sockets.map(({ hungUp }) => hungUp))
  clearInterval(bytes)

  // They were all there while the others were answered.
  expect(open).toBe(300)
  const p99 = durations.toSorted((a, b) => a - b)[Math.floor(durations.length * 0.99)]
  expect(p99).toBeLessThan(100)
  expect(Math.min(...cuts)).toBeGreaterThan(CUT_MS.from)
  expect(Math.max(...cuts)).toBeLessThan(CUT_MS.to)
  expect([...ofHeads, ...ofBodies, ...silent].flatMap(statusesOf)).toEqual([])
  const expected = durations.map((_, n) => `quick_${n}`)
  expect([...(await storedIn(txhook)).keys()].sort()).toEqual(expected.sort())
})

describe.concurrent('what takes as long as the idle timeout:', () => {
  /** 64 file descriptors, of which txhook itself has some 14. */
  const under = ['bash', '-c', 'ulimit -n 64; exec "$@"', 'bash'] as const
  const withLimit = test.skipIf(!existsSync('/proc/self/fd') || Bun.which('bash') === null)

  /** On a connection of its own: none is kept that could be used again. */
  async function ask(txhook: RunningTxhook, request: string): Promise<string> {
    using socket = await rawSocket(txhook.url)
    socket.write(request)
    await socket.answered(1)
    return socket.answers[0]?.body ?? 'hung up'
  }

  /** Connections that hold half a head each, until there is no file descriptor left. */
  async function exhaust(txhook: RunningTxhook, count: number): Promise<RawSocket[]> {
    const sockets = await Promise.all(Array.from({ length: count }, () => rawSocket(txhook.url)))
    for (const socket of sockets) socket.write(webhook('half').slice(0, 30))
    const descriptors = async () => (await readdir(`/proc/${txhook.pid}/fd`)).length
    await until(descriptors, (taken) => taken >= 64)
    return sockets
  }

  withLimit('out of file descriptors, txhook answers again when connections end', async () => {
    using directory = temporaryDirectory()
    const options = { variant: 'source', cwd: directory.path, args: ARGS, under } as const
    await using txhook = await startTxhook(options)
    expect(await ask(txhook, webhook('before'))).toContain('"PENDING"')
    for (const socket of await exhaust(txhook, 200)) socket[Symbol.dispose]()

    expect(await ask(txhook, get('/readyz'))).toContain('"READY"')
    expect(await ask(txhook, webhook('after'))).toContain('"PENDING"')
    expect([...(await storedIn(txhook)).keys()].sort()).toEqual(['after', 'before'])
    expect(await txhook.end('SIGTERM')).toMatchObject({ exitCode: 0, stderr: '' })
  })

  withLimit('out of file descriptors, txhook cuts who holds them, and goes on', async () => {
    using directory = temporaryDirectory()
    const options = { variant: 'source', cwd: directory.path, args: ARGS, under } as const
    await using txhook = await startTxhook(options)
    expect(await ask(txhook, webhook('before'))).toContain('"PENDING"')
    const sockets = await exhaust(txhook, 60)
    const { promise: firstCut, resolve } = Promise.withResolvers<number>()
    for (const socket of sockets) void socket.hungUp.then(resolve)

    expect(await ask(txhook, webhook('after'))).toContain('"PENDING"')
    expect(await firstCut).toBeLessThan(CUT_MS.to)
    expect(await ask(txhook, get('/readyz'))).toContain('"READY"')
    expect([...(await storedIn(txhook)).keys()].sort()).toEqual(['after', 'before'])
    for (const socket of sockets) socket[Symbol.dispose]()
    expect(await txhook.end('SIGTERM')).toMatchObject({ exitCode: 0, stderr: '' })
  })

  test('a connection is kept while it is idle for longer, but not while a body is late', async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ variant: 'source', cwd: directory.path, args: ARGS })
    const requests = [
      get('/livez'),
      get('/nothing'),
      webhook('first'),
      webhook('refused', { body: '{}' }),
      withHeaders('encoded', 'Content-Encoding: gzip'),
    ]
    const idle = await Promise.all(requests.map(() => rawSocket(txhook.url)))
    for (const [n, socket] of idle.entries()) socket.write(requests[n] ?? '')
    using late = await rawSocket(txhook.url)
    late.write(get('/livez'))
    await Promise.all([...idle, late].map((socket) => socket.answered(1)))
    late.write(webhook('late').slice(0, -20))
    // Younger than the others are idle.
    using silent = await rawSocket(txhook.url)
    expect(await silent.hungUp).toBeGreaterThan(CUT_MS.from)
    expect(await late.hungUp).toBeLessThan(CUT_MS.to)

    for (const socket of idle) {
      socket.write(get('/livez'))
      await socket.answered(2)
      expect(socket.answers.at(-1)?.body).toBe('{"status":"LIVE"}')
      expect(socket.closed).toBe(false)
      socket[Symbol.dispose]()
    }
    expect([...(await storedIn(txhook)).keys()]).toEqual(['first'])
  })

  const FUZZED = 400
  const edit = fc.record({
    kind: fc.constantFrom('flip', 'insert', 'insert', 'delete', 'duplicate', 'cut'),
    at: fc.nat(700),
    length: fc.nat(20),
    text: fc.constantFrom(
      ...[
        '\r\n',
        '\n',
        '\r',
        '\0',
        ' ',
        ':',
        '\xff',
        '\t',
        '0',
        '-',
        '\r\n\r\n',
        'POST / HTTP/1.1',
      ],
      ...['\r\nContent-Length: 10', '\r\nTransfer-Encoding: chunked', '\r\nConnection: close'],
      ...['\r\nHost: y', '\r\nExpect: 100-continue', '\r\nConnection: upgrade', '7fffffffffffffff'],
    ),
  })
  const requests: ((n: number) => string)[] = [
    (n) => webhook(`fuzz_${n}`),
    (n) => chunkedWebhook(`fuzz_${n}`, chunk(bodyOf(`fuzz_${n}`)) + LAST_CHUNK),
    (n) => get('/livez') + webhook(`fuzz_${n}`),
    (n) => get(`/v1/transactions/fuzz_${n}`, 'Accept: */*'),
  ]
  const mutated = fc
    .tuple(
      fc.nat(1e9),
      fc.constantFrom(...requests),
      fc.array(edit, { maxLength: 3 }),
      fc.array(fc.nat(400), { maxLength: 2 }),
    )
    .map(([n, request, edits, cuts]) => {
      let text = request(n)
      for (const { kind, at, length, text: inserted } of edits) {
        const start = at % (text.length + 1)
        const [before, after] = [text.slice(0, start), text.slice(start)]
        if (kind === 'insert') text = before + inserted + after
        else if (kind === 'delete') text = before + after.slice(length)
        else if (kind === 'cut') text = before
        else if (kind === 'duplicate') text = before + after.slice(0, length) + after
        else if (after !== '') {
          text =
            before + String.fromCharCode(after.charCodeAt(0) ^ (1 << (length % 8))) + after.slice(1)
        }
      }
      const ends = [...cuts.map((cut) => cut % (text.length + 1)), text.length].sort(
        (a, b) => a - b,
      )
      return { text, pieces: ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end)) }
    })

  test.each([...VARIANTS])(
    'requests mutated at random are answered with 202 only if they are stored (%s)',
    async (variant) => {
      using directory = temporaryDirectory()
      await using txhook = await startTxhook({ variant, cwd: directory.path, args: ARGS })
      const seed = Math.floor(Math.random() * 2 ** 31)
      const accepted = new Map<string, string>()
      const untold: string[] = []
      // When this is cut, whoever still waits for more is in the middle of a second request.
      using silent = await rawSocket(txhook.url)
      const fuzz = async ({ text, pieces }: { text: string; pieces: string[] }) => {
        using socket = await rawSocket(txhook.url)
        for (const piece of pieces) {
          socket.write(piece)
          await new Promise((resolve) => setImmediate(resolve))
        }
        // What waits for more is cut; what is answered is asked whether it is in step.
        await socket.answered(1)
        socket.write(get('/livez'))
        const live = () => socket.answers.slice(1).some(({ body }) => body === '{"status":"LIVE"}')
        for (let n = 2; !socket.closed && !silent.closed && !live(); n++) {
          await Promise.race([socket.answered(n), silent.hungUp])
        }
        for (const { status, body } of socket.answers) {
          if (status !== 505) expect(status).toBeLessThan(500)
          if (status === 202) accepted.set(JSON.parse(body).transaction_id, text)
        }
        if (!live()) untold.push(text)
      }
      await Promise.all(
        fc.sample(mutated, { numRuns: FUZZED, seed }).map((it) =>
          fuzz(it).catch((cause) => {
            throw new Error(`seed ${seed}: ${JSON.stringify(it.text)}`, { cause })
          }),
        ),
      )

      const stored = await storedIn(txhook)
      const lost = [...accepted].filter(([id]) => !stored.has(id))
      const unmeant = [...stored.keys()].filter(
        (id) => !accepted.has(id) && !untold.some((text) => text.includes(JSON.stringify(id))),
      )
      expect({ seed, lost, unmeant }).toEqual({ seed, lost: [], unmeant: [] })
      expect(accepted.size).toBeGreaterThan(FUZZED / 20)
      expect((await txhook.fetch('/readyz')).status).toBe(200)
      expect(await txhook.end('SIGTERM')).toMatchObject({ exitCode: 0, stderr: '' })
    },
  )
})
