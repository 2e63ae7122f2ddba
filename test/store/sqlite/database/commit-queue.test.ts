import { describe, expect, spyOn, test } from 'bun:test'
import { STATUSES } from '../../../../src/domain/transaction.ts'
import { manualClock } from '../../../support/clock.ts'
import {
  controlledSync,
  reasonOf,
  stateOf,
  type TestQueue,
  testQueue,
} from '../../../support/store.ts'

/** Writes as many works as that, in one turn of the event loop. */
function submitAll({ queue, put }: TestQueue, count: number, prefix = 'n'): Promise<string>[] {
  return Array.from({ length: count }, (_, i) => queue.write(put(`${prefix}${i}`)))
}

describe('an answer', () => {
  test('comes when the sync of its commit has ended, and not before', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.write(queue.put('first'))
    const sync = await disk.next()
    expect(queue.names()).toEqual(['first'])
    expect(await stateOf(first)).toBe('pending')
    sync.resolve()
    expect(await first).toBe('first')
  })

  test('to what arrives during a sync comes with the next one, all in one transaction', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.write(queue.put('first'))
    const firstSync = await disk.next()
    const begins = spyOn(queue.client, 'query')
    const others = ['b', 'c', 'd'].map((name) => queue.queue.write(queue.put(name)))
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
    expect(await Promise.all(names.map((name) => queue.queue.write(queue.put(name))))).toEqual(
      names,
    )
    expect(syncs).toBe(1)
    // More than fits one batch goes into several, in the order of arrival.
    const more = Array.from({ length: 600 }, (_, i) => `m${i}`)
    await Promise.all(more.map((name) => queue.queue.write(queue.put(name))))
    expect(syncs).toBe(4)
    expect(queue.names()).toEqual([...names, ...more])
  })

  test('to a read comes when the sync under way has ended', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.write(queue.put('first'))
    const sync = await disk.next()
    const count = () => queue.client.query('SELECT count(*) FROM notes').values()[0]?.[0]
    const read = queue.queue.readDurable(count)
    expect(await stateOf(read)).toBe('pending')
    sync.resolve()
    expect(await read).toBe(1)
    await first
    expect(await stateOf(queue.queue.readDurable(count))).toBe('resolved')
    expect(disk.count).toBe(1)
  })

  test('to a read is what was thrown, where the query throws', async () => {
    using queue = testQueue()
    const broken = () => queue.client.query('SELECT absent FROM notes').get()
    await expect(queue.queue.readDurable(broken)).rejects.toThrow('no such column')
  })
})

describe('during a sync', () => {
  test('works wait for its end, however many, and are not even committed', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.write(queue.put('first'))
    const firstSync = await disk.next()
    const others = Promise.all(submitAll(queue, 300))
    expect(await stateOf(others)).toBe('pending')
    expect(queue.names()).toEqual(['first'])
    firstSync.resolve()
    await first
    // 256 in the one, the other 44 in the next.
    const secondSync = await disk.next()
    expect(queue.names()).toHaveLength(257)
    secondSync.resolve()
    const thirdSync = await disk.next()
    expect(await stateOf(others)).toBe('pending')
    expect(queue.names()).toHaveLength(301)
    thirdSync.resolve()
    expect(queue.names()).toEqual(['first', ...(await others)])
    expect(disk.count).toBe(3)
  })

  test('a read sees what is committed, and is answered when that is on the disk', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.write(queue.put('first'))
    const sync = await disk.next()
    const others = Promise.all(submitAll(queue, 40))
    const count = () => queue.client.query('SELECT count(*) FROM notes').values()[0]?.[0]
    const read = queue.queue.readDurable(count)
    expect(await stateOf(read)).toBe('pending')
    sync.resolve()
    expect(await Promise.all([first, read])).toEqual(['first', 1])
    const next = await disk.next()
    next.resolve()
    await others
  })

  test('that fails, what came meanwhile gets no success either', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = reasonOf(queue.queue.write(queue.put('first')))
    const sync = await disk.next()
    const others = submitAll(queue, 32).map(reasonOf)
    await stateOf(first)
    const read = reasonOf(queue.queue.readDurable(() => 'what a power cut could still undo'))
    const broken = new Error('EIO')
    sync.reject(broken)
    expect(new Set(await Promise.all([first, read, ...others]))).toEqual(new Set(['failed']))
    expect(queue.fatal).toEqual([broken])
    await queue.queue.close()
    expect(disk.count).toBe(1)
  })
})

describe('a work that throws', () => {
  test('fails alone: its batch mates are stored once and answered, and it leaves nothing', async () => {
    let syncs = 0
    using queue = testQueue({ sync: async () => void syncs++ })
    const { counts, put } = queue
    const counted = (name: string) => () => {
      counts.PENDING++
      return put(name)()
    }
    const results = await Promise.allSettled([
      queue.queue.write(counted('before')),
      queue.queue.write(() => {
        counted('half')()
        throw new RangeError('the guilty one')
      }),
      queue.queue.write(counted('after')),
      // A broken constraint is the work's own fault too.
      queue.queue.write(counted('before')),
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
    expect(counts.PENDING).toBe(2)
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
    await expect(queue.queue.write(work)).rejects.toThrow('no')
    expect(runs).toBe(1)
  })

  test('something that is no error rejects with an error that says it', async () => {
    using queue = testQueue()
    const work = () => {
      throw 'a string'
    }
    await expect(queue.queue.write(work)).rejects.toThrow('a string')
  })

  test('restores all that it counted', async () => {
    using queue = testQueue()
    const before = { PENDING: 7, PROCESSING: 5, PROCESSED: 3, FAILED: 1 }
    Object.assign(queue.counts, before)
    const work = () => {
      for (const status of STATUSES) queue.counts[status] += 10
      throw new Error('no')
    }
    await expect(queue.queue.write(work)).rejects.toThrow('no')
    expect(queue.counts).toEqual(before)
  })
})

describe('closing', () => {
  test('waits until what was accepted is on the disk, and accepts nothing more', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const accepted = queue.queue.write(queue.put('accepted'))
    const closed = queue.queue.close()
    expect(await reasonOf(queue.queue.write(queue.put('late')))).toBe('closed')
    const sync = await disk.next()
    expect(await stateOf(closed)).toBe('pending')
    sync.resolve()
    expect(await accepted).toBe('accepted')
    await closed
    await queue.queue.close()
    expect(queue.names()).toEqual(['accepted'])
  })

  test('commits the works that wait behind a sync', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = queue.queue.write(queue.put('first'))
    const firstSync = await disk.next()
    const second = queue.queue.write(queue.put('second'))
    const closed = queue.queue.close()
    firstSync.resolve()
    const secondSync = await disk.next()
    expect(await stateOf(closed)).toBe('pending')
    secondSync.resolve()
    await closed
    expect(await Promise.all([first, second])).toEqual(['first', 'second'])
  })
})

describe('the interval between commits', () => {
  /** A queue whose interval passes by its clock, and the sizes of its commits. */
  function pacedQueue() {
    const clock = manualClock()
    const { after, monotonic } = clock
    const it = testQueue({ after, monotonic })
    let n = 0
    const submit = (count: number) => submitAll(it, count, `${++n}-`)
    const sizes = () => it.metrics.commits.map(({ batchSize }) => batchSize)
    return { ...it, clock, submit, sizes, [Symbol.dispose]: () => it[Symbol.dispose]() }
  }
  type PacedQueue = ReturnType<typeof pacedQueue>

  /** Several that came together: from now on more than one is expected. */
  async function together(it: PacedQueue, count: number): Promise<void> {
    await Promise.all(it.submit(count))
    expect(it.sizes()).toEqual([count])
  }

  test('is none for a sender that waits for each answer, and none when idle', async () => {
    using it = pacedQueue()
    for (let n = 0; n < 5; n++) await Promise.all(it.submit(1))
    it.clock.pass(1_000)
    await Promise.all(it.submit(1))
    expect(it.sizes()).toEqual([1, 1, 1, 1, 1, 1])
    expect(it.clock.timers).toBe(0)
  })

  test('is waited for by fewer than lately came together, and they go with all that came', async () => {
    using it = pacedQueue()
    await together(it, 10)
    const due = it.clock.nextTimer()
    const first = it.submit(1)
    await due
    it.clock.pass(2)
    const second = it.submit(5)
    expect(await stateOf(Promise.race([...first, ...second]))).toBe('pending')
    it.clock.pass(1)
    await Promise.all([...first, ...second])
    expect(it.sizes()).toEqual([10, 6])
    expect(it.clock.timers).toBe(0)
  })

  test('is over when as many wait as lately came together', async () => {
    using it = pacedQueue()
    await together(it, 10)
    const due = it.clock.nextTimer()
    const first = it.submit(9)
    await due
    expect(await stateOf(Promise.race(first))).toBe('pending')
    await Promise.all([...first, ...it.submit(1)])
    expect(it.sizes()).toEqual([10, 10])
    expect(it.clock.timers).toBe(0)
  })

  test('is over for a full batch, however many came together', async () => {
    using it = pacedQueue()
    const due = it.clock.nextTimer()
    const all = it.submit(600)
    await due
    expect(it.sizes()).toEqual([256, 256])
    it.clock.pass(3)
    await Promise.all(all)
    await Promise.all(it.submit(256))
    expect(it.sizes()).toEqual([256, 256, 88, 256])
  })

  test('is none again for one sender, some commits after the others stopped', async () => {
    using it = pacedQueue()
    await together(it, 10)
    let commits = 0
    for (; commits < 200; commits++) {
      const alone = it.submit(1)
      if (it.clock.timers === 0) break
      it.clock.pass(3)
      await Promise.all(alone)
    }
    expect(commits).toBeGreaterThan(10)
    expect(commits).toBeLessThan(100)
    await Promise.all(it.submit(1))
  })

  test('holds for what nobody waits for, which goes with the next commit', async () => {
    using it = pacedQueue()
    await Promise.all(it.submit(1))
    const due = it.clock.nextTimer()
    const later = it.queue.writeLater(it.put('later'))
    await due
    expect(await stateOf(later)).toBe('pending')
    await Promise.all([...it.submit(1), later])
    expect(it.sizes()).toEqual([1, 2])
    // It does not count as one that came together with another.
    await Promise.all(it.submit(1))
    expect(it.sizes()).toEqual([1, 2, 1])
    const alone = it.queue.writeLater(it.put('alone'))
    it.clock.pass(3)
    expect(await alone).toBe('alone')
  })

  test('ends when the queue is closed', async () => {
    using it = pacedQueue()
    await together(it, 10)
    const last = it.submit(1)
    await it.queue.close()
    expect(await Promise.all(last)).toHaveLength(1)
  })
})

describe('what is measured', () => {
  test('of each commit is how many works it held, and how long it took', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const first = Promise.all(submitAll(queue, 3, 'first'))
    const firstSync = await disk.next()
    const second = Promise.all(submitAll(queue, 40, 'second'))
    queue.clock.pass(12)
    expect(queue.metrics.commits).toEqual([])
    firstSync.resolve()
    await first
    expect(queue.metrics.commits).toEqual([{ batchSize: 3, durationMs: 12 }])
    const secondSync = await disk.next()
    queue.clock.pass(1)
    secondSync.resolve()
    await second
    expect(queue.metrics.commits.slice(1)).toEqual([{ batchSize: 40, durationMs: 1 }])
  })
})

test('more works than can be answered in time are refused, and those accepted are stored', async () => {
  const disk = controlledSync()
  using queue = testQueue(disk)
  const works = Array.from({ length: 10_001 }, (_, n) => queue.queue.write(() => n))
  expect(await reasonOf(works.at(-1) as Promise<unknown>)).toBe('overloaded')
  const sync = await disk.next()
  sync.resolve()
  expect(await works[0]).toBe(0)
  // The directory is gone before the others are committed.
  for (const work of works) work.catch(() => {})
})
