import type { Clock } from '../../clock.ts'
import { EXIT, StartError } from '../../exit.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import type { Store } from '../store.ts'
import { createAccept } from './accept.ts'
import { createActions } from './actions.ts'
import { createBacksteps } from './backsteps.ts'
import { createBulkRetry } from './bulk-retry.ts'
import { type Counts, loadCounts, saveCounts } from './counts.ts'
import { CommitQueue } from './database/commit-queue.ts'
import type { Restriction } from './database/durable-files.ts'
import { type OpenDatabase, openDatabase } from './database/open-database.ts'
import { isDamaged } from './database/sqlite-errors.ts'
import { createIds } from './ids.ts'
import { createList, prepareConflicts } from './list.ts'
import { fromRow, prepareAttempts, prepareFind, prepareReadings } from './reads.ts'
import { createRoomCheck } from './room-check.ts'
import { prepareScan } from './scan.ts'
import { ScanQueue } from './scan-queue.ts'
import { continueSteadyTime, type SteadyTime } from './steady-time.ts'
import { guardTarget } from './target-guard.ts'
import { createTransitions } from './transitions.ts'
import { createWork } from './work.ts'

export type StoreDeps = {
  /** Made if it is missing. */
  dataDir: string
  clock: Clock
  log: Log
  /** Unfinished transactions beyond which no new one is accepted. */
  maxBacklog: number
  /** Whether an attempt is a call or only a wait; undefined: as before. */
  processing?: 'calls' | 'waits'
  /**
   * How long the first attempt of what is accepted now waits, where it only waits and begins with the
   * acceptance: in the same commit, so that it costs none of its own. undefined: it is left to `work`.
   */
  firstWaitMs?(): number | undefined
  /** Consent to waits where transactions have been processed by calls. */
  simulate?: boolean
  metrics: Pick<Metrics, 'commit'>
  /** Called once when the disk failed: the process must end, see CommitQueue. */
  onFatal(error: unknown): void
}

/** The store on SQLite. `database` and `commits` are for tests that look behind the interface. */
export type SqliteStore = Store & { database: OpenDatabase; commits: CommitQueue }

/**
 * Opens the store of a data directory, and lets steady time go on from where it was left.
 *
 * @throws StartError where the data directory or the database can't be used
 */
export function openStore(deps: StoreDeps): SqliteStore {
  const { dataDir, clock, log, processing, simulate = false } = deps
  const database = openDatabase(dataDir)
  try {
    const { counts, newestTime } = loadCounts(database)
    if (processing !== undefined) guardTarget(database, processing, simulate)
    const steadyTime = continueSteadyTime(database, { clock, log, newestTime })
    const { migrated, restriction } = database
    if (migrated.length > 0) log.info('migrated the database', { migrations: migrated })
    logRestriction(restriction, log)
    return createStore(database, { counts, steadyTime }, deps)
  } catch (error) {
    try {
      database.close()
    } catch {
      // The first error says more.
    }
    if (database.isFull(error)) {
      const message = `The database of ${dataDir} can't be opened: there is no room on its disk.`
      throw new StartError(EXIT.fault, message, { cause: error })
    }
    if (!isDamaged(error)) throw error
    const message = `The database of ${dataDir} is damaged: ${(error as Error).message}.`
    throw new StartError(EXIT.foreignDatabase, message, { cause: error })
  }
}

function logRestriction(restriction: Restriction, log: Log): void {
  switch (restriction) {
    case 'none_needed':
      break
    case 'done':
      log.info('others can no longer read the database: its files are for this user alone')
      break
    case 'refused':
      log.warn('others can read the database, and the mode of its files cannot be changed')
      break
    default:
      restriction satisfies never
  }
}

type Opened = { counts: Counts; steadyTime: SteadyTime }

function createStore(database: OpenDatabase, opened: Opened, deps: StoreDeps): SqliteStore {
  const { counts, steadyTime } = opened
  const { clock, log, maxBacklog, firstWaitMs, metrics, onFatal } = deps
  const { monotonic } = clock
  const backsteps = createBacksteps(database)
  const ids = createIds(database, { log })
  const saveState = () => {
    const restores = [saveCounts(counts), backsteps.save(), ids.save()]
    return () => {
      for (const restore of restores) restore()
    }
  }
  const commits = new CommitQueue({ ...database, saveState, monotonic, metrics, onFatal })
  const transitions = createTransitions(database, counts)
  const roomCheck = createRoomCheck(database.client, commits)
  const scan = prepareScan(database)
  const scanQueue = new ScanQueue()
  const find = prepareFind(database, ids)
  const acceptDeps = { counts, maxBacklog, transitions, backsteps, ids, find, firstWaitMs }
  const accept = createAccept(database, acceptDeps)
  const attempts = prepareAttempts(database, find)
  const conflicts = prepareConflicts(database, find)
  const readings = prepareReadings(database)
  const actions = createActions(database, { find, transitions, commits, clock })
  const work = createWork(database, { transitions, commits, clock })

  return {
    accept(transaction) {
      const accepted = commits.write(() => accept(transaction, clock.now()))
      return roomCheck.watch(transaction, accepted)
    },
    find: async (transactionId) => {
      const row = await commits.readDurable(() => find(transactionId))
      return row && fromRow(row, clock.now())
    },
    list: createList({ scan, scanQueue, commits, clock }),
    attempts: (transactionId) => commits.readDurable(() => attempts(transactionId)),
    conflicts: (transactionId, page) => commits.readDurable(() => conflicts(transactionId, page)),
    retry: actions.retry,
    retryAll: createBulkRetry({ transitions, actions, scan, scanQueue, commits, clock }),
    handled: actions.handled,
    work: {
      ...work,
      async tick(maxAttempts) {
        await steadyTime.keep(commits)
        return work.tick(maxAttempts)
      },
    },
    readings: async () => ({ ...readings(), transactions: { ...counts }, now: clock.now().wall }),
    health: () => roomCheck.health(),
    refusals: () => roomCheck.refusals(),
    async close() {
      // The machine may be about to start again: then the next process goes by the wall clock.
      await steadyTime.keep(commits)
      await commits.close()
      database.close()
    },
    database,
    commits,
  }
}
