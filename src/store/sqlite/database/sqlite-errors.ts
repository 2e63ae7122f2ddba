/** SQLite's name of an error, say `SQLITE_BUSY`; undefined where it isn't one of SQLite's. */
export function sqliteCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined
}

/** Whether another connection's lock is the cause. */
export function isLocked(code: string | undefined): boolean {
  return code !== undefined && /^SQLITE_(BUSY|LOCKED)/.test(code)
}

/** Whether the cause can go away by itself: a lock, or a full disk. */
export function isTransient(code: string | undefined): boolean {
  return code === 'SQLITE_FULL' || isLocked(code)
}
