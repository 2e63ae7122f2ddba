import { Database } from 'bun:sqlite'
import { describe, expect, spyOn, test } from 'bun:test'
import { join } from 'node:path'
import { controlledSync, reasonOf, testQueue } from '../../support/store.ts'

/** Writes far more than a database that may not grow has room for. */
function big(client: Database): () => void {
  return () => void client.run('INSERT INTO notes VALUES (hex(zeroblob(100000)))')
}

describe('a full disk', () => {
  test('refuses what needs room, and nothing else of its batch', async () => {
    using queue = testQueue()
    queue.limitPages(0)
    const backlogged = () => {
      queue.counts.PENDING++
      big(queue.client)()
    }
    const results = await Promise.all(
      [() => 'reads', backlogged, queue.put('small')].map((work) =>
        reasonOf(queue.queue.write<unknown>(work)),
      ),
    )
    expect(results).toEqual(['reads', 'full', 'small'])
    expect(queue.names()).toEqual(['small'])
    expect(queue.counts.PENDING).toBe(0)
    expect(queue.fatal).toEqual([])
  })

  test('that has room again accepts writes again', async () => {
    using queue = testQueue()
    queue.limitPages(0)
    expect(await reasonOf(queue.queue.write(big(queue.client)))).toBe('full')
    expect(await reasonOf(queue.queue.write(big(queue.client)))).toBe('full')
    queue.limitPages(1000)
    expect(await reasonOf(queue.queue.write(big(queue.client)))).toBeUndefined()
    expect(queue.names()).toHaveLength(1)
  })
})

describe('a lock of another program', () => {
  test('refuses the writes as busy, and when it is gone they go on', async () => {
    using queue = testQueue()
    queue.client.run('PRAGMA busy_timeout = 0')
    using other = new Database(join(queue.dataDir, 'txhook.db'))
    other.run('BEGIN IMMEDIATE')
    const refused = ['a', 'b'].map((name) => reasonOf(queue.queue.write(queue.put(name))))
    expect(await Promise.all(refused)).toEqual(['busy', 'busy'])
    other.run('ROLLBACK')
    expect(await queue.queue.write(queue.put('c'))).toBe('c')
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
    const refused = names.map((name) => reasonOf(queue.queue.write(queue.put(name))))
    expect(new Set(await Promise.all(refused))).toEqual(new Set(['busy']))
    expect(begins.mock.calls.filter(([sql]) => sql === 'BEGIN IMMEDIATE')).toHaveLength(1)
  })
})

describe('a disk that fails', () => {
  test('at a sync gives no answer, reports it once and accepts nothing more', async () => {
    const disk = controlledSync()
    using queue = testQueue(disk)
    const stored = ['a', 'b'].map((name) => reasonOf(queue.queue.write(queue.put(name))))
    const sync = await disk.next()
    const waiting = reasonOf(queue.queue.write(queue.put('c')))
    const read = reasonOf(queue.queue.readDurable(() => 'what a power cut could still undo'))
    const broken = new Error('EIO')
    sync.reject(broken)

    expect(await Promise.all([...stored, waiting])).toEqual(['failed', 'failed', 'failed'])
    expect(await read).toBe('failed')
    expect(queue.fatal).toEqual([broken])
    expect(await reasonOf(queue.queue.write(queue.put('d')))).toBe('failed')
    expect(await reasonOf(queue.queue.readDurable(() => 1))).toBe('failed')
    await queue.queue.close()
    expect(disk.count).toBe(1)
    expect(queue.names()).toEqual(['a', 'b'])
    expect(queue.fatal).toHaveLength(1)
  })

  test.each(['SQLITE_IOERR_WRITE', 'SQLITE_IOERR_FSYNC', 'SQLITE_CORRUPT'])(
    'at a commit (%s) is never repeated',
    async (code) => {
      using queue = testQueue()
      const query = queue.client.query.bind(queue.client)
      const executed: string[] = []
      const failing = spyOn(queue.client, 'query').mockImplementation((sql) => {
        executed.push(sql)
        if (sql === 'COMMIT') throw Object.assign(new Error('disk I/O error'), { code })
        return query(sql)
      })
      let runs = 0
      const works = [1, 2, 3].map(() => reasonOf(queue.queue.write(() => void runs++)))
      expect(await Promise.all(works)).toEqual(['failed', 'failed', 'failed'])
      expect(executed).toEqual(['BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK'])
      expect(runs).toBe(3)
      expect(queue.fatal).toHaveLength(1)
      failing.mockRestore()
    },
  )

  test('within a work is never run again', async () => {
    using queue = testQueue()
    let runs = 0
    const work = () => {
      runs++
      // The real thing for once: SQLite refuses the write with SQLITE_READONLY.
      queue.client.run('PRAGMA query_only = 1')
      return queue.put('a')()
    }
    const results = [work, () => runs++].map((each) => reasonOf(queue.queue.write<unknown>(each)))
    expect(await Promise.all(results)).toEqual(['failed', 'failed'])
    expect(runs).toBe(1)
    expect(queue.fatal).toHaveLength(1)
    expect(queue.client.inTransaction).toBe(false)
  })
})
