import { describe, expect, spyOn, test } from 'bun:test'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { EXIT, StartError } from '../../../src/exit.ts'
import { openDatabase } from '../../../src/store/sqlite/database/open-database.ts'
import { limitFileSize } from '../../support/file-size-limit.ts'
import { temporaryDirectory } from '../../support/service.ts'
import { firstValue, reasonOf, sentTransaction, testQueue, testStore } from '../../support/store.ts'

// SQLite calls the limit on the size of files, like a quota, an I/O error: only ENOSPC is "full".
const withPrlimit = test.skipIf(Bun.which('prlimit') === null && !process.env.CI)

const sizeOf = (path: string) => statSync(path).size
const extra = JSON.stringify({ note: 'x'.repeat(50_000) })

describe('a limit on the size of files is a full disk', () => {
  withPrlimit('for webhooks: reads and replays go on, and so do they when it is gone', async () => {
    await using store = testStore()
    const log = join(store.dataDir, 'txhook.db-wal')
    await store.acceptAll('a')
    {
      using _ = limitFileSize(sizeOf(log) + 10_000)
      const refused = store.accept(sentTransaction({ transactionId: 'b', extra }))
      expect(await reasonOf(refused)).toBe('full')
      expect((await store.accept(sentTransaction({ transactionId: 'a' }))).kind).toBe('replayed')
      expect((await store.find('a'))?.status).toBe('PENDING')
      expect(await store.find('b')).toBeUndefined()
      expect(await store.health()).toBe('full')
    }
    expect(readdirSync(store.dataDir)).not.toContain('txhook.probe')
    await store.accept(sentTransaction({ transactionId: 'b', extra }))
    expect(await store.health()).toBe('ok')
    expect(store.fatal).toEqual([])
  })

  withPrlimit('for a checkpoint: it is done when there is room', async () => {
    using directory = temporaryDirectory()
    const { client, checkpoints, close } = openDatabase(directory.path)
    const file = join(directory.path, 'txhook.db')
    client.run('CREATE TABLE notes (x BLOB) STRICT')
    for (let i = 0; i < 3; i++) {
      client.run('INSERT INTO notes VALUES (zeroblob(400000))')
      if (i < 2) client.run('PRAGMA wal_checkpoint(RESTART)')
    }
    const before = sizeOf(file)
    expect(sizeOf(`${file}-wal`)).toBeLessThan(before)
    {
      using _ = limitFileSize(before + 100_000)
      await checkpoints.run()
      expect(checkpoints.nearlyDone()).toBe(true)
      expect(sizeOf(file)).toBeLessThan(before + 100_001)
    }
    await checkpoints.run()
    expect(sizeOf(file)).toBeGreaterThan(before + 400_000)
    close()
  })

  withPrlimit('for a checkpoint at the close, which leaves the log', async () => {
    using directory = temporaryDirectory()
    const file = join(directory.path, 'txhook.db')
    const { client, close } = openDatabase(directory.path)
    client.run('CREATE TABLE notes (x BLOB) STRICT')
    client.run('INSERT INTO notes VALUES (zeroblob(400000))')
    {
      using _ = limitFileSize(sizeOf(file) + 10_000)
      close()
    }
    expect(sizeOf(`${file}-wal`)).toBeGreaterThan(400_000)
    const again = openDatabase(directory.path)
    expect(firstValue(again.client, 'SELECT length(x) FROM notes')).toBe(400_000)
    again.close()
  })

  withPrlimit('for a start, which can read', async () => {
    using directory = temporaryDirectory()
    {
      await using first = testStore({ dataDir: directory.path })
      await first.acceptAll('a')
    }
    // As much as the index of the log has.
    using _ = limitFileSize(32_768)
    await using store = testStore({ dataDir: directory.path })
    expect((await store.accept(sentTransaction({ transactionId: 'a' }))).kind).toBe('replayed')
    const refused = store.accept(sentTransaction({ transactionId: 'b', extra }))
    expect(await reasonOf(refused)).toBe('full')
    expect(store.fatal).toEqual([])
  })

  withPrlimit('for the first start, which ends with code 1 and says so', () => {
    using directory = temporaryDirectory()
    using _ = limitFileSize(20_000)
    const open = () => openDatabase(directory.path)
    expect(open).toThrow(StartError)
    expect(open).toThrow('there is no room on its disk')
    expect(open).toThrow(expect.objectContaining({ exitCode: EXIT.fault }))
  })

  withPrlimit('although the log only has to start over: a checkpoint makes the room', async () => {
    await using store = testStore()
    const log = join(store.dataDir, 'txhook.db-wal')
    for (let n = 0; n < 10; n++) {
      await store.accept(sentTransaction({ transactionId: `txn_${n}`, extra }))
    }
    using _ = limitFileSize(sizeOf(log) + 10_000)
    const refused = store.accept(sentTransaction({ transactionId: 'more', extra }))
    expect(await reasonOf(refused)).toBe('full')
    while ((await store.health()) !== 'ok');
    await store.accept(sentTransaction({ transactionId: 'more', extra }))
    expect(store.fatal).toEqual([])
  })
})

test('an I/O error of a write where there is room is never taken for a full disk', async () => {
  using queue = testQueue()
  const failing = spyOn(queue.client, 'query').mockImplementation(() => {
    throw Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR_WRITE' })
  })
  expect(await reasonOf(queue.queue.write(queue.put('a')))).toBe('failed')
  failing.mockRestore()
  expect(queue.fatal).toHaveLength(1)
  expect(readdirSync(queue.dataDir)).not.toContain('txhook.probe')
})
