import { describe, expect, spyOn, test } from 'bun:test'
import { createTransitions } from '../../src/store/sqlite/transitions.ts'
import { createWork } from '../../src/store/sqlite/work.ts'
import { START } from '../support/clock.ts'
import {
  acceptOn,
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

  test('takes part in the next commit that is due, unless more is due than one advances', async () => {
    await using store = testStore()
    const [now, later] = [spyOn(store.commits, 'write'), spyOn(store.commits, 'writeLater')]
    await store.acceptAll('a', 'b', 'c', 'd')
    now.mockClear()
    for (const expected of [
      { more: true, now: 0, later: 1 },
      { more: true, now: 1, later: 1 },
      { more: false, now: 2, later: 1 },
      { more: false, now: 2, later: 2 },
    ]) {
      expect((await advance(store, WAIT_MS, 2)).more).toBe(expected.more)
      expect(now).toHaveBeenCalledTimes(expected.now)
      expect(later).toHaveBeenCalledTimes(expected.later)
    }
  })

  test('that is rolled back leaves nothing, and nothing counted', async () => {
    using parts = testQueue()
    const { queue, database, clock, counts, dataDir } = parts
    const transitions = createTransitions(database, counts)
    const accept = acceptOn(database, counts)
    /** What a commit returned before it was rolled back. */
    const rolledBack: unknown[] = []
    let failing = false
    const commits = {
      readLatest: <T>(query: () => T) => queue.readLatest(query),
      write: <T>(work: () => T) => commits.writeLater(work),
      writeLater: <T>(work: () => T): Promise<T> =>
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

describe('a first attempt that begins with the acceptance', () => {
  const begins = { firstWaitMs: WAIT_MS }
  const underWay = { finishedAt: null, outcome: null, httpStatus: null, detail: null }

  test('is answered as PENDING, and is under way from then on, not yet written', async () => {
    await using store = testStore(begins)
    store.clock.stepWall(1000)
    const accepted = await store.accept(sentTransaction())
    expect(accepted).toMatchObject({
      kind: 'accepted',
      stored: { status: 'PENDING', attempts: 0, processingStartedAt: null },
    })
    const found = { status: 'PROCESSING', attempts: 1, processingStartedAt: START + 1000 }
    expect(await store.find('txn_001')).toMatchObject(found)
    expect(await store.accept(sentTransaction())).toMatchObject({ kind: 'replayed', stored: found })
    expect(await store.attempts('txn_001')).toEqual([
      { attempt: 1, startedAt: START + 1000, ...underWay },
    ])
    expect(store.rows('attempts')).toEqual([])
    expect(await countsOf(store)).toMatchObject({ PENDING: 0, PROCESSING: 1 })
    expect(await store.work.tick(8)).toEqual({ interrupted: 0, dueInMs: WAIT_MS })
  })

  test('is written when it ends, with when it began', async () => {
    await using store = testStore(begins)
    await store.acceptAll('a', 'b')
    store.clock.pass(WAIT_MS + 3)
    expect(await advance(store)).toEqual({ latenessMs: [3, 3], finished: 2, more: false })
    const times = { startedAt: START, finishedAt: START + WAIT_MS + 3 }
    const ended = { ...underWay, ...times, attempt: 1, outcome: 'done' as const }
    expect(await store.attempts('a')).toEqual([ended])
    expect(await store.attempts('b')).toEqual([ended])
    expect(await store.find('a')).toMatchObject({
      status: 'PROCESSED',
      attempts: 1,
      processingStartedAt: START,
      processedAt: START + WAIT_MS + 3,
    })
    expect(store.rows('jobs')).toEqual([])
  })

  test('goes on after a restart, counted as before', async () => {
    await using first = testStore(begins)
    await first.acceptAll('a')
    first.clock.pass(1_000)
    await first.close()
    const { dataDir, clock } = first
    await using second = testStore({ ...begins, dataDir, clock })
    expect(await second.work.start(8)).toEqual({ interrupted: 0 })
    expect(await countsOf(second)).toMatchObject({ PENDING: 0, PROCESSING: 1 })
    expect(await second.work.tick(8)).toEqual({ interrupted: 0, dueInMs: WAIT_MS - 1_000 })
    clock.pass(WAIT_MS - 1_000)
    expect(await advance(second)).toMatchObject({ finished: 1 })
    expect(await second.attempts('a')).toMatchObject([{ startedAt: START, outcome: 'done' }])
  })

  test('is written before its call goes out, where a later start makes calls of it', async () => {
    await using store = testStore(begins)
    await store.acceptAll('a', 'b')
    store.clock.pass(WAIT_MS)
    const claimed = await store.work.claim(100, 'earliest')
    expect(claimed).toMatchObject([{ attemptsUsed: 1 }, { attemptsUsed: 1 }])
    expect(store.rows('attempts')).toMatchObject([
      { id: 1, attempt: 1, started_at: START, outcome: null },
      { id: 2, attempt: 1, started_at: START, outcome: null },
    ])
    for (const { claim } of claimed)
      await store.work.settle(claim, { kind: 'done', httpStatus: 200 })
    expect(store.rows('attempts')).toMatchObject([
      { id: 1, attempt: 1, started_at: START, outcome: 'done', http_status: 200 },
      { id: 2, attempt: 1, started_at: START, outcome: 'done', http_status: 200 },
    ])
  })

  test('is not begun where a full backlog refuses it, nor by a batch that fails', async () => {
    await using store = testStore({ ...begins, maxBacklog: 1 })
    const one = store.accept(sentTransaction({ transactionId: 'a' }))
    const bad = store.commits.write(() => {
      throw new Error('bad')
    })
    await expect(bad).rejects.toThrow('bad')
    expect(await one).toMatchObject({ kind: 'accepted' })
    expect(await store.accept(sentTransaction({ transactionId: 'b' }))).toEqual({
      kind: 'backlog_full',
    })
    expect(await countsOf(store)).toMatchObject({ PENDING: 0, PROCESSING: 1 })
    expect(store.rows('jobs')).toHaveLength(1)
  })
})
