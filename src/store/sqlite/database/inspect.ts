/**
 * Checks a database before it is used: that it is txhook's, whole, and no newer than this executable.
 * One that fails a check is refused with exit code 4, and not a byte of it is changed.
 */

import type { Database } from 'bun:sqlite'
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { EXIT, StartError } from '../../../exit.ts'
import { pragma, userVersion } from './connection.ts'
import { APPLICATION_ID, MIGRATIONS } from './migrations.ts'
import { sqliteCode } from './sqlite-errors.ts'

/** The header of the file, and that of its first page, the root of the schema's b-tree. */
const HEADER_BYTES = 108
const LEAF_PAGE = 0x0d
const MAGIC = 'SQLite format 3\0'

/**
 * Checks the file by its first bytes and its size, without SQLite, which may write when it opens a
 * database. A file that is missing or empty passes.
 *
 * The layout is that of https://www.sqlite.org/fileformat.html#the_database_header.
 *
 * @throws StartError with exit code 4
 */
export function inspectFile(path: string): void {
  const bytes = sizeOf(path)
  if (bytes === 0) return
  const header = readHeader(path)
  if (header.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw refusal(path, 'is not an SQLite database')
  }
  const pageSizeField = header.readUInt16BE(16)
  const pageSize = pageSizeField === 1 ? 65536 : pageSizeField
  if (pageSize < 512 || (pageSize & (pageSize - 1)) !== 0) {
    throw refusal(path, `is damaged: its header says that a page has ${pageSize} bytes`)
  }
  // The page count is valid where the two counters are equal. An interrupted checkpoint leaves a
  // file that its write-ahead log completes, an interrupted transaction one that its rollback
  // journal completes.
  const counted = header.readUInt32BE(24) === header.readUInt32BE(92)
  const pages = counted ? header.readUInt32BE(28) : 1
  if (!hasWal(path) && sizeOf(`${path}-journal`) === 0 && bytes < pages * pageSize) {
    const expected = pages * pageSize
    throw refusal(path, `is damaged: it has ${bytes} bytes, and its header says ${expected}`)
  }
  const hasTables = header[100] !== LEAF_PAGE || header.readUInt16BE(103) > 0
  refuseForeign(path, header.readUInt32BE(68), header.readUInt32BE(60), hasTables)
}

/** Whether there is a write-ahead log: the file is complete only with it. */
export function hasWal(path: string): boolean {
  return sizeOf(`${path}-wal`) > 0
}

/**
 * Checks an open database by what SQLite reads of it, its write-ahead log included.
 *
 * @throws StartError with exit code 4, or 1 where it can't be read for another reason
 */
export function inspectDatabase(path: string, database: Database): void {
  try {
    const { application_id } = pragma<{ application_id: number }>(database, 'application_id')
    // Makes SQLite read the whole schema, so that damage is found here and not by a webhook.
    const hasTables = database.query('SELECT 1 FROM sqlite_schema LIMIT 1').get() !== null
    refuseForeign(path, application_id, userVersion(database), hasTables)
  } catch (error) {
    if (/^SQLITE_(CORRUPT|NOTADB)/.test(sqliteCode(error) ?? '')) {
      throw refusal(path, `is damaged: ${(error as Error).message}`)
    }
    throw error
  }
}

function refuseForeign(
  path: string,
  applicationId: number,
  version: number,
  hasTables: boolean,
): void {
  if (applicationId === 0 && version === 0 && !hasTables) return
  if (applicationId !== APPLICATION_ID) throw refusal(path, 'is a database of another program')
  if (version === 0)
    throw refusal(path, 'is damaged: its header says that no migration was applied')
  if (version > MIGRATIONS.length) {
    const known = `it has ${version} migrations, this executable ${MIGRATIONS.length}`
    throw refusal(path, `is newer than this executable: ${known}`)
  }
}

function refusal(path: string, what: string): StartError {
  return new StartError(EXIT.foreignDatabase, `${path} ${what}. It is left untouched.`)
}

function readHeader(path: string): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  const file = openSync(path, 'r')
  try {
    readSync(file, header, 0, HEADER_BYTES, 0)
  } finally {
    closeSync(file)
  }
  return header
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
