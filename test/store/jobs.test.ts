import { describe, expect, test } from 'bun:test'
import type { Job, Settlement } from '../../src/store/sqlite/jobs.ts'
import { START } from '../support/clock.ts'
import { type TestStore, testStore } from '../support/store.ts'

const MAX_ATTEMPTS = 8

function take(store: TestStore, claim = 1, limit = 100): Promise<Job[]> {
  return store.work.claim(limit, 'earliest')
}

/** Takes the one job that is due. */
async function takeOne(store: TestStore, claim = 1): Promise<Job> {
  const [job, ...others] = await take(store, claim)
  if (!job || others.length > 0) throw new Error('There was not one job due.')
  return job
}

function takeLeastTried(store: TestStore, claim = 1): Promise<Job[]> {
  return store.commit(() => store.jobs.takeLeastTried(store.clock.now(), claim, 'oldest'))
}

/** Takes what is due and has it due again in so many ms, one try on. */
async function tryAll(store: TestStore, dueInMs: (i: number) => number): Promise<void> {
  for (const [i, job] of (await take(store)).entries()) {
    const runAt = store.clock.now().steady + dueInMs(i)
    await settle(store, job, { kind: 'retry', runAt, detail: 'no' })
  }
}

const idsOf = (jobs: Job[]) => jobs.map(({ transaction }) => transaction.transactionId)

function settle(store: TestStore, job: Job, settlement: Settlement) {
  return store.commit(() => store.jobs.settle(job, settlement, store.clock.now()))
}

function recover(store: TestStore, maxAttempts = MAX_ATTEMPTS): Promise<number> {
  return store.work.start(maxAttempts)
}

const tables = (store: TestStore) =>
  ['transactions', 'jobs', 'attempts'].map((table) => store.rows(table))

describe('taking', () => {
  test('opens an attempt, and it is written down in all three tables', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    store.clock.pass(4)
    store.clock.stepWall(1000)
    const job = await takeOne(store, 7)
    expect(job).toMatchObject({ id: 1, attempt: 1, tries: 1, startedAt: START + 4, claim: 7 })
    expect(job.transaction).toEqual((await store.find('a')) as never)
    expect(tables(store)).toMatchObject([
      [{ status: 'PROCESSING', attempts: 1, processing_started_at: START + 1004 }],
      [{ claim: 7, attempt_started_at: START + 4, tries: 1, run_at: START, changed_at: START + 4 }],
      [{ id: 1, attempt: 1, started_at: START + 1004, finished_at: null, outcome: null }],
    ])
  })

  test('takes the earliest first, no more than asked for, and none that is not due', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b', 'c', 'd')
    const first = await take(store)
    const waits = [300, 100, 200, 301]
    for (const [i, job] of first.entries()) {
      await settle(store, job, { kind: 'snooze', runAt: START + (waits[i] as number) })
    }
    store.clock.pass(300)
    expect(idsOf(await take(store, 2, 2))).toEqual(['b', 'c'])
    expect(idsOf(await take(store, 3))).toEqual(['a'])
    expect(await take(store, 4)).toEqual([])
    store.clock.pass(1)
    expect(idsOf(await take(store, 5))).toEqual(['d'])
  })

  test('gives a job to nobody else until it is settled', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const job = await takeOne(store, 1)
    store.clock.pass(1000)
    expect(await take(store, 2)).toEqual([])
    await settle(store, job, { kind: 'snooze', runAt: START + 500 })
    expect(await takeOne(store, 3)).toEqual({ ...job, claim: 3, runAt: START + 500 })
    expect(await take(store, 4)).toEqual([])
  })

  test('says when the job was due, however late it is', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    store.clock.pass(700)
    expect(await takeOne(store)).toMatchObject({ runAt: START, startedAt: START + 700 })
  })
})

describe('taking what was tried least', () => {
  test('takes nothing where nothing is due', async () => {
    await using store = testStore()
    expect(await takeLeastTried(store)).toEqual([])
    await store.acceptAll('a')
    await tryAll(store, () => 500)
    store.clock.pass(499)
    expect(await takeLeastTried(store)).toEqual([])
    store.clock.pass(1)
    expect(idsOf(await takeLeastTried(store))).toEqual(['a'])
  })

  test('takes one job, and its attempt is written down as with any other', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    store.clock.pass(4)
    store.clock.stepWall(1000)
    const [job, ...others] = await takeLeastTried(store, 7)
    expect(others).toEqual([])
    expect(job).toMatchObject({ id: 1, attempt: 1, tries: 1, startedAt: START + 4, claim: 7 })
    expect(job?.runAt).toBe(START)
    expect(job?.transaction).toEqual((await store.find('a')) as never)
    expect(tables(store)).toMatchObject([
      [
        { status: 'PROCESSING', attempts: 1, processing_started_at: START + 1004 },
        { status: 'PENDING', attempts: 0 },
      ],
      [
        { claim: 7, attempt_started_at: START + 4, tries: 1 },
        { claim: null, tries: 0 },
      ],
      [{ id: 1, attempt: 1, started_at: START + 1004, finished_at: null, outcome: null }],
    ])
    expect((await store.readings()).transactions).toMatchObject({ PENDING: 1, PROCESSING: 1 })
    expect(await settle(store, job as Job, { kind: 'done' })).toBe('settled')
  })

  test('goes by the tries, and only among equals by how long they have been due', async () => {
    await using store = testStore()
    await store.acceptAll('twice, first', 'twice, second')
    await tryAll(store, () => 0)
    await store.acceptAll('once, second', 'once, first')
    const dueInMs = [0, 1, 3, 2]
    await tryAll(store, (i) => dueInMs[i] as number)
    store.clock.pass(10)
    await store.acceptAll('never')
    const order: string[] = []
    for (let claim = 2; claim < 8; claim++) order.push(...idsOf(await takeLeastTried(store, claim)))
    expect(order).toEqual(['never', 'once, first', 'once, second', 'twice, first', 'twice, second'])
  })

  test('leaves alone what is claimed and what is not due, however little it was tried', async () => {
    await using store = testStore()
    await store.acceptAll('tried')
    await tryAll(store, () => 0)
    store.clock.pass(1)
    await store.acceptAll('put off', 'claimed')
    const [tried, putOff] = await take(store, 2)
    await settle(store, tried as Job, { kind: 'retry', runAt: START + 10, detail: 'no' })
    await settle(store, putOff as Job, { kind: 'snooze', runAt: START + 11 })
    store.clock.pass(9)
    expect(await takeLeastTried(store, 3)).toMatchObject([{ tries: 3, attempt: 3 }])
    expect(await takeLeastTried(store, 4)).toEqual([])
    store.clock.pass(1)
    expect(idsOf(await takeLeastTried(store, 5))).toEqual(['put off'])
    expect(await takeLeastTried(store, 6)).toEqual([])
  })

  test('goes on with an attempt that was snoozed, and begins none', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const job = await takeOne(store)
    await settle(store, job, { kind: 'snooze', runAt: START + 50 })
    store.clock.pass(60)
    expect(await takeLeastTried(store, 2)).toEqual([{ ...job, claim: 2, runAt: START + 50 }])
    expect(store.rows('attempts')).toHaveLength(1)
    expect(store.rows('jobs')).toMatchObject([{ claim: 2, tries: 1, changed_at: START + 60 }])
  })

  test('looks among the hundred that have been due longest, and no further', async () => {
    await using store = testStore()
    await store.acceptAll(...Array.from({ length: 100 }, (_, i) => `tried ${i}`))
    await tryAll(store, (i) => i)
    store.clock.pass(200)
    await store.acceptAll('never')
    expect(idsOf(await takeLeastTried(store, 2))).toEqual(['tried 0'])
    // One less is in the way.
    expect(idsOf(await takeLeastTried(store, 3))).toEqual(['never'])
    expect(idsOf(await takeLeastTried(store, 4))).toEqual(['tried 1'])
  })
})

describe('settling', () => {
  test('done: the transaction is PROCESSED and has no job', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const job = await takeOne(store)
    store.clock.pass(50)
    store.clock.stepWall(1000)
    expect(await settle(store, job, { kind: 'done' })).toBe('settled')
    expect(tables(store)).toMatchObject([
      [{ status: 'PROCESSED', attempts: 1, processed_at: START + 1050, error: null }],
      [],
      [{ attempt: 1, finished_at: START + 1050, outcome: 'done', detail: null }],
    ])
    expect(store.rows('jobs')).toEqual([])
  })

  test('retry: the transaction is PENDING with its error until a new attempt', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const job = await takeOne(store)
    store.clock.pass(50)
    const runAt = START + 5000
    expect(await settle(store, job, { kind: 'retry', runAt, detail: 'no' })).toBe('settled')
    expect(tables(store)).toMatchObject([
      [{ status: 'PENDING', attempts: 1, processing_started_at: START, error: 'no' }],
      [{ claim: null, attempt_started_at: null, run_at: runAt, tries: 1, changed_at: START + 50 }],
      [{ attempt: 1, finished_at: START + 50, outcome: 'retry', detail: 'no' }],
    ])

    expect(await take(store, 2)).toEqual([])
    store.clock.pass(4950)
    const second = await takeOne(store, 2)
    expect(second).toMatchObject({ attempt: 2, tries: 2, startedAt: runAt, claim: 2 })
    expect(await settle(store, second, { kind: 'done' })).toBe('settled')
    expect(tables(store)).toMatchObject([
      // When the first attempt began; and no error of a transaction that is PROCESSED.
      [{ status: 'PROCESSED', attempts: 2, processing_started_at: START, error: null }],
      [],
      [
        { attempt: 1, outcome: 'retry', detail: 'no' },
        { attempt: 2, outcome: 'done', started_at: runAt, finished_at: runAt },
      ],
    ])
  })

  test('fail: the transaction is FAILED with its error and has no job', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const job = await takeOne(store)
    expect(await settle(store, job, { kind: 'fail', detail: 'never' })).toBe('settled')
    expect(tables(store)).toMatchObject([
      [{ status: 'FAILED', attempts: 1, processed_at: null, error: 'never' }],
      [],
      [{ attempt: 1, finished_at: START, outcome: 'fail', detail: 'never' }],
    ])
    expect(store.rows('jobs')).toEqual([])
  })

  test('snooze: the same attempt stays open and goes on with its start', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const first = await takeOne(store)
    expect(await settle(store, first, { kind: 'snooze', runAt: START + 30_000 })).toBe('settled')
    const open = [
      [{ status: 'PROCESSING', attempts: 1, processing_started_at: START, error: null }],
      [{ claim: null, attempt_started_at: START, tries: 1, run_at: START + 30_000 }],
      [{ attempt: 1, started_at: START, finished_at: null, outcome: null }],
    ]
    expect(tables(store)).toMatchObject(open)

    store.clock.pass(30_000)
    const second = await takeOne(store, 9)
    expect(second).toMatchObject({ attempt: 1, tries: 1, startedAt: START, claim: 9 })
    expect(store.rows('jobs')).toMatchObject([{ claim: 9, changed_at: START + 30_000 }])
    expect(await settle(store, second, { kind: 'snooze', runAt: START + 60_000 })).toBe('settled')
    expect(store.rows('attempts')).toHaveLength(1)
  })
})

describe('the fence', () => {
  const settlements: Settlement[] = [
    { kind: 'done' },
    { kind: 'retry', runAt: START, detail: 'late' },
    { kind: 'fail', detail: 'late' },
    { kind: 'snooze', runAt: START + 1 },
  ]

  test.each(settlements)('under another claim nothing is changed: $kind', async (settlement) => {
    await using store = testStore({ maxBacklog: 1 })
    await store.acceptAll('a')
    const job = await takeOne(store, 1)
    const before = tables(store)
    store.clock.pass(1)
    for (const claim of [2, 0]) {
      expect(await settle(store, { ...job, claim }, settlement)).toBe('superseded')
    }
    expect(tables(store)).toEqual(before)
    // Nor was anything taken off the backlog.
    await expect(store.acceptAll('b')).rejects.toThrow('backlog_full')
    expect(await settle(store, job, settlement)).toBe('settled')
  })

  test.each(settlements)('a second time nothing is changed: $kind', async (settlement) => {
    await using store = testStore()
    await store.acceptAll('a')
    const job = await takeOne(store)
    await settle(store, job, settlement)
    const before = tables(store)
    store.clock.pass(1)
    for (const again of settlements) expect(await settle(store, job, again)).toBe('superseded')
    expect(tables(store)).toEqual(before)
  })

  test('what a later claim holds is out of reach for the first one', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const first = await takeOne(store, 1)
    await recover(store)
    const second = await takeOne(store, 2)
    const before = tables(store)
    expect(await settle(store, first, { kind: 'done' })).toBe('superseded')
    expect(tables(store)).toEqual(before)
    expect(await settle(store, second, { kind: 'done' })).toBe('settled')
  })
})

describe('recovery', () => {
  test('records what was claimed as interrupted, and what was due then is due as ever', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    await takeOne(store)
    store.clock.pass(60_000)
    expect(await recover(store)).toBe(1)
    const detail = 'txhook ended in the middle of the attempt'
    expect(tables(store)).toMatchObject([
      [{ status: 'PENDING', attempts: 1, processing_started_at: START, error: detail }],
      [{ claim: null, attempt_started_at: null, run_at: START, tries: 1 }],
      [{ attempt: 1, finished_at: START + 60_000, outcome: 'interrupted', detail }],
    ])
    expect(await takeOne(store, 2)).toMatchObject({ attempt: 2, tries: 2 })
  })

  test('puts what was cut off before all that waited behind it', async () => {
    await using store = testStore()
    await store.acceptAll('cut off')
    await takeOne(store)
    store.clock.pass(1)
    await store.acceptAll('waiting')
    store.clock.pass(60_000)
    await recover(store)
    expect(idsOf(await take(store, 2))).toEqual(['cut off', 'waiting'])
  })

  test('fails what was on its last try', async () => {
    await using store = testStore({ maxBacklog: 1 })
    await store.acceptAll('a')
    for (const attempt of [1, 2, 3]) {
      expect(await takeOne(store, attempt)).toMatchObject({ attempt, tries: attempt })
      expect(await recover(store, 3)).toBe(1)
    }
    expect(store.rows('transactions')).toMatchObject([{ status: 'FAILED', attempts: 3 }])
    expect(store.rows('jobs')).toEqual([])
    const interrupted = { outcome: 'interrupted' }
    expect(store.rows('attempts')).toMatchObject([interrupted, interrupted, interrupted])
    await store.acceptAll('b')
  })

  test('leaves alone what nobody had claimed, a snoozed attempt included', async () => {
    await using store = testStore()
    await store.acceptAll('snoozed')
    const job = await takeOne(store)
    await settle(store, job, { kind: 'snooze', runAt: START + 30_000 })
    await store.acceptAll('new')
    const before = tables(store)
    expect(await recover(store)).toBe(0)
    expect(tables(store)).toEqual(before)
  })
})

describe('the earliest time', () => {
  test('is that of the earliest job that nobody has claimed', async () => {
    await using store = testStore()
    expect(store.jobs.nextRunAt()).toBeUndefined()
    await store.acceptAll('a')
    store.clock.pass(10)
    await store.acceptAll('b')
    expect(store.jobs.nextRunAt()).toBe(START)
    const [a] = await take(store, 1, 1)
    expect(store.jobs.nextRunAt()).toBe(START + 10)
    const [b] = await take(store, 2, 1)
    expect(store.jobs.nextRunAt()).toBeUndefined()
    await settle(store, b as Job, { kind: 'snooze', runAt: START + 900 })
    await settle(store, a as Job, { kind: 'retry', runAt: START + 500, detail: '' })
    expect(store.jobs.nextRunAt()).toBe(START + 500)
  })
})
