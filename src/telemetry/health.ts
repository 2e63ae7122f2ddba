import type { Clock } from '../clock.ts'
import { isoTime } from '../domain/iso-time.ts'
import type { Readings, StorageReason } from '../store/store.ts'

/** What the service needs in order to do its work, each either `ok` or what is wrong with it. */
export type Health = {
  ok: boolean
  checks: Readonly<Record<string, string>>
  /** Where all is ok: `ok`, or that there is no room for new transactions. */
  backlog?: string
  /** Where there is a target: `ok`, or since when it has been failing. */
  target?: string
}

export type HealthCheckDeps = {
  clock: Clock
  store: {
    health(): Promise<'ok' | StorageReason>
    refusals(): number
    readings(): Promise<Readings>
  }
  scheduler: { readonly running: boolean; readonly targetFailingSince: number | undefined }
  /** Unfinished transactions beyond which new ones are refused. */
  maxBacklog: number
  /** Whether there is a target. */
  hasTarget: boolean
  stopping(): boolean
}

/**
 * The storage is asked for a write at most this often, however often health is asked for: but again
 * at once where it has refused a webhook since it was well.
 */
const STORAGE_CHECK_INTERVAL_MS = 1_000

type StorageCheck = { storage: Promise<string>; at: number; refusals: number; failed: boolean }

/** Returns a function that checks the health of the service now. */
export function createHealthCheck(deps: HealthCheckDeps): () => Promise<Health> {
  const { clock, store, scheduler, maxBacklog, hasTarget, stopping } = deps
  let last: StorageCheck | undefined

  function checkStorage(): Promise<string> {
    const at = clock.monotonic()
    const refusals = store.refusals()
    const isRecent = last !== undefined && at - last.at < STORAGE_CHECK_INTERVAL_MS
    if (last && isRecent && (last.failed || last.refusals === refusals)) return last.storage
    const check: StorageCheck = { storage: writeToStorage(), at, refusals, failed: false }
    async function writeToStorage(): Promise<string> {
      if ((await store.health()) === 'ok') return 'ok'
      check.failed = true
      return 'takes no writes'
    }
    last = check
    return check.storage
  }

  /** Transactions are accepted while the target is failing. */
  function targetState(): string {
    const { targetFailingSince: since } = scheduler
    const { wall, steady } = clock.now()
    return since === undefined ? 'ok' : `failing since ${isoTime(wall - (steady - since))}`
  }

  /** Known transactions, conflicts and retries are answered while it is full. */
  async function backlogState(): Promise<string> {
    const { PENDING, PROCESSING } = (await store.readings()).transactions
    return PENDING + PROCESSING < maxBacklog ? 'ok' : 'full: new transactions are refused'
  }

  return async () => {
    const checks = {
      storage: await checkStorage(),
      scheduler: scheduler.running ? 'ok' : 'not running',
      shutdown: stopping() ? 'under way' : 'ok',
    }
    const ok = Object.values(checks).every((state) => state === 'ok')
    if (!ok) return { ok, checks }
    const backlog = await backlogState()
    return { ok, checks, backlog, ...(hasTarget ? { target: targetState() } : {}) }
  }
}
