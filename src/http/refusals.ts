/**
 * The log of refused requests. A sender may be refused thousands of times a second, so there is at
 * most one entry of each code in ten seconds, with how many it stands for.
 */

import type { Clock } from '../clock.ts'
import { countEvents } from '../telemetry/count-events.ts'
import type { Log } from '../telemetry/log.ts'
import type { ProblemCode } from './problem.ts'

const INTERVAL_MS = 10_000

type Entry = { level: 'warn' | 'error'; message: string }

const REFUSED: Entry = { level: 'warn', message: 'requests are refused' }
const BY_STORAGE: Entry = { level: 'error', message: 'the storage refuses requests' }

/**
 * What operators should know of. The others are answers that a client of the API expects, as that
 * there is no such transaction, or belong to a stop or to a health check.
 */
const ENTRIES: Partial<Record<ProblemCode, Entry>> = {
  invalid_json: REFUSED,
  invalid_signature: REFUSED,
  invalid_api_key: REFUSED,
  host_not_allowed: REFUSED,
  cross_site: REFUSED,
  transaction_conflict: REFUSED,
  body_too_large: REFUSED,
  unsupported_media_type: REFUSED,
  invalid_transaction: REFUSED,
  backlog_full: { level: 'warn', message: 'the backlog is full' },
  overloaded: { level: 'warn', message: 'there are too many requests' },
  storage_full: BY_STORAGE,
  storage_unavailable: BY_STORAGE,
}

/** Of the latest request: its id, and what else is no content of a sender. */
export type RefusalFields = { request_id: string | null } & Record<string, unknown>

/** Returns a function that logs a refusal, at once or counted with others of its code. */
export function createRefusalLog({
  clock,
  log,
}: {
  clock: Clock
  log: Pick<Log, 'warn' | 'error'>
}) {
  const reports = new Map<ProblemCode, (fields: RefusalFields) => void>()

  function reportOf(code: ProblemCode, { level, message }: Entry) {
    const known = reports.get(code)
    if (known !== undefined) return known
    const report = countEvents<RefusalFields>(clock, INTERVAL_MS, (count, fields) =>
      log[level](message, { code, count, ...fields }),
    )
    reports.set(code, report)
    return report
  }

  return (code: ProblemCode, fields: RefusalFields): void => {
    const entry = ENTRIES[code]
    if (entry !== undefined) reportOf(code, entry)(fields)
  }
}
