/**
 * The look at a database before it is trusted: whose is it, is it whole, is it of an age that this
 * executable knows? What doesn't pass is refused with exit code 4 and not a byte of it is changed.
 */

import type { Database } from 'bun:sqlite'
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { EXIT, StartError } from '../../../exit.ts'
import { pragma, userVersion } from './connection.ts'
import { APPLICATION_ID, MIGRATIONS } from './migrations.ts'
import { sqliteCode } from './sqlite-errors.ts'

/** The file's header, and after it that of its first page, the root of the schema's tree. */
const HEADER_BYTES = 108
const LEAF_PAGE = 0x0d
const MAGIC = 'SQLite format 3\0'

/**
 * Judges the file by its first bytes and its size, without SQLite: opening a database there may
 * already write to it. A file that is missing or empty passes: it is no database yet.
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
    throw refusal(path, `is damaged: it says that its pages have ${pageSize} bytes`)
  }
  // The page count holds only if the last writer kept it, which the two counters tell. And a
  // checkpoint that was cut off leaves a file that only its write-ahead log completes, as a
  // transaction that was cut off leaves one that its rollback journal does.
  const counted = header.readUInt32BE(24) === header.readUInt32BE(92)
  const pages = counted ? header.readUInt32BE(28) : 1
  if (!hasLog(path) && sizeOf(`${path}-journal`) === 0 && bytes < pages * pageSize) {
    const expected = pages * pageSize
    throw refusal(path, `is damaged: it has ${bytes} bytes where ${expected} belong`)
  }
  const hasTables = header[100] !== LEAF_PAGE || header.readUInt16BE(103) > 0
  refuseForeign(path, header.readUInt32BE(68), header.readUInt32BE(60), hasTables)
}

/** Whether a write-ahead log lies beside the file: only with it is the file what was committed. */
export function hasLog(path: string): boolean {
  return sizeOf(`${path}-wal`) > 0
}

/**
 * Judges an opened database by what SQLite reads in it, its write-ahead log included.
 *
 * @throws StartError with exit code 4, or 1 where it can't be read for another reason
 */
export function inspectDatabase(path: string, database: Database): void {
  try {
    const { application_id } = pragma<{ application_id: number }>(database, 'application_id')
    // Makes SQLite read the whole schema, so that damage shows here and not at the first webhook.
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
  if (version === 0) throw refusal(path, 'is damaged: it says that it has had no migrations')
  if (version > MIGRATIONS.length) {
    const known = `it has had ${version} migrations, and this one knows ${MIGRATIONS.length}`
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
