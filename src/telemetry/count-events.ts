import type { Clock } from '../clock.ts'

/**
 * Reports events that may occur thousands of times a second: the first at once, and those of the
 * following `ms` together when these are over, with their number and the latest of them.
 */
export function countEvents<T>(
  { after }: Pick<Clock, 'after'>,
  ms: number,
  report: (count: number, latest: T) => void,
): (event: T) => void {
  /** Since the last report; undefined: that was longer ago than `ms`. */
  let window: { count: number; latest: T } | undefined

  function write(count: number, latest: T): void {
    report(count, latest)
    window = { count: 0, latest }
    after(ms, () => {
      const { count = 0, latest: last = latest } = window ?? {}
      window = undefined
      if (count > 0) write(count, last)
    })
  }

  return (event) => {
    if (window === undefined) write(1, event)
    else window = { count: window.count + 1, latest: event }
  }
}
