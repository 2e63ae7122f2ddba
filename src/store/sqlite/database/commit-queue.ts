import type { Database } from 'bun:sqlite'
import { after, type Clock } from '../../../clock.ts'
import type { Metrics } from '../../../telemetry/metrics.ts'
import { throttle } from '../../../telemetry/throttle.ts'
import { StorageUnavailable } from '../../store.ts'
import type { Checkpoints } from './checkpoints.ts'
import { inTransaction } from './connection.ts'
import { isLocked, sqliteCode } from './sqlite-errors.ts'

export type CommitDeps = {
  client: Database
  /** Resolves when all that is committed is on the disk. */
  sync(): Promise<void>
  /** @throws Error where the files that are written are no longer those of the data directory */
  checkFiles(): void
  /** Whether an error of SQLite's means that there is no room. */
  isFull(error: unknown): boolean
  checkpoints: Pick<Checkpoints, 'due' | 'nearlyDone' | 'run'>
  /**
   * Called before each SQL transaction. Saves the state that operations change in memory, and returns
   * a function that restores it, which is called after a rollback.
   */
  saveState(): () => void
  /** Monotonic time in ms, with fractions. */
  monotonic(): number
  /** By default of the machine: no commit waits for a clock that a test lets stand still. */
  after?: Clock['after']
  metrics: Pick<Metrics, 'commit'>
  /**
   * Called once, when a commit, a sync or a checkpoint failed for another reason than a full disk
   * or a lock. Nothing after that can be trusted: the process must end.
   */
  onFatal(error: unknown): void
}

type Entry = {
  operation: () => unknown
  /** By `write`: it may make a batch full. */
  awaited: boolean
  resolve: (value: unknown) => void
  reject: (error: Error) => void
  /** What the operation returned: its caller gets it when it is on the disk. */
  value?: unknown
  failure?: Error
}

/** One batch's share of the event loop: 256 webhooks take some 2 ms. */
const BATCH_MAX = 256

/**
 * No commit begins sooner after the last one: each writes the same hot pages again, and costs some
 * 0.3 ms of CPU however little is in it. A full batch goes at once: one of BATCH_MAX, or of as many
 * as lately were under way together.
 */
const INTERVAL_MS = 3

/** By this share the number that is expected together falls with each commit that had fewer. */
const FORGOTTEN = 1 / 32

/** More can't be answered within half a second; refusing them costs no memory. */
const WAITING_MAX = 10_000

/** On a full disk a checkpoint may fail again and again, each time after copying what it can. */
const MAKE_ROOM_INTERVAL_MS = 10_000

/** Each pass of a checkpoint leaves what was committed meanwhile, less each time. */
const PASSES_MAX = 5

/**
 * Makes every change of the database, by group commit: what arrives during the sync of a commit, and
 * in the interval after its beginning, goes into the next one together, and a caller is answered when
 * the commit with its operation is on disk.
 */
export class CommitQueue {
  readonly #deps: CommitDeps
  #waiting: Entry[] = []
  /** How many of them are awaited. */
  #awaited = 0
  /** A commit begins at the end of this turn of the event loop. */
  #scheduled = false
  /** Cancels the commit that is due when the interval since the last one has passed. */
  #cancelDue: (() => void) | undefined
  #lastBeganAt = Number.NEGATIVE_INFINITY
  /**
   * How many awaited operations were lately under way together. When as many are waiting, whoever
   * sends the next one only after the answer to the last has done so: waiting longer gains nothing.
   */
  #together = 1
  readonly #after: Clock['after']
  /** The sync of the last commit; undefined: all that is committed is on the disk. */
  #syncing: Promise<void> | undefined
  #checkpointing = false
  /** No commit begins while the last pass of a checkpoint runs. */
  #held = false
  #closed: 'closed' | 'failed' | undefined
  /** The log has to be copied because there was no room: it then starts over in its own room. */
  #needsRoom = false
  readonly #mayMakeRoom: () => boolean
  readonly #ended = Promise.withResolvers<void>()

  constructor(deps: CommitDeps) {
    this.#deps = deps
    this.#after = deps.after ?? after
    this.#mayMakeRoom = throttle(deps, MAKE_ROOM_INTERVAL_MS)
  }

  /**
   * Runs a synchronous operation in the next SQL transaction, and resolves with its result when that
   * is on the disk. It may run twice: if another operation of its batch fails, the batch is rolled
   * back and each of its operations runs in an SQL transaction of its own.
   *
   * Rejects with StorageUnavailable, or with what the operation threw.
   */
  write<T>(operation: () => T): Promise<T> {
    return this.#add(operation, true)
  }

  /**
   * The same for an operation that can wait: it goes with the next commit, and until the interval has
   * passed it makes no commit begin.
   */
  writeLater<T>(operation: () => T): Promise<T> {
    return this.#add(operation, false)
  }

  #add<T>(operation: () => T, awaited: boolean): Promise<T> {
    if (this.#closed) return Promise.reject(new StorageUnavailable(this.#closed))
    if (this.#waiting.length >= WAITING_MAX) {
      return Promise.reject(new StorageUnavailable('overloaded'))
    }
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#waiting.push({ operation, awaited, resolve: resolve as Entry['resolve'], reject })
    if (awaited) this.#awaited++
    this.#schedule()
    return promise
  }

  /**
   * Resolves with what `query` returns, when everything that it can have seen is on the disk: no
   * answer shows a change that a power cut could still undo.
   */
  async readDurable<T>(query: () => T): Promise<T> {
    const value = this.readLatest(query)
    await this.#syncing
    if (this.#failed) throw new StorageUnavailable('failed')
    return value
  }

  /** What `query` returns now, for use inside: some of it may not be on the disk yet. */
  readLatest<T>(query: () => T): T {
    if (this.#closed) throw new StorageUnavailable(this.#closed)
    return query()
  }

  /** Accepts no more operations, and resolves when the accepted ones are on the disk. */
  close(): Promise<void> {
    this.#closed ??= 'closed'
    this.#schedule()
    this.#endIfDone()
    return this.#ended.promise
  }

  get #failed(): boolean {
    return this.#closed === 'failed'
  }

  #schedule(): void {
    if (this.#waiting.length === 0 || this.#syncing || this.#held || this.#failed) return
    if (this.#scheduled) return
    const full = this.#closed || this.#awaited >= Math.min(this.#together, BATCH_MAX)
    if (!full && this.#cancelDue) return
    const waitMs = full ? 0 : this.#lastBeganAt + INTERVAL_MS - this.#deps.monotonic()
    if (waitMs > 0) {
      this.#cancelDue = this.#after(waitMs, () => this.#commit())
      return
    }
    this.#cancelDue?.()
    this.#scheduled = true
    // Not at once: the other requests of this turn of the event loop belong into the batch.
    setImmediate(() => this.#commit())
  }

  #commit(): void {
    this.#scheduled = false
    this.#cancelDue = undefined
    if (this.#held || this.#failed) return
    const { sync, checkFiles, metrics, monotonic } = this.#deps
    const beganAt = monotonic()
    this.#lastBeganAt = beganAt
    const batch = this.#waiting.splice(0, BATCH_MAX)
    const awaited = batch.filter((entry) => entry.awaited).length
    this.#awaited -= awaited
    try {
      this.#run(batch)
      checkFiles()
    } catch (error) {
      reject(batch, error)
      this.#fail(error)
      return
    }
    this.#syncing = sync().then(
      () => {
        this.#syncing = undefined
        const underWay = awaited + this.#awaited
        this.#together = Math.max(underWay, this.#together * (1 - FORGOTTEN))
        if (this.#failed) return reject(batch)
        const stored = batch.filter(({ failure }) => failure === undefined).length
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
   * Copies the log into the database while commits go on. The log starts over only when all of it
   * is copied, so the last pass runs while commits are held.
   */
  async #checkpoint(): Promise<void> {
    const { checkpoints } = this.#deps
    if (this.#checkpointing) return
    try {
      if (!checkpoints.due() && !this.#shouldMakeRoom()) return
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

  /** Whether a checkpoint is worth a try since there was no room. */
  #shouldMakeRoom(): boolean {
    if (!this.#needsRoom || !this.#mayMakeRoom()) return false
    this.#needsRoom = false
    return true
  }

  #endIfDone(): void {
    const busy = this.#waiting.length > 0 || this.#syncing || this.#checkpointing
    if (this.#failed || (this.#closed && !busy)) this.#ended.resolve()
  }

  /** All in one SQL transaction; if one fails, each in its own, so that only that one fails. */
  #run(batch: Entry[]): void {
    try {
      this.#transaction(batch)
    } catch (error) {
      // Throws first where a retry must not happen: after a failed commit it could seem to succeed.
      const failure = this.#failureOf(error)
      // A lock fails the whole batch before its first operation. Retrying each would block all
      // requests for the busy timeout as many times.
      const locked = failure instanceof StorageUnavailable && failure.reason === 'busy'
      if (batch.length > 1 && !locked) {
        for (const entry of batch) this.#run([entry])
      } else {
        for (const entry of batch) entry.failure = failure
      }
    }
  }

  #transaction(batch: Entry[]): void {
    const { client, saveState } = this.#deps
    const restoreState = saveState()
    try {
      inTransaction(client, () => {
        for (const entry of batch) entry.value = entry.operation()
      })
    } catch (error) {
      restoreState()
      throw error
    }
  }

  /**
   * What the caller of a failed operation gets: that the storage is full or locked, or what it threw.
   * Rethrows any other error of SQLite's, since that puts the database in doubt.
   */
  #failureOf(error: unknown): Error {
    if (this.#deps.isFull(error)) {
      this.#needsRoom = true
      return new StorageUnavailable('full', { cause: error })
    }
    if (isLocked(error)) return new StorageUnavailable('busy', { cause: error })
    const code = sqliteCode(error)
    if (code !== undefined && !code.startsWith('SQLITE_CONSTRAINT')) throw error
    return error instanceof Error ? error : new Error(String(error))
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
  for (const { resolve, reject, value, failure } of entries) {
    if (failure) reject(failure)
    else resolve(value)
  }
}

/** No caller gets a success that is in doubt. */
function reject(entries: readonly Entry[], cause?: unknown): void {
  for (const entry of entries) entry.reject(new StorageUnavailable('failed', { cause }))
}
