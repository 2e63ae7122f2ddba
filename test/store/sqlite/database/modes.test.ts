import { expect, test } from 'bun:test'
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MIGRATIONS, migrate } from '../../../../src/store/sqlite/database/migrations.ts'
import { openDatabase } from '../../../../src/store/sqlite/database/open-database.ts'
import { temporaryDirectory } from '../../../support/service.ts'
import { type TestStore, testStore } from '../../../support/store.ts'

/** The names in a directory with their modes, those that are open to others marked. */
function modesOf(directory: string): Record<string, string> {
  const mode = (name: string) => (statSync(join(directory, name)).mode & 0o777).toString(8)
  return Object.fromEntries(readdirSync(directory).map((name) => [name, mode(name)]))
}

const PRIVATE = {
  'txhook.db': '600',
  'txhook.db-shm': '600',
  'txhook.db-wal': '600',
  'txhook.lock': '600',
}

const onPosix = test.skipIf(process.platform === 'win32')

/** As in a terminal: others may read what a program makes, unless it says otherwise. */
function usualMask(): Disposable {
  const before = process.umask(0o022)
  return { [Symbol.dispose]: () => void process.umask(before) }
}

onPosix('all that is made in a directory that others can read is for this user alone', async () => {
  using _ = usualMask()
  using directory = temporaryDirectory()
  const dataDir = join(directory.path, 'data')
  mkdirSync(dataDir, { mode: 0o755 })
  await using store = testStore({ dataDir })
  await store.acceptAll('a')
  expect(modesOf(dataDir)).toEqual(PRIVATE)
  await store.close()
  expect(modesOf(dataDir)).toEqual(PRIVATE)
})

onPosix('so are the directories that are made, and the copy before a migration', () => {
  using _ = usualMask()
  using directory = temporaryDirectory()
  const dataDir = join(directory.path, 'made/too')
  const { client, close } = openDatabase(dataDir)
  migrate(client, dataDir, [...MIGRATIONS, { tag: 'more', sql: 'CREATE TABLE more (x)' }])
  close()
  expect(modesOf(join(directory.path, 'made'))).toEqual({ too: '700' })
  expect(modesOf(directory.path)).toEqual({ made: '700' })
  expect(modesOf(dataDir)).toEqual({
    ...PRIVATE,
    [`before-migration-${MIGRATIONS.length}.db`]: '600',
  })
})

onPosix('what others can read is closed to them, which is logged', async () => {
  using _ = usualMask()
  using directory = temporaryDirectory()
  openDatabase(directory.path).close()
  const copy = 'before-migration-1.db'
  writeFileSync(join(directory.path, copy), '')
  writeFileSync(join(directory.path, 'notes'), '')
  for (const name of readdirSync(directory.path)) chmodSync(join(directory.path, name), 0o644)
  const logged = ({ log }: TestStore) =>
    log.entries.some(({ message }) => message.startsWith('others can no longer read'))
  {
    await using store = testStore({ dataDir: directory.path })
    expect(modesOf(directory.path)).toEqual({ ...PRIVATE, [copy]: '600', notes: '644' })
    expect(logged(store)).toBe(true)
  }
  await using again = testStore({ dataDir: directory.path })
  expect(logged(again)).toBe(false)
})
