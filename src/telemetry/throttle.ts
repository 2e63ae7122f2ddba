import type { Clock } from '../clock.ts'

/**
 * Limits how often something is done for an event that may occur thousands of times a second, say
 * that it is logged. The function it returns is true at the first call, and then at most once in
 * `ms`.
 */
export function throttle({ monotonic }: Pick<Clock, 'monotonic'>, ms: number): () => boolean {
  let last = Number.NEGATIVE_INFINITY
  return () => {
    const now = monotonic()
    if (now - last < ms) return false
    last = now
    return true
  }
}
