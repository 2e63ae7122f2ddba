import type { Database } from 'bun:sqlite'
import type { Metrics } from '../../../telemetry/metrics.ts'
import type { Counts } from '../counts.ts'
import type { Checkpoints } from './checkpoints.ts'
import { inTransaction, isLocked, sqliteCode } from './sqlite-errors.ts'

/**
 * Why the storage refuses. All but `failed` pass: the caller may try again later. `overloaded`: too
 * many wait for it.
 */
export type StorageReason = 'full' | 'busy' | 'overloaded' | 'closed' | 'failed'

/** A write that the storage refused. Nothing of it is stored. */
export class StorageUnavailable extends Error {
  override readonly name = 'StorageUnavailable'
  readonly reason: StorageReason

  constructor(reason: StorageReason, options?: ErrorOptions) {
    super(`The storage is ${reason}.`, options)
    this.reason = reason
  }
}

export type CommitDeps = {
  client: Database
  /** Resolves when all that is committed is on the disk. */
  sync(): Promise<void>
  checkpoints: Pick<Checkpoints, 'due' | 'nearlyDone' | 'run'>
  /** Undone with a batch that is undone. */
  counts: Counts
  /** Monotonic time in ms, with fractions. */
  monotonic(): number
  metrics: Pick<Metrics, 'commit'>
  /**
   * Called once, when a commit, a sync or a checkpoint failed for another reason than a full disk
   * or a lock. Nothing after that can be trusted: the process must end.
   */
  onFatal(error: unknown): void
}

type Entry = {
  work: () => unknown
  resolve: (value: unknown) => void
  reject: (error: Error) => void
  /** What the work came to: told to its caller only when it is on the disk. */
  value?: unknown
  refused?: Error
}

/** One batch's share of the event loop: 256 webhooks take some 2 ms. */
const BATCH_MAX = 256

/** More than these can't be answered in half a second: to refuse them costs no memory. */
const WAITING_MAX = 10_000

/** Each pass of a checkpoint leaves what was committed meanwhile, less each time. */
const PASSES_MAX = 5

/**
 * The one door through which the database is changed. Whatever arrives while a commit is on its way
 * to the disk goes into the next one together, and each caller is answered only when the commit
 * that has its work is on the disk.
 */
export class CommitQueue {
  readonly #deps: CommitDeps
  #waiting: Entry[] = []
  /** A turn comes at the end of this round of the event loop. */
  #scheduled = false
  /** The sync of the last commit; undefined: all that is committed is on the disk. */
  #syncing: Promise<void> | undefined
  #checkpointing = false
  /** No commits, for a moment: a checkpoint is about to catch up with them. */
  #held = false
  #closed: 'closed' | 'failed' | undefined
  readonly #ended = Promise.withResolvers<void>()

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
    if (this.#waiting.length >= WAITING_MAX) {
      return Promise.reject(new StorageUnavailable('overloaded'))
    }
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#waiting.push({ work, resolve: resolve as Entry['resolve'], reject })
    this.#schedule()
    return promise
  }

  /**
   * Resolves with what `query` returns, when everything that it can have seen is on the disk:
   * nobody is told of a change that a power cut could still take back.
   */
  async read<T>(query: () => T): Promise<T> {
    const value = this.peek(query)
    await this.#syncing
    if (this.#failed) throw new StorageUnavailable('failed')
    return value
  }

  /** What `query` returns, though it may not be on the disk yet: for nobody's eyes. */
  peek<T>(query: () => T): T {
    if (this.#closed) throw new StorageUnavailable(this.#closed)
    return query()
  }

  /** Takes no more works, and resolves when those taken are on the disk. */
  close(): Promise<void> {
    this.#closed ??= 'closed'
    this.#endIfDone()
    return this.#ended.promise
  }

  get #failed(): boolean {
    return this.#closed === 'failed'
  }

  #schedule(): void {
    if (this.#waiting.length === 0 || this.#syncing || this.#held || this.#failed) return
    if (this.#scheduled) return
    this.#scheduled = true
    // Not at once: the other requests that this round of the event loop brings belong in as well.
    setImmediate(() => this.#turn())
  }

  #turn(): void {
    this.#scheduled = false
    if (this.#held || this.#failed) return
    const { sync, metrics, monotonic } = this.#deps
    const beganAt = monotonic()
    const batch = this.#waiting.splice(0, BATCH_MAX)
    try {
      this.#together(batch)
    } catch (error) {
      reject(batch, error)
      this.#fail(error)
      return
    }
    this.#syncing = sync().then(
      () => {
        this.#syncing = undefined
        if (this.#failed) return reject(batch)
        const stored = batch.filter(({ refused }) => refused === undefined).length
        if (stored > 0) metrics.commit(stored, monotonic() - beganAt)
        answer(batch)
        this.#schedule()
        void this.#checkpoint()
        this.#endIfDone()
      },
      (error) => {
        reject(batch, error)
        this.#fail(error)
      },
    )
  }

  /**
   * Copies the log into the database, beside the commits. The log can only start over when all of
   * it is copied, which never comes while commits go on: for the last of it they are held.
   */
  async #checkpoint(): Promise<void> {
    const { checkpoints } = this.#deps
    if (this.#checkpointing) return
    try {
      if (!checkpoints.due()) return
      this.#checkpointing = true
      for (let pass = 0; pass < PASSES_MAX && !this.#failed; pass++) {
        await checkpoints.run()
        if (checkpoints.nearlyDone()) break
      }
      this.#held = true
      if (!this.#failed) await checkpoints.run()
    } catch (error) {
      this.#fail(error)
    }
    this.#held = false
    this.#checkpointing = false
    this.#schedule()
    this.#endIfDone()
  }

  #endIfDone(): void {
    const busy = this.#waiting.length > 0 || this.#syncing || this.#checkpointing
    if (this.#failed || (this.#closed && !busy)) this.#ended.resolve()
  }

  /** All works in one transaction; if one fails, each in its own, so that only that one fails. */
  #together(batch: Entry[]): void {
    try {
      this.#transaction(batch)
    } catch (error) {
      // First, since after a failed commit nothing may be tried again: it could seem to succeed.
      const refused = refusal(error)
      // A lock refuses the batch as a whole, before its first work: to ask for it again on behalf
      // of each would stall all requests for the busy timeout as many times.
      const locked = refused instanceof StorageUnavailable && refused.reason === 'busy'
      if (batch.length > 1 && !locked) {
        for (const entry of batch) this.#together([entry])
      } else {
        for (const entry of batch) entry.refused = refused
      }
    }
  }

  #transaction(batch: Entry[]): void {
    const { client, counts } = this.#deps
    const before = { ...counts }
    try {
      inTransaction(client, () => {
        for (const entry of batch) entry.value = entry.work()
      })
    } catch (error) {
      Object.assign(counts, before)
      throw error
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#closed = 'failed'
    reject(this.#waiting.splice(0), error)
    this.#endIfDone()
    this.#deps.onFatal(error)
  }
}

function answer(entries: readonly Entry[]): void {
  for (const { resolve, reject, value, refused } of entries) {
    if (refused) reject(refused)
    else resolve(value)
  }
}

/** Nobody is told of a success that is in doubt. */
function reject(entries: readonly Entry[], cause?: unknown): void {
  for (const entry of entries) entry.reject(new StorageUnavailable('failed', { cause }))
}

/**
 * What the caller of a failed work is told: that the storage has no room or is locked, or what the
 * work itself threw. Throws on where SQLite reports anything that puts the database in doubt.
 */
function refusal(error: unknown): Error {
  const code = sqliteCode(error)
  if (code === 'SQLITE_FULL') return new StorageUnavailable('full', { cause: error })
  if (isLocked(code)) return new StorageUnavailable('busy', { cause: error })
  if (code !== undefined && !code.startsWith('SQLITE_CONSTRAINT')) throw error
  return error instanceof Error ? error : new Error(String(error))
}
