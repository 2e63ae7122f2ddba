import { Database } from 'bun:sqlite'
import { describe, expect, spyOn, test } from 'bun:test'
import { join } from 'node:path'
import { StorageUnavailable } from '../../src/store/commits.ts'
import { controlledSync, testQueue } from '../support/store.ts'

/** Whether a promise is settled by the end of this turn of the event loop, and how. */
async function stateOf(promise: Promise<unknown>): Promise<'pending' | 'resolved' | 'rejected'> {
  let state: 'pending' | 'resolved' | 'rejected' = 'pending'
  promise.then(
    () => (state = 'resolved'),
    () => (state = 'rejected'),
  )
  await new Promise((resolve) => setImmediate(resolve))
  return state
}

/** The reason of the refusal, or what was resolved or thrown instead. */
async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error) => (error instanceof StorageUnavailable ? error.reason : error))
}

/** Writes far more than a database that may not grow has room for. */
function big(client: Database): () => void {
  return () => void client.run('INSERT INTO notes VALUES (hex(zeroblob(100000)))')
}

describe('an answer', () => {
  test('comes when the sync of its commit has ended, and not before', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.submit(queue.put('first'))
    const sync = await disk.next()
    expect(queue.names()).toEqual(['first'])
    expect(await stateOf(first)).toBe('pending')
    sync.resolve()
    expect(await first).toBe('first')
  })

  test('to what arrives during a sync comes with the next one, all in one transaction', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.submit(queue.put('first'))
    const firstSync = await disk.next()
    const begins = spyOn(queue.client, 'query')
    const others = ['b', 'c', 'd'].map((name) => queue.queue.submit(queue.put(name)))
    const other = Promise.race(others)
    firstSync.resolve()
    await first
    const secondSync = await disk.next()
    expect(begins.mock.calls.filter(([sql]) => sql === 'BEGIN IMMEDIATE')).toHaveLength(1)
    expect(queue.names()).toEqual(['first', 'b', 'c', 'd'])
    expect(await stateOf(other)).toBe('pending')
    secondSync.resolve()
    expect(await Promise.all(others)).toEqual(['b', 'c', 'd'])
    expect(disk.count).toBe(2)
  })

  test('to what arrives in one turn of the event loop comes with one sync', async () => {
    let syncs = 0
    using queue = testQueue({ sync: async () => void syncs++ })
    const names = Array.from({ length: 256 }, (_, i) => `n${i}`)
    expect(await Promise.all(names.map((name) => queue.queue.submit(queue.put(name))))).toEqual(
      names,
    )
    expect(syncs).toBe(1)
    // More than one batch takes goes into several, in the order of arrival.
    const more = Array.from({ length: 600 }, (_, i) => `m${i}`)
    await Promise.all(more.map((name) => queue.queue.submit(queue.put(name))))
    expect(syncs).toBe(4)
    expect(queue.names()).toEqual([...names, ...more])
  })

  test('to a read comes when the sync under way has ended', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.submit(queue.put('first'))
    const sync = await disk.next()
    const count = () => queue.client.query('SELECT count(*) FROM notes').values()[0]?.[0]
    const read = queue.queue.read(count)
    expect(await stateOf(read)).toBe('pending')
    sync.resolve()
    expect(await read).toBe(1)
    await first
    expect(await stateOf(queue.queue.read(count))).toBe('resolved')
    expect(disk.count).toBe(1)
  })

  test('to a read is what was thrown, where the query throws', async () => {
    using queue = testQueue()
    const broken = () => queue.client.query('SELECT absent FROM notes').get()
    await expect(queue.queue.read(broken)).rejects.toThrow('no such column')
  })
})

describe('a work that throws', () => {
  test('fails alone: its batch mates are stored once and answered, and it leaves nothing', async () => {
    let syncs = 0
    using queue = testQueue({ sync: async () => void syncs++ })
    const { backlog, put } = queue
    const counted = (name: string) => () => {
      backlog.size++
      return put(name)()
    }
    const results = await Promise.allSettled([
      queue.queue.submit(counted('before')),
      queue.queue.submit(() => {
        counted('half')()
        throw new RangeError('the guilty one')
      }),
      queue.queue.submit(counted('after')),
      // A broken constraint is the work's own fault too.
      queue.queue.submit(counted('before')),
    ])
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
    ])
    expect(results[1]).toHaveProperty('reason.message', 'the guilty one')
    expect(results[3]).toHaveProperty('reason.code', 'SQLITE_CONSTRAINT_PRIMARYKEY')
    expect(queue.names()).toEqual(['before', 'after'])
    expect(backlog.size).toBe(2)
    // Those that were stored in transactions of their own still share one sync.
    expect(syncs).toBe(1)
    expect(queue.fatal).toEqual([])
  })

  test('alone in its batch runs once', async () => {
    using queue = testQueue()
    let runs = 0
    const work = () => {
      runs++
      throw new Error('no')
    }
    await expect(queue.queue.submit(work)).rejects.toThrow('no')
    expect(runs).toBe(1)
  })

  test('something that is no error rejects with an error that says it', async () => {
    using queue = testQueue()
    const work = () => {
      throw 'a string'
    }
    await expect(queue.queue.submit(work)).rejects.toThrow('a string')
  })

  test('takes its share of the backlog back', async () => {
    using queue = testQueue()
    queue.backlog.size = 7
    const work = () => {
      queue.backlog.size++
      throw new Error('no')
    }
    await expect(queue.queue.submit(work)).rejects.toThrow('no')
    expect(queue.backlog.size).toBe(7)
  })
})

describe('a full disk', () => {
  test('refuses what needs room, and nothing else of its batch', async () => {
    using queue = testQueue()
    queue.limitPages(0)
    const backlogged = () => {
      queue.backlog.size++
      big(queue.client)()
    }
    const results = await Promise.all(
      [() => 'reads', backlogged, queue.put('small')].map((work) =>
        reasonOf(queue.queue.submit<unknown>(work)),
      ),
    )
    expect(results).toEqual(['reads', 'full', 'small'])
    expect(queue.names()).toEqual(['small'])
    expect(queue.backlog.size).toBe(0)
    expect(queue.fatal).toEqual([])
  })

  test('that has room again takes writes again', async () => {
    using queue = testQueue()
    queue.limitPages(0)
    expect(await reasonOf(queue.queue.submit(big(queue.client)))).toBe('full')
    expect(await reasonOf(queue.queue.submit(big(queue.client)))).toBe('full')
    queue.limitPages(1000)
    expect(await reasonOf(queue.queue.submit(big(queue.client)))).toBeUndefined()
    expect(queue.names()).toHaveLength(1)
  })
})

describe('a lock of another program', () => {
  test('refuses the writes as busy, and when it is gone they go on', async () => {
    using queue = testQueue()
    queue.client.run('PRAGMA busy_timeout = 0')
    using other = new Database(join(queue.dataDir, 'txhook.db'))
    other.run('BEGIN IMMEDIATE')
    const refused = ['a', 'b'].map((name) => reasonOf(queue.queue.submit(queue.put(name))))
    expect(await Promise.all(refused)).toEqual(['busy', 'busy'])
    other.run('ROLLBACK')
    expect(await queue.queue.submit(queue.put('c'))).toBe('c')
    expect(queue.names()).toEqual(['c'])
    expect(queue.fatal).toEqual([])
  })

  test('is waited for once a batch, not once a work', async () => {
    using queue = testQueue()
    queue.client.run('PRAGMA busy_timeout = 0')
    using other = new Database(join(queue.dataDir, 'txhook.db'))
    other.run('BEGIN IMMEDIATE')
    const begins = spyOn(queue.client, 'query')
    const names = Array.from({ length: 100 }, (_, i) => `n${i}`)
    const refused = names.map((name) => reasonOf(queue.queue.submit(queue.put(name))))
    expect(new Set(await Promise.all(refused))).toEqual(new Set(['busy']))
    expect(begins.mock.calls.filter(([sql]) => sql === 'BEGIN IMMEDIATE')).toHaveLength(1)
  })
})

describe('a disk that fails', () => {
  test('at a sync answers nobody, says so once and takes nothing more', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const stored = ['a', 'b'].map((name) => reasonOf(queue.queue.submit(queue.put(name))))
    const sync = await disk.next()
    const waiting = reasonOf(queue.queue.submit(queue.put('c')))
    const read = reasonOf(queue.queue.read(() => 'what a power cut may take back'))
    const broken = new Error('EIO')
    sync.reject(broken)

    expect(await Promise.all([...stored, waiting])).toEqual(['failed', 'failed', 'failed'])
    expect(await read).toBe('failed')
    expect(queue.fatal).toEqual([broken])
    expect(await reasonOf(queue.queue.submit(queue.put('d')))).toBe('failed')
    expect(await reasonOf(queue.queue.read(() => 1))).toBe('failed')
    await queue.queue.close()
    expect(disk.count).toBe(1)
    expect(queue.names()).toEqual(['a', 'b'])
    expect(queue.fatal).toHaveLength(1)
  })

  test.each(['SQLITE_IOERR_WRITE', 'SQLITE_IOERR_FSYNC', 'SQLITE_CORRUPT'])(
    'at a commit (%s) is never asked again',
    async (code) => {
      using queue = testQueue()
      const query = queue.client.query.bind(queue.client)
      const asked: string[] = []
      const failing = spyOn(queue.client, 'query').mockImplementation((sql) => {
        asked.push(sql)
        if (sql === 'COMMIT') throw Object.assign(new Error('disk I/O error'), { code })
        return query(sql)
      })
      let runs = 0
      const works = [1, 2, 3].map(() => reasonOf(queue.queue.submit(() => void runs++)))
      expect(await Promise.all(works)).toEqual(['failed', 'failed', 'failed'])
      expect(asked).toEqual(['BEGIN IMMEDIATE', 'COMMIT'])
      expect(runs).toBe(3)
      expect(queue.fatal).toHaveLength(1)
      failing.mockRestore()
    },
  )

  test('within a work is never asked again', async () => {
    using queue = testQueue()
    let runs = 0
    const work = () => {
      runs++
      // The real thing for once: SQLite refuses the write with SQLITE_READONLY.
      queue.client.run('PRAGMA query_only = 1')
      return queue.put('a')()
    }
    const results = [work, () => runs++].map((each) => reasonOf(queue.queue.submit<unknown>(each)))
    expect(await Promise.all(results)).toEqual(['failed', 'failed'])
    expect(runs).toBe(1)
    expect(queue.fatal).toHaveLength(1)
    expect(queue.client.inTransaction).toBe(false)
  })

  test('at a checkpoint answers nobody either', async () => {
    const broken = new Error('EIO')
    const checkpoint = () => {
      throw broken
    }
    using queue = testQueue({ checkpoint })
    expect(await reasonOf(queue.queue.submit(queue.put('a')))).toBe('failed')
    expect(await reasonOf(queue.queue.read(() => 1))).toBe('failed')
    expect(queue.fatal).toEqual([broken])
  })
})

describe('closing', () => {
  test('waits until what was taken is on the disk, and takes nothing more', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const taken = queue.queue.submit(queue.put('taken'))
    const closed = queue.queue.close()
    expect(await reasonOf(queue.queue.submit(queue.put('late')))).toBe('closed')
    const sync = await disk.next()
    expect(await stateOf(closed)).toBe('pending')
    sync.resolve()
    expect(await taken).toBe('taken')
    await closed
    await queue.queue.close()
    expect(queue.names()).toEqual(['taken'])
  })

  test('takes the works along that wait behind a sync', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.submit(queue.put('first'))
    const firstSync = await disk.next()
    const second = queue.queue.submit(queue.put('second'))
    const closed = queue.queue.close()
    firstSync.resolve()
    const secondSync = await disk.next()
    expect(await stateOf(closed)).toBe('pending')
    secondSync.resolve()
    await closed
    expect(await Promise.all([first, second])).toEqual(['first', 'second'])
  })
})
