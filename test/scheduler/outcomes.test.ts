import { describe, expect, test } from 'bun:test'
import { START } from '../support/clock.ts'
import {
  type Line,
  SNOOZE_MS,
  scriptedCalls,
  type TestScheduler,
  testScheduler,
} from '../support/scheduler.ts'
import { dueAt } from '../support/store.ts'

/** Makes the calls that are due, and sees their outcomes to the disk. */
async function workOff(run: TestScheduler): Promise<void> {
  await run.work()
  await run.recorded()
}

describe('a call', () => {
  test('that succeeds: the transaction is PROCESSED', async () => {
    await using run = testScheduler(scriptedCalls())
    await run.accept('a', 'OK')
    await workOff(run)
    expect(await run.state('a')).toBe('PROCESSED 1')
  })

  test.each([
    ['ERROR', 'attempt 1 broke'],
    ['RETRY', 'attempt 1 was put off'],
  ] as const)('that says %s is tried again after the backoff', async (line, error) => {
    await using run = testScheduler(scriptedCalls())
    await run.accept('a', line)
    run.clock.stepWall(3_600_000)
    await workOff(run)
    expect(await run.store.find('a')).toMatchObject({ status: 'PENDING', attempts: 1, error })
    expect(run.store.rows('attempts')).toMatchObject([{ outcome: 'retry', detail: error }])
    expect(await dueAt(run.store)).toBe(START + 5625)
  })

  test('that says FAIL: the transaction is FAILED and is not tried again', async () => {
    await using run = testScheduler(scriptedCalls())
    await run.accept('a', 'FAIL')
    await workOff(run)
    const error = 'attempt 1 was refused'
    expect(await run.store.find('a')).toMatchObject({ status: 'FAILED', attempts: 1, error })
    expect(await dueAt(run.store)).toBeUndefined()
  })

  test('that says SNOOZE goes on later with the same attempt', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    await run.accept('a', 'SNOOZE')
    await workOff(run)
    expect(await run.state('a')).toBe('PROCESSING 1')
    expect(await dueAt(run.store)).toBe(START + SNOOZE_MS)

    run.clock.pass(SNOOZE_MS)
    await workOff(run)
    expect(await run.state('a')).toBe('PROCESSED 1')
    const given = processor.attempts.map(({ attempt, startedAt, now }) => [attempt, startedAt, now])
    expect(given).toEqual([
      [1, START, START],
      [1, START, START + SNOOZE_MS],
    ])
  })
})

describe('out of tries', () => {
  test('the transaction is FAILED with the last error, the waits doubling until then', async () => {
    await using run = testScheduler(scriptedCalls(), { maxAttempts: 4, random: () => 0 })
    await run.accept('a', 'RETRY', 'ERROR')
    const waits: number[] = []
    await workOff(run)
    for (let wait = await run.work(); wait !== undefined; wait = await run.work()) {
      waits.push(wait)
      run.clock.pass(wait)
      await workOff(run)
    }
    expect(waits).toEqual([5000, 10_000, 20_000])
    const error = 'attempt 4 broke'
    expect(await run.store.find('a')).toMatchObject({ status: 'FAILED', attempts: 4, error })
    const outcomes = run.store.rows('attempts').map(({ outcome }) => outcome)
    expect(outcomes).toEqual(['retry', 'retry', 'retry', 'fail'])
  })
})

describe('many calls', () => {
  test('each come to their own outcome, and one that throws fails alone', async () => {
    await using run = testScheduler(scriptedCalls())
    const lines: Line[] = ['OK', 'ERROR', 'OK', 'FAIL', 'SNOOZE', 'OK']
    for (const [i, line] of lines.entries()) await run.accept(`${i}`, line)
    await workOff(run)
    const states = run.store.rows('transactions').map(({ status }) => status)
    const expected = ['PROCESSED', 'PENDING', 'PROCESSED', 'FAILED', 'PROCESSING', 'PROCESSED']
    expect(states).toEqual(expected)
    expect(await run.work()).toBe(5625)
  })

  test('are taken by bounded shares of a large backlog, a commit each', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor, { concurrency: 1000 })
    const names = Array.from({ length: 250 }, (_, i) => `${i}`)
    await Promise.all(names.map((name) => run.accept(name, 'HANG')))
    const commits = run.metrics.commits.length
    const steps: [number | undefined, number][] = []
    for (let i = 0; i < 4; i++)
      steps.push([await run.scheduler.runOnce(), processor.attempts.length])
    expect(steps).toEqual([
      [0, 100],
      [0, 200],
      [0, 250],
      [undefined, 250],
    ])
    expect(run.metrics.commits.slice(commits).map(({ batchSize }) => batchSize)).toEqual([1, 1, 1])
  })
})
