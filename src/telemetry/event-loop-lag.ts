import type { Clock } from '../clock.ts'

/** How often the event loop is looked at while there is work. */
const PERIOD_MS = 10

/** With nothing to do for so long, nobody looks: an idle service costs nothing. */
const IDLE_MS = 1_000

/**
 * Watches for stalls of the event loop by a timer, which comes late when something else took the
 * thread. Returns a function to call whenever there is work.
 *
 * @param observe is told by how many ms the timer was late
 */
export function watchEventLoopLag(clock: Clock, observe: (ms: number) => void): () => void {
  let busyUntil = 0
  let watching = false

  function look(dueAt: number): void {
    const now = clock.monotonic()
    observe(Math.max(now - dueAt, 0))
    watching = now < busyUntil
    if (watching) clock.after(PERIOD_MS, () => look(now + PERIOD_MS))
  }

  return () => {
    const now = clock.monotonic()
    busyUntil = now + IDLE_MS
    if (watching) return
    watching = true
    clock.after(PERIOD_MS, () => look(now + PERIOD_MS))
  }
}
