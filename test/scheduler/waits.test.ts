import { describe, expect, test } from 'bun:test'
import { simulatedProcessor } from '../../src/processors/simulated.ts'
import { START } from '../support/clock.ts'
import { scriptedCalls, testScheduler } from '../support/scheduler.ts'
import { dueAt } from '../support/store.ts'

const DELAY_MS = 30_000
const HOUR_MS = 3_600_000

/** Ids of so many transactions. */
const names = (count: number) => Array.from({ length: count }, (_, i) => `txn_${i}`)

describe('a wait', () => {
  test('is the time between the beginning and the end of an attempt, and no more', async () => {
    await using run = testScheduler(simulatedProcessor(DELAY_MS))
    await run.accept('a')
    run.clock.pass(4)
    expect(await run.work()).toBe(DELAY_MS)
    expect(await run.state('a')).toBe('PROCESSING 1')
    run.clock.pass(DELAY_MS - 1)
    expect(await run.work()).toBe(1)
    expect(await run.state('a')).toBe('PROCESSING 1')
    run.clock.pass(1)
    expect(await run.work()).toBeUndefined()
    expect(await run.store.find('a')).toMatchObject({
      status: 'PROCESSED',
      attempts: 1,
      processingStartedAt: START + 4,
      processedAt: START + 4 + DELAY_MS,
    })
    expect(run.store.rows('jobs')).toEqual([])
  })

  test('of 0 ms begins and ends in one commit', async () => {
    await using run = testScheduler(simulatedProcessor(0))
    await Promise.all(names(3).map((name) => run.accept(name)))
    run.metrics.commits.length = 0
    expect(await run.scheduler.runOnce()).toBe(0)
    expect(run.metrics.commits).toHaveLength(1)
    expect(await run.state('txn_0')).toBe('PROCESSED 1')
    expect(await run.scheduler.runOnce()).toBeUndefined()
    expect(run.metrics.commits).toHaveLength(1)
    expect((await run.store.readings()).transactions).toMatchObject({ PENDING: 0, PROCESSED: 3 })
  })

  test('costs no timer and no place among the calls, however many there are', async () => {
    await using run = testScheduler(simulatedProcessor(DELAY_MS), { concurrency: 1 })
    await Promise.all(names(200).map((name) => run.accept(name)))
    expect(await run.work()).toBe(DELAY_MS)
    expect((await run.store.readings()).transactions).toMatchObject({ PENDING: 0, PROCESSING: 200 })
    expect(run.clock.timers).toBe(0)
  })

  test('that is over ends together with others beginning, in one commit', async () => {
    await using run = testScheduler(simulatedProcessor(DELAY_MS))
    await run.accept('first')
    await run.work()
    run.clock.pass(DELAY_MS)
    await run.accept('second')
    run.metrics.commits.length = 0
    expect(await run.scheduler.runOnce()).toBe(0)
    expect(run.metrics.commits).toHaveLength(1)
    expect(await run.state('first')).toBe('PROCESSED 1')
    expect(await run.state('second')).toBe('PROCESSING 1')
  })
})

describe('one commit', () => {
  test('takes a bounded share of a large backlog, and the rest comes next', async () => {
    await using run = testScheduler(simulatedProcessor(DELAY_MS), { maxBacklog: 2000 })
    await Promise.all(names(1200).map((name) => run.accept(name)))
    const begun = async () => (await run.store.readings()).transactions.PROCESSING
    const steps: [number | undefined, number][] = []
    for (let i = 0; i < 4; i++) steps.push([await run.scheduler.runOnce(), await begun()])
    expect(steps).toEqual([
      [0, 500],
      [0, 1000],
      [0, 1200],
      [DELAY_MS, 1200],
    ])
    run.clock.pass(DELAY_MS)
    expect(await run.scheduler.runOnce()).toBe(0)
    expect(await begun()).toBe(700)
    expect(await run.work()).toBeUndefined()
    expect((await run.store.readings()).transactions.PROCESSED).toBe(1200)
  })
})

describe('a restart', () => {
  test('in the middle neither shortens a wait nor begins it anew', async () => {
    await using first = testScheduler(simulatedProcessor(DELAY_MS))
    await first.accept('a')
    await first.scheduler.start()
    await first.recorded()
    expect(await first.state('a')).toBe('PROCESSING 1')
    first.clock.pass(10_000)
    await first.accept('b')
    await first.recorded()
    await first.scheduler.stop()
    await first.store.close()

    const { dataDir, clock } = first.store
    await using second = testScheduler(simulatedProcessor(DELAY_MS), { dataDir, clock })
    await second.scheduler.start()
    await second.recorded()
    expect(second.log.entries).toEqual([])
    expect(await dueAt(second.store)).toBe(START + DELAY_MS)
    clock.pass(20_000)
    await second.recorded()
    expect(await dueAt(second.store)).toBe(START + 10_000 + DELAY_MS)
    const times = { processingStartedAt: START, processedAt: START + DELAY_MS }
    expect(await second.store.find('a')).toMatchObject({ status: 'PROCESSED', ...times })
    expect(await second.state('b')).toBe('PROCESSING 1')
    expect(second.store.rows('attempts')).toMatchObject([
      { attempt: 1, started_at: START, finished_at: START + DELAY_MS, outcome: 'done' },
      { attempt: 1, started_at: START + 10_000, finished_at: null, outcome: null },
    ])
    expect(second.metrics.ended).toEqual({ done: 1 })
  })

  test.each([0, 1, 10 * DELAY_MS])(
    'with a delay of %p ms leaves the end of a wait where it was set',
    async (delay) => {
      await using first = testScheduler(simulatedProcessor(DELAY_MS))
      await first.accept('a')
      await first.work()
      await first.store.close()

      const { dataDir, clock } = first.store
      await using second = testScheduler(simulatedProcessor(delay), { dataDir, clock })
      expect(await second.work()).toBe(DELAY_MS)
      clock.pass(DELAY_MS)
      expect(await second.work()).toBeUndefined()
      expect(await second.state('a')).toBe('PROCESSED 1')
    },
  )

  test('with calls instead of waits makes one for the attempt that waited', async () => {
    await using first = testScheduler(simulatedProcessor(DELAY_MS))
    await first.accept('a')
    await first.work()
    await first.store.close()

    const { dataDir, clock } = first.store
    const calls = scriptedCalls()
    await using second = testScheduler(calls, { dataDir, clock })
    expect(await second.work()).toBe(DELAY_MS)
    clock.pass(DELAY_MS)
    await second.work()
    await second.recorded()
    expect(calls.attempts).toMatchObject([{ attempt: 1, startedAt: START }])
    expect(await second.state('a')).toBe('PROCESSED 1')
  })

  test('with waits instead of calls waits for what was put off and for what was cut off', async () => {
    await using first = testScheduler(scriptedCalls())
    await first.accept('cut off', 'HANG')
    await first.accept('put off', 'RETRY')
    await first.work()
    await first.recorded()
    // The store ends first, so that the call under way is left claimed.
    await first.store.close()

    const { dataDir, clock } = first.store
    await using second = testScheduler(simulatedProcessor(1000), { dataDir, clock })
    await second.scheduler.start()
    await second.recorded()
    expect(await second.state('cut off')).toBe('PROCESSING 2')
    clock.pass(5625)
    await second.recorded()
    expect(await second.state('cut off')).toBe('PROCESSED 2')
    expect(await second.state('put off')).toBe('PROCESSING 2')
    clock.pass(1000)
    await second.recorded()
    const found = await second.store.find('put off')
    // When the first attempt began; and nothing of the error that was overcome.
    const processingStartedAt = START
    expect(found).toMatchObject({ status: 'PROCESSED', processingStartedAt, error: null })
    expect(second.metrics.ended).toEqual({ interrupted: 1, done: 2 })
  })
})

describe('what is measured of waits', () => {
  test('is how late each beginning and each end was, by steady time', async () => {
    await using run = testScheduler(simulatedProcessor(DELAY_MS))
    await run.accept('a')
    run.clock.pass(40)
    run.clock.stepWall(HOUR_MS)
    await run.accept('b')
    await run.work()
    expect(run.metrics.latenessMs).toEqual([40, 0])
    run.clock.pass(DELAY_MS + 7)
    await run.work()
    expect(run.metrics.latenessMs).toEqual([40, 0, 7, 7])
  })

  test('is how many attempts have ended, once each', async () => {
    await using run = testScheduler(simulatedProcessor(DELAY_MS))
    await Promise.all(names(7).map((name) => run.accept(name)))
    await run.work()
    expect(run.metrics.ended).toEqual({})
    run.clock.pass(DELAY_MS)
    await run.work()
    expect(run.metrics.ended).toEqual({ done: 7 })
    run.clock.pass(DELAY_MS)
    await run.work()
    expect(run.metrics.ended).toEqual({ done: 7 })
  })
})

describe('the wall clock', () => {
  test.each([[3_600_000], [-3_600_000]])(
    'stepped by %p ms neither hurries a job nor stalls it',
    async (step) => {
      await using run = testScheduler(simulatedProcessor(30_000))
      await run.accept('a')
      expect(await run.work()).toBe(30_000)
      run.clock.pass(10_000)
      run.clock.stepWall(step)
      expect(await run.work()).toBe(20_000)
      await run.accept('b')
      run.clock.pass(19_999)
      expect(await run.work()).toBe(1)
      run.clock.pass(1)
      await run.work()
      expect([await run.state('a'), await run.state('b')]).toEqual(['PROCESSED 1', 'PROCESSING 1'])
      // The record says what the wall clock said.
      const found = await run.store.find('a')
      expect(found?.processedAt).toBe(START + 30_000 + step)
    },
  )

  test('an hour behind the newest time in the database stalls no job after a restart', async () => {
    const hour = 3_600_000
    await using first = testScheduler(simulatedProcessor(30_000))
    first.clock.pass(hour)
    await first.accept('a')
    expect(await first.work()).toBe(30_000)
    first.clock.pass(10_000)
    await first.accept('b')
    expect(await first.work()).toBe(20_000)
    await first.scheduler.stop()
    await first.store.close()

    const { dataDir } = first.store
    await using second = testScheduler(simulatedProcessor(30_000), { dataDir })
    // The new process's clock goes on from the newest time that the last one wrote.
    expect(second.clock.now()).toEqual({ wall: START, steady: START + hour + 10_000 })
    expect(await second.work()).toBe(20_000)
    second.clock.pass(20_000)
    await second.work()
    expect(await second.state('a')).toBe('PROCESSED 1')
  })
})
