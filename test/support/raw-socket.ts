import { connect, type Socket } from 'node:net'

/** An answer as it was received. */
export type RawAnswer = { status: number; head: string; body: string }

/** A connection that sends any bytes. */
export type RawSocket = Disposable & {
  /** The answers received in full. */
  readonly answers: readonly RawAnswer[]
  readonly closed: boolean
  /** Text is sent as Latin-1: one byte a character. */
  write(bytes: string | Uint8Array): void
  /** Sends a FIN, and still reads. */
  halfClose(): void
  /** Sends a RST. */
  reset(): void
  /** Resolves when there are this many answers, without interim ones, or the connection is closed. */
  answered(count: number): Promise<void>
  /** Resolves when the other side has closed, with the ms since the connection was made. */
  hungUp: Promise<number>
}

/** Connects to a server. */
export async function rawSocket(url: string): Promise<RawSocket> {
  const { hostname: host, port } = new URL(url)
  const socket = connect({ host, port: Number(port), allowHalfOpen: true })
  socket.setNoDelay(true)
  const hungUp = Promise.withResolvers<number>()
  const connected = Promise.withResolvers<void>()
  const waiting = new Set<() => void>()
  let began = performance.now()
  let input = Buffer.alloc(0)
  let answers: RawAnswer[] = []
  let closed = false
  const wake = () => {
    for (const check of waiting) check()
  }
  const over = () => {
    closed = true
    hungUp.resolve(performance.now() - began)
    connected.resolve()
    wake()
  }
  socket.on('connect', () => {
    began = performance.now()
    connected.resolve()
  })
  socket.on('data', (data: Buffer) => {
    input = Buffer.concat([input, data])
    answers = answersIn(input.toString('latin1'))
    wake()
  })
  socket.on('end', over)
  socket.on('close', over)
  // After an ECONNRESET a close follows.
  socket.on('error', () => {})
  await connected.promise
  return {
    get answers() {
      return answers
    },
    get closed() {
      return closed
    },
    write: (bytes) => void send(socket, bytes),
    halfClose: () => void socket.end(),
    reset: () => void socket.resetAndDestroy(),
    answered(count) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const check = () => {
        if (!closed && answers.filter(({ status }) => status >= 200).length < count) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
      return promise
    },
    hungUp: hungUp.promise,
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

function send(socket: Socket, bytes: string | Uint8Array): void {
  if (!socket.writable) return
  if (typeof bytes === 'string') socket.write(bytes, 'latin1')
  else socket.write(bytes)
}

/** The answers that are complete. One without a Content-Length has no body here. */
function answersIn(text: string): RawAnswer[] {
  const answers: RawAnswer[] = []
  for (let at = 0; ; ) {
    const headEnd = text.indexOf('\r\n\r\n', at)
    if (headEnd === -1) return answers
    const head = text.slice(at, headEnd)
    const bodyAt = headEnd + 4
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0)
    if (text.length < bodyAt + length) return answers
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1])
    answers.push({ status, head, body: text.slice(bodyAt, bodyAt + length) })
    at = bodyAt + length
  }
}
