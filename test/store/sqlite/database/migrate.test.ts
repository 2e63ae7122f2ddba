import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  APPLICATION_ID,
  MIGRATIONS,
  type Migration,
  migrate,
} from '../../../../src/store/sqlite/database/migrations.ts'
import { openDatabase } from '../../../../src/store/sqlite/database/open-database.ts'
import { temporaryDirectory } from '../../../support/service.ts'
import { firstValue } from '../../../support/store.ts'

const VERSION = MIGRATIONS.length
const SNAPSHOT = `before-migration-${VERSION}.db`
const ADD_NOTE = 'ALTER TABLE transactions ADD COLUMN remark TEXT'
const ORPHAN = 'INSERT INTO jobs (id, run_at, tries, changed_at) VALUES (99, 0, 0, 0)'

/** An up-to-date database with one transaction and its job in it. */
function database() {
  const directory = temporaryDirectory()
  const opened = openDatabase(directory.path)
  const { client } = opened
  client.run(`INSERT INTO transactions (id, transaction_id, source_account, destination_account,
    amount, currency, status, attempts, created_at) VALUES (1, 'old', 'a', 'b', 1, 'USD', 'PENDING', 0, 0)`)
  client.run('INSERT INTO jobs (id, run_at, tries, changed_at) VALUES (1, 0, 0, 0)')
  return {
    client,
    path: directory.path,
    /** Migrates with further migrations after the real ones. */
    migrate: (...more: string[]) =>
      migrate(client, directory.path, [...MIGRATIONS, ...named(more)]),
    value: (sql: string) => firstValue(client, sql),
    columns: () =>
      firstValue(client, "SELECT group_concat(name) FROM pragma_table_info('transactions')"),
    [Symbol.dispose]() {
      opened.close()
      directory[Symbol.dispose]()
    },
  }
}

function named(statements: string[]): Migration[] {
  return statements.map((sql, index) => ({ tag: `more_${index}`, sql }))
}

/** What holds after any migration, a failed one too. */
function expectSound({ client, value }: ReturnType<typeof database>, version: number): void {
  expect(client.inTransaction).toBe(false)
  expect(value('PRAGMA foreign_keys')).toBe(1)
  expect(() => client.run(ORPHAN)).toThrow('FOREIGN KEY constraint failed')
  expect(value('PRAGMA user_version')).toBe(version)
  expect(value('PRAGMA application_id')).toBe(APPLICATION_ID)
  expect(value('SELECT transaction_id FROM transactions')).toBe('old')
}

describe('a migration', () => {
  test('is applied to an existing database after a snapshot of what it was', () => {
    using old = database()
    expect(old.migrate(ADD_NOTE, "UPDATE transactions SET remark = 'new'")).toEqual([
      'more_0',
      'more_1',
    ])
    expectSound(old, VERSION + 2)
    expect(old.value('SELECT remark FROM transactions')).toBe('new')

    using snapshot = new Database(join(old.path, SNAPSHOT), { readonly: true })
    expect(firstValue(snapshot, 'PRAGMA integrity_check')).toBe('ok')
    expect(firstValue(snapshot, 'PRAGMA user_version')).toBe(VERSION)
    expect(firstValue(snapshot, 'PRAGMA application_id')).toBe(APPLICATION_ID)
    expect(snapshot.query('SELECT * FROM transactions').get()).not.toHaveProperty('remark')
    expect(firstValue(snapshot, 'SELECT transaction_id FROM transactions')).toBe('old')
    expect(readdirSync(old.path)).not.toContain(`${SNAPSHOT}.unfinished`)
  })

  test('takes no snapshot of a new database, and none where there is nothing to do', () => {
    using old = database()
    expect(old.migrate()).toEqual([])
    expect(readdirSync(old.path).filter((name) => name.startsWith('before'))).toEqual([])
  })

  test('replaces snapshots that an earlier try left, half-made or whole', () => {
    using old = database()
    writeFileSync(join(old.path, SNAPSHOT), 'whole')
    writeFileSync(join(old.path, `${SNAPSHOT}.unfinished`), 'half-made')
    old.migrate(ADD_NOTE)
    using snapshot = new Database(join(old.path, SNAPSHOT), { readonly: true })
    expect(firstValue(snapshot, 'SELECT transaction_id FROM transactions')).toBe('old')
  })

  test('does not begin where the snapshot fails', () => {
    using old = database()
    mkdirSync(join(old.path, SNAPSHOT))
    expect(() => old.migrate(ADD_NOTE)).toThrow()
    expectSound(old, VERSION)
    expect(old.columns()).not.toContain('remark')
  })

  test('may rebuild a table that others refer to', () => {
    using old = database()
    old.migrate(`CREATE TABLE new_transactions AS SELECT * FROM transactions;
      DROP TABLE transactions;
      CREATE TABLE transactions (id INTEGER PRIMARY KEY, transaction_id TEXT, extra_column TEXT) STRICT;
      INSERT INTO transactions (id, transaction_id) SELECT id, transaction_id FROM new_transactions;
      DROP TABLE new_transactions`)
    expectSound(old, VERSION + 1)
    expect(old.columns()).toBe('id,transaction_id,extra_column')
    expect(old.value('SELECT count(*) FROM jobs')).toBe(1)
  })

  test('that fails at its last statement is rolled back whole, and can be repeated', () => {
    using old = database()
    const broken = `${ADD_NOTE}; UPDATE transactions SET status = 'FAILED'; INSERT INTO nowhere VALUES (1)`
    expect(() => old.migrate(broken)).toThrow('no such table: nowhere')
    expectSound(old, VERSION)
    expect(old.columns()).not.toContain('remark')
    expect(old.value('SELECT status FROM transactions')).toBe('PENDING')

    expect(old.migrate(ADD_NOTE)).toEqual(['more_0'])
    expectSound(old, VERSION + 1)
  })

  test('that leaves a broken reference is rolled back whole, and can be repeated', () => {
    using old = database()
    const broken = () => old.migrate(`${ADD_NOTE}; ${ORPHAN}`)
    expect(broken).toThrow('The migration more_0 left 1 broken references.')
    expectSound(old, VERSION)
    expect(old.columns()).not.toContain('remark')
    expect(broken).toThrow('broken references')

    expect(old.migrate(ADD_NOTE)).toEqual(['more_0'])
    expectSound(old, VERSION + 1)
  })

  test('that fails leaves those before it in place, and the next try begins with it', () => {
    using old = database()
    expect(() => old.migrate(ADD_NOTE, 'nonsense')).toThrow('syntax error')
    expectSound(old, VERSION + 1)
    expect(old.migrate(ADD_NOTE, "UPDATE transactions SET remark = 'new'")).toEqual(['more_1'])
    expectSound(old, VERSION + 2)
  })

  test('that finds the disk full says so, although SQLite has rolled it back by then', () => {
    using old = database()
    // Room for the table, not for its row: SQLite then ends the whole transaction by itself.
    old.client.run(`PRAGMA max_page_count = ${Number(old.value('PRAGMA page_count')) + 5}`)
    const big = 'CREATE TABLE big (x BLOB) STRICT; INSERT INTO big VALUES (zeroblob(1000000))'
    expect(() => old.migrate(big)).toThrow('database or disk is full')
    expectSound(old, VERSION)
  })
})
