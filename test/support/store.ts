import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import type { Transaction } from '../../src/domain/transaction.ts'
import { createAccept } from '../../src/store/sqlite/accept.ts'
import { createBacksteps } from '../../src/store/sqlite/backsteps.ts'
import { type Counts, saveCounts } from '../../src/store/sqlite/counts.ts'
import { type CommitDeps, CommitQueue } from '../../src/store/sqlite/database/commit-queue.ts'
import { type OpenDatabase, openDatabase } from '../../src/store/sqlite/database/open-database.ts'
import { createIds } from '../../src/store/sqlite/ids.ts'
import { openStore, type SqliteStore } from '../../src/store/sqlite/open-store.ts'
import { prepareFind } from '../../src/store/sqlite/reads.ts'
import { createTransitions } from '../../src/store/sqlite/transitions.ts'
import { type Claimed, StorageUnavailable, type Store } from '../../src/store/store.ts'
import { type ManualClock, manualClock } from './clock.ts'
import { recordingLog } from './log.ts'
import { type RecordingMetrics, recordingMetrics } from './metrics.ts'
import { temporaryDirectory } from './service.ts'

/** A row as SQLite gives it. */
export type Row = Record<string, unknown>

export type TestStore = SqliteStore & {
  clock: ManualClock
  dataDir: string
  metrics: RecordingMetrics
  fatal: unknown[]
  log: ReturnType<typeof recordingLog>
  /** All rows of a table, read by another connection: what is committed. */
  rows(table: string): Row[]
  /** Stores new transactions with these ids. */
  acceptAll(...transactionIds: string[]): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type TestStoreOptions = {
  clock?: ManualClock
  dataDir?: string
  maxBacklog?: number
  /** How long first attempts wait, where they begin with the acceptance. */
  firstWaitMs?: number
}

/** The real store on a database of its own, with a clock that the test moves. */
export function testStore(options: TestStoreOptions = {}): TestStore {
  const { clock = manualClock(), maxBacklog = 1000 } = options
  const firstWaitMs = () => options.firstWaitMs
  const directory = options.dataDir === undefined ? temporaryDirectory() : undefined
  const dataDir = options.dataDir ?? (directory as { path: string }).path
  const fatal: unknown[] = []
  const onFatal = (error: unknown) => void fatal.push(error)
  const metrics = recordingMetrics()
  const log = recordingLog()
  const store = openStore({ dataDir, clock, log, maxBacklog, firstWaitMs, metrics, onFatal })
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= store.close()
    return closed
  }
  return {
    ...store,
    close,
    clock,
    dataDir,
    metrics,
    fatal,
    log,
    rows: (table) => rowsOf(dataDir, `SELECT * FROM ${table}`),
    async acceptAll(...transactionIds) {
      const accepted = await Promise.all(
        transactionIds.map((transactionId) => store.accept(sentTransaction({ transactionId }))),
      )
      for (const { kind } of accepted) {
        if (kind !== 'accepted') throw new Error(`A transaction was not accepted: ${kind}.`)
      }
    },
    async [Symbol.asyncDispose]() {
      await close()
      directory?.[Symbol.dispose]()
    },
  }
}

/** What another connection reads in the database of a data directory. */
export function rowsOf(dataDir: string, sql: string): Row[] {
  using database = new Database(join(dataDir, 'txhook.db'), { readonly: true })
  return database.query(sql).all() as Row[]
}

/** How many transactions there are in each state. */
export async function countsOf(store: Pick<Store, 'readings'>): Promise<Counts> {
  return (await store.readings()).transactions
}

/** When the earliest job is due: steady time in ms; undefined: there is none. */
export async function dueAt({ work, clock }: TestStore): Promise<number | undefined> {
  const { dueInMs } = await work.tick(1)
  return dueInMs === undefined ? undefined : clock.now().steady + dueInMs
}

/** Claims the one job that is due. */
export async function claimOne(store: Pick<Store, 'work'>): Promise<Claimed> {
  const [claimed, ...others] = await store.work.claim(100, 'earliest')
  if (!claimed || others.length > 0) throw new Error('There was not one job due.')
  return claimed
}

/** The counts of an empty database. */
export function noCounts(): Counts {
  return { PENDING: 0, PROCESSING: 0, PROCESSED: 0, FAILED: 0 }
}

/** What a webhook does to the tables of a database, inside a commit. */
export function acceptOn(database: OpenDatabase, counts: Counts = noCounts(), maxBacklog = 10) {
  const transitions = createTransitions(database, counts)
  const backsteps = createBacksteps(database)
  const ids = createIds(database)
  const find = prepareFind(database, ids)
  return createAccept(database, { counts, maxBacklog, transitions, backsteps, ids, find })
}

/** The first row's first column. */
export function firstValue(client: Database, sql: string): unknown {
  return client.query(sql).values()[0]?.[0]
}

/** The seed example as the store takes it, with whatever is to be different. */
export function sentTransaction(changes: Partial<Transaction> = {}): Transaction {
  return {
    transactionId: 'txn_001',
    sourceAccount: 'A123',
    destinationAccount: 'B456',
    amount: 10_000,
    currency: 'USD',
    extra: null,
    ...changes,
  }
}

/** The reason of a refusal by the storage, or what was resolved or thrown instead. */
export async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error) => (error instanceof StorageUnavailable ? error.reason : error))
}

/** Whether a promise is settled by the end of this turn of the event loop, and how. */
export async function stateOf(
  promise: Promise<unknown>,
): Promise<'pending' | 'resolved' | 'rejected'> {
  let state: 'pending' | 'resolved' | 'rejected' = 'pending'
  promise.then(
    () => (state = 'resolved'),
    () => (state = 'rejected'),
  )
  await new Promise((resolve) => setImmediate(resolve))
  return state
}

/** A sync of the disk that ends when the test says so. */
export type ControlledSync = {
  sync(): Promise<void>
  /** Syncs begun so far. */
  readonly count: number
  /** Resolves with the next sync that begins, or with one that the test hasn't been given yet. */
  next(): Promise<{ resolve(): void; reject(error: unknown): void }>
}

export function controlledSync(): ControlledSync {
  const begun: PromiseWithResolvers<void>[] = []
  const waiting: ((sync: PromiseWithResolvers<void>) => void)[] = []
  let count = 0
  return {
    sync() {
      const sync = Promise.withResolvers<void>()
      count++
      const taker = waiting.shift()
      if (taker) taker(sync)
      else begun.push(sync)
      return sync.promise
    },
    get count() {
      return count
    },
    async next() {
      const sync = begun.shift()
      return sync ?? new Promise<PromiseWithResolvers<void>>((resolve) => waiting.push(resolve))
    },
  }
}

export type TestQueue = Disposable & {
  queue: CommitQueue
  database: OpenDatabase
  client: Database
  dataDir: string
  clock: ManualClock
  metrics: RecordingMetrics
  counts: Counts
  fatal: unknown[]
  /** A work that writes one row. */
  put(name: string): () => string
  /** The rows that are committed. */
  names(): string[]
  /** Lets the database grow by no page more, until it is called with more. */
  limitPages(more: number): void
}

/** The real commit queue on a real database, with the parts that a test wants its own. */
export function testQueue(deps: Partial<CommitDeps> = {}): TestQueue {
  const directory = temporaryDirectory()
  const database = openDatabase(directory.path)
  const { client } = database
  client.run('CREATE TABLE notes (name TEXT PRIMARY KEY) STRICT')
  const clock = manualClock()
  const { monotonic } = clock
  const metrics = recordingMetrics()
  const counts = noCounts()
  const fatal: unknown[] = []
  const onFatal = (error: unknown) => void fatal.push(error)
  const saveState = () => saveCounts(counts)
  const parts = { ...database, saveState, monotonic, metrics, onFatal }
  const insert = client.prepare('INSERT INTO notes VALUES (?)')
  return {
    queue: new CommitQueue({ ...parts, ...deps }),
    database,
    client,
    dataDir: directory.path,
    clock,
    metrics,
    counts,
    fatal,
    put: (name) => () => {
      insert.run(name)
      return name
    },
    names: () =>
      rowsOf(directory.path, 'SELECT name FROM notes ORDER BY rowid').map(({ name }) =>
        String(name),
      ),
    limitPages(more) {
      const pages = Number(firstValue(client, 'PRAGMA page_count'))
      client.run(`PRAGMA max_page_count = ${pages + more}`)
    },
    [Symbol.dispose]() {
      insert.finalize()
      database.close()
      directory[Symbol.dispose]()
    },
  }
}
