import type { Clock } from '../../clock.ts'
import type { StoredTransaction, Transaction } from '../../domain/transaction.ts'
import type { Metrics, Readings } from '../../telemetry/metrics.ts'
import { type Acceptance, createInbox } from './accept.ts'
import { createRetries, type RetriesByHand } from './bulk-retry.ts'
import { loadCounts } from './counts.ts'
import { CommitQueue } from './database/commit-queue.ts'
import { type OpenDatabase, openDatabase, writeProbe } from './database/open-database.ts'
import { createJobs, type Jobs } from './jobs.ts'
import { type Conflict, createList, type Page, type PageRequest, prepareConflicts } from './list.ts'
import { type Attempt, prepareAttempts, prepareFind, prepareReadings } from './reads.ts'
import { prepareScan, type TransactionFilter } from './scan.ts'
import { ScanQueue } from './scan-queue.ts'
import { guardTarget } from './target-guard.ts'
import { createWaits, type Waits } from './waits.ts'

export type StoreDeps = {
  /** Made if it is missing. */
  dataDir: string
  clock: Clock
  /** Unfinished transactions beyond which no new one is taken. */
  maxBacklog: number
  /** Whether transactions are processed by calls; undefined: as they were. */
  calls?: boolean
  metrics: Pick<Metrics, 'commit'>
  /** Called once when the disk failed: the process must end, see CommitQueue. */
  onFatal(error: unknown): void
}

/** Everything that outlives the process. */
export type Store = {
  /** Stores a webhook's transaction; resolves when it is on the disk. */
  accept(transaction: Transaction): Promise<Acceptance>
  /** The transaction of this `transaction_id`, as it is on the disk. */
  find(transactionId: string): Promise<StoredTransaction | undefined>
  /** Transactions, newest first. */
  list(
    filter: TransactionFilter,
    page: PageRequest,
    signal?: AbortSignal,
  ): Promise<Page<StoredTransaction>>
  /** The attempts of a transaction, first to last; undefined where there is no such transaction. */
  attempts(transactionId: string): Promise<Attempt[] | undefined>
  /** Conflicts, of one `transaction_id` or of all, newest first. */
  conflicts(transactionId: string | undefined, page: PageRequest): Promise<Page<Conflict>>
  retries: RetriesByHand
  /** For the scheduler; what changes them goes through `commit`. */
  jobs: Jobs
  waits: Waits
  /** Runs the work in the next transaction; resolves when that is on the disk. */
  commit<T>(work: () => T): Promise<T>
  /** Resolves when a write has reached the disk, and rejects when the storage takes none. */
  probe(): Promise<void>
  /** For the metrics: costs the same however large the database is. */
  readings(): Readings
  /** The migrations that this start applied. */
  migrated: readonly string[]
  /** How far the machine's clock was behind the newest time in the database at the start. */
  clockBehindMs: number
  /** Finishes what was begun, folds the log into the database, lets go of the directory. */
  close(): Promise<void>
  /** The database itself, for tests that look behind the store. */
  database: OpenDatabase
}

/**
 * Opens the store and sets the clock no earlier than the newest time in it.
 *
 * @throws StartError where the data directory or the database can't be used
 */
export function openStore(deps: StoreDeps): Store {
  const { dataDir, clock, maxBacklog, calls, metrics, onFatal } = deps
  const database = openDatabase(dataDir)
  const { client, migrated } = database
  const { counts, newestTime } = loadCounts(database)
  try {
    if (calls !== undefined) guardTarget(database, counts, calls)
  } catch (error) {
    database.close()
    throw error
  }
  const clockBehindMs = clock.advanceTo(newestTime)

  const { monotonic } = clock
  const commits = new CommitQueue({ ...database, counts, monotonic, metrics, onFatal })
  const inbox = createInbox(database, counts, maxBacklog)
  const find = prepareFind(database)
  const readings = prepareReadings(database)
  const attempts = prepareAttempts(database)
  const conflicts = prepareConflicts(database)
  const scan = prepareScan(database)
  const scanQueue = new ScanQueue()
  return {
    accept: (transaction) => commits.submit(() => inbox.accept(transaction, clock.now())),
    find: (transactionId) => commits.read(() => find(transactionId)),
    list: createList({ scan, scanQueue, commits, clock }),
    attempts: (transactionId) => commits.read(() => attempts(transactionId)),
    conflicts: (transactionId, page) => commits.read(() => conflicts(transactionId, page)),
    retries: createRetries(database, { counts, scan, scanQueue, commits, clock }),
    jobs: createJobs(database, counts),
    waits: createWaits(database, counts),
    commit: (work) => commits.submit(work),
    probe: () => commits.submit(() => writeProbe(client)),
    readings: () => ({ ...readings(), transactions: counts, now: clock.now().wall }),
    migrated,
    clockBehindMs,
    async close() {
      await commits.close()
      database.close()
    },
    database,
  }
}
