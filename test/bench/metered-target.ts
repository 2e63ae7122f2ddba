/**
 * A target that answers so many calls a second, however many come: `metered-target.ts PORT PER_S`.
 * `GET /` tells how many it answered, how often each id came at most, and how many were open at once.
 */

const [port, perS] = process.argv.slice(2).map(Number) as [number, number]
const TICK_MS = 10

const waiting: ((response: Response) => void)[] = []
const calls = new Map<string, number>()
let openMax = 0
let answered = 0

setInterval(() => {
  for (const answer of waiting.splice(0, (perS * TICK_MS) / 1_000)) {
    answered++
    answer(new Response('{}'))
  }
}, TICK_MS)

Bun.serve({
  port,
  hostname: '127.0.0.1',
  fetch(request) {
    if (request.method === 'GET') {
      const callsMax = Math.max(0, ...new Set(calls.values()))
      return Response.json({ answered, ids: calls.size, callsMax, openMax })
    }
    const id = request.headers.get('idempotency-key') ?? ''
    calls.set(id, (calls.get(id) ?? 0) + 1)
    const { promise, resolve } = Promise.withResolvers<Response>()
    waiting.push(resolve)
    openMax = Math.max(openMax, waiting.length)
    return promise
  },
})
