import { StorageUnavailable } from '../store.ts'

/** Scans that may be under way; further ones are refused. */
const SCANS_MAX = 100

/** Runs the next slice of a scan, after the slices of other scans that came before it. */
export type RunSlice = <T>(slice: () => T) => Promise<T>

/**
 * Runs scans slice by slice, one slice of all scans in a turn of the event loop: however many scans
 * there are, webhooks are served after each slice.
 */
export class ScanQueue {
  #last: Promise<unknown> = Promise.resolve()
  #underWay = 0

  /** Rejects with StorageUnavailable where too many scans are under way. */
  async scan<T>(run: (runSlice: RunSlice) => Promise<T>): Promise<T> {
    if (this.#underWay >= SCANS_MAX) throw new StorageUnavailable('overloaded')
    this.#underWay++
    try {
      return await run((slice) => this.#runSlice(slice))
    } finally {
      this.#underWay--
    }
  }

  #runSlice<T>(slice: () => T): Promise<T> {
    const result = this.#last.then(nextTurn).then(slice)
    this.#last = result.catch(() => {})
    return result
  }
}

/** The next turn of the event loop. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
