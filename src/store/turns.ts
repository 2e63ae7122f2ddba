import { StorageUnavailable } from './commits.ts'

/** Steps that may wait for a turn; beyond it, whoever comes is told to come again later. */
const WAITING_MAX = 100

/**
 * Long readings go on one step at a time, all of them together: however many there are, webhooks
 * have their turn after each step.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /** Runs a step when it is its turn. Rejects with StorageUnavailable where too many wait. */
  async take<T>(step: () => T): Promise<T> {
    if (this.#waiting >= WAITING_MAX) throw new StorageUnavailable('busy')
    this.#waiting++
    const turn = this.#last.then(nextRound).then(step)
    this.#last = turn.catch(() => {})
    try {
      return await turn
    } finally {
      this.#waiting--
    }
  }
}

/** The event loop comes round: everything else that waits has its turn first. */
function nextRound(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
