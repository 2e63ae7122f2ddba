import { describe, expect, test } from 'bun:test'
import { createAccept } from '../../src/store/sqlite/accept.ts'
import { createBacksteps } from '../../src/store/sqlite/backsteps.ts'
import { createTransitions } from '../../src/store/sqlite/transitions.ts'
import { createWork } from '../../src/store/sqlite/work.ts'
import { START } from '../support/clock.ts'
import {
  countsOf,
  rowsOf,
  sentTransaction,
  type TestStore,
  testQueue,
  testStore,
} from '../support/store.ts'

const WAIT_MS = 30_000

function advance(store: TestStore, waitMs = WAIT_MS, limit = 100) {
  return store.work.advanceWaits(waitMs, limit)
}

const tables = (store: TestStore) =>
  ['transactions', 'jobs', 'attempts'].map((table) => store.rows(table))

/** Claims all that is due and postpones it, as calls that failed do. */
async function postpone(store: TestStore, inMs: number): Promise<void> {
  const claimed = await store.work.claim(100, 'earliest')
  const retry = { kind: 'retry', inMs, detail: 'no' } as const
  await Promise.all(claimed.map(({ claim }) => store.work.settle(claim, retry)))
}

describe('an advance', () => {
  test('begins an attempt, and it is written to all three tables', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    store.clock.pass(4)
    store.clock.stepWall(1000)
    expect(await advance(store)).toEqual({ latenessMs: [4], finished: 0, more: false })
    const until = START + 4 + WAIT_MS
    expect(tables(store)).toMatchObject([
      [{ status: 'PROCESSING', attempts: 1, processing_started_at: START + 1004, error: null }],
      [
        {
          run_at: until,
          claim: null,
          attempt_started_at: START + 4,
          tries: 1,
          changed_at: START + 4,
        },
      ],
      [{ id: 1, attempt: 1, started_at: START + 1004, finished_at: null, outcome: null }],
    ])
    expect(await store.work.tick(8)).toEqual({ interrupted: 0, dueInMs: WAIT_MS })
  })

  test('ends an attempt that has lasted long enough, and leaves no job', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    await advance(store)
    store.clock.pass(WAIT_MS + 7)
    store.clock.stepWall(-1000)
    expect(await advance(store)).toEqual({ latenessMs: [7], finished: 1, more: false })
    const finishedAt = START + WAIT_MS + 7 - 1000
    expect(tables(store)).toMatchObject([
      [{ status: 'PROCESSED', attempts: 1, processed_at: finishedAt, error: null }],
      [],
      [{ attempt: 1, started_at: START, finished_at: finishedAt, outcome: 'done', detail: null }],
    ])
  })

  test('with nothing due changes nothing', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    await advance(store)
    const before = tables(store)
    store.clock.pass(WAIT_MS - 1)
    expect(await advance(store)).toEqual({ latenessMs: [], finished: 0, more: false })
    expect(tables(store)).toEqual(before)
  })

  test('with no time to wait begins and ends at once', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    expect(await advance(store, 0)).toEqual({ latenessMs: [0, 0], finished: 2, more: false })
    const processed = { status: 'PROCESSED', attempts: 1 }
    const times = { processing_started_at: START, processed_at: START }
    const done = { started_at: START, finished_at: START, outcome: 'done' }
    expect(tables(store)).toMatchObject([
      [
        { ...processed, ...times },
        { ...processed, ...times },
      ],
      [],
      [
        { id: 1, attempt: 1, ...done },
        { id: 2, attempt: 1, ...done },
      ],
    ])
  })

  test('ends some and begins others', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    await advance(store)
    store.clock.pass(WAIT_MS)
    await store.acceptAll('b')
    expect(await advance(store)).toEqual({ latenessMs: [0, 0], finished: 1, more: false })
    const states = store.rows('transactions').map(({ status }) => status)
    expect(states).toEqual(['PROCESSED', 'PROCESSING'])
    expect(store.rows('jobs')).toMatchObject([{ id: 2, run_at: START + 2 * WAIT_MS }])
  })

  test('advances the earliest first, and no more than asked for', async () => {
    await using store = testStore()
    for (const id of ['a', 'b', 'c']) {
      await store.acceptAll(id)
      store.clock.pass(100)
    }
    await postpone(store, 200)
    await store.acceptAll('later', 'latest')
    store.clock.pass(1000)
    expect(await advance(store, WAIT_MS, 2)).toEqual({
      latenessMs: [1000, 1000],
      finished: 0,
      more: true,
    })
    const begun = store.rows('jobs').filter((job) => job.attempt_started_at !== null)
    expect(begun.map(({ id }) => id)).toEqual([4, 5])
    const next = () => advance(store, WAIT_MS, 2)
    expect(await next()).toEqual({ latenessMs: [800, 800], finished: 0, more: true })
    expect(await next()).toEqual({ latenessMs: [800], finished: 0, more: false })
    expect(await next()).toEqual({ latenessMs: [], finished: 0, more: false })
  })

  test('changes nothing that a call has claimed', async () => {
    await using store = testStore()
    await store.acceptAll('claimed')
    await store.work.claim(1, 'earliest')
    const before = tables(store)
    expect(await advance(store, 0)).toEqual({ latenessMs: [], finished: 0, more: false })
    expect(tables(store)).toEqual(before)
  })

  test('after failed attempts begins another one, and those before it stay as they ended', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    await postpone(store, 1000)
    store.clock.pass(1000)
    await advance(store)
    const pending = { status: 'PROCESSING', attempts: 2, processing_started_at: START }
    expect(store.rows('transactions')).toMatchObject([pending, pending])
    expect(store.rows('jobs')).toMatchObject([{ tries: 2 }, { tries: 2 }])
    store.clock.pass(WAIT_MS)
    await advance(store)
    const processed = { status: 'PROCESSED', attempts: 2, processing_started_at: START }
    expect(store.rows('transactions')).toMatchObject([
      { ...processed, error: null },
      { ...processed, error: null },
    ])
    const failed = { attempt: 1, finished_at: START, outcome: 'retry', detail: 'no' }
    const done = { attempt: 2, started_at: START + 1000, outcome: 'done', detail: null }
    expect(store.rows('attempts')).toMatchObject([failed, done, failed, done])
  })

  test('that is rolled back leaves nothing, and nothing counted', async () => {
    using parts = testQueue()
    const { queue, database, clock, counts, dataDir } = parts
    const transitions = createTransitions(database, counts)
    const backsteps = createBacksteps(database)
    const accept = createAccept(database, { counts, maxBacklog: 10, transitions, backsteps })
    /** What a commit returned before it was rolled back. */
    const rolledBack: unknown[] = []
    let failing = false
    const commits = {
      readLatest: <T>(query: () => T) => queue.readLatest(query),
      write: <T>(work: () => T) =>
        queue.write(() => {
          const value = work()
          if (!failing) return value
          rolledBack.push(value)
          throw new Error('rolled back')
        }),
    }
    const work = createWork(database, { transitions, commits, clock })
    const tables = () =>
      ['transactions', 'jobs', 'attempts'].map((table) => rowsOf(dataDir, `SELECT * FROM ${table}`))
    for (const transactionId of ['a', 'b']) {
      await queue.write(() => accept(sentTransaction({ transactionId }), clock.now()))
    }
    await work.advanceWaits(WAIT_MS, 1)
    clock.pass(WAIT_MS)
    const before = tables()
    const countsBefore = { ...counts }
    expect(countsBefore).toMatchObject({ PENDING: 1, PROCESSING: 1 })

    failing = true
    await expect(work.advanceWaits(WAIT_MS, 100)).rejects.toThrow('rolled back')
    expect(rolledBack).toMatchObject([{ finished: 1 }])
    expect(tables()).toEqual(before)
    expect(counts).toEqual(countsBefore)

    failing = false
    expect((await work.advanceWaits(WAIT_MS, 100)).finished).toBe(1)
    expect(counts).toMatchObject({ PENDING: 0, PROCESSING: 1, PROCESSED: 1 })
  })

  test('whose batch is rolled back for another work takes place once', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    await advance(store, WAIT_MS, 1)
    store.clock.pass(WAIT_MS)
    const results = await Promise.allSettled([
      advance(store),
      store.commits.write(() => {
        throw new Error('rolled back')
      }),
    ])
    expect(results).toMatchObject([{ value: { finished: 1 } }, { status: 'rejected' }])
    expect(store.rows('attempts')).toHaveLength(2)
    const counts = { PENDING: 0, PROCESSING: 1, PROCESSED: 1, FAILED: 0 }
    expect(await countsOf(store)).toEqual(counts)
  })

  test('is no different for ten thousand, and leaves out none of their rows', async () => {
    await using store = testStore({ maxBacklog: 10_000 })
    await store.acceptAll(...Array.from({ length: 10_000 }, (_, i) => `txn_${i}`))
    expect((await advance(store, WAIT_MS, 10_000)).latenessMs).toHaveLength(10_000)
    expect(store.rows('attempts')).toHaveLength(10_000)
    store.clock.pass(WAIT_MS)
    expect((await advance(store, WAIT_MS, 10_000)).finished).toBe(10_000)
    expect(store.rows('jobs')).toEqual([])
    const outcomes = new Set(store.rows('attempts').map(({ outcome }) => outcome))
    expect(outcomes).toEqual(new Set(['done']))
  })
})
