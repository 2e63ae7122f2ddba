import { InvalidCursor } from '../store.ts'

/** The cursor of a page that has the rows with keys below this one. */
export function cursorBefore(key: number): string {
  return Buffer.from(String(key)).toString('base64url')
}

/**
 * The key below which the rows of a page are; without a cursor, that of all rows.
 *
 * @throws InvalidCursor
 */
export function keyBefore(cursor: string | undefined): number {
  if (cursor === undefined) return Number.MAX_SAFE_INTEGER
  const key = /^[1-9][0-9]{0,15}$/.exec(Buffer.from(cursor, 'base64url').toString())?.[0]
  if (key === undefined || cursorBefore(Number(key)) !== cursor) throw new InvalidCursor()
  return Number(key)
}
