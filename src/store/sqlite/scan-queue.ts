import { StorageUnavailable } from './database/commit-queue.ts'

/** Long readings that may be under way; beyond it, whoever comes is told to come again later. */
const READINGS_MAX = 100

/** Runs a step of a long reading when it is its turn. */
export type Take = <T>(step: () => T) => Promise<T>

/**
 * Long readings go on one step at a time, all of them together: however many there are, webhooks
 * have their turn after each step.
 */
export class ScanQueue {
  #last: Promise<unknown> = Promise.resolve()
  #underWay = 0

  /** Does a long reading. Rejects with StorageUnavailable where too many are under way. */
  async read<T>(reading: (take: Take) => Promise<T>): Promise<T> {
    if (this.#underWay >= READINGS_MAX) throw new StorageUnavailable('overloaded')
    this.#underWay++
    try {
      return await reading((step) => this.#take(step))
    } finally {
      this.#underWay--
    }
  }

  #take<T>(step: () => T): Promise<T> {
    const turn = this.#last.then(nextRound).then(step)
    this.#last = turn.catch(() => {})
    return turn
  }
}

/** The event loop comes round: everything else that waits has its turn first. */
function nextRound(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
