import { sql } from 'drizzle-orm'
import type { Now } from '../../clock.ts'
import { differences, type Transaction } from '../../domain/transaction.ts'
import type { Acceptance } from '../store.ts'
import { backlogOf, type Counts } from './counts.ts'
import type { Connection } from './database/connection.ts'
import { prepareStatement } from './database/statement.ts'
import { fromRow, prepareFind } from './reads.ts'
import { conflicts } from './schema.ts'
import type { Transitions } from './transitions.ts'

/** What a webhook does to the tables, inside a commit. */
export function createAccept(
  connection: Connection,
  deps: { counts: Counts; maxBacklog: number; transitions: Pick<Transitions, 'accept'> },
): (received: Transaction, now: Now) => Acceptance {
  const { counts, maxBacklog, transitions } = deps
  const find = prepareFind(connection)
  const insertConflict = prepareInsertConflict(connection)

  return (received, now) => {
    const room = backlogOf(counts) < maxBacklog
    if (room && transitions.accept(received, now)) {
      const stored = {
        ...received,
        status: 'PENDING',
        attempts: 0,
        createdAt: now.wall,
        processingStartedAt: null,
        processedAt: null,
        error: null,
      } as const
      return { kind: 'accepted', stored }
    }
    const row = find(received.transactionId)
    if (row === undefined) return { kind: 'backlog_full' }
    const stored = fromRow(row)
    const found = differences(stored, received)
    if (found.length === 0) return { kind: 'replayed', stored }
    const values = { storedId: row.id, receivedAt: now.wall }
    insertConflict.run({ ...values, differences: JSON.stringify(found) })
    return { kind: 'conflict', differences: found }
  }
}

function prepareInsertConflict({ client, orm }: Connection) {
  const value = sql.placeholder
  return prepareStatement(
    client,
    orm.insert(conflicts).values({
      storedId: value('storedId'),
      receivedAt: value('receivedAt'),
      differences: value('differences'),
    }),
  )
}
