/**
 * A range of `created_at` as a range of keys. Keys rise with time, unless the wall clock goes back:
 * where it does by more than a second, the key of the first transaction after it is recorded, with
 * that transaction. Between two of these keys no transaction is more than a second older than one
 * before it, so that a binary search finds a bound; no index on the time is needed.
 */

import { asc } from 'drizzle-orm'
import type { TransactionFilter } from '../../domain/filter.ts'
import type { Connection } from './database/connection.ts'
import { prepareStatement } from './database/statement.ts'
import { backsteps } from './schema.ts'

/** How much older a transaction may be than one before it, without a record. */
const SLACK_MS = 1_000

/** With more of them the searches would take longer than slices of a scan. */
const BACKSTEPS_MAX = 100

export type Backsteps = {
  /** Records the transaction where the clock went back. Inside its commit. */
  accepted(id: number, createdAt: number): void
  /** Returns a function that restores what is known in memory, for a rollback. */
  save(): () => void
}

/** Begins with the newest transaction: those before it may be newer by the slack. */
export function createBacksteps({ client }: Connection): Backsteps {
  const last = client.query('SELECT created_at FROM transactions ORDER BY id DESC LIMIT 1').get()
  const insert = prepareStatement(client, 'INSERT OR IGNORE INTO backsteps (id) VALUES (:id)')
  /** Since the last record; nothing since then is newer. */
  let newest = last === null ? 0 : (last as { created_at: number }).created_at + SLACK_MS
  return {
    accepted(id, createdAt) {
      if (createdAt < newest - SLACK_MS) {
        insert.run({ id })
        newest = createdAt
      }
      if (createdAt > newest) newest = createdAt
    },
    save() {
      const saved = newest
      return () => {
        newest = saved
      }
    },
  }
}

/** Keys from `from` on and below `to`. */
export type KeyRange = { from: number; to: number }

const EVERY_KEY: KeyRange = { from: 0, to: Number.MAX_SAFE_INTEGER }
const NO_KEY: KeyRange = { from: 0, to: 0 }

/** Returns a range of keys that has all transactions of a filter's times, and few others. */
export function prepareKeyRange({ client, orm }: Connection) {
  const steps = prepareStatement<{ id: number }>(
    client,
    orm
      .select({ id: backsteps.id })
      .from(backsteps)
      .orderBy(asc(backsteps.id))
      .limit(BACKSTEPS_MAX + 1),
  )
  const newest = prepareStatement<{ id: number | null }>(
    client,
    'SELECT max(id) AS id FROM transactions',
  )
  const next = prepareStatement<{ id: number; createdAt: number }>(
    client,
    `SELECT id, created_at AS createdAt FROM transactions WHERE id >= :from AND id < :to
    ORDER BY id LIMIT 1`,
  )

  /** The key in the range at which the time is reached: those right before it are earlier. */
  function keyAt(time: number, { from, to }: KeyRange): number {
    let [low, high] = [from, to]
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const row = next.get({ from: middle, to: high })
      if (row !== undefined && row.createdAt < time) low = row.id + 1
      else high = middle
    }
    return low
  }

  return ({ created_from, created_to }: TransactionFilter): KeyRange => {
    if (created_from === undefined && created_to === undefined) return EVERY_KEY
    const recorded = steps.all({})
    if (recorded.length > BACKSTEPS_MAX) return EVERY_KEY
    const keys = [0, ...recorded.map(({ id }) => id), (newest.get({})?.id ?? 0) + 1]
    const ranges = keys.slice(1).map((to, i) => {
      const part = { from: keys[i] as number, to }
      return {
        from: created_from === undefined ? part.from : keyAt(created_from - SLACK_MS, part),
        to: created_to === undefined ? part.to : keyAt(created_to + SLACK_MS, part),
      }
    })
    const found = ranges.filter(({ from, to }) => from < to)
    if (found.length === 0) return NO_KEY
    return { from: found[0]?.from as number, to: found.at(-1)?.to as number }
  }
}
