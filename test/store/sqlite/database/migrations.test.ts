import { describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  type DrizzleSQLiteSnapshotJSON,
  generateSQLiteDrizzleJson,
  generateSQLiteMigration,
} from 'drizzle-kit/api'
import { is } from 'drizzle-orm'
import { getTableConfig, integer, SQLiteTable, sqliteTable } from 'drizzle-orm/sqlite-core'
import { APPLICATION_ID, MIGRATIONS } from '../../../../src/store/sqlite/database/migrations.ts'
import * as schema from '../../../../src/store/sqlite/schema.ts'
import { type Row, rowsOf, testStore } from '../../../support/store.ts'

const DRIZZLE = join(import.meta.dir, '../../../../drizzle')
const read = (name: string) => Bun.file(join(DRIZZLE, name))
const journal = async () => (await read('meta/_journal.json').json()) as { entries: JournalEntry[] }
type JournalEntry = { idx: number; tag: string }

describe('the migrations in drizzle/', () => {
  test('drizzle-kit finds nothing to generate between the newest snapshot and the schema', async () => {
    const { idx } = (await journal()).entries.at(-1) as JournalEntry
    const name = `meta/${String(idx).padStart(4, '0')}_snapshot.json`
    const snapshot = (await read(name).json()) as DrizzleSQLiteSnapshotJSON
    const missing = async (imports: Record<string, unknown>) =>
      generateSQLiteMigration(snapshot, await generateSQLiteDrizzleJson(imports, snapshot.id))

    expect(await missing(schema)).toEqual([])
    const another = sqliteTable('another', { id: integer('id') })
    expect(await missing({ ...schema, another })).toHaveLength(1)
  })

  test('every entry of the journal is embedded, in its order and with its SQL', async () => {
    const tags = (await journal()).entries.map(({ tag }) => tag)
    expect(MIGRATIONS.map(({ tag }) => tag)).toEqual(tags)
    for (const { tag, sql } of MIGRATIONS) expect(sql).toBe(await read(`${tag}.sql`).text())
    const files = readdirSync(DRIZZLE).filter((name) => name.endsWith('.sql'))
    expect(files.sort()).toEqual(tags.map((tag) => `${tag}.sql`).sort())
  })
})

const WITHOUT_ROWID = new Set(['attempts', 'ids'])

describe('a migrated database', () => {
  const tables = Object.values<unknown>(schema).filter((value) => is(value, SQLiteTable))
  const configs = tables.map(getTableConfig)

  test('has the tables of the schema and no other, all of them STRICT', async () => {
    await using store = testStore()
    const found = rowsOf(store.dataDir, 'PRAGMA main.table_list').filter(
      ({ name }) => name !== 'sqlite_schema',
    )
    expect(
      found.map(({ name, type, strict, wr }) => ({ name, type, strict, wr })).sort(byName),
    ).toEqual(
      configs
        .map(({ name }) => ({
          name,
          type: 'table',
          strict: 1,
          wr: WITHOUT_ROWID.has(name) ? 1 : 0,
        }))
        .sort(byName),
    )
  })

  test.each(configs.map((config) => [config.name, config] as const))(
    '%s has the columns, keys and indexes of the schema',
    async (table, { columns, primaryKeys, indexes, foreignKeys }) => {
      await using store = testStore()
      const pragma = (name: string, of = table) => rowsOf(store.dataDir, `PRAGMA ${name}(${of})`)
      const keys = primaryKeys[0]?.columns.map(({ name }) => name)
      const key = keys ?? columns.filter(({ primary }) => primary).map(({ name }) => name)
      const columnNames = (index: unknown) =>
        pragma('index_info', String(index)).map(({ name }) => name)

      expect(
        pragma('table_xinfo').map(({ name, type, notnull, pk, dflt_value, hidden }) => {
          return { name, type: String(type).toLowerCase(), notnull, pk, dflt_value, hidden }
        }),
      ).toEqual(
        columns.map((column) => ({
          name: column.name,
          type: column.getSQLType(),
          notnull: Number(column.notNull),
          pk: key.indexOf(column.name) + 1,
          dflt_value: null,
          hidden: 0,
        })),
      )
      expect(
        pragma('index_list')
          .filter(({ origin }) => origin !== 'pk')
          .map(({ name, unique, partial }) => ({ name, unique, partial, on: columnNames(name) }))
          .sort(byName),
      ).toEqual(
        [
          ...indexes.map(({ config }) => ({
            name: config.name,
            unique: Number(config.unique),
            partial: Number(config.where !== undefined),
            on: config.columns.map((column) => ('name' in column ? column.name : '')),
          })),
          ...columns
            .filter(({ isUnique }) => isUnique)
            .map(({ uniqueName, name }) => ({
              name: uniqueName,
              unique: 1,
              partial: 0,
              on: [name],
            })),
        ].sort(byName),
      )
      expect(pragma('foreign_key_list').map(({ from, table, to }) => [from, table, to])).toEqual(
        foreignKeys.map((foreign) => {
          const { columns, foreignTable, foreignColumns } = foreign.reference()
          return [columns[0]?.name, getTableConfig(foreignTable).name, foreignColumns[0]?.name]
        }),
      )
    },
  )

  test('says whose it is and how many migrations it has had', async () => {
    await using store = testStore()
    const migrations = MIGRATIONS.map(({ tag }) => tag)
    expect(store.log.entries).toEqual([
      { level: 'info', message: 'migrated the database', fields: { migrations } },
    ])
    expect(rowsOf(store.dataDir, 'PRAGMA application_id')).toEqual([
      { application_id: APPLICATION_ID },
    ])
    expect(rowsOf(store.dataDir, 'PRAGMA user_version')).toEqual([
      { user_version: MIGRATIONS.length },
    ])
  })
})

function byName({ name: a }: Row, { name: b }: Row): number {
  return String(a) < String(b) ? -1 : 1
}
