import { describe, expect, spyOn, test } from 'bun:test'
import { getEventListeners } from 'node:events'
import { simulatedProcessor } from '../../src/processors/simulated.ts'
import {
  type HangingCall,
  REST_MS,
  type ScriptedCalls,
  scriptedCalls,
  type TestScheduler,
  testScheduler,
} from '../support/scheduler.ts'
import { firstValue, sentTransaction } from '../support/store.ts'

const YEAR_MS = 365 * 24 * 3_600_000

/** Lets the database grow by no page more than it has, or as far as it likes. */
function limitPages({ store }: TestScheduler, how: 'full' | 'room'): void {
  const { client } = store.database
  const pages = how === 'full' ? firstValue(client, 'PRAGMA page_count') : 1_000_000
  client.run(`PRAGMA max_page_count = ${pages}`)
}

/** A call ends while the storage has no room for its outcome; resolves when that was refused. */
async function outcomeWithoutRoom(
  run: TestScheduler,
  processor: ScriptedCalls,
): Promise<HangingCall> {
  await run.accept('a', 'HANG')
  const call = await processor.hanging()
  // The rows behind it fill its page, which its error then doesn't fit into, but a shorter one.
  const extra = JSON.stringify('x'.repeat(700))
  await run.store.accept(sentTransaction({ transactionId: 'large', extra }))
  await run.store.acceptAll(...Array.from({ length: 100 }, (_, i) => `${i}`))
  limitPages(run, 'full')
  const refused = run.clock.nextTimer()
  call.end({ kind: 'fail', detail: '\u20ac'.repeat(500) })
  await refused
  return call
}

describe('the loop', () => {
  test('with nothing to do asks nothing and waits on no timer, however long', async () => {
    await using run = testScheduler(scriptedCalls())
    const asked = spyOn(run.store.work, 'tick')
    await run.scheduler.start()
    for (let i = 0; i < 3; i++) {
      await run.recorded()
      run.clock.pass(YEAR_MS)
    }
    expect(asked).toHaveBeenCalledTimes(1)
    expect(run.clock.timers).toBe(0)
    expect(run.scheduler.running).toBe(true)
  })

  test('with all jobs in the far future waits on one timer, and asks nothing until then', async () => {
    await using run = testScheduler(simulatedProcessor(10 * YEAR_MS))
    await run.scheduler.start()
    await run.accept('a')
    await run.rest()
    const asked = spyOn(run.store.work, 'tick')
    run.clock.pass(10 * YEAR_MS - REST_MS - 1)
    await run.recorded()
    expect(asked).not.toHaveBeenCalled()
    expect(run.clock.timers).toBe(1)
    expect(await run.state('a')).toBe('PROCESSING 1')

    run.clock.pass(1)
    await run.rest()
    // Once for the look when the timer fired, once for the look after the pause.
    expect(asked).toHaveBeenCalledTimes(2)
    expect(await run.state('a')).toBe('PROCESSED 1')
    expect(run.clock.timers).toBe(0)
  })

  test('keeps one timer, however often it is woken', async () => {
    await using run = testScheduler(simulatedProcessor(30_000))
    await run.scheduler.start()
    for (let i = 0; i < 5; i++) {
      await run.accept(`${i}`)
      await run.rest()
      run.clock.pass(1000)
      expect(run.clock.timers).toBe(1)
    }
    run.scheduler.wake()
    run.scheduler.wake()
    await run.recorded()
    expect(run.clock.timers).toBe(1)
  })

  test('does what is due at once, past any number of jobs that are not', async () => {
    await using run = testScheduler(simulatedProcessor(10_000))
    const later = Array.from({ length: 300 }, (_, i) => `later ${i}`)
    await Promise.all(later.map((name) => run.accept(name)))
    expect(await run.work()).toBe(10_000)
    await run.accept('now')
    expect(await run.scheduler.runOnce()).toBe(0)
    expect(await run.state('now')).toBe('PROCESSING 1')
    expect(await run.work()).toBe(10_000)
  })

  test('loses no wake that comes between its look and its sleep', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    await run.accept('a', 'OK')
    const processed = Promise.withResolvers<void>()
    processor.before = () => processed.resolve()
    // The look finds nothing, and what comes right after it is announced by a wake.
    spyOn(run.store.work, 'tick').mockImplementationOnce(async () => {
      run.scheduler.wake()
      return { interrupted: 0, dueInMs: undefined }
    })
    await run.scheduler.start()
    await processed.promise
    await run.recorded()
    expect(await run.state('a')).toBe('PROCESSED 1')
  })
})

describe('a pause', () => {
  test('after waits lets gather what comes meanwhile, and one commit takes it all', async () => {
    await using run = testScheduler(simulatedProcessor(30_000))
    await run.scheduler.start()
    const steps = spyOn(run.store.work, 'advanceWaits')
    await run.accept('first')
    await run.recorded()
    expect(await run.state('first')).toBe('PROCESSING 1')
    let gathered = 0
    while (steps.mock.calls.length === 1 && gathered < REST_MS) {
      await run.accept(`${gathered}`)
      await run.recorded()
      expect(await run.state(`${gathered}`)).toBe('PENDING 0')
      gathered++
      run.clock.pass(1)
      await run.recorded()
    }
    expect(gathered).toBeGreaterThan(1)
    expect(steps).toHaveBeenCalledTimes(2)
    const { PENDING, PROCESSING } = (await run.store.readings()).transactions
    expect([PENDING, PROCESSING]).toEqual([0, 1 + gathered])
  })

  test('is none while a step leaves something due', async () => {
    await using run = testScheduler(simulatedProcessor(30_000), { maxBacklog: 2000 })
    await Promise.all(Array.from({ length: 1200 }, (_, i) => run.accept(`${i}`)))
    await run.scheduler.start()
    await run.recorded()
    await run.recorded()
    expect((await run.store.readings()).transactions).toMatchObject({
      PENDING: 0,
      PROCESSING: 1200,
    })
  })

  test('is none between calls', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    await run.scheduler.start()
    for (let i = 0; i < 3; i++) {
      await run.accept(`${i}`, 'OK')
      await run.recorded()
      expect(await run.state(`${i}`)).toBe('PROCESSED 1')
    }
    expect(run.clock.timers).toBe(0)
  })

  test('is ended by a stop, and its timer with it', async () => {
    await using run = testScheduler(simulatedProcessor(30_000))
    await run.scheduler.start()
    await run.accept('a')
    await run.recorded()
    expect(run.clock.timers).toBe(1)
    await run.scheduler.stop()
    expect(run.clock.timers).toBe(0)
  })

  test('is none after a stop that came while a step was on its way to the disk', async () => {
    await using run = testScheduler(simulatedProcessor(30_000))
    await run.scheduler.start()
    await run.store.acceptAll('a')
    const stepping = Promise.withResolvers<void>()
    const step = run.store.work.advanceWaits
    spyOn(run.store.work, 'advanceWaits').mockImplementation((...args) => {
      stepping.resolve()
      return step(...args)
    })
    run.scheduler.wake()
    await stepping.promise
    await run.scheduler.stop()
    expect(await run.state('a')).toBe('PROCESSING 1')
    expect(run.clock.timers).toBe(0)
  })
})

describe('a wall clock that is stepped', () => {
  test('is logged once, when the loop looks; a little drift is not', async () => {
    await using run = testScheduler(scriptedCalls())
    await run.scheduler.start()
    for (const ms of [999, -1000, 3_600_000, 0, -3_600_000]) {
      run.clock.stepWall(ms)
      run.scheduler.wake()
      await run.recorded()
    }
    const message = 'the wall clock was stepped'
    expect(run.log.entries).toEqual([
      { level: 'warn', message, fields: { stepped_ms: 3_599_999 } },
      { level: 'warn', message, fields: { stepped_ms: -3_600_000 } },
    ])
  })
})

describe('starting and stopping', () => {
  test('a stop before the start is fine, and nothing runs after it', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    await run.accept('a', 'OK')
    await run.scheduler.stop()
    const recovered = spyOn(run.store.work, 'start')
    await run.scheduler.start()
    expect(run.scheduler.running).toBe(false)
    await run.recorded()
    expect(processor.attempts).toEqual([])
    expect(recovered).not.toHaveBeenCalled()
  })

  test('a stop during the start is heard', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    await run.accept('a', 'OK')
    const started = run.scheduler.start()
    await run.scheduler.stop()
    await started
    expect(run.scheduler.running).toBe(false)
    await run.recorded()
    expect(processor.attempts).toEqual([])
  })

  test('a second start changes nothing, also while the first is under way', async () => {
    await using run = testScheduler(simulatedProcessor(30_000))
    await run.accept('a')
    const recovered = spyOn(run.store.work, 'start')
    await Promise.all([run.scheduler.start(), run.scheduler.start()])
    await run.scheduler.start()
    await run.rest()
    expect(recovered).toHaveBeenCalledTimes(1)
    expect(run.clock.timers).toBe(1)
  })

  test('a second stop is fine, and so is one at the same time', async () => {
    await using run = testScheduler(simulatedProcessor(30_000))
    await run.scheduler.start()
    expect(run.scheduler.running).toBe(true)
    await run.accept('a')
    await run.rest()
    expect(run.clock.timers).toBe(1)
    await Promise.all([run.scheduler.stop(), run.scheduler.stop()])
    await run.scheduler.stop()
    expect(run.scheduler.running).toBe(false)
    // The timer of the sleep that the stop ended is gone with it.
    expect(run.clock.timers).toBe(0)
  })
})

describe('a storage that refuses', () => {
  test('is asked again after a second, and the scheduler stays alive', async () => {
    await using run = testScheduler(simulatedProcessor(30_000))
    // As many as need a new page for their attempts.
    const names = Array.from({ length: 400 }, (_, i) => `${i}`)
    await run.store.acceptAll(...names)
    limitPages(run, 'full')
    const refused = run.clock.nextTimer()
    await run.scheduler.start()
    await refused
    const error = {
      level: 'error',
      message: 'the storage takes no writes',
      fields: { reason: 'full' },
    }
    expect(run.log.entries).toEqual([error] as never)
    expect(await run.state('0')).toBe('PENDING 0')
    expect((await run.store.readings()).transactions).toMatchObject({ PENDING: 400, PROCESSING: 0 })
    expect(run.metrics.latenessMs).toEqual([])

    // Still full: again a second later.
    run.clock.pass(999)
    expect(run.clock.timers).toBe(1)
    const refusedAgain = run.clock.nextTimer()
    run.clock.pass(1)
    await refusedAgain
    // Which is told once in a while.
    expect(run.log.entries).toHaveLength(1)
    expect(run.scheduler.running).toBe(true)

    limitPages(run, 'room')
    const asleep = run.clock.nextTimer()
    run.clock.pass(1000)
    await asleep
    expect(await run.state('0')).toBe('PROCESSING 1')
    expect((await run.store.readings()).transactions).toMatchObject({ PENDING: 0, PROCESSING: 400 })
    expect(run.store.fatal).toEqual([])
  })

  test('is asked again for the outcome of a call, and the call is not made again', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor, { concurrency: 1 })
    await run.scheduler.start()
    await outcomeWithoutRoom(run, processor)
    expect(await run.state('a')).toBe('PROCESSING 1')
    expect(run.scheduler.running).toBe(true)

    limitPages(run, 'room')
    run.clock.pass(1000)
    await run.recorded()
    expect(await run.state('a')).toBe('FAILED 1')
    expect(processor.attempts.map(({ attempt }) => attempt)).not.toContain(2)
  })

  test('leaves nothing on the signal of a call, however often it is asked again', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor, { concurrency: 1 })
    await run.scheduler.start()
    const { signal } = await outcomeWithoutRoom(run, processor)
    const added = spyOn(signal, 'addEventListener')
    for (let seconds = 0; seconds < 20; seconds++) {
      const refused = run.clock.nextTimer()
      run.clock.pass(1000)
      await refused
    }
    expect(added).toHaveBeenCalledTimes(20)
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    limitPages(run, 'room')
    run.clock.pass(1000)
    await run.recorded()
    expect(await run.state('a')).toBe('FAILED 1')
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    // Until the log has counted what is FAILED.
    run.clock.pass(10_000)
    expect(run.clock.timers).toBe(0)
  })

  test('is asked by a stop until it can wait no longer; then what takes less room: interrupted', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor, { concurrency: 1 })
    await run.scheduler.start()
    await outcomeWithoutRoom(run, processor)
    const waiting = run.clock.nextTimer()
    const stopped = run.scheduler.stop()
    await waiting
    run.clock.pass(8_000)
    await stopped
    expect(run.store.rows('jobs').filter(({ claim }) => claim !== null)).toHaveLength(0)
    expect(run.store.rows('attempts')).toMatchObject([{ outcome: 'interrupted' }])
    expect(await run.state('a')).toBe('PENDING 1')
  })

  test('for good ends the scheduler, which says so and is no longer alive', async () => {
    await using run = testScheduler(simulatedProcessor(30_000))
    await run.scheduler.start()
    await run.store.acceptAll('a')
    expect([run.scheduler.running, run.scheduler.crashed]).toEqual([true, false])
    // From here on SQLite refuses every write with SQLITE_READONLY.
    run.store.database.client.run('PRAGMA query_only = 1')
    run.scheduler.wake()
    while (run.log.entries.length === 0) await new Promise((resolve) => setImmediate(resolve))
    expect([run.scheduler.running, run.scheduler.crashed]).toEqual([false, true])
    expect(run.store.fatal).toHaveLength(1)
    expect(run.log.entries).toMatchObject([{ level: 'error', message: 'the scheduler crashed' }])
    run.store.database.client.run('PRAGMA query_only = 0')
  })
})
