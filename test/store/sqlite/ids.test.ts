import { describe, expect, test } from 'bun:test'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { openDatabase } from '../../../src/store/sqlite/database/open-database.ts'
import { createIds, hashOf, type Ids } from '../../../src/store/sqlite/ids.ts'
import { temporaryDirectory } from '../../support/service.ts'
import { firstValue, rowsOf } from '../../support/store.ts'

/** Small enough that a few transactions go through every step. */
const GENERATION = 8

/** The ids of a database, over restarts and crashes, beside what is really in its rows. */
class TestIds {
  readonly #directory = temporaryDirectory()
  #crashes = 0
  #dataDir = join(this.#directory.path, 'first')
  database = openDatabase(this.#dataDir)
  readonly #generation: number

  constructor(generation = GENERATION) {
    this.#generation = generation
    this.ids = createIds(this.database, { generation })
  }

  ids: Ids

  /** Accepts these ids in one SQL transaction, each that is not known, and may fail in the end. */
  commit(transactionIds: readonly string[], outcome: 'ok' | 'fails' = 'ok'): void {
    const { client } = this.database
    const restore = this.ids.save()
    client.run('BEGIN IMMEDIATE')
    for (const id of transactionIds) {
      if (this.find(id) === undefined) this.ids.add(id, this.insert(id))
    }
    client.run(outcome === 'ok' ? 'COMMIT' : 'ROLLBACK')
    if (outcome === 'fails') restore()
  }

  /** A row alone, as by other means than ours. Returns its key. */
  insert(transactionId: string): number {
    const insert = this.database.client.query(
      `INSERT INTO transactions (transaction_id, source_account, destination_account, amount,
        currency, status, attempts, created_at)
      VALUES (?, 'A', 'B', 1, 'USD', 'PROCESSED', 1, 0)`,
    )
    return Number(insert.run(transactionId).lastInsertRowid)
  }

  /** The key of an id whose row is there. */
  find(transactionId: string): number | undefined {
    const row = this.database.client.query(
      'SELECT transaction_id AS id FROM transactions WHERE id = ?',
    )
    return this.ids
      .candidates(transactionId)
      .find((key) => (row.get(key) as { id: string } | null)?.id === transactionId)
  }

  /** What a crash leaves is what is in the files now. */
  crash(): void {
    const left = join(this.#directory.path, `crash-${++this.#crashes}`)
    cpSync(this.#dataDir, left, { recursive: true })
    this.database.close()
    this.#open(left)
  }

  restart(): void {
    this.database.close()
    this.#open(this.#dataDir)
  }

  #open(dataDir: string): void {
    this.#dataDir = dataDir
    this.database = openDatabase(dataDir)
    this.ids = createIds(this.database, { generation: this.#generation, chunk: 3 * GENERATION })
  }

  /** What is in the index, in its order. */
  indexed(): { hash: number; id: number }[] {
    const sql = 'SELECT hash, id FROM ids ORDER BY hash'
    return this.database.client.query(sql).all() as { hash: number; id: number }[]
  }

  /** Up to which key all are indexed, as the database says. */
  get indexedUpTo(): number {
    return Number(firstValue(this.database.client, 'SELECT up_to FROM indexed'))
  }

  /** Checks that each row is found by its id, and that the index has all that it is said to have. */
  check(unknown: readonly string[] = []): void {
    const rows = rowsOf(this.#dataDir, 'SELECT id, transaction_id FROM transactions')
    expect(rows.map(({ transaction_id }) => this.find(String(transaction_id)))).toEqual(
      rows.map(({ id }) => Number(id)),
    )
    expect(new Set(rows.map(({ transaction_id }) => transaction_id)).size).toBe(rows.length)
    for (const id of unknown) expect(this.find(id)).toBeUndefined()
    const missing = `SELECT id FROM transactions, (SELECT up_to FROM indexed)
      WHERE id <= up_to AND id NOT IN (SELECT id FROM ids)`
    expect(rowsOf(this.#dataDir, missing)).toEqual([])
  }

  [Symbol.dispose](): void {
    this.database.close()
    this.#directory[Symbol.dispose]()
  }
}

const names = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `txn_${from + i}`)

test('the hash of an id is the first 44 bits of its SHA-256: it must never change', () => {
  // FIPS 180-2, B.1 and B.2.
  expect(hashOf('abc')).toBe(0xba7816bf8f0)
  expect(hashOf('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq')).toBe(0x248d6a61d20)
  expect(hashOf('ä')).toBe(
    Number.parseInt(new Bun.CryptoHasher('sha256').update('ä').digest('hex').slice(0, 11), 16),
  )
})

describe('ids', () => {
  test('go into the index a few at a time, each with a later one, and are found all along', () => {
    using it = new TestIds()
    it.commit(names(0, GENERATION - 1))
    expect(it.indexed()).toEqual([])
    for (let n = GENERATION - 1; n < 100; n++) {
      const before = it.indexed().length
      it.commit([`txn_${n}`])
      expect(it.indexed().length - before).toBeLessThanOrEqual(4)
      it.check([`txn_${n + 1}`])
    }
    // All but the newest two generations.
    expect(it.indexedUpTo).toBeGreaterThan(100 - 2 * GENERATION)
  })

  test('go into the index in its order, so that few of its pages change in a commit', () => {
    using it = new TestIds(1_000)
    it.commit(names(0, 1_000))
    const hashes = new Set(names(0, 1_000).map(hashOf))
    let highest = 0
    for (let n = 1_000; n < 1_250; n++) {
      it.commit([`txn_${n}`])
      const left = [...hashes].sort((a, b) => a - b)
      for (const { hash } of it.indexed().filter(({ hash }) => hash > highest)) {
        expect(hash).toBe(left.shift() as number)
        hashes.delete(hash)
        highest = hash
      }
    }
    expect(hashes.size).toBeLessThan(4)
  })

  test('that a failed commit added are unknown after it, wherever it began and ended', () => {
    using it = new TestIds()
    for (let n = 0; n < 60; n++) {
      for (const count of [1, GENERATION, 3 * GENERATION]) {
        it.commit(names(1_000, 1_000 + count), 'fails')
        it.check()
        for (const id of names(1_000, 1_000 + count)) expect(it.ids.candidates(id)).toEqual([])
      }
      it.commit([`txn_${n}`])
    }
    for (const { hash, id } of it.indexed()) expect(hash).toBe(hashOf(`txn_${id - 1}`))
    it.restart()
    it.check(names(1_000, 1_020))
  })

  test('whose hashes are the same are two: a hit counts only for the row that has the id', () => {
    using it = new TestIds()
    it.commit(names(0, 3 * GENERATION))
    expect(it.indexedUpTo).toBeGreaterThan(0)
    const { client } = it.database
    client.run('INSERT INTO ids (hash, id) VALUES (?, 1)', [hashOf('another')])
    expect(it.find('another')).toBeUndefined()
    it.commit(['another'])
    it.check()
  })

  test('of rows that are many more than a generation are indexed at the start, in chunks', () => {
    using it = new TestIds()
    for (const id of names(0, 20 * GENERATION)) it.insert(id)
    it.restart()
    expect(it.indexedUpTo).toBe(20 * GENERATION)
    expect(it.indexed()).toHaveLength(20 * GENERATION)
    it.check(['txn_none'])
    it.commit(names(10, 30 * GENERATION))
    it.check()
  })

  test('of a row that somebody renamed are indexed at the next start, also one of a crash', () => {
    for (const how of ['crash', 'restart'] as const) {
      using it = new TestIds()
      it.commit(names(0, 10 * GENERATION))
      expect(it.indexedUpTo).toBeGreaterThan(5 * GENERATION)
      it.database.client.run(`UPDATE transactions SET transaction_id = 'renamed' WHERE id = 3`)
      // One that is in memory only, too; and a generation that is indexed meanwhile hides neither.
      const newest = it.insert('newest')
      it.ids.add('newest', newest)
      it.database.client.run(`UPDATE transactions SET transaction_id = 'too' WHERE id = ${newest}`)
      it.commit(names(500, 500 + 5 * GENERATION))
      it[how]()
      it.check(['txn_2', 'newest'])
      expect([it.find('renamed'), it.find('too')]).toEqual([3, newest])
    }
  })

  test('are right whatever was committed, failed, deleted or cut off by a crash', () => {
    const some = fc.array(fc.integer({ min: 0, max: 120 }), { maxLength: 2 * GENERATION })
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ accept: some, fails: fc.boolean() }) },
      { weight: 1, arbitrary: fc.constantFrom('crash' as const, 'restart' as const) },
      { weight: 1, arbitrary: fc.record({ deleteNewest: fc.integer({ min: 1, max: 30 }) }) },
      { weight: 1, arbitrary: fc.record({ rename: fc.integer({ min: 1, max: 60 }) }) },
      { weight: 1, arbitrary: fc.record({ deleteOldest: fc.integer({ min: 1, max: 30 }) }) },
    )
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
        using it = new TestIds()
        for (const each of steps) {
          if (each === 'crash') it.crash()
          else if (each === 'restart') it.restart()
          else if ('accept' in each) {
            const accepted = each.accept.map((n) => `txn_${n}`)
            it.commit(accepted, each.fails ? 'fails' : 'ok')
          } else if ('rename' in each) {
            const row = `UPDATE transactions SET transaction_id = 'x' || ? || id WHERE id = ?`
            it.database.client.run(row, [crypto.randomUUID(), each.rename])
            // What is in memory is right again after the next start, however much came in before it.
            it.commit(names(200, 200 + 2 * GENERATION))
            it.restart()
          } else {
            const [count, order] =
              'deleteNewest' in each ? [each.deleteNewest, 'DESC'] : [each.deleteOldest, 'ASC']
            const keys = `SELECT id FROM transactions ORDER BY id ${order} LIMIT ${count}`
            it.database.client.run(`DELETE FROM transactions WHERE id IN (${keys})`)
          }
          it.check()
        }
      }),
      { numRuns: 60, endOnFailure: true },
    )
  })
})
