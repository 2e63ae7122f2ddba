import { describe, expect, spyOn, test } from 'bun:test'
import { controlledSync, reasonOf, testQueue } from '../support/store.ts'

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
