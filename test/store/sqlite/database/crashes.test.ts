import { describe, expect, test } from 'bun:test'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PAGE_BYTES } from '../../../../src/store/sqlite/database/connection.ts'
import { openDatabase } from '../../../../src/store/sqlite/database/open-database.ts'
import { abandonDatabase } from '../../../support/processes.ts'
import { temporaryDirectory } from '../../../support/service.ts'
import { firstValue } from '../../../support/store.ts'

describe('a database that a crash left', () => {
  test('with an unfinished log opens with what was committed, and without what was not', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    openDatabase(directory.path).close()
    abandonDatabase(
      path,
      'PRAGMA cache_size = 2',
      'CREATE TABLE notes (name TEXT) STRICT',
      "INSERT INTO notes VALUES ('committed')",
      'BEGIN',
      "INSERT INTO notes VALUES (printf('%.*c', 1000000, 'x'))",
    )
    expect(readFileSync(`${path}-wal`).length).toBeGreaterThan(100_000)
    const { client, close } = openDatabase(directory.path)
    expect(client.query('SELECT name FROM notes').values()).toEqual([['committed']])
    close()
  })

  test('with a log that is torn at its end opens with all that came before', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    openDatabase(directory.path).close()
    const insert = (name: string) => `INSERT INTO notes VALUES ('${name}')`
    const table = 'CREATE TABLE notes (name TEXT) STRICT'
    abandonDatabase(path, table, insert('first'), insert('second'))
    const log = readFileSync(`${path}-wal`)
    writeFileSync(`${path}-wal`, log.subarray(0, log.length - 100))
    const { client, close } = openDatabase(directory.path)
    expect(client.query('SELECT name FROM notes').values()).toEqual([['first']])
    close()
  })

  test('with a file cut off that its log completes opens whole', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    openDatabase(directory.path).close()
    const before = readFileSync(path)
    const table = 'CREATE TABLE notes (name TEXT) STRICT'
    const insert = "INSERT INTO notes VALUES (printf('%.*c', 100000, 'a'))"
    abandonDatabase(path, table, insert, 'PRAGMA wal_checkpoint(PASSIVE)')
    // A power cut in the middle of that checkpoint: its first page got there, the new ones didn't.
    const file = readFileSync(path)
    expect(file.readUInt32BE(28) * PAGE_BYTES).toBe(file.length)
    writeFileSync(path, file.subarray(0, before.length))
    const { client, close } = openDatabase(directory.path)
    expect(firstValue(client, 'PRAGMA integrity_check')).toBe('ok')
    expect(firstValue(client, 'SELECT length(name) FROM notes')).toBe(100_000)
    close()
  })

  test.each([
    ['', 0],
    [' and without the file’s last page', PAGE_BYTES],
  ])('with a hot rollback journal%s opens as it was before', (_, bytesLost) => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    const first = openDatabase(directory.path)
    first.client.run('CREATE TABLE notes (name TEXT) STRICT')
    const rows = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)'
    first.client.run(`${rows} INSERT INTO notes SELECT printf('%.*c', 3000, 'a') FROM n`)
    first.close()
    const { length } = readFileSync(path)
    const change = "UPDATE notes SET name = printf('%.*c', 3000, 'b') WHERE rowid"
    abandonDatabase(
      path,
      'PRAGMA journal_mode = DELETE',
      'PRAGMA cache_size = 2',
      'BEGIN',
      `${change} > 90`,
      `${change} <= 90`,
    )
    // Without the journal the file would be neither the old one nor the new one.
    expect(existsSync(`${path}-journal`)).toBe(true)
    const file = readFileSync(path)
    expect(file.includes('aaaa') && file.includes('bbbb')).toBe(true)
    writeFileSync(path, file.subarray(0, length - bytesLost))
    const { client, close } = openDatabase(directory.path)
    expect(firstValue(client, 'PRAGMA integrity_check')).toBe('ok')
    const asBefore = "SELECT count(*) FROM notes WHERE name = printf('%.*c', 3000, 'a')"
    expect(firstValue(client, asBefore)).toBe(100)
    expect(firstValue(client, 'PRAGMA journal_mode')).toBe('wal')
    close()
  })
})
