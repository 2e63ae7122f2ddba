import type { Clock } from '../clock.ts'

/**
 * Says whether it is time again: at the first call, and then at most once in so many ms. For what
 * can happen thousands of times a second, and is told in the log once in a while.
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
