import { describe, expect, test } from 'bun:test'
import { simulatedProcessor } from '../../src/processors/simulated.ts'
import { START } from '../support/clock.ts'
import {
  SNOOZE_MS,
  scriptedCalls,
  scriptedPure,
  type TestScheduler,
  testScheduler,
} from '../support/scheduler.ts'
import { rowsOf } from '../support/store.ts'

/** The outcomes are the same for both kinds; what differs is when they are on the disk. */
describe.each([
  ['pure', scriptedPure],
  ['call', scriptedCalls],
] as const)('a %s processor', (_, scripted) => {
  async function workOff(run: TestScheduler): Promise<void> {
    await run.work()
    await run.recorded()
  }

  test('that succeeds: the transaction is PROCESSED', async () => {
    await using run = testScheduler(scripted())
    await run.accept('a', 'OK')
    await workOff(run)
    expect(await run.state('a')).toBe('PROCESSED 1')
  })

  test.each([
    ['ERROR', 'attempt 1 broke'],
    ['RETRY', 'attempt 1 was put off'],
  ] as const)('that says %s is tried again after the backoff', async (line, error) => {
    await using run = testScheduler(scripted())
    await run.accept('a', line)
    run.clock.stepWall(3_600_000)
    await workOff(run)
    expect(await run.store.find('a')).toMatchObject({ status: 'PENDING', attempts: 1, error })
    expect(run.store.rows('attempts')).toMatchObject([{ outcome: 'retry', detail: error }])
    expect(run.store.jobs.nextRunAt()).toBe(START + 5625)
  })

  test('that says FAIL: the transaction is FAILED and is not tried again', async () => {
    await using run = testScheduler(scripted())
    await run.accept('a', 'FAIL')
    await workOff(run)
    const error = 'attempt 1 was refused'
    expect(await run.store.find('a')).toMatchObject({ status: 'FAILED', attempts: 1, error })
    expect(run.store.jobs.nextRunAt()).toBeUndefined()
  })

  test('that says SNOOZE goes on later with the same attempt', async () => {
    const processor = scripted()
    await using run = testScheduler(processor)
    await run.accept('a', 'SNOOZE')
    await workOff(run)
    expect(await run.state('a')).toBe('PROCESSING 1')
    expect(run.store.jobs.nextRunAt()).toBe(START + SNOOZE_MS)

    run.clock.pass(SNOOZE_MS)
    await workOff(run)
    expect(await run.state('a')).toBe('PROCESSED 1')
    const given = processor.works.map(({ attempt, startedAt, now }) => [attempt, startedAt, now])
    expect(given).toEqual([
      [1, START, START],
      [1, START, START + SNOOZE_MS],
    ])
  })
})

describe('out of tries', () => {
  test('the transaction is FAILED with the last error, the waits doubling until then', async () => {
    await using run = testScheduler(scriptedPure(), { triesMax: 4, random: () => 0 })
    await run.accept('a', 'RETRY', 'ERROR')
    const waits: (number | undefined)[] = []
    for (let wait = await run.work(); wait !== undefined; wait = await run.work()) {
      waits.push(wait)
      run.clock.pass(wait)
    }
    expect(waits).toEqual([5000, 10_000, 20_000])
    const error = 'attempt 4 broke'
    expect(await run.store.find('a')).toMatchObject({ status: 'FAILED', attempts: 4, error })
    const outcomes = run.store.rows('attempts').map(({ outcome }) => outcome)
    expect(outcomes).toEqual(['retry', 'retry', 'retry', 'fail'])
  })
})

describe('one commit', () => {
  test('settles many, and one that throws fails alone', async () => {
    await using run = testScheduler(scriptedPure())
    const lines = ['OK', 'ERROR', 'OK', 'FAIL', 'SNOOZE', 'OK'] as const
    for (const [i, line] of lines.entries()) await run.accept(`${i}`, line)
    expect(await run.scheduler.runOnce()).toBe(0)
    const states = run.store.rows('transactions').map(({ status }) => status)
    const expected = ['PROCESSED', 'PENDING', 'PROCESSED', 'FAILED', 'PROCESSING', 'PROCESSED']
    expect(states).toEqual(expected)
    expect(await run.work()).toBe(5625)
  })

  test('takes a bounded share of a large backlog, and the rest comes next', async () => {
    const processor = scriptedPure()
    await using run = testScheduler(processor)
    await Promise.all(Array.from({ length: 450 }, (_, i) => run.accept(`${i}`, 'OK')))
    const steps: [number | undefined, number][] = []
    for (let i = 0; i < 4; i++) steps.push([await run.scheduler.runOnce(), processor.works.length])
    expect(steps).toEqual([
      [0, 200],
      [0, 400],
      [0, 450],
      [undefined, 450],
    ])
  })

  test('with a processor that looks is not yet to be seen by others', async () => {
    const processor = scriptedPure()
    await using run = testScheduler(processor)
    await run.accept('a', 'OK')
    processor.before = () => {
      expect(rowsOf(run.store.dataDir, 'SELECT * FROM attempts')).toEqual([])
    }
    await run.work()
    expect(await run.state('a')).toBe('PROCESSED 1')
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
