/** Ids of consecutive transactions, by id and in the order of the index. */
export type Generation = {
  readonly keys: ReadonlyMap<string, number>
  /** Parts of the order of the index; each is sorted when its turn comes, so that no sort is long. */
  readonly buckets: readonly Entry[][]
  readonly lowest: number
  readonly highest: number
  put(transactionId: string, hash: number, id: number): void
  /** Undoes a `put`. */
  remove(transactionId: string, hash: number): void
}

type Entry = { hash: number; id: number }

const BUCKETS = 256

/** @param hashes how many there can be: from 0 on */
export function newGeneration(hashes: number): Generation {
  const keys = new Map<string, number>()
  const buckets = Array.from({ length: BUCKETS }, (): Entry[] => [])
  const bucketOf = (hash: number) => buckets[Math.floor((hash / hashes) * BUCKETS)] ?? []
  let lowest = Number.MAX_SAFE_INTEGER
  let highest = 0
  return {
    keys,
    buckets,
    get lowest() {
      return lowest
    },
    get highest() {
      return highest
    },
    put(transactionId, hash, id) {
      keys.set(transactionId, id)
      bucketOf(hash).push({ hash, id })
      lowest = Math.min(lowest, id)
      highest = Math.max(highest, id)
    },
    remove(transactionId, hash) {
      const id = keys.get(transactionId)
      const bucket = bucketOf(hash)
      keys.delete(transactionId)
      bucket.splice(
        bucket.findIndex((entry) => entry.id === id),
        1,
      )
    },
  }
}
