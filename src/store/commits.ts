import type { Database } from 'bun:sqlite'

/** Why the storage refuses a write. All but `failed` pass: the caller may try again later. */
export type StorageReason = 'full' | 'busy' | 'closed' | 'failed'

/** A write that the storage refused. Nothing of it is stored. */
export class StorageUnavailable extends Error {
  override readonly name = 'StorageUnavailable'
  readonly reason: StorageReason

  constructor(reason: StorageReason, options?: ErrorOptions) {
    super(`The storage is ${reason}.`, options)
    this.reason = reason
  }
}

/** How many transactions are unfinished. Written inside a commit only, and undone with it. */
export type Backlog = { size: number }

export type CommitDeps = {
  client: Database
  /** Resolves when all that is committed is on the disk. */
  sync(): Promise<void>
  /** Keeps the write-ahead log within bounds; called between two commits. */
  checkpoint(): void
  backlog: Backlog
  /**
   * Called once, when a commit, a sync or a checkpoint failed for another reason than a full disk
   * or a lock. Nothing after that can be trusted: the process must end.
   */
  onFatal(error: unknown): void
}

type Entry = {
  work: () => unknown
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
}

/** What a work came to: told to its caller only when the batch is on the disk. */
type Result = { entry: Entry; ok: true; value: unknown } | { entry: Entry; ok: false; error: Error }

/** One batch's share of the event loop: at some 40 µs a webhook, 256 of them take 10 ms. */
const BATCH_MAX = 256

/**
 * The one door through which the database is changed. Whatever arrives while a commit is on its way
 * to the disk goes into the next one together, and each caller is answered only when the commit
 * that has its work is on the disk.
 */
export class CommitQueue {
  readonly #deps: CommitDeps
  #waiting: Entry[] = []
  /** The drain under way; undefined while there is nothing to commit. */
  #draining: Promise<void> | undefined
  /** The sync under way: what was committed last isn't on the disk before it resolves. */
  #syncing: Promise<void> | undefined
  #closed: 'closed' | 'failed' | undefined

  constructor(deps: CommitDeps) {
    this.#deps = deps
  }

  /**
   * Runs `work` inside the next transaction and resolves with its result when that is on the disk.
   * The work is synchronous. It may run twice: if another work of its batch fails, the batch is
   * undone and each of its works runs in a transaction of its own.
   *
   * Rejects with StorageUnavailable, or with what the work threw.
   */
  submit<T>(work: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(new StorageUnavailable(this.#closed))
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#waiting.push({ work, resolve: resolve as Entry['resolve'], reject })
    this.#draining ??= this.#drain()
    return promise
  }

  /**
   * Resolves with what `query` returns, when everything that it can have seen is on the disk:
   * nobody is told of a change that a power cut could still take back.
   */
  async read<T>(query: () => T): Promise<T> {
    if (this.#closed === 'failed') throw new StorageUnavailable('failed')
    const value = query()
    try {
      await this.#syncing
    } catch (error) {
      throw new StorageUnavailable('failed', { cause: error })
    }
    return value
  }

  /** Takes no more works, and resolves when those taken are on the disk. */
  async close(): Promise<void> {
    this.#closed ??= 'closed'
    await this.#draining
  }

  async #drain(): Promise<void> {
    // The other requests that this turn of the event loop brings belong in the first batch as well.
    await new Promise<void>((resolve) => setImmediate(resolve))
    try {
      while (this.#waiting.length > 0) await this.#commit(this.#waiting.splice(0, BATCH_MAX))
    } catch (error) {
      this.#fail(error)
    }
    this.#draining = undefined
  }

  async #commit(batch: Entry[]): Promise<void> {
    let results: Result[]
    try {
      results = this.#together(batch)
      this.#syncing = this.#deps.sync()
      await this.#syncing
      this.#deps.checkpoint()
    } catch (error) {
      for (const { reject } of batch) reject(new StorageUnavailable('failed', { cause: error }))
      throw error
    }
    this.#syncing = undefined
    for (const result of results) {
      if (result.ok) result.entry.resolve(result.value)
      else result.entry.reject(result.error)
    }
  }

  /** All works in one transaction; if one fails, each in its own, so that only that one fails. */
  #together(batch: Entry[]): Result[] {
    try {
      return this.#transaction(batch)
    } catch (error) {
      // First, since after a failed commit nothing may be tried again: it could seem to succeed.
      const refused = refusal(error)
      // A lock refuses the batch as a whole, before its first work: to ask for it again on behalf of
      // each would stall all requests for the busy timeout as many times.
      const locked = refused instanceof StorageUnavailable && refused.reason === 'busy'
      if (batch.length > 1 && !locked) return batch.flatMap((entry) => this.#together([entry]))
      return batch.map((entry) => ({ entry, ok: false, error: refused }))
    }
  }

  #transaction(batch: Entry[]): Result[] {
    const { client, backlog } = this.#deps
    const backlogBefore = backlog.size
    try {
      client.query('BEGIN IMMEDIATE').run()
      const results = batch.map((entry): Result => ({ entry, ok: true, value: entry.work() }))
      client.query('COMMIT').run()
      return results
    } catch (error) {
      backlog.size = backlogBefore
      // A full disk may have ended the transaction already.
      if (client.inTransaction) client.run('ROLLBACK')
      throw error
    }
  }

  #fail(error: unknown): void {
    this.#closed = 'failed'
    const cause = { cause: error }
    for (const { reject } of this.#waiting) reject(new StorageUnavailable('failed', cause))
    this.#waiting = []
    this.#deps.onFatal(error)
  }
}

/**
 * What the caller of a failed work is told: that the storage has no room or is locked, or what the
 * work itself threw. Throws on where SQLite reports anything that puts the database in doubt.
 */
function refusal(error: unknown): Error {
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string' && code.startsWith('SQLITE_')) {
    if (code === 'SQLITE_FULL') return new StorageUnavailable('full', { cause: error })
    if (/^SQLITE_(BUSY|LOCKED)/.test(code)) return new StorageUnavailable('busy', { cause: error })
    if (!code.startsWith('SQLITE_CONSTRAINT')) throw error
  }
  return error instanceof Error ? error : new Error(String(error))
}
