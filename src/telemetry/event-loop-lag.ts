import type { Clock } from '../clock.ts'

/** The timer by which lag is measured, while there is work. */
const PERIOD_MS = 10

/** So long after the last work the timer stops: an idle service uses no CPU. */
const IDLE_MS = 1_000

/**
 * Measures the lag of the event loop by a timer, which fires late when something else blocks the
 * thread. Returns a function to call whenever there is work.
 *
 * @param observe is called with how late the timer was, in ms
 */
export function watchEventLoopLag(clock: Clock, observe: (ms: number) => void): () => void {
  let busyUntil = 0
  let watching = false

  function measure(dueAt: number): void {
    const now = clock.monotonic()
    observe(Math.max(now - dueAt, 0))
    watching = now < busyUntil
    if (watching) clock.after(PERIOD_MS, () => measure(now + PERIOD_MS))
  }

  return () => {
    const now = clock.monotonic()
    busyUntil = now + IDLE_MS
    if (watching) return
    watching = true
    clock.after(PERIOD_MS, () => measure(now + PERIOD_MS))
  }
}
