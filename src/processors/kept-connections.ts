import type { Clock } from '../clock.ts'

/**
 * Where the target had ended a connection before a request came, that shows after one round trip. The
 * fastest answer took no less; up to twice its time, or this, is allowed for noise.
 */
const STALE_MS_MIN = 20

export type Send = (url: string, request: BunFetchRequestInit) => Promise<Response>

/**
 * Returns a `fetch` that sends a request once more, on a new connection, where it may have met one
 * that the target was ending: one that an earlier request left open, and that ended without an answer
 * before the target can have done anything. Without this, a target that ends idle connections costs an attempt now and then. Where
 * the target has read the request all the same, its Idempotency-Key says that it is a repetition.
 * (Go's net/http does the same for requests with that header.)
 */
export function createSend(clock: Pick<Clock, 'monotonic'>): Send {
  // How many connections are left open, at most: Bun doesn't say, nor whether a request uses one.
  let kept = 0
  let fastestMs = Number.POSITIVE_INFINITY
  return async (url, request) => {
    const mayBeKept = kept > 0
    if (mayBeKept) kept--
    const sentAt = clock.monotonic()
    try {
      const response = await fetch(url, request)
      kept++
      fastestMs = Math.min(fastestMs, clock.monotonic() - sentAt)
      return response
    } catch (error) {
      const ended = (error as { code?: string }).code === 'ECONNRESET'
      const staleMsMax = Math.max(2 * fastestMs, STALE_MS_MIN)
      if (!mayBeKept || !ended || clock.monotonic() - sentAt > staleMsMax) throw error
      return fetch(url, { ...request, keepalive: false })
    }
  }
}
