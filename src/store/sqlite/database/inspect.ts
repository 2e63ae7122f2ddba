/**
 * Checks a database before it is used: that it is txhook's, whole, and no newer than this executable.
 * One that fails a check is refused with exit code 4, and not a byte of it is changed.
 */

import type { Database } from 'bun:sqlite'
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { EXIT, StartError } from '../../../exit.ts'
import { pragma, userVersion } from './connection.ts'
import { sizeOf } from './durable-files.ts'
import { APPLICATION_ID, MIGRATIONS } from './migrations.ts'
import { isDamaged } from './sqlite-errors.ts'
import { readCommittedLog } from './wal-file.ts'

/** The header of the file, and that of its first page, the root of the schema's b-tree. */
const HEADER_BYTES = 108
const LEAF_PAGE = 0x0d
/** The page of this byte is never written: SQLite locks there. */
const LOCK_BYTE = 2 ** 30
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
  if (sizeOf(path) === 0) {
    refuseOrphanedLog(path)
    return
  }
  const header = readHeader(path)
  if (header.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw refusal(path, 'is not an SQLite database')
  }
  const pageSizeField = header.readUInt16BE(16)
  const pageSize = pageSizeField === 1 ? 65536 : pageSizeField
  if (pageSize < 512 || (pageSize & (pageSize - 1)) !== 0) {
    throw refusal(path, `is damaged: its header says that a page has ${pageSize} bytes`)
  }
  refuseLackingPages(path, header, pageSize)
  const hasTables = header[100] !== LEAF_PAGE || header.readUInt16BE(103) > 0
  refuseForeign(path, header.readUInt32BE(68), header.readUInt32BE(60), hasTables)
}

/**
 * Refuses a file that is shorter than its database, unless the rest is in the write-ahead log: an
 * interrupted checkpoint leaves a file that the log completes. An interrupted transaction leaves one
 * that its rollback journal completes.
 */
function refuseLackingPages(path: string, header: Buffer, pageSize: number): void {
  if (sizeOf(`${path}-journal`) > 0) return
  const bytes = sizeOf(path)
  const whole = Math.floor(bytes / pageSize)
  const log = readCommittedLog(`${path}-wal`, whole)
  if (log !== undefined && log.pageSize !== pageSize) {
    const both = `a page has ${pageSize} bytes, in the log beside it ${log.pageSize}`
    throw refusal(path, `is damaged, or the log is of another database: ${both}`)
  }
  // The header's page count is valid where the two counters are equal.
  const counted = header.readUInt32BE(24) === header.readUInt32BE(92)
  const pages = log?.pages ?? (counted ? header.readUInt32BE(28) : 1)
  const lockPage = Math.floor(LOCK_BYTE / pageSize) + 1
  for (let page = whole + 1; page <= pages; page++) {
    if (log?.added.has(page) || page === lockPage) continue
    const expected = `${pages * pageSize}, and its log does not have the rest`
    throw refusal(path, `is damaged: it has ${bytes} bytes instead of ${expected}`)
  }
}

/**
 * Refuses a write-ahead log whose database is empty or missing: SQLite would delete the log.
 *
 * @throws StartError with exit code 4
 */
export function refuseOrphanedLog(path: string): void {
  const log = readCommittedLog(`${path}-wal`, 0)
  if (log === undefined) return
  throw refusal(path, `is empty or missing, and there is a log of ${log.pages} pages beside it`)
}

/** Whether there is a write-ahead log, an empty one too. */
export function hasWal(path: string): boolean {
  return existsSync(`${path}-wal`)
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
    if (isDamaged(error)) {
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
