import { describe, expect, test } from 'bun:test'
import type { Claimed, Settlement } from '../../src/store/store.ts'
import { START } from '../support/clock.ts'
import { claimOne, countsOf, type TestStore, testStore } from '../support/store.ts'

const MAX_ATTEMPTS = 8

function claim(store: TestStore, limit = 100): Promise<Claimed[]> {
  return store.work.claim(limit, 'earliest')
}

function probe(store: TestStore, pick: 'probe_oldest' | 'probe_newest' = 'probe_oldest') {
  return store.work.claim(1, pick)
}

/** Claims what is due and has it due again in so many ms, one attempt on. */
async function attemptAll(store: TestStore, dueInMs: (i: number) => number): Promise<void> {
  for (const [i, claimed] of (await claim(store)).entries()) {
    await settle(store, claimed, { kind: 'retry', inMs: dueInMs(i), detail: 'no' })
  }
}

const idsOf = (claimed: Claimed[]) => claimed.map(({ transaction }) => transaction.transactionId)

function settle(store: TestStore, { claim }: Claimed, settlement: Settlement) {
  return store.work.settle(claim, settlement)
}

/** As a start does. Returns how many attempts were interrupted. */
async function recover(store: TestStore, maxAttempts = MAX_ATTEMPTS): Promise<number> {
  return (await store.work.start(maxAttempts)).interrupted
}

const tables = (store: TestStore) =>
  ['transactions', 'jobs', 'attempts'].map((table) => store.rows(table))

describe('a claim', () => {
  test('begins an attempt, and it is written to all three tables', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    store.clock.pass(4)
    store.clock.stepWall(1000)
    const claimed = await claimOne(store)
    expect(claimed).toEqual({
      claim: { transactionId: 'a', attempt: 1, token: '1.1' },
      transaction: (await store.find('a')) as never,
      attemptsUsed: 1,
      lateMs: 4,
      startedAt: START + 4,
    })
    expect(tables(store)).toMatchObject([
      [{ status: 'PROCESSING', attempts: 1, processing_started_at: START + 1004 }],
      [{ claim: 1, attempt_started_at: START + 4, tries: 1, run_at: START, changed_at: START + 4 }],
      [{ id: 1, attempt: 1, started_at: START + 1004, finished_at: null, outcome: null }],
    ])
  })

  test('returns the earliest first, no more than asked for, and none that is not due', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b', 'c', 'd')
    const first = await claim(store)
    const waits = [300, 100, 200, 301]
    for (const [i, claimed] of first.entries()) {
      await settle(store, claimed, { kind: 'snooze', inMs: waits[i] as number })
    }
    store.clock.pass(300)
    expect(idsOf(await claim(store, 2))).toEqual(['b', 'c'])
    expect(idsOf(await claim(store))).toEqual(['a'])
    expect(await claim(store)).toEqual([])
    store.clock.pass(1)
    expect(idsOf(await claim(store))).toEqual(['d'])
  })

  test('keeps a job from every other claim until it is settled', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const first = await claimOne(store)
    expect(first.claim.token).toBe('1.1')
    store.clock.pass(1000)
    expect(await claim(store)).toEqual([])
    await settle(store, first, { kind: 'snooze', inMs: 0 })
    store.clock.pass(500)
    const third = { ...first.claim, token: '1.3' }
    const expected = { ...first, claim: third, lateMs: 500 }
    expect(await claimOne(store)).toEqual(expected)
    expect(await claim(store)).toEqual([])
  })

  test('of many has one number, and shares none with another at the same time', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b', 'c')
    const claims = await Promise.all([claim(store, 2), claim(store, 2), claim(store, 2)])
    expect(claims.map(idsOf)).toEqual([['a', 'b'], ['c'], []])
    const tokens = claims.map((jobs) => jobs.map(({ claim }) => claim.token))
    expect(tokens).toEqual([['1.1', '2.1'], ['3.2'], []])
    expect(store.rows('jobs').map((row) => row.claim)).toEqual([1, 1, 2])
  })

  test('says how late the job was claimed, however late it is', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    store.clock.pass(700)
    expect(await claimOne(store)).toMatchObject({ lateMs: 700, startedAt: START + 700 })
    expect(store.rows('jobs')).toMatchObject([{ run_at: START, attempt_started_at: START + 700 }])
  })
})

describe('a probe', () => {
  test('claims nothing where nothing is due', async () => {
    await using store = testStore()
    expect(await probe(store)).toEqual([])
    await store.acceptAll('a')
    await attemptAll(store, () => 500)
    store.clock.pass(499)
    expect(await probe(store)).toEqual([])
    store.clock.pass(1)
    expect(idsOf(await probe(store))).toEqual(['a'])
  })

  test('claims one job, and its attempt is written as with any other', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    store.clock.pass(4)
    store.clock.stepWall(1000)
    const [claimed, ...others] = await probe(store)
    expect(others).toEqual([])
    expect(claimed).toEqual({
      claim: { transactionId: 'a', attempt: 1, token: '1.1' },
      transaction: (await store.find('a')) as never,
      attemptsUsed: 1,
      lateMs: 4,
      startedAt: START + 4,
    })
    expect(tables(store)).toMatchObject([
      [
        { status: 'PROCESSING', attempts: 1, processing_started_at: START + 1004 },
        { status: 'PENDING', attempts: 0 },
      ],
      [
        { claim: 1, attempt_started_at: START + 4, tries: 1 },
        { claim: null, tries: 0 },
      ],
      [{ id: 1, attempt: 1, started_at: START + 1004, finished_at: null, outcome: null }],
    ])
    expect(await countsOf(store)).toMatchObject({ PENDING: 1, PROCESSING: 1 })
    expect(await settle(store, claimed as Claimed, { kind: 'done' })).toBe('settled')
  })

  test('claims one job, whatever the limit', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b', 'c')
    expect(idsOf(await store.work.claim(100, 'probe_oldest'))).toEqual(['a'])
    expect(idsOf(await store.work.claim(100, 'probe_newest'))).toHaveLength(1)
  })

  test('goes by the attempts used, and only among equals by how long they have been due', async () => {
    await using store = testStore()
    await store.acceptAll('twice, first', 'twice, second')
    await attemptAll(store, () => 0)
    await store.acceptAll('once, second', 'once, first')
    const dueInMs = [0, 1, 3, 2]
    await attemptAll(store, (i) => dueInMs[i] as number)
    store.clock.pass(10)
    await store.acceptAll('never')
    const order: string[] = []
    for (let i = 0; i < 6; i++) order.push(...idsOf(await probe(store)))
    expect(order).toEqual(['never', 'once, first', 'once, second', 'twice, first', 'twice, second'])
  })

  test('of the newest takes those due shortest, and among these too goes by the attempts', async () => {
    await using store = testStore()
    await store.acceptAll('twice, first', 'twice, second')
    await attemptAll(store, () => 0)
    await store.acceptAll('once, second', 'once, first')
    const dueInMs = [0, 1, 3, 2]
    await attemptAll(store, (i) => dueInMs[i] as number)
    store.clock.pass(10)
    await store.acceptAll('never')
    const order: string[] = []
    for (let i = 0; i < 6; i++) order.push(...idsOf(await probe(store, 'probe_newest')))
    expect(order).toEqual(['never', 'once, second', 'once, first', 'twice, second', 'twice, first'])
  })

  test('passes over what is claimed and what is not due, however few its attempts', async () => {
    await using store = testStore()
    await store.acceptAll('attempted')
    await attemptAll(store, () => 0)
    store.clock.pass(1)
    await store.acceptAll('postponed', 'claimed')
    const [attempted, postponed] = await claim(store)
    await settle(store, attempted as Claimed, { kind: 'retry', inMs: 9, detail: 'no' })
    await settle(store, postponed as Claimed, { kind: 'snooze', inMs: 10 })
    store.clock.pass(9)
    expect(await probe(store)).toMatchObject([{ attemptsUsed: 3, claim: { attempt: 3 } }])
    expect(await probe(store)).toEqual([])
    store.clock.pass(1)
    expect(idsOf(await probe(store))).toEqual(['postponed'])
    expect(await probe(store)).toEqual([])
  })

  test('continues an attempt that was snoozed, and begins none', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const first = await claimOne(store)
    await settle(store, first, { kind: 'snooze', inMs: 50 })
    store.clock.pass(60)
    const second = { ...first.claim, token: '1.2' }
    expect(await probe(store)).toEqual([{ ...first, claim: second, lateMs: 10 }])
    expect(store.rows('attempts')).toHaveLength(1)
    expect(store.rows('jobs')).toMatchObject([{ claim: 2, tries: 1, changed_at: START + 60 }])
  })

  test('looks among the hundred that have been due longest, and no further', async () => {
    await using store = testStore()
    await store.acceptAll(...Array.from({ length: 100 }, (_, i) => `attempted ${i}`))
    await attemptAll(store, (i) => i)
    store.clock.pass(200)
    await store.acceptAll('never')
    expect(idsOf(await probe(store))).toEqual(['attempted 0'])
    // One less is before it.
    expect(idsOf(await probe(store))).toEqual(['never'])
    expect(idsOf(await probe(store))).toEqual(['attempted 1'])
  })
})

describe('settling', () => {
  test('done: the transaction is PROCESSED and has no job', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const claimed = await claimOne(store)
    store.clock.pass(50)
    store.clock.stepWall(1000)
    expect(await settle(store, claimed, { kind: 'done' })).toBe('settled')
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
    const first = await claimOne(store)
    store.clock.pass(50)
    const runAt = START + 5000
    expect(await settle(store, first, { kind: 'retry', inMs: 4950, detail: 'no' })).toBe('settled')
    expect(tables(store)).toMatchObject([
      [{ status: 'PENDING', attempts: 1, processing_started_at: START, error: 'no' }],
      [{ claim: null, attempt_started_at: null, run_at: runAt, tries: 1, changed_at: START + 50 }],
      [{ attempt: 1, finished_at: START + 50, outcome: 'retry', detail: 'no' }],
    ])

    expect(await claim(store)).toEqual([])
    store.clock.pass(4950)
    const second = await claimOne(store)
    expect(second).toMatchObject({
      claim: { attempt: 2, token: '1.3' },
      attemptsUsed: 2,
      lateMs: 0,
      startedAt: runAt,
    })
    expect(second.transaction).toEqual((await store.find('a')) as never)
    expect(store.rows('jobs')).toMatchObject([{ claim: 3, attempt_started_at: runAt }])
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
    const claimed = await claimOne(store)
    expect(await settle(store, claimed, { kind: 'fail', detail: 'never' })).toBe('settled')
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
    const first = await claimOne(store)
    expect(await settle(store, first, { kind: 'snooze', inMs: 30_000 })).toBe('settled')
    const open = [
      [{ status: 'PROCESSING', attempts: 1, processing_started_at: START, error: null }],
      [{ claim: null, attempt_started_at: START, tries: 1, run_at: START + 30_000 }],
      [{ attempt: 1, started_at: START, finished_at: null, outcome: null }],
    ]
    expect(tables(store)).toMatchObject(open)

    store.clock.pass(30_000)
    const second = await claimOne(store)
    expect(second).toMatchObject({
      claim: { attempt: 1, token: '1.2' },
      attemptsUsed: 1,
      startedAt: START,
    })
    expect(store.rows('jobs')).toMatchObject([
      { claim: 2, attempt_started_at: START, changed_at: START + 30_000 },
    ])
    expect(await settle(store, second, { kind: 'snooze', inMs: 30_000 })).toBe('settled')
    expect(store.rows('jobs')).toMatchObject([{ run_at: START + 60_000 }])
    expect(store.rows('attempts')).toHaveLength(1)
  })

  test.each([
    [false, 1],
    [true, 2],
  ])(
    'interrupted: due as it was, and where it uses an attempt (%p) the next is number %i of those allowed',
    async (usesAttempt, attemptsUsed) => {
      await using store = testStore()
      await store.acceptAll('a')
      const first = await claimOne(store)
      store.clock.pass(10)
      expect(await settle(store, first, { kind: 'interrupted', usesAttempt })).toBe('settled')
      const detail = 'txhook was stopped in the middle of the attempt'
      const end = { outcome: 'interrupted', detail, http_status: null, finished_at: START + 10 }
      expect(tables(store)).toMatchObject([
        [{ status: 'PENDING', attempts: 1, error: detail }],
        [{ run_at: START, claim: null, attempt_started_at: null, changed_at: START + 10 }],
        [{ attempt: 1, ...end }],
      ])
      expect(await countsOf(store)).toMatchObject({ PENDING: 1, PROCESSING: 0 })
      expect(await claimOne(store)).toMatchObject({ claim: { attempt: 2 }, attemptsUsed })
    },
  )

  test.each<Settlement>([
    { kind: 'done', httpStatus: 204 },
    { kind: 'retry', inMs: 0, httpStatus: 503, detail: '' },
    { kind: 'fail', httpStatus: 400, detail: '' },
  ])('$kind: the HTTP status of the answer is kept with the attempt', async (settlement) => {
    await using store = testStore()
    await store.acceptAll('a')
    await settle(store, await claimOne(store), settlement)
    const { kind, httpStatus } = settlement as Exclude<
      Settlement,
      { kind: 'snooze' | 'interrupted' }
    >
    expect(store.rows('attempts')).toMatchObject([{ outcome: kind, http_status: httpStatus }])
  })
})

describe('the fence', () => {
  const settlements: Settlement[] = [
    { kind: 'done' },
    { kind: 'retry', inMs: 0, detail: 'late' },
    { kind: 'fail', detail: 'late' },
    { kind: 'snooze', inMs: 1 },
    { kind: 'interrupted', usesAttempt: false },
  ]

  test.each(settlements)('under another claim nothing is changed: $kind', async (settlement) => {
    await using store = testStore({ maxBacklog: 1 })
    await store.acceptAll('a')
    const claimed = await claimOne(store)
    const { claim } = claimed
    expect(claim).toEqual({ transactionId: 'a', attempt: 1, token: '1.1' })
    const before = tables(store)
    store.clock.pass(1)
    for (const other of [
      ...['1.2', '1.0', '2.1', '1', '.1', '', 'another'].map((token) => ({ token })),
    ]) {
      expect(await store.work.settle({ ...claim, ...other }, settlement)).toBe('superseded')
    }
    expect(tables(store)).toEqual(before)
    // Nor was anything taken off the backlog.
    await expect(store.acceptAll('b')).rejects.toThrow('backlog_full')
    expect(await settle(store, claimed, settlement)).toBe('settled')
  })

  test.each(settlements)('a second time nothing is changed: $kind', async (settlement) => {
    await using store = testStore()
    await store.acceptAll('a')
    const claimed = await claimOne(store)
    await settle(store, claimed, settlement)
    const before = tables(store)
    store.clock.pass(1)
    for (const again of settlements) expect(await settle(store, claimed, again)).toBe('superseded')
    expect(tables(store)).toEqual(before)
  })

  test('what a later claim holds is out of reach for the first one', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    const first = await claimOne(store)
    await recover(store)
    const second = await claimOne(store)
    const before = tables(store)
    expect(await settle(store, first, { kind: 'done' })).toBe('superseded')
    expect(tables(store)).toEqual(before)
    expect(await settle(store, second, { kind: 'done' })).toBe('settled')
  })

  test.each(settlements)('nor may it settle the same attempt: $kind', async (settlement) => {
    await using store = testStore()
    await store.acceptAll('a')
    const first = await claimOne(store)
    await settle(store, first, { kind: 'snooze', inMs: 0 })
    const second = await claimOne(store)
    expect(second.claim.attempt).toBe(first.claim.attempt)
    const before = tables(store)
    expect(await settle(store, first, settlement)).toBe('superseded')
    expect(tables(store)).toEqual(before)
    expect(await settle(store, second, settlement)).toBe('settled')
  })
})

describe('the start', () => {
  test('ends what was claimed as interrupted, and what was due then is due as before', async () => {
    await using store = testStore()
    await store.acceptAll('a')
    await claimOne(store)
    store.clock.pass(60_000)
    expect(await recover(store)).toBe(1)
    const detail = 'txhook ended in the middle of the attempt'
    expect(tables(store)).toMatchObject([
      [{ status: 'PENDING', attempts: 1, processing_started_at: START, error: detail }],
      [{ claim: null, attempt_started_at: null, run_at: START, tries: 1 }],
      [{ attempt: 1, finished_at: START + 60_000, outcome: 'interrupted', detail }],
    ])
    expect(await claimOne(store)).toMatchObject({ claim: { attempt: 2 }, attemptsUsed: 2 })
  })

  test('puts what was interrupted before all that waited behind it', async () => {
    await using store = testStore()
    await store.acceptAll('interrupted')
    await claimOne(store)
    store.clock.pass(1)
    await store.acceptAll('waiting')
    store.clock.pass(60_000)
    await recover(store)
    expect(idsOf(await claim(store))).toEqual(['interrupted', 'waiting'])
  })

  test('fails what was on its last attempt', async () => {
    await using store = testStore({ maxBacklog: 1 })
    await store.acceptAll('a')
    for (const attempt of [1, 2, 3]) {
      const claimed = await claimOne(store)
      expect(claimed).toMatchObject({ claim: { attempt }, attemptsUsed: attempt })
      expect(await recover(store, 3)).toBe(1)
    }
    expect(store.rows('transactions')).toMatchObject([{ status: 'FAILED', attempts: 3 }])
    expect(store.rows('jobs')).toEqual([])
    const interrupted = { outcome: 'interrupted' }
    expect(store.rows('attempts')).toMatchObject([interrupted, interrupted, interrupted])
    await store.acceptAll('b')
  })

  test('ends some that go on and some that were on their last attempt', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    await attemptAll(store, () => 0)
    await store.acceptAll('c')
    expect(idsOf(await claim(store))).toEqual(['a', 'b', 'c'])
    expect(await recover(store, 2)).toBe(3)
    const states = store.rows('transactions').map(({ status }) => status)
    expect(states).toEqual(['FAILED', 'FAILED', 'PENDING'])
    expect(await countsOf(store)).toMatchObject({ PENDING: 1, PROCESSING: 0, FAILED: 2 })
    expect(await claimOne(store)).toMatchObject({ claim: { transactionId: 'c', attempt: 2 } })
  })

  test('changes nothing that was not claimed, not even a snoozed attempt', async () => {
    await using store = testStore()
    await store.acceptAll('snoozed')
    const claimed = await claimOne(store)
    await settle(store, claimed, { kind: 'snooze', inMs: 30_000 })
    await store.acceptAll('new')
    const before = tables(store)
    expect(await recover(store)).toBe(0)
    expect(tables(store)).toEqual(before)
  })
})

describe('a tick', () => {
  test('says in how many ms the earliest job is due that is not claimed', async () => {
    await using store = testStore()
    const tick = () => store.work.tick(MAX_ATTEMPTS)
    expect(await tick()).toEqual({ interrupted: 0, dueInMs: undefined })
    await store.acceptAll('a')
    store.clock.pass(10)
    await store.acceptAll('b')
    expect(await tick()).toEqual({ interrupted: 0, dueInMs: -10 })
    const [a] = await claim(store, 1)
    expect(await tick()).toEqual({ interrupted: 0, dueInMs: 0 })
    const [b] = await claim(store, 1)
    expect(await tick()).toEqual({ interrupted: 0, dueInMs: undefined })
    await settle(store, b as Claimed, { kind: 'snooze', inMs: 890 })
    await settle(store, a as Claimed, { kind: 'retry', inMs: 490, detail: '' })
    expect(await tick()).toEqual({ interrupted: 0, dueInMs: 490 })
    store.clock.pass(90)
    expect(await tick()).toEqual({ interrupted: 0, dueInMs: 400 })
  })

  test('changes nothing, not even what is claimed', async () => {
    await using store = testStore()
    await store.acceptAll('a', 'b')
    await claim(store, 1)
    const before = tables(store)
    store.clock.pass(3_600_000)
    expect(await store.work.tick(1)).toEqual({ interrupted: 0, dueInMs: -3_600_000 })
    expect(tables(store)).toEqual(before)
  })
})
