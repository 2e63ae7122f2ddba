import type { Clock } from '../clock.ts'

/**
 * How soon after a request the end of its connection arrives, where the target had ended that before
 * the request came: a round trip, and much to spare.
 */
const STALE_MS_MAX = 1_000

export type Send = (url: string, request: BunFetchRequestInit) => Promise<Response>

/**
 * Returns a `fetch` that sends a request once more, on a new connection, where it may have met one
 * that the target was ending: one that an earlier request left open, and that ended at once without
 * an answer. Without this, a target that ends idle connections costs an attempt now and then. Where
 * the target has read the request all the same, its Idempotency-Key says that it is a repetition.
 * (Go's net/http does the same for requests with that header.)
 */
export function createSend(clock: Pick<Clock, 'monotonic'>): Send {
  // How many connections are left open, at most: Bun doesn't say, nor whether a request uses one.
  let kept = 0
  return async (url, request) => {
    const mayBeKept = kept > 0
    if (mayBeKept) kept--
    const sentAt = clock.monotonic()
    try {
      const response = await fetch(url, request)
      kept++
      return response
    } catch (error) {
      const ended = (error as { code?: string }).code === 'ECONNRESET'
      if (!mayBeKept || !ended || clock.monotonic() - sentAt > STALE_MS_MAX) throw error
      return fetch(url, { ...request, keepalive: false })
    }
  }
}
