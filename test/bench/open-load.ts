/**
 * An open-loop load: so many webhooks a second whatever the answers do, each with a random id. A
 * latency counts from when the request was due, so that a stall counts for all that it delays.
 * Prints an OpenLoad as JSON. Usage: open-load.ts URL PER_S SECONDS
 */

import { percentile } from './table.ts'

/** Latencies in ms. */
export type OpenLoad = {
  count: number
  failed: number
  p50Ms: number
  p99Ms: number
  maxMs: number
}

/** Open from the start; a request that finds none free waits, and its latency goes on. */
const CONNECTIONS = 128

const [url = '', perS = '', seconds = ''] = process.argv.slice(2)
const { hostname, port } = new URL(url)
const total = Number(perS) * Number(seconds)
const salt = crypto.randomUUID().slice(0, 8)
const latenciesMs: number[] = []
let failed = 0

type Connection = { send(dueAt: number): void }
const free: Connection[] = []
/** When each of the requests was due that wait for a connection. */
const waiting: number[] = []
let firstWaiting = 0

await Promise.all(Array.from({ length: CONNECTIONS }, connect))
const began = performance.now()
for (let sent = 0; latenciesMs.length + failed < total; ) {
  const due = Math.min(((performance.now() - began) * Number(perS)) / 1_000, total)
  for (; sent < due; sent++) {
    const dueAt = began + (sent * 1_000) / Number(perS)
    // In turns: the server closes a connection that has had no request for some time.
    const connection = free.shift()
    if (connection) connection.send(dueAt)
    else waiting.push(dueAt)
  }
  // A timer would make them late by up to a millisecond, and all of that together.
  await new Promise(setImmediate)
}
latenciesMs.sort((a, b) => a - b)
const load: OpenLoad = {
  count: total,
  failed,
  p50Ms: percentile(latenciesMs, 0.5),
  p99Ms: percentile(latenciesMs, 0.99),
  maxMs: latenciesMs.at(-1) ?? 0,
}
process.stdout.write(JSON.stringify(load))
process.exit(0)

async function connect(): Promise<void> {
  let dueAt = 0
  let received = ''
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_, bytes) {
        received += bytes.toString('latin1')
        const end = received.indexOf('\r\n\r\n')
        const length = Number(/content-length: (\d+)/i.exec(received)?.[1])
        if (end < 0 || received.length < end + 4 + length) return
        if (received.startsWith('HTTP/1.1 202')) latenciesMs.push(performance.now() - dueAt)
        else failed++
        received = ''
        const next = waiting[firstWaiting]
        if (next === undefined) free.push(connection)
        else {
          firstWaiting++
          connection.send(next)
        }
      },
      close() {
        if (latenciesMs.length + failed < total) throw new Error('The server closed a connection.')
      },
    },
  })
  const connection: Connection = {
    send(due) {
      dueAt = due
      socket.write(request())
    },
  }
  free.push(connection)
}

function request(): string {
  const body = JSON.stringify({
    transaction_id: `${salt}-${crypto.randomUUID()}`,
    source_account: 'A123',
    destination_account: 'B456',
    amount: 100,
    currency: 'USD',
  })
  const headers = `host: ${hostname}:${port}\r\ncontent-type: application/json`
  return `POST /webhook HTTP/1.1\r\n${headers}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}
