/**
 * Reads a write-ahead log without SQLite, which writes when it opens a database. The layout is that
 * of https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
 */

import { closeSync, openSync, readSync } from 'node:fs'

/** What a log has committed. */
export type CommittedLog = {
  pageSize: number
  /** How many pages the database has with this log. */
  pages: number
  /** Which of those above a number of pages are in the log. */
  added: ReadonlySet<number>
}

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24

/** Says that the checksums are over little-endian numbers, as on all machines that Bun runs on. */
const MAGIC = 0x377f0682

/** Read at once; a log has up to some 30,000. */
const FRAMES = 256

type Checksum = readonly [number, number]

/**
 * Reads a log up to the last commit that is whole: what follows a frame with other salts or a wrong
 * checksum is of an earlier log, or was torn by a crash.
 *
 * @param above `added` has only pages with higher numbers
 * @returns undefined where nothing is committed, or there is no such file
 */
export function readCommittedLog(path: string, above: number): CommittedLog | undefined {
  const file = openIfThere(path)
  if (file === undefined) return undefined
  try {
    return scan(file, above)
  } finally {
    closeSync(file)
  }
}

function scan(file: number, above: number): CommittedLog | undefined {
  const header = read(file, HEADER_BYTES, 0)
  if (header.byteLength < HEADER_BYTES) return undefined
  if (header.getUint32(0) !== MAGIC) return undefined
  const pageSize = header.getUint32(8)
  if (pageSize < 512 || pageSize > 65536 || (pageSize & (pageSize - 1)) !== 0) return undefined
  let checksum = sum(header, 0, 24, [0, 0])
  if (!isAt(header, 24, checksum)) return undefined

  const salts: Checksum = [header.getUint32(16), header.getUint32(20)]
  const frameBytes = FRAME_HEADER_BYTES + pageSize
  const added = new Set<number>()
  let uncommitted: number[] = []
  let pages = 0
  for (let position = HEADER_BYTES; ; position += FRAMES * frameBytes) {
    const chunk = read(file, FRAMES * frameBytes, position)
    for (let at = 0; at + frameBytes <= chunk.byteLength; at += frameBytes) {
      checksum = sum(chunk, at, 8, checksum)
      checksum = sum(chunk, at + FRAME_HEADER_BYTES, pageSize, checksum)
      const page = chunk.getUint32(at)
      const valid = page > 0 && isAt(chunk, at + 8, salts) && isAt(chunk, at + 16, checksum)
      if (!valid) return pages > 0 ? { pageSize, pages, added } : undefined
      if (page > above) uncommitted.push(page)
      const committed = chunk.getUint32(at + 4)
      if (committed === 0) continue
      pages = committed
      for (const number of uncommitted) added.add(number)
      uncommitted = []
    }
    if (chunk.byteLength < FRAMES * frameBytes) {
      return pages > 0 ? { pageSize, pages, added } : undefined
    }
  }
}

/** Continues a checksum over a number of bytes that is a multiple of 8. */
function sum(bytes: DataView, offset: number, length: number, [first, second]: Checksum): Checksum {
  let [a, b] = [first, second]
  for (let at = offset; at < offset + length; at += 8) {
    a = (a + bytes.getUint32(at, true) + b) >>> 0
    b = (b + bytes.getUint32(at + 4, true) + a) >>> 0
  }
  return [a, b]
}

function isAt(bytes: DataView, offset: number, [first, second]: Checksum): boolean {
  return bytes.getUint32(offset) === first && bytes.getUint32(offset + 4) === second
}

/** Fewer bytes at the end of the file. */
function read(file: number, bytes: number, position: number): DataView {
  const buffer = new ArrayBuffer(bytes)
  let length = 0
  for (let count = -1; count !== 0 && length < bytes; length += count) {
    count = readSync(file, new Uint8Array(buffer, length), 0, bytes - length, position + length)
  }
  return new DataView(buffer, 0, length)
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
