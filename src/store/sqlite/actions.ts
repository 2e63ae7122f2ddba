import type { Clock, Now } from '../../clock.ts'
import type { TransactionFilter } from '../../domain/filter.ts'
import type { Actor, HandledResult, RetryResult, Store } from '../store.ts'
import type { CommitQueue } from './database/commit-queue.ts'
import type { Connection } from './database/connection.ts'
import { prepareStatement } from './database/statement.ts'
import { type Find, fromRow } from './reads.ts'
import type { Transitions } from './transitions.ts'

export type ActionDeps = {
  find: Find
  transitions: Pick<Transitions, 'retry' | 'handle'>
  commits: Pick<CommitQueue, 'write'>
  clock: Pick<Clock, 'now'>
}

/** Who does what, to one transaction or to those of a filter. */
type Action = {
  by: Actor
  action: 'retry' | 'handled'
  target: TransactionFilter | { transaction_id: string }
}

export type Actions = Pick<Store, 'retry' | 'handled'> & {
  /** Records that an action begins, inside a commit. Returns the key of the record. */
  begin(action: Action, now: Now): number
  /** Adds the number of transactions that the action changed. */
  add(id: number, count: number): void
}

/** What people do to single transactions, each recorded in the commit that does it. */
export function createActions({ client }: Connection, deps: ActionDeps): Actions {
  const { find, transitions, commits, clock } = deps
  const insert = prepareStatement(
    client,
    `INSERT INTO actions (at, by, action, target, count)
    VALUES (:wall, :by, :action, :target, 0)`,
  )
  const addCount = prepareStatement(
    client,
    'UPDATE actions SET count = count + :count WHERE id = :id',
  )

  function begin({ by, action, target }: Action, { wall }: Now): number {
    const values = { wall, by, action, target: JSON.stringify(target) }
    return Number(insert.run(values).lastInsertRowid)
  }

  const add = (id: number, count: number) => void addCount.run({ id, count })

  function retry(transactionId: string, by: Actor): RetryResult {
    const now = clock.now()
    const row = find(transactionId)
    if (row === undefined) return { kind: 'unknown' }
    if (row.status !== 'FAILED') return { kind: 'not_failed', stored: fromRow(row, now) }
    if (row.handledAt !== null) transitions.handle(row.id, null)
    transitions.retry([row.id], now)
    add(begin({ by, action: 'retry', target: { transaction_id: transactionId } }, now), 1)
    const handled = { handledAt: null, handledNote: null }
    const retried = { ...row, ...handled, status: 'PENDING', dueAt: now.steady } as const
    return { kind: 'retried', stored: fromRow(retried, now) }
  }

  function handled(transactionId: string, note: string, by: Actor): HandledResult {
    const now = clock.now()
    const row = find(transactionId)
    if (row === undefined) return { kind: 'unknown' }
    if (row.status !== 'FAILED') return { kind: 'not_failed', stored: fromRow(row, now) }
    transitions.handle(row.id, { at: now.wall, note })
    add(begin({ by, action: 'handled', target: { transaction_id: transactionId } }, now), 1)
    const noted = { ...row, handledAt: now.wall, handledNote: note }
    return { kind: 'handled', stored: fromRow(noted, now) }
  }

  return {
    begin,
    add,
    retry: (transactionId, by) => commits.write(() => retry(transactionId, by)),
    handled: (transactionId, note, by) => commits.write(() => handled(transactionId, note, by)),
  }
}
