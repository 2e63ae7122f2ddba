import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EXIT, StartError } from '../../../../src/exit.ts'
import { APPLICATION_ID, MIGRATIONS } from '../../../../src/store/sqlite/database/migrations.ts'
import { openDatabase } from '../../../../src/store/sqlite/database/open-database.ts'
import { bytesOf } from '../../../support/files.ts'
import { abandonDatabase, openElsewhere } from '../../../support/processes.ts'
import { temporaryDirectory } from '../../../support/service.ts'

const TABLE = 'CREATE TABLE theirs (x)'
const NEWER = `PRAGMA user_version = ${MIGRATIONS.length + 1}`
const OURS = `PRAGMA application_id = ${APPLICATION_ID}`

/** Makes a database as another program does, closed and without a log. */
function make(...statements: string[]): (path: string) => void {
  return (path) => {
    using database = new Database(path)
    for (const statement of statements) database.run(statement)
  }
}

/** A database of ours, changed in its bytes. */
function damaged(change: (bytes: Buffer) => Uint8Array): (path: string) => void {
  return (path) => {
    openDatabase(join(path, '..')).close()
    writeFileSync(path, change(readFileSync(path)))
  }
}

function withPageSize(field: number): (path: string) => void {
  return damaged((bytes) => {
    bytes.writeUInt16BE(field, 16)
    return bytes
  })
}

function refusal(dataDir: string): StartError {
  try {
    openDatabase(dataDir)
  } catch (error) {
    if (error instanceof StartError) return error
    throw error
  }
  throw new Error('The database was not refused.')
}

describe('refused with code 4 and left untouched:', () => {
  test.each<[string, (path: string) => void, string]>([
    ['a short text', (path) => writeFileSync(path, 'x'), 'is not an SQLite database'],
    ['a text', (path) => writeFileSync(path, 'text\n'.repeat(9999)), 'is not an SQLite database'],
    ['zeros', (path) => writeFileSync(path, Buffer.alloc(8192)), 'is not an SQLite database'],
    ['a header that is cut off', damaged((bytes) => bytes.subarray(0, 50)), 'is damaged'],
    ['half a database', damaged((bytes) => bytes.subarray(0, bytes.length / 2)), 'is damaged'],
    ['a database without its last byte', damaged((bytes) => bytes.subarray(0, -1)), 'is damaged'],
    ['a page size of 0', withPageSize(0), 'is damaged'],
    ['a page size that is no power of two', withPageSize(4095), 'is damaged'],
    ['a page size that is too small', withPageSize(256), 'is damaged'],
    ['a schema overwritten', damaged((bytes) => bytes.fill(0xff, 100, 4096)), 'is damaged'],
    ['another program’s tables', make(TABLE), 'another program'],
    ['another program’s index', make(TABLE, 'CREATE INDEX i ON theirs (x)'), 'another program'],
    ['another program’s many tables', make('BEGIN', ...tables(100), 'COMMIT'), 'another program'],
    ['another program’s id', make('PRAGMA application_id = 7'), 'another program'],
    [
      'another program’s id on tables',
      make(TABLE, 'PRAGMA application_id = -7'),
      'another program',
    ],
    ['another program’s version', make('PRAGMA user_version = 1'), 'another program'],
    ['another program’s log mode', make('PRAGMA journal_mode = WAL', TABLE), 'another program'],
    ['a newer one of ours', make(OURS, NEWER, TABLE), 'is newer than this executable'],
  ])('%s', (_, put, why) => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    put(path)
    const before = bytesOf(path)

    const error = refusal(directory.path)
    expect(error.exitCode).toBe(EXIT.foreignDatabase)
    expect(error.message).toContain(why)
    expect(error.message).toEndWith('It is left untouched.')
    // What the garbage collector closes must not write either.
    Bun.gc(true)
    expect(bytesOf(path)).toEqual(before)
  })

  test.each([
    ['another program’s tables', [TABLE]],
    ['another program’s id', ['PRAGMA application_id = 7']],
    ['a newer one of ours', [OURS, NEWER, TABLE]],
  ])('%s, known only from the log beside the file', async (_, statements) => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    abandonDatabase(path, 'PRAGMA journal_mode = WAL', ...statements)
    const before = bytesOf(path)
    expect(before[1]).toMatch(/^[1-9]/)

    expect(refusal(directory.path).exitCode).toBe(EXIT.foreignDatabase)
    Bun.gc(true)
    expect(bytesOf(path)).toEqual(before)
    // Nor by a whole process, to its end: Bun closes at the exit what is still open.
    expect((await openElsewhere(directory.path)).refused).toBe(EXIT.foreignDatabase)
    expect(bytesOf(path)).toEqual(before)
  })

  test('another program’s tables with the log of a later change beside them', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    make(TABLE)(path)
    abandonDatabase(path, 'PRAGMA journal_mode = WAL', 'INSERT INTO theirs VALUES (1)')
    const before = bytesOf(path)
    expect(refusal(directory.path).exitCode).toBe(EXIT.foreignDatabase)
    Bun.gc(true)
    expect(bytesOf(path)).toEqual(before)
  })

  test('another program’s tables with a hot journal beside them', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    make(TABLE, "INSERT INTO theirs VALUES (printf('%.*c', 100000, 'a'))")(path)
    const change = "UPDATE theirs SET x = printf('%.*c', 100000, 'b')"
    abandonDatabase(path, 'PRAGMA cache_size = 2', 'BEGIN', change)
    const before = bytesOf(path)
    expect(before[2]).toMatch(/^[1-9]/)
    expect(refusal(directory.path).exitCode).toBe(EXIT.foreignDatabase)
    Bun.gc(true)
    expect(bytesOf(path)).toEqual(before)
  })

  test('half a database with an empty log beside it', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    openDatabase(directory.path).close()
    truncateSync(path, 8192)
    writeFileSync(`${path}-wal`, '')
    expect(refusal(directory.path).exitCode).toBe(EXIT.foreignDatabase)
    expect(readFileSync(path).length).toBe(8192)
  })
})

describe('taken for no database yet:', () => {
  test.each<[string, (path: string) => void]>([
    ['no file', () => {}],
    ['an empty file', (path) => writeFileSync(path, '')],
    ['a database without tables', make('VACUUM')],
    ['a database without tables in log mode', make('PRAGMA journal_mode = WAL')],
    ['a database whose tables are gone', make(TABLE, 'DROP TABLE theirs')],
    [
      'one that a crash left before the first migration',
      (path) => {
        abandonDatabase(path, 'PRAGMA journal_mode = WAL', 'BEGIN IMMEDIATE', TABLE)
      },
    ],
  ])('%s', (_, put) => {
    using directory = temporaryDirectory()
    put(join(directory.path, 'txhook.db'))
    const { migrated, close } = openDatabase(directory.path)
    expect(migrated).toEqual(MIGRATIONS.map(({ tag }) => tag))
    close()
  })

  test('a file that a crash left after the migrations, before the log was copied, is ours', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    const sql = MIGRATIONS.map((migration) => migration.sql)
    const version = `PRAGMA user_version = ${MIGRATIONS.length}`
    abandonDatabase(path, 'PRAGMA journal_mode = WAL', 'BEGIN', ...sql, OURS, version, 'COMMIT')
    const { migrated, close } = openDatabase(directory.path)
    expect(migrated).toEqual([])
    close()
  })
})

function tables(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `CREATE TABLE t${i} (${'x'.repeat(50)})`)
}
