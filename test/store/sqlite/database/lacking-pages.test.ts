import { describe, expect, test } from 'bun:test'
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EXIT, StartError } from '../../../../src/exit.ts'
import { PAGE_BYTES as PAGE } from '../../../../src/store/sqlite/database/connection.ts'
import { openDatabase } from '../../../../src/store/sqlite/database/open-database.ts'
import { bytesOf } from '../../../support/files.ts'
import { abandonDatabase, openElsewhere } from '../../../support/processes.ts'
import { temporaryDirectory } from '../../../support/service.ts'
import { firstValue } from '../../../support/store.ts'

const TABLE = 'CREATE TABLE notes (name TEXT) STRICT'
const insert = (letter: string, length: number) =>
  `INSERT INTO notes VALUES (printf('%.*c', ${length}, '${letter}'))`

/** A database of some 150 pages in the file, and a log beside it with a small change. */
function crashed(directory: string): string {
  const path = join(directory, 'txhook.db')
  const { client, close } = openDatabase(directory)
  client.run(TABLE)
  client.run(insert('a', 100_000))
  close()
  abandonDatabase(path, insert('b', 10))
  expect(statSync(`${path}-wal`).size).toBeGreaterThan(PAGE)
  return path
}

function refusal(dataDir: string): StartError {
  try {
    openDatabase(dataDir).close()
  } catch (error) {
    if (error instanceof StartError) return error
    throw error
  }
  throw new Error('The database was not refused.')
}

/** The log that a crash leaves beside another database of ours, which has these pages more. */
function logOfAnother(bytes: number, pageSize = PAGE): Buffer {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'txhook.db')
  openDatabase(directory.path).close()
  const pages = ['PRAGMA journal_mode = DELETE', `PRAGMA page_size = ${pageSize}`, 'VACUUM']
  const log = ['PRAGMA journal_mode = WAL', TABLE, insert('x', bytes)]
  abandonDatabase(path, ...pages, ...log, 'PRAGMA wal_checkpoint(PASSIVE)', insert('y', 10))
  return readFileSync(`${path}-wal`)
}

describe('a file whose rest is not in its log is refused with code 4 and left untouched:', () => {
  test.each<[string, (path: string) => void]>([
    ['cut to 60 %', (path) => truncateSync(path, Math.floor(statSync(path).size * 0.6))],
    ['cut to a page', (path) => truncateSync(path, PAGE)],
    ['cut inside a page', (path) => truncateSync(path, statSync(path).size - 100)],
    ['without its last page', (path) => truncateSync(path, statSync(path).size - PAGE)],
    ['empty beside its log', (path) => truncateSync(path, 0)],
    ['missing beside its log', (path) => rmSync(path)],
    ['its header cut off', (path) => truncateSync(path, 50)],
    [
      'its header overwritten',
      (path) => writeFileSync(path, readFileSync(path).fill(0xff, 16, 100)),
    ],
    [
      'without its last page, and a byte of the log is wrong',
      (path) => {
        truncateSync(path, statSync(path).size - PAGE)
        const log = readFileSync(`${path}-wal`)
        log.writeUInt8(log.readUInt8(40 + PAGE / 2) ^ 1, 40 + PAGE / 2)
        writeFileSync(`${path}-wal`, log)
      },
    ],
    [
      'with the log of another database that has more pages',
      (path) => writeFileSync(`${path}-wal`, logOfAnother(400_000)),
    ],
    [
      'with the log of another database whose pages have another size',
      (path) => writeFileSync(`${path}-wal`, logOfAnother(10, 2 * PAGE)),
    ],
  ])('%s', async (_, damage) => {
    using directory = temporaryDirectory()
    const path = crashed(directory.path)
    damage(path)
    const before = bytesOf(path)
    const error = refusal(directory.path)
    expect(error.exitCode).toBe(EXIT.foreignDatabase)
    expect(error.message).toEndWith('It is left untouched.')
    Bun.gc(true)
    expect(bytesOf(path)).toEqual(before)
    // Nor is it changed by a whole process, to its end.
    expect((await openElsewhere(directory.path)).refused).toBe(EXIT.foreignDatabase)
    expect(bytesOf(path)).toEqual(before)
  })
})

describe('a file that its log completes opens whole', () => {
  const rows = (letter: string) => `SELECT count(*) FROM notes WHERE name LIKE '${letter}%'`

  /** A database whose last pages are in its log, and in the file only as far as it is cut. */
  function grown(directory: string): { path: string; before: number; after: number } {
    const path = join(directory, 'txhook.db')
    const { client, close } = openDatabase(directory)
    client.run(TABLE)
    close()
    const before = statSync(path).size
    const more = Array.from({ length: 10 }, () => insert('a', 3_000))
    abandonDatabase(path, ...more, 'PRAGMA wal_checkpoint(PASSIVE)')
    return { path, before, after: statSync(path).size }
  }

  test.each([
    ['at its old end', (before: number) => before],
    ['in the middle of its first new page', (before: number) => before + 100],
    ['in the middle of its last page', (_before: number, after: number) => after - 100],
  ])('cut %s', (_, where) => {
    using directory = temporaryDirectory()
    const { path, before, after } = grown(directory.path)
    expect(after).toBeGreaterThan(before + 5 * PAGE)
    truncateSync(path, where(before, after))
    const { client, close } = openDatabase(directory.path)
    expect(firstValue(client, 'PRAGMA integrity_check')).toBe('ok')
    expect(firstValue(client, rows('a'))).toBe(10)
    close()
  })

  test('but is refused where the log lacks one of its pages', () => {
    using directory = temporaryDirectory()
    const { path, before } = grown(directory.path)
    truncateSync(path, before - 2 * PAGE)
    expect(refusal(directory.path).message).toContain('its log does not have the rest')
  })

  test('also where it grew beyond the page that SQLite never writes, at 1 GiB', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    const { client, close } = openDatabase(directory.path)
    client.run(TABLE)
    close()
    // A file with a hole, so that the next page but one is the one that is never written.
    const pages = 2 ** 30 / PAGE - 1
    const file = readFileSync(path)
    file.writeUInt32BE(pages, 28)
    writeFileSync(path, file)
    truncateSync(path, pages * PAGE)
    abandonDatabase(path, insert('a', 30_000))
    expect(statSync(path).size).toBe(pages * PAGE)
    const again = openDatabase(directory.path)
    expect(firstValue(again.client, rows('a'))).toBe(1)
    expect(firstValue(again.client, 'PRAGMA page_count')).toBeGreaterThan(pages + 5)
    again.close()
  })
})

test('an empty file beside a log without a commit is none, and a database is made', () => {
  using directory = temporaryDirectory()
  const path = crashed(directory.path)
  truncateSync(path, 0)
  truncateSync(`${path}-wal`, 32)
  openDatabase(directory.path).close()
})
