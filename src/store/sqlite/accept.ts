import type { Now } from '../../clock.ts'
import { type Difference, differences, type Transaction } from '../../domain/transaction.ts'
import type { Acceptance } from '../store.ts'
import type { Backsteps } from './backsteps.ts'
import { backlogOf, type Counts } from './counts.ts'
import type { Connection } from './database/connection.ts'
import { prepareStatement } from './database/statement.ts'
import type { Ids } from './ids.ts'
import { type Find, fromRow } from './reads.ts'
import type { Transitions } from './transitions.ts'

/** Different conflicts that are kept of a transaction; the metrics count all. */
const CONFLICTS_MAX = 100

/** What a webhook does to the tables, inside a commit. */
export function createAccept(
  connection: Connection,
  deps: {
    counts: Counts
    maxBacklog: number
    transitions: Pick<Transitions, 'accept'>
    backsteps: Pick<Backsteps, 'accepted'>
    ids: Pick<Ids, 'add'>
    find: Find
    /** How long the first attempt waits, where it begins with the acceptance. */
    firstWaitMs?: (() => number | undefined) | undefined
  },
): (received: Transaction, now: Now) => Acceptance {
  const { counts, maxBacklog, transitions, backsteps, ids, find, firstWaitMs } = deps
  const keepConflict = prepareKeepConflict(connection)

  function store(received: Transaction, now: Now): Acceptance {
    const id = transitions.accept(received, now, firstWaitMs?.())
    ids.add(received.transactionId, id)
    backsteps.accepted(id, now.wall)
    // As it is accepted, also where its first attempt has just begun: every 202 to a new one is alike.
    const stored = {
      ...received,
      status: 'PENDING',
      attempts: 0,
      createdAt: now.wall,
      processingStartedAt: null,
      processedAt: null,
      nextAttemptAt: now.wall,
      handled: null,
      error: null,
    } as const
    return { kind: 'accepted', stored }
  }

  return (received, now) => {
    const row = find(received.transactionId)
    if (row === undefined) {
      return backlogOf(counts) < maxBacklog ? store(received, now) : { kind: 'backlog_full' }
    }
    const stored = fromRow(row, now)
    const found = differences(stored, received)
    if (found.length === 0) return { kind: 'replayed', stored }
    keepConflict(row.id, found, now)
    return { kind: 'conflict', differences: found }
  }
}

/** Counts a conflict with those that are identical, or keeps it as another one. */
function prepareKeepConflict({ client }: Connection) {
  const count = prepareStatement(
    client,
    `UPDATE conflicts SET count = count + 1, last_received_at = :wall
    WHERE stored_id = :storedId AND differences = :differences`,
  )
  const insert = prepareStatement(
    client,
    `INSERT INTO conflicts (stored_id, received_at, last_received_at, count, differences)
    SELECT :storedId, :wall, :wall, 1, :differences
    WHERE (SELECT count(*) FROM conflicts WHERE stored_id = :storedId) < ${CONFLICTS_MAX}`,
  )
  return (storedId: number, found: readonly Difference[], { wall }: Now): void => {
    const values = { storedId, wall, differences: JSON.stringify(found) }
    if (count.run(values).changes === 0) insert.run(values)
  }
}
