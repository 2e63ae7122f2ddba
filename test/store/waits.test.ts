import { describe, expect, test } from 'bun:test'
import type { WaitStep } from '../../src/store/sqlite/waits.ts'
import { START } from '../support/clock.ts'
import { type TestStore, testStore } from '../support/store.ts'

const WAIT_MS = 30_000

function step(store: TestStore, waitMs = WAIT_MS, limit = 100): Promise<WaitStep> {
  return store.work.advanceWaits(waitMs, limit)
}

const tables = (store: TestStore) =>
  ['transactions', 'jobs', 'attempts'].map((table) => store.rows(table))

/** Takes all that is due and puts it off, as calls that failed do. */
async function putOff(store: TestStore, runAt: number, detail = 'no'): Promise<void> {
  await store.commit(() => {
    const now = store.clock.now()
    for (const job of store.jobs.take(now, 100, 1)) {
      store.jobs.settle(job, { kind: 'retry', runAt, detail }, now)
    }
  })
}

describe('a step', () => {
  test('begins an attempt, and it is written down in all three tables', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    store.clock.pass(4)
    store.clock.stepWall(1000)
    expect(await step(store)).toEqual({ latenessMs: [4], finished: 0 })
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
    expect(store.jobs.nextRunAt()).toBe(until)
  })

  test('ends an attempt whose time is over, and leaves no job', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    await step(store)
    store.clock.pass(WAIT_MS + 7)
    store.clock.stepWall(-1000)
    expect(await step(store)).toEqual({ latenessMs: [7], finished: 1 })
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
    await step(store)
    const before = tables(store)
    store.clock.pass(WAIT_MS - 1)
    expect(await step(store)).toEqual({ latenessMs: [], finished: 0 })
    expect(tables(store)).toEqual(before)
  })

  test('with no time to wait begins and ends at once', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    expect(await step(store, 0)).toEqual({ latenessMs: [0, 0], finished: 2 })
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
    await step(store)
    store.clock.pass(WAIT_MS)
    await store.acceptAll('b')
    expect(await step(store)).toEqual({ latenessMs: [0, 0], finished: 1 })
    const states = store.rows('transactions').map(({ status }) => status)
    expect(states).toEqual(['PROCESSED', 'PROCESSING'])
    expect(store.rows('jobs')).toMatchObject([{ id: 2, run_at: START + 2 * WAIT_MS }])
  })

  test('takes the earliest first, and no more than asked for', async () => {
    await using store = testStore()
    for (const id of ['a', 'b', 'c']) {
      await store.acceptAll(id)
      store.clock.pass(100)
    }
    await putOff(store, START + 500)
    await store.acceptAll('later', 'latest')
    store.clock.pass(1000)
    expect(await step(store, WAIT_MS, 2)).toEqual({ latenessMs: [1000, 1000], finished: 0 })
    const begun = store.rows('jobs').filter((job) => job.attempt_started_at !== null)
    expect(begun.map(({ id }) => id)).toEqual([4, 5])
    expect((await step(store, WAIT_MS, 2)).latenessMs).toEqual([800, 800])
    expect((await step(store, WAIT_MS, 2)).latenessMs).toEqual([800])
    expect((await step(store, WAIT_MS, 2)).latenessMs).toEqual([])
  })

  test('leaves alone what a call has claimed', async () => {
    await using store = testStore()
    await store.acceptAll('claimed')
    await store.work.claim(1, 'earliest')
    const before = tables(store)
    expect(await step(store, 0)).toEqual({ latenessMs: [], finished: 0 })
    expect(tables(store)).toEqual(before)
  })

  test('after failed attempts is another one, and those before it stay as they ended', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    await putOff(store, START + 1000)
    store.clock.pass(1000)
    await step(store)
    const pending = { status: 'PROCESSING', attempts: 2, processing_started_at: START }
    expect(store.rows('transactions')).toMatchObject([pending, pending])
    expect(store.rows('jobs')).toMatchObject([{ tries: 2 }, { tries: 2 }])
    store.clock.pass(WAIT_MS)
    await step(store)
    const processed = { status: 'PROCESSED', attempts: 2, processing_started_at: START }
    expect(store.rows('transactions')).toMatchObject([
      { ...processed, error: null },
      { ...processed, error: null },
    ])
    const failed = { attempt: 1, finished_at: START, outcome: 'retry', detail: 'no' }
    const done = { attempt: 2, started_at: START + 1000, outcome: 'done', detail: null }
    expect(store.rows('attempts')).toMatchObject([failed, done, failed, done])
  })

  test('that is undone with its batch leaves nothing, and nothing counted', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    await step(store, WAIT_MS, 1)
    store.clock.pass(WAIT_MS)
    const before = tables(store)
    const counts = { ...(await store.readings()).transactions }
    const undone = store.commit(() => {
      expect(store.waits.step(store.clock.now(), WAIT_MS, 100).finished).toBe(1)
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    expect(tables(store)).toEqual(before)
    expect((await store.readings()).transactions).toEqual(counts)
    expect((await step(store)).finished).toBe(1)
  })

  test('is no different for ten thousand, and for none of them does it forget a row', async () => {
    await using store = testStore({ maxBacklog: 10_000 })
    await store.acceptAll(...Array.from({ length: 10_000 }, (_, i) => `txn_${i}`))
    expect((await step(store, WAIT_MS, 10_000)).latenessMs).toHaveLength(10_000)
    expect(store.rows('attempts')).toHaveLength(10_000)
    store.clock.pass(WAIT_MS)
    expect((await step(store, WAIT_MS, 10_000)).finished).toBe(10_000)
    expect(store.rows('jobs')).toEqual([])
    const outcomes = new Set(store.rows('attempts').map(({ outcome }) => outcome))
    expect(outcomes).toEqual(new Set(['done']))
  })
})
