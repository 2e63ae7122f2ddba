import { describe, expect, spyOn, test } from 'bun:test'
import type { Processor } from '../../src/processors/processor.ts'
import { Scheduler } from '../../src/scheduler/scheduler.ts'
import { createTransitions } from '../../src/store/sqlite/transitions.ts'
import { createWork } from '../../src/store/sqlite/work.ts'
import { START } from '../support/clock.ts'
import { recordingLog } from '../support/log.ts'
import { type HangingCall, scriptedCalls, testScheduler } from '../support/scheduler.ts'
import { acceptOn, controlledSync, rowsOf, sentTransaction, testQueue } from '../support/store.ts'

const names = (count: number) => Array.from({ length: count }, (_, i) => `txn_${i}`)

describe('a call', () => {
  test('is made when others can read its attempt', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    await run.accept('a', 'RETRY', 'OK')
    const seen: unknown[] = []
    processor.before = ({ attempt }) => {
      const [claimed] = rowsOf(run.store.dataDir, 'SELECT claim FROM jobs')
      const attempts = rowsOf(run.store.dataDir, 'SELECT attempt, outcome FROM attempts')
      seen.push({ attempt, claimed, attempts })
    }
    await run.work()
    await run.recorded()
    run.clock.pass(5625)
    await run.work()
    await run.recorded()
    expect(seen).toEqual([
      { attempt: 1, claimed: { claim: 1 }, attempts: [{ attempt: 1, outcome: null }] },
      {
        attempt: 2,
        claimed: { claim: 2 },
        attempts: [
          { attempt: 1, outcome: 'retry' },
          { attempt: 2, outcome: null },
        ],
      },
    ])
    expect(await run.state('a')).toBe('PROCESSED 2')
  })

  test('is made when its attempt is synced, not when it is only committed', async () => {
    const disk = controlledSync()
    using parts = testQueue(disk)
    const { queue, database, counts, dataDir, clock, metrics } = parts
    const processor = scriptedCalls()
    const transitions = createTransitions(database, counts)
    const scheduler = new Scheduler({
      maxAttempts: 8,
      concurrency: 64,
      work: createWork(database, { transitions, commits: queue, clock }),
      metrics,
      processor,
      clock,
      log: recordingLog(),
      random: () => 0,
    })
    const sent = sentTransaction({ extra: '{"script":["HANG"]}' })
    const accept = acceptOn(database, counts)
    const accepted = queue.write(() => accept(sent, clock.now()))
    const acceptedSync = await disk.next()
    acceptedSync.resolve()
    await accepted

    const once = scheduler.runOnce()
    const takenSync = await disk.next()
    expect(rowsOf(dataDir, 'SELECT attempt FROM attempts')).toEqual([{ attempt: 1 }])
    expect(processor.attempts).toEqual([])
    takenSync.resolve()
    expect(await once).toBe(0)
    expect(processor.attempts).toMatchObject([{ attempt: 1, startedAt: START, now: START }])

    const call = await processor.hanging()
    call.end()
    const settledSync = await disk.next()
    settledSync.resolve()
    await scheduler.stop()
    expect(rowsOf(dataDir, 'SELECT status FROM transactions')).toEqual([{ status: 'PROCESSED' }])
  })

  test('that throws before it has returned a promise is tried again as well', async () => {
    const processor: Processor = {
      kind: 'call',
      process() {
        throw new Error('at once')
      },
    }
    await using run = testScheduler(processor)
    await run.accept('a')
    await run.work()
    await run.recorded()
    expect(await run.store.find('a')).toMatchObject({ status: 'PENDING', error: 'at once' })
  })

  test('that is rejected with something that is no error is tried again as well', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    await run.accept('a', 'HANG')
    await run.work()
    const call = await processor.hanging()
    call.break('just text')
    await run.recorded()
    expect(await run.store.find('a')).toMatchObject({ status: 'PENDING', error: 'just text' })
  })

  test('whose job somebody else settled meanwhile changes nothing, and that is logged', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    await run.accept('a', 'HANG')
    await run.work()
    const call = await processor.hanging()
    await run.store.work.start(8)
    call.end()
    await run.recorded()
    expect(await run.state('a')).toBe('PENDING 1')
    const outcome = { kind: 'done' }
    expect(run.log.entries).toEqual([
      {
        level: 'warn',
        message: 'ignored a late outcome',
        fields: { transaction_id: 'a', attempt: 1, outcome },
      },
    ])
    expect(run.metrics.ended).toEqual({})
  })
})

describe('what is measured of calls', () => {
  test('is how each attempt ended, and nothing of one that goes on', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    for (const line of ['OK', 'OK', 'FAIL', 'RETRY', 'ERROR', 'SNOOZE', 'HANG'] as const) {
      await run.accept(`${run.store.rows('transactions').length}`, line)
    }
    await run.work()
    await run.recorded()
    expect(run.metrics.ended).toEqual({ done: 2, fail: 1, retry: 2 })
  })

  test('is how long each lasted, by what the call said; a snooze is none', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor, { maxAttempts: 1 })
    for (const name of names(3)) await run.accept(name, 'HANG')
    await run.accept('snoozes', 'SNOOZE')
    await run.work()
    const [first, second, third] = [
      await processor.hanging(),
      await processor.hanging(),
      await processor.hanging(),
    ]
    run.clock.stepWall(3_600_000)
    run.clock.pass(40)
    first.end()
    await run.recorded()
    run.clock.pass(60)
    second.break('no')
    third.end({ kind: 'fail', detail: 'never' })
    await run.recorded()
    expect(run.metrics.calls).toEqual([
      { outcome: 'done', durationMs: 40 },
      { outcome: 'retry', durationMs: 100 },
      { outcome: 'fail', durationMs: 100 },
    ])
  })

  test('is the last try of a transaction as what it became, not as what the call said', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor, { maxAttempts: 1 })
    await run.accept('a', 'RETRY')
    await run.work()
    await run.recorded()
    expect(run.metrics.ended).toEqual({ fail: 1 })
  })

  test('is how late a job was taken, by steady time', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    await run.accept('a', 'RETRY', 'OK')
    run.clock.pass(40)
    run.clock.stepWall(3_600_000)
    await run.work()
    await run.recorded()
    run.clock.pass(5625)
    await run.accept('b', 'OK')
    await run.work()
    await run.recorded()
    expect(run.metrics.latenessMs).toEqual([40, 0, 0])
  })

  test('is what the last process left as interrupted, the last attempts included', async () => {
    await using first = testScheduler(scriptedCalls())
    for (const name of names(3)) await first.accept(name, 'RETRY', 'HANG')
    await first.store.work.claim(2, 'earliest')
    await first.store.close()
    const { dataDir } = first.store
    await using second = testScheduler(scriptedCalls(), { dataDir, maxAttempts: 1 })
    await second.scheduler.start()
    expect(second.metrics.ended).toEqual({ interrupted: 2 })
    expect(await second.state('txn_0')).toBe('FAILED 1')
  })
})

describe('the calls under way', () => {
  test('are never more than allowed, and each that ends makes room for the next', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor, { concurrency: 3 })
    await run.scheduler.start()
    await Promise.all(names(10).map((name) => run.accept(name, 'HANG')))
    const open: HangingCall[] = []
    for (let i = 0; i < 3; i++) open.push(await processor.hanging())
    await run.recorded()
    expect(processor.attempts).toHaveLength(3)
    // With no place free the loop sleeps, although there is much that is due.
    const asked = spyOn(run.store.work, 'tick')
    await run.recorded()
    expect(asked).not.toHaveBeenCalled()
    for (let ended = 1; ended <= 10; ended++) {
      open.shift()?.end()
      if (ended <= 7) open.push(await processor.hanging())
      await run.recorded()
      expect(processor.attempts).toHaveLength(Math.min(3 + ended, 10))
    }
    expect(processor.activeMax).toBe(3)
    expect(run.store.rows('jobs')).toEqual([])
    const given = processor.attempts.map(({ transaction }) => transaction.transactionId)
    expect(given).toEqual(names(10))
  })

  test('leave the others be: one that never ends takes one place and no more', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor, { concurrency: 2 })
    await run.accept('hangs', 'HANG')
    await Promise.all(names(20).map((name) => run.accept(name, 'OK')))
    await run.scheduler.start()
    const call = await processor.hanging()
    // Each round takes what there is room for: one call, settled by the next commit.
    while (run.store.rows('jobs').length > 1) await run.store.health()
    expect(await run.state('hangs')).toBe('PROCESSING 1')
    call.end()
  })

  test('may end by themselves at a stop for 8 s, and only then are aborted', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor, { maxAttempts: 1 })
    await run.scheduler.start()
    await run.accept('ends', 'HANG')
    const ends = await processor.hanging()
    await run.accept('succeeds when told', 'HANG')
    const succeeds = await processor.hanging()
    succeeds.signal.addEventListener('abort', () => succeeds.end())
    await run.accept('gives up', 'HANG')
    const givesUp = await processor.hanging()
    givesUp.signal.addEventListener('abort', () => givesUp.break(givesUp.signal.reason))

    const waiting = run.clock.nextTimer()
    const stopped = run.scheduler.stop()
    expect(run.scheduler.running).toBe(false)
    await waiting
    await run.accept('too late', 'OK')
    ends.end()
    await run.recorded()
    expect(await run.state('ends')).toBe('PROCESSED 1')
    run.clock.pass(7_999)
    expect(givesUp.signal.aborted).toBe(false)
    run.clock.pass(1)
    await stopped
    expect(await run.state('succeeds when told')).toBe('PROCESSED 1')
    expect(await run.state('too late')).toBe('PENDING 0')
    expect(await run.state('gives up')).toBe('PENDING 1')
    const outcomes = run.store.rows('attempts').map(({ outcome }) => outcome)
    expect(outcomes).toEqual(['done', 'done', 'interrupted'])
    expect(run.metrics.ended).toEqual({ done: 2, interrupted: 1 })
  })

  test.each(['give up', 'hear nothing'] as const)(
    'that %s at a stop use up no attempt, and are due at once, before all others',
    async (which) => {
      const processor = scriptedCalls()
      await using run = testScheduler(processor, { maxAttempts: 1 })
      await run.scheduler.start()
      await run.accept('cut', 'HANG')
      const call = await processor.hanging()
      if (which === 'give up') call.signal.addEventListener('abort', () => call.break('aborted'))
      const waiting = run.clock.nextTimer()
      const stopped = run.scheduler.stop()
      await waiting
      await run.accept('waits', 'OK')
      run.clock.pass(8_000)
      await run.recorded()
      expect(await run.state('cut')).toBe(which === 'give up' ? 'PENDING 1' : 'PROCESSING 1')
      run.clock.pass(500)
      await stopped
      expect(await run.state('cut')).toBe('PENDING 1')
      expect(call.signal.aborted).toBe(true)
      expect(run.log.entries).toMatchObject([{ fields: { calls: 1 } }])
      const { dataDir } = run.store
      // How it ends now is of no consequence.
      call.break('late')
      await run.recorded()
      await run.store.close()

      const again = scriptedCalls()
      await using next = testScheduler(again, { dataDir, maxAttempts: 1 })
      await next.scheduler.start()
      // A crash cut none off: there is nothing to recover.
      expect(next.metrics.ended).toEqual({})
      const second = await again.hanging()
      expect(second).toMatchObject({ attempt: 2, transaction: { transactionId: 'cut' } })
      const detail = 'txhook was stopped in the middle of the attempt'
      expect(next.store.rows('attempts').slice(0, 2)).toMatchObject([
        { attempt: 1, outcome: 'interrupted', detail, http_status: null },
        { attempt: 2, outcome: null },
      ])
      // It has the one attempt that it is allowed, and no more.
      second.break('no')
      await next.recorded()
      expect(await next.state('cut')).toBe('FAILED 2')
      expect(again.attempts.map(({ transaction }) => transaction.transactionId)).toEqual([
        'cut',
        'waits',
      ])
    },
  )

  test('are cut by any number of stops, and a crash after them counts as ever', async () => {
    await using first = testScheduler(scriptedCalls(), { maxAttempts: 2 })
    await first.accept('a', 'HANG')
    const { dataDir } = first.store
    await first.store.close()
    for (let stops = 1; stops <= 5; stops++) {
      const processor = scriptedCalls()
      await using run = testScheduler(processor, { dataDir, maxAttempts: 2 })
      await run.scheduler.start()
      const { signal } = await processor.hanging()
      signal.addEventListener('abort', () => processor.abandon())
      const waiting = run.clock.nextTimer()
      const stopped = run.scheduler.stop()
      await waiting
      run.clock.pass(8_000)
      await stopped
      expect(await run.state('a')).toBe(`PENDING ${stops}`)
    }
    for (const state of ['PENDING 6', 'FAILED 7']) {
      await using crashes = testScheduler(scriptedCalls(), { dataDir, maxAttempts: 2 })
      await crashes.work()
      await crashes.store.close()
      await using run = testScheduler(scriptedCalls(), { dataDir, maxAttempts: 2 })
      await run.store.work.start(2)
      expect(await run.state('a')).toBe(state)
    }
  })

  test('have a signal each: what a processor adds to it and forgets is gone with the call', async () => {
    const processor = scriptedCalls()
    await using run = testScheduler(processor)
    for (const name of names(3)) await run.accept(name, 'OK')
    await run.work()
    await run.recorded()
    expect(new Set(processor.attempts.map(({ signal }) => signal)).size).toBe(3)
  })

  test('that a process leaves behind are interrupted for the next, up to their last try', async () => {
    const first = scriptedCalls()
    await using run = testScheduler(first, { maxAttempts: 2 })
    await run.scheduler.start()
    await run.accept('a', 'HANG')
    const call = await first.hanging()
    // The store ends first, so that the outcome can't be recorded: it stays claimed.
    await run.store.close()
    const stopped = run.scheduler.stop()
    call.end()
    await stopped

    const second = scriptedCalls()
    const { dataDir } = run.store
    await using next = testScheduler(second, { dataDir, maxAttempts: 2 })
    await next.scheduler.start()
    const again = await second.hanging()
    expect(again).toMatchObject({ attempt: 2, transaction: { attempts: 2, status: 'PROCESSING' } })
    expect(next.log.entries).toMatchObject([{ level: 'warn', fields: { attempts: 1 } }])
    const outcomes = next.store.rows('attempts').map(({ outcome }) => outcome)
    expect(outcomes).toEqual(['interrupted', null])
    await next.store.close()
    const nextStopped = next.scheduler.stop()
    again.end()
    await nextStopped

    await using last = testScheduler(scriptedCalls(), { dataDir, maxAttempts: 2 })
    await last.scheduler.start()
    expect(await last.state('a')).toBe('FAILED 2')
    expect(last.store.rows('jobs')).toEqual([])
  })
})
