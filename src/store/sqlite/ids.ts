/**
 * Which `transaction_id` is known, and as which row. In an index of all ids each random one changes a
 * page of its own, which is more than all else that is written for a webhook. So the ids of the newest
 * transactions are kept in memory, and go into the index thousands together, in its order, a few with
 * each that is accepted.
 *
 * The index is in the same file as the rows and changes in the same SQL transactions, and `indexed`
 * says up to which key it is whole; a start reads the newer ids from the rows themselves. So none is
 * missing after a crash, whenever it comes. No other program may insert rows; where one deletes or
 * renames some, triggers have the next start index them anew.
 */

import { hash } from 'node:crypto'
import type { Log } from '../../telemetry/log.ts'
import { type Connection, inTransaction } from './database/connection.ts'
import { prepareStatement } from './database/statement.ts'
import { type Generation, newGeneration } from './ids-generation.ts'

export type Ids = {
  /** Keys of rows of which one may have this id. All others have not. */
  candidates(transactionId: string): readonly number[]
  /** Takes note of a new transaction: its key is higher than all. Inside its commit. */
  add(transactionId: string, id: number): void
  /** Returns a function that restores what is known in memory, for a rollback. */
  save(): () => void
}

export type IdsOptions = {
  /** Ids in one; tests take few. */
  generation?: number
  /** Rows that a start indexes in one SQL transaction; tests take few. */
  chunk?: number
  /** Tells of many ids that have to be indexed first. */
  log?: Pick<Log, 'info'>
}

/**
 * Ids in memory before they begin to go into the index, so that up to twice as many are there: 20 MB,
 * and 0.1 s of a start.
 */
const GENERATION = 65_536

/** Ids that go into the index with each one that is accepted: done before the next are due. */
const INDEXED_PER_ACCEPTED = 4

const CHUNK = 1_000_000

/**
 * Hexadecimal digits of an id's SHA-256: 44 bits, which SQLite stores in 6 bytes. Ids that have them in
 * common cost one more row to read each, and some 2^44 hashes to find.
 */
const DIGITS = 11
const HASHES = 16 ** DIGITS

/** `bucket` and `entry`: what is to be indexed next. */
type Indexing = { generation: Generation; bucket: number; entry: number }

/** The key of an id in the index. */
export function hashOf(transactionId: string): number {
  return Number.parseInt(hash('sha256', transactionId, 'hex').slice(0, DIGITS), 16)
}

export function createIds(connection: Connection, options: IdsOptions = {}): Ids {
  const { generation: size = GENERATION, chunk = CHUNK, log } = options
  const statements = prepareIds(connection)
  indexMany(connection, statements, { size, chunk, log })
  const { withHash, newerThan, insert, setIndexed, upTo } = statements
  /** As it was last read or written here. */
  let indexedUpTo = upTo()
  let newest = newGeneration(HASHES)
  let indexing: Indexing | undefined
  /** In the SQL transaction under way. */
  let added: { transactionId: string; hash: number; to: Generation }[] = []
  /** The hash of the id that was last looked for: it is the one that is added next. */
  let last: { transactionId: string; hash: number } | undefined
  for (const { id, transactionId } of newerThan.iterate({ upTo: indexedUpTo })) {
    newest.put(transactionId, hashOf(transactionId), id)
  }

  function lastHashOf(transactionId: string): number {
    if (last?.transactionId !== transactionId) last = { transactionId, hash: hashOf(transactionId) }
    return last.hash
  }

  function indexNext(): void {
    if (indexing === undefined) return
    const { generation } = indexing
    let { bucket, entry } = indexing
    for (; bucket < generation.buckets.length; bucket++, entry = 0) {
      const entries = generation.buckets[bucket] ?? []
      if (entry === 0) entries.sort((a, b) => a.hash - b.hash)
      const next = entries[entry]
      if (next === undefined) continue
      insert.run(next)
      indexing = { generation, bucket, entry: entry + 1 }
      return
    }
    // Newer ones may have lower keys, where somebody deleted the newest rows.
    const next = Math.min(generation.highest, newest.lowest - 1)
    // Not where a trigger has lowered it: the next start then indexes again what was changed.
    if (setIndexed.run({ upTo: next, from: indexedUpTo }).changes > 0) indexedUpTo = next
    indexing = undefined
  }

  return {
    candidates(transactionId) {
      const id = newest.keys.get(transactionId) ?? indexing?.generation.keys.get(transactionId)
      if (id !== undefined) return [id]
      // Alone: a join with the rows takes seven times as long where there is no such hash.
      const found = withHash.all({ hash: lastHashOf(transactionId) })
      return found.map((row) => row.id)
    },
    add(transactionId, id) {
      const hash = lastHashOf(transactionId)
      newest.put(transactionId, hash, id)
      added.push({ transactionId, hash, to: newest })
      if (indexing === undefined && newest.keys.size >= size) {
        indexing = { generation: newest, bucket: 0, entry: 0 }
        newest = newGeneration(HASHES)
      }
      for (let i = 0; i < INDEXED_PER_ACCEPTED; i++) indexNext()
    },
    save() {
      const saved = { newest, indexing, indexedUpTo }
      added = []
      return () => {
        for (const { transactionId, hash, to } of added) to.remove(transactionId, hash)
        newest = saved.newest
        indexing = saved.indexing
        indexedUpTo = saved.indexedUpTo
      }
    },
  }
}

/**
 * Indexes all ids at once, where there are more than two generations: at the first start of a version
 * that has this index, and after an old row was renamed.
 */
function indexMany(
  { client }: Connection,
  { newerThan, insert, setIndexed, upTo, highest }: ReturnType<typeof prepareIds>,
  { size, chunk, log }: { size: number; chunk: number; log: Pick<Log, 'info'> | undefined },
): void {
  const transactions = highest() - upTo()
  if (transactions <= 2 * size) return
  log?.info('indexes the ids of the database, a million in some seconds', { transactions })
  for (let from = upTo(); highest() > from; from = upTo()) {
    const entries: { hash: number; id: number }[] = []
    for (const { id, transactionId } of newerThan.iterate({ upTo: from })) {
      entries.push({ hash: hashOf(transactionId), id })
      if (entries.length === chunk) break
    }
    const last = entries.at(-1)?.id ?? from
    entries.sort((a, b) => a.hash - b.hash)
    inTransaction(client, () => {
      for (const entry of entries) insert.run(entry)
      setIndexed.run({ upTo: last, from })
    })
    client.run('PRAGMA wal_checkpoint(PASSIVE)')
  }
}

function prepareIds({ client }: Connection) {
  const read = prepareStatement<{ upTo: number }>(client, 'SELECT up_to AS upTo FROM indexed')
  const newest = prepareStatement<{ id: number | null }>(
    client,
    'SELECT max(id) AS id FROM transactions',
  )
  return {
    upTo: () => read.get({})?.upTo ?? 0,
    highest: () => newest.get({})?.id ?? 0,
    withHash: prepareStatement<{ id: number }>(client, 'SELECT id FROM ids WHERE hash = :hash'),
    newerThan: prepareStatement<{ id: number; transactionId: string }>(
      client,
      'SELECT id, transaction_id AS transactionId FROM transactions WHERE id > :upTo ORDER BY id',
    ),
    // After a restart a generation that was partly indexed begins anew.
    insert: prepareStatement(client, 'INSERT OR IGNORE INTO ids (hash, id) VALUES (:hash, :id)'),
    setIndexed: prepareStatement(client, 'UPDATE indexed SET up_to = :upTo WHERE up_to = :from'),
  }
}
