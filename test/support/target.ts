import { createServer, type Socket } from 'node:net'

/** One request as it reached the target. */
export type TargetRequest = {
  method: string
  path: string
  /** By name in lower case; what came twice is joined by a comma. */
  headers: Readonly<Record<string, string>>
  body: string
  /** The number of the connection that it came by, from 1. */
  connection: number
}

/** A request, and the connection on which its answer is awaited. */
export type Exchange = {
  request: TargetRequest
  socket: Socket
  /** Writes bytes; resolves when there is room for more, or when nobody will take them. */
  write(bytes: string | Uint8Array): Promise<void>
  /** Resolves when the connection has ended, whoever ended it. */
  closed: Promise<void>
}

/** What the target does with a request, which is under way until this is over. */
export type Script = (exchange: Exchange) => unknown

export type TestTarget = {
  url: string
  /** What it does from now on. */
  script: Script
  /** All that came, in order. */
  requests: TargetRequest[]
  /** Connections so far. */
  connections: number
  /** Requests under way, at most so far. */
  underWayMax: number
  /** The next request that the test hasn't been given yet, once all of it has come. */
  next(): Promise<Exchange>
  /** Ends all connections, and listens no more. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A target on a port of its own. It speaks no more HTTP than it takes to read a request. */
export async function testTarget(script: Script = answering(200)): Promise<TestTarget> {
  const sockets = new Set<Socket>()
  const arrived: Exchange[] = []
  const waiting: ((exchange: Exchange) => void)[] = []
  let underWay = 0

  async function act(exchange: Exchange): Promise<void> {
    target.requests.push(exchange.request)
    underWay++
    target.underWayMax = Math.max(underWay, target.underWayMax)
    const taker = waiting.shift()
    if (taker) taker(exchange)
    else arrived.push(exchange)
    await target.script(exchange)
    underWay--
  }

  const server = createServer((socket) => {
    const connection = ++target.connections
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    sockets.add(socket)
    void closed.then(() => sockets.delete(socket))
    // Whoever resets a connection ends it, and that is all.
    socket.on('error', () => {})
    let received: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      for (;;) {
        const parsed = parseRequest(received, connection)
        if (parsed === undefined) return
        received = received.subarray(parsed.length)
        const write = (bytes: string | Uint8Array) => writeTo(socket, bytes, closed)
        void act({ request: parsed.request, socket, write, closed })
      }
    })
  })
  const listening = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', listening.resolve)
  await listening.promise
  const { port } = server.address() as { port: number }

  const target: TestTarget = {
    url: `http://127.0.0.1:${port}/hook?from=txhook`,
    script,
    requests: [],
    connections: 0,
    underWayMax: 0,
    async next() {
      return arrived.shift() ?? new Promise<Exchange>((resolve) => waiting.push(resolve))
    },
    async [Symbol.asyncDispose]() {
      const ended = Promise.withResolvers<void>()
      server.close(() => ended.resolve())
      for (const socket of sockets) socket.destroy()
      await ended.promise
    },
  }
  return target
}

/** The bytes of a head: the status line, the headers, and the empty line after them. */
export function headOf(status: number, headers: Record<string, string> = {}): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} Whatever\r\n${lines.join('')}\r\n`
}

/** Answers in full, and keeps the connection. */
export function answering(status: number, headers: Record<string, string> = {}, body = ''): Script {
  const length = String(Buffer.byteLength(body))
  return ({ write }) => write(headOf(status, { 'content-length': length, ...headers }) + body)
}

/** Answers with these bytes and then says nothing more, until somebody ends the connection. */
export function saying(bytes: string | Uint8Array): Script {
  return async ({ write, closed }) => {
    await write(bytes)
    await closed
  }
}

/** Answers with these bytes and ends the connection: in order, or with a reset. */
export function breakingOff(bytes: string, how: 'end' | 'reset'): Script {
  return async ({ socket, closed }) => {
    if (bytes !== '') await new Promise<void>((resolve) => socket.write(bytes, () => resolve()))
    if (how === 'end') socket.end()
    else socket.resetAndDestroy()
    await closed
  }
}

/**
 * Answers with these bytes and then with the others, again and again, as long as they are taken; after
 * so many `times` it says nothing more.
 */
export function goingOn(bytes: string, more: string, times = Number.POSITIVE_INFINITY): Script {
  return async ({ write, socket, closed }) => {
    await write(bytes)
    for (let n = 0; n < times && !socket.destroyed; n++) {
      await write(more)
      await new Promise(setImmediate)
    }
    await closed
  }
}

async function writeTo(
  socket: Socket,
  bytes: string | Uint8Array,
  closed: Promise<void>,
): Promise<void> {
  if (socket.destroyed || socket.write(bytes)) return
  const drained = new Promise<void>((resolve) => socket.once('drain', () => resolve()))
  await Promise.race([drained, closed])
}

/** A request and how many bytes it takes; undefined where it hasn't come whole. */
function parseRequest(
  received: Buffer,
  connection: number,
): { request: TargetRequest; length: number } | undefined {
  const headLength = received.indexOf('\r\n\r\n')
  if (headLength < 0) return undefined
  const [requestLine = '', ...lines] = received.toString('latin1', 0, headLength).split('\r\n')
  const [method = '', path = ''] = requestLine.split(' ')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase()
    const value = line.slice(line.indexOf(':') + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  const bodyAt = headLength + 4
  const length = bodyAt + Number(headers['content-length'] ?? 0)
  if (received.length < length) return undefined
  const body = received.toString('utf8', bodyAt, length)
  return { request: { method, path, headers, body, connection }, length }
}
