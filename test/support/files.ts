import { existsSync, readFileSync } from 'node:fs'

/** A database, its log and its journal, each by size and hash of all its bytes. */
export function bytesOf(path: string): (string | undefined)[] {
  return [path, `${path}-wal`, `${path}-journal`].map((file) => {
    if (!existsSync(file)) return undefined
    const bytes = readFileSync(file)
    return `${bytes.length} bytes, ${Bun.hash(bytes)}`
  })
}
