import { describe, expect, test } from 'bun:test'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from '../../../support/service.ts'
import {
  reasonOf,
  rowsOf,
  sentTransaction,
  type TestStore,
  testStore,
} from '../../../support/store.ts'

const transaction = (n: number) => sentTransaction({ transactionId: `txn_${n}` })

/** Takes transactions until one is refused, as time passes. Returns how long that took, in ms. */
async function acceptUntilRefused(store: TestStore): Promise<number> {
  for (let n = 1; n <= 40; n++) {
    const reason = await reasonOf(store.accept(transaction(n)))
    if (reason === 'failed') return (n - 1) * 50
    store.clock.pass(50)
  }
  throw new Error('None was refused.')
}

function replace(path: string): void {
  copyFileSync(path, `${path}.new`)
  renameSync(`${path}.new`, path)
}

const CHANGES: [string, (dataDir: string) => void][] = [
  ['the directory is removed', (dataDir) => rmSync(dataDir, { recursive: true })],
  ['the directory is renamed', (dataDir) => renameSync(dataDir, `${dataDir}.old`)],
  [
    'the directory is replaced by an empty one',
    (dataDir) => {
      renameSync(dataDir, `${dataDir}.old`)
      mkdirSync(dataDir)
    },
  ],
  [
    'the directory is replaced by a copy',
    (dataDir) => {
      renameSync(dataDir, `${dataDir}.old`)
      mkdirSync(dataDir)
      for (const name of readdirSync(`${dataDir}.old`)) {
        copyFileSync(join(`${dataDir}.old`, name), join(dataDir, name))
      }
    },
  ],
  [
    'the directory is replaced by a link to another one',
    (dataDir) => {
      renameSync(dataDir, `${dataDir}.old`)
      mkdirSync(`${dataDir}.other`)
      symlinkSync(`${dataDir}.other`, dataDir)
    },
  ],
  [
    'a file is in its place',
    (dataDir) => {
      rmSync(dataDir, { recursive: true })
      writeFileSync(dataDir, '')
    },
  ],
  ['the database is deleted', (dataDir) => unlinkSync(join(dataDir, 'txhook.db'))],
  ['the database is replaced by a copy', (dataDir) => replace(join(dataDir, 'txhook.db'))],
  ['the log is deleted', (dataDir) => unlinkSync(join(dataDir, 'txhook.db-wal'))],
  [
    'the log is renamed',
    (dataDir) => renameSync(join(dataDir, 'txhook.db-wal'), join(dataDir, 'wal')),
  ],
  ['the log is replaced by a copy', (dataDir) => replace(join(dataDir, 'txhook.db-wal'))],
  ['the index of the log is deleted', (dataDir) => unlinkSync(join(dataDir, 'txhook.db-shm'))],
]

/** A store with one transaction, in a directory that can be replaced. */
async function withStore(run: (store: TestStore) => Promise<void>): Promise<void> {
  using directory = temporaryDirectory()
  const store = testStore({ dataDir: join(directory.path, 'data') })
  try {
    await store.accept(transaction(0))
    await run(store)
  } finally {
    await store.close().catch(() => {})
  }
}

describe.each(CHANGES)('where %s', (_, change) => {
  test('nothing is accepted for more than a second, and the store fails', () =>
    withStore(async (store) => {
      store.clock.pass(10)
      change(store.dataDir)
      expect(await acceptUntilRefused(store)).toBeLessThan(1_000)
      expect(store.fatal).toHaveLength(1)
      expect(String(store.fatal[0])).toContain('was removed or replaced')
      expect(await reasonOf(store.accept(transaction(99)))).toBe('failed')
    }))

  test('the store is not healthy', () =>
    withStore(async (store) => {
      change(store.dataDir)
      store.clock.pass(1_000)
      expect(await store.health()).toBe('failed')
    }))

  test('a stop reports it, and puts nothing in its place', () =>
    withStore(async (store) => {
      change(store.dataDir)
      const before = contentOf(store.dataDir)
      await expect(store.close()).rejects.toThrow('was removed or replaced')
      const made = contentOf(store.dataDir).filter((name) => !before.includes(name))
      expect(made).toEqual([])
    }))
})

function contentOf(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return existsSync(path) ? ['a file'] : []
  }
}

test('a log that is not this database’s is not deleted at a stop', () =>
  withStore(async (store) => {
    const log = join(store.dataDir, 'txhook.db-wal')
    unlinkSync(log)
    writeFileSync(log, 'the log of another process')
    await expect(store.close()).rejects.toThrow('was removed or replaced')
    expect(readFileSync(log, 'utf8')).toBe('the log of another process')
  }))

test('of a log that was deleted everything is saved into the database', () =>
  withStore(async (store) => {
    unlinkSync(join(store.dataDir, 'txhook.db-wal'))
    store.clock.pass(500)
    expect(await reasonOf(store.accept(transaction(1)))).toBe('failed')
    const copy = join(store.dataDir, 'copy')
    mkdirSync(copy)
    copyFileSync(join(store.dataDir, 'txhook.db'), join(copy, 'txhook.db'))
    const saved = rowsOf(copy, 'SELECT transaction_id FROM transactions ORDER BY id')
    expect(saved).toEqual([{ transaction_id: 'txn_0' }, { transaction_id: 'txn_1' }])
  }))
