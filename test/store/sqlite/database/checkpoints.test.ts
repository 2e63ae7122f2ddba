import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCheckpoints } from '../../../../src/store/sqlite/database/checkpoints.ts'
import type { CommitDeps } from '../../../../src/store/sqlite/database/commit-queue.ts'
import { openDatabase } from '../../../../src/store/sqlite/database/open-database.ts'
import { temporaryDirectory } from '../../../support/service.ts'
import {
  controlledSync,
  firstValue,
  reasonOf,
  rowsOf,
  stateOf,
  type TestQueue,
  testQueue,
  testStore,
} from '../../../support/store.ts'

/** What the write-ahead log holds, and how much of that is in the database too, in pages. */
function logOf(client: Database): { log: number; checkpointed: number } {
  return client.query('PRAGMA wal_checkpoint(NOOP)').get() as { log: number; checkpointed: number }
}

/** Passes that the test ends. They are due, and nearly done after the first, until it says else. */
function controlledPasses() {
  const passes = controlledSync()
  const says = { due: true, nearlyDone: true }
  const checkpoints = {
    due: () => says.due,
    nearlyDone: () => says.nearlyDone,
    run: passes.sync,
  }
  return { passes, says, checkpoints }
}

/** The real worker on the queue's database, where a checkpoint is due from so many pages on. */
function eagerQueue(pages: number) {
  let passes = 0
  const checkpoints: CommitDeps['checkpoints'] = {
    due: () => logOf(parts.client).log >= pages,
    nearlyDone: () => parts.database.checkpoints.nearlyDone(),
    async run() {
      await parts.database.checkpoints.run()
      passes++
    },
  }
  const parts: TestQueue = testQueue({ checkpoints })
  return { ...parts, passes: () => passes }
}

const name = (i: number) => `${i} ${'x'.repeat(1000)}`

describe('a log that has grown', () => {
  test('starts over, again and again, and everything is still there', async () => {
    using eager = eagerQueue(100)
    const { queue, client, put, names } = eager
    const written: string[] = []
    let before = 0
    for (let starts = 0; starts < 3; ) {
      written.push(await queue.write(put(name(written.length))))
      const { log } = logOf(client)
      if (log < before) {
        // Not before it was due, and not before both passes were through.
        expect(before).toBeGreaterThanOrEqual(100)
        expect(eager.passes()).toBeGreaterThanOrEqual(2 * ++starts)
      }
      before = log
    }
    await queue.close()
    expect(names()).toEqual(written)
    expect(firstValue(client, 'PRAGMA integrity_check')).toBe('ok')
    expect(eager.fatal).toEqual([])
  })

  test('stays as it is while another program reads it, and commits go on', async () => {
    using eager = eagerQueue(100)
    const { queue, client, put, names, dataDir } = eager
    using reader = new Database(join(dataDir, 'txhook.db'), { readonly: true })
    reader.run('BEGIN')
    expect(firstValue(reader, 'SELECT count(*) FROM notes')).toBe(0)
    const written: string[] = []
    while (eager.passes() < 4) written.push(await queue.write(put(name(written.length))))
    expect(logOf(client).log).toBeGreaterThanOrEqual(100)
    expect(logOf(client).checkpointed).toBeLessThan(logOf(client).log)
    expect(firstValue(reader, 'SELECT count(*) FROM notes')).toBe(0)
    reader.run('ROLLBACK')

    const passes = eager.passes()
    while (eager.passes() < passes + 2 || logOf(client).log >= 100) {
      written.push(await queue.write(put(name(written.length))))
    }
    await queue.close()
    expect(names()).toEqual(written)
  })

  test('of the real store is copied from 64 MB on, and not before', async () => {
    await using store = testStore({ maxBacklog: 1_000_000 })
    const { client } = store.database
    const write = (bytes: number) =>
      store.commits.write(() => client.run(`INSERT INTO big VALUES (zeroblob(${bytes}))`))
    await store.commits.write(() => client.run('CREATE TABLE big (x BLOB) STRICT'))
    await write(60_000_000)
    await store.acceptAll('a')
    expect(logOf(client).checkpointed).toBe(0)
    expect(logOf(client).log).toBeGreaterThan(14_000)
    expect(store.database.checkpoints.due()).toBe(false)
    await write(8_000_000)
    expect(store.database.checkpoints.due()).toBe(true)
    // Until both passes are through: what comes meanwhile is committed, or held until then.
    const ids: string[] = []
    while (logOf(client).log > 1000) {
      const id = `during ${ids.length}`
      ids.push(id)
      await store.acceptAll(id)
    }
    expect(store.rows('transactions')).toHaveLength(1 + ids.length)
    expect(firstValue(client, 'SELECT sum(length(x)) FROM big')).toBe(68_000_000)
    expect(firstValue(client, 'PRAGMA integrity_check')).toBe('ok')
    expect(store.fatal).toEqual([])
  }, 30_000)
})

describe('commits', () => {
  test('go on during the first pass, are held during the second, and go on after it', async () => {
    const { passes, says, checkpoints } = controlledPasses()
    using parts = testQueue({ checkpoints })
    const { queue, put, names } = parts
    await queue.write(put('before'))
    const first = await passes.next()
    await queue.write(put('during the first'))
    says.due = false
    first.resolve()
    const second = await passes.next()
    const held = queue.write(put('during the second'))
    // As many as would be worth a commit at any other time.
    const others = Array.from({ length: 40 }, (_, i) => queue.write(put(`${i}`)))
    for (let turn = 0; turn < 5; turn++) expect(await stateOf(held)).toBe('pending')
    expect(names()).toEqual(['before', 'during the first'])
    second.resolve()
    expect(await held).toBe('during the second')
    expect(await Promise.all(others)).toHaveLength(40)
    expect(names()).toHaveLength(43)
    expect(passes.count).toBe(2)
  })

  test('go on during all passes until little is left, of which there are five at most', async () => {
    const { passes, says, checkpoints } = controlledPasses()
    says.nearlyDone = false
    using parts = testQueue({ checkpoints })
    const { queue, put } = parts
    await queue.write(put('before'))
    for (let pass = 1; pass <= 5; pass++) {
      const running = await passes.next()
      expect(await queue.write(put(`${pass}`))).toBe(`${pass}`)
      running.resolve()
    }
    const last = await passes.next()
    const held = queue.write(put('held'))
    for (let turn = 0; turn < 5; turn++) expect(await stateOf(held)).toBe('pending')
    says.due = false
    last.resolve()
    await held
    expect(passes.count).toBe(6)
  })

  test('are held from the pass on before which little was left', async () => {
    const { passes, says, checkpoints } = controlledPasses()
    says.nearlyDone = false
    using parts = testQueue({ checkpoints })
    const { queue, put } = parts
    await queue.write(put('before'))
    const first = await passes.next()
    first.resolve()
    const second = await passes.next()
    says.nearlyDone = true
    await queue.write(put('during the second'))
    second.resolve()
    const third = await passes.next()
    const held = queue.write(put('held'))
    expect(await stateOf(held)).toBe('pending')
    says.due = false
    third.resolve()
    await held
    expect(passes.count).toBe(3)
  })

  test('that wait for their sync when the second pass begins are answered during it', async () => {
    const disk = controlledSync()
    const { passes, checkpoints } = controlledPasses()
    using parts = testQueue({ checkpoints, ...disk })
    const { queue, put } = parts
    const before = queue.write(put('before'))
    const beforeSync = await disk.next()
    beforeSync.resolve()
    await before
    const first = await passes.next()
    const waits = queue.write(put('waits'))
    const sync = await disk.next()
    first.resolve()
    await passes.next()
    expect(await stateOf(waits)).toBe('pending')
    sync.resolve()
    expect(await waits).toBe('waits')
    // Nor is another checkpoint begun meanwhile, due as it is.
    expect(passes.count).toBe(2)
  })

  test('are answered while the log is read, which is not held', async () => {
    const { passes, checkpoints } = controlledPasses()
    using parts = testQueue({ checkpoints })
    const { queue, put } = parts
    await queue.write(put('before'))
    const first = await passes.next()
    first.resolve()
    await passes.next()
    const count = () => firstValue(parts.client, 'SELECT count(*) FROM notes')
    expect(await queue.readDurable(count)).toBe(1)
  })
})

describe('a checkpoint that fails', () => {
  test.each(['first', 'second'])(
    'in its %s pass is reported once, and no success is given after it',
    async (which) => {
      const { passes, checkpoints } = controlledPasses()
      using parts = testQueue({ checkpoints })
      const { queue, put, names, fatal } = parts
      await queue.write(put('before'))
      let pass = await passes.next()
      if (which === 'second') {
        pass.resolve()
        pass = await passes.next()
      }
      const during = reasonOf(queue.write(put('during')))
      const broken = new Error('EIO')
      pass.reject(broken)
      expect(await during).toBe('failed')
      expect(await reasonOf(queue.write(put('after')))).toBe('failed')
      expect(await reasonOf(queue.readDurable(() => 1))).toBe('failed')
      await queue.close()
      expect(fatal).toEqual([broken])
      expect(passes.count).toBe(which === 'first' ? 1 : 2)
      expect(names()).toEqual(['before'])
    },
  )

  test('during a sync keeps back the answers that the sync would have brought', async () => {
    const disk = controlledSync()
    const { passes, checkpoints } = controlledPasses()
    using parts = testQueue({ checkpoints, ...disk })
    const { queue, put, fatal } = parts
    const before = queue.write(put('before'))
    const beforeSync = await disk.next()
    beforeSync.resolve()
    await before
    const pass = await passes.next()
    const during = reasonOf(queue.write(put('during')))
    const sync = await disk.next()
    const broken = new Error('EIO')
    pass.reject(broken)
    expect(await stateOf(during)).toBe('pending')
    sync.resolve()
    expect(await during).toBe('failed')
    expect(fatal).toEqual([broken])
  })

  test('is one that can’t open the database', async () => {
    using directory = temporaryDirectory()
    const { client, close } = openDatabase(directory.path)
    const checkpoints = createCheckpoints(client, join(directory.path, 'absent.db'))
    await expect(checkpoints.run()).rejects.toThrow('The checkpoint failed: unable to open')
    expect(existsSync(join(directory.path, 'absent.db'))).toBe(false)
    checkpoints.close()
    close()
  })

  test('is none that finds a lock, which only puts it off', async () => {
    using directory = temporaryDirectory()
    const { client, close } = openDatabase(directory.path)
    const path = join(directory.path, 'other.db')
    using other = new Database(path)
    other.run('CREATE TABLE notes (name TEXT) STRICT')
    other.run('BEGIN EXCLUSIVE')
    const checkpoints = createCheckpoints(client, path)
    expect(await checkpoints.run()).toBeUndefined()
    checkpoints.close()
    close()
  })
})

describe('closing', () => {
  test('waits for both passes of a checkpoint, and for what was held', async () => {
    const { passes, says, checkpoints } = controlledPasses()
    using parts = testQueue({ checkpoints })
    const { queue, put, names } = parts
    await queue.write(put('before'))
    const first = await passes.next()
    says.due = false
    const closed = queue.close()
    expect(await stateOf(closed)).toBe('pending')
    first.resolve()
    const second = await passes.next()
    expect(await stateOf(closed)).toBe('pending')
    second.resolve()
    await closed
    expect(names()).toEqual(['before'])
  })

  test('waits for what was held when it came', async () => {
    const { passes, says, checkpoints } = controlledPasses()
    using parts = testQueue({ checkpoints })
    const { queue, put, names } = parts
    await queue.write(put('before'))
    const first = await passes.next()
    says.due = false
    first.resolve()
    const second = await passes.next()
    const held = queue.write(put('held'))
    const closed = queue.close()
    second.resolve()
    await closed
    expect(await stateOf(held)).toBe('resolved')
    expect(names()).toEqual(['before', 'held'])
  })

  test('of the real store in the middle of a checkpoint leaves one file that has it all', async () => {
    using directory = temporaryDirectory()
    await using store = testStore({ dataDir: directory.path })
    const { client } = store.database
    await store.commits.write(() => client.run('CREATE TABLE big (x BLOB) STRICT'))
    const written = store.commits.write(() =>
      client.run('INSERT INTO big VALUES (zeroblob(70000000))'),
    )
    await written
    await store.close()
    expect(store.fatal).toEqual([])
    expect(readFileSync(join(directory.path, 'txhook.db-wal'))).toHaveLength(0)
    const sql = 'SELECT length(x) AS length FROM big'
    expect(rowsOf(directory.path, sql)).toEqual([{ length: 70_000_000 }])
    const check = [{ integrity_check: 'ok' }]
    expect(rowsOf(directory.path, 'PRAGMA integrity_check')).toEqual(check)
  }, 30_000)
})

test('no thread is begun for a log that stays short', async () => {
  await using store = testStore()
  expect(store.database.checkpoints.due()).toBe(false)
  await store.acceptAll('a')
  expect(store.database.checkpoints.due()).toBe(false)
  // Nothing to end, and nothing wrong with ending it.
  store.database.checkpoints.close()
  store.database.checkpoints.close()
})
