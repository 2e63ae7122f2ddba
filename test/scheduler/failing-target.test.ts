import { describe, expect, spyOn, test } from 'bun:test'
import type { CallProcessor, Outcome } from '../../src/processors/processor.ts'
import type { Store } from '../../src/store/store.ts'
import { START } from '../support/clock.ts'
import { parseExposition, valuesOf } from '../support/metrics.ts'
import {
  type Line,
  type ScriptedCalls,
  scriptedCalls,
  type TestScheduler,
  type TestSchedulerOptions,
  testScheduler,
} from '../support/scheduler.ts'
import { type TestService, testService, transactionBody } from '../support/service.ts'
import { dueAt } from '../support/store.ts'

const HOUR_MS = 3_600_000
const DOWN = 'the target is down'
/** What is logged when the tenth call in a row has failed. */
const OPENED = {
  level: 'warn',
  message: 'the target is failing: one call at a time probes it',
  fields: { failures: 10, detail: DOWN },
} as const

const names = (count: number) => Array.from({ length: count }, (_, i) => `txn_${i}`)
const idsOf = (calls: ScriptedCalls) =>
  calls.attempts.map(({ transaction }) => transaction.transactionId)

type Target = ScriptedCalls & { down: boolean }

/** Calls that do what their script says when the target isn't down, and fail when it is. */
function target({ down }: { down: boolean }): Target {
  const calls = Object.assign(scriptedCalls(), { down })
  calls.before = () => {
    if (calls.down) throw new Error(DOWN)
  }
  return calls
}

async function acceptAll(run: TestScheduler, count: number, line: Line = 'OK'): Promise<void> {
  await Promise.all(names(count).map((name) => run.accept(name, line)))
}

/** The loop makes the calls that it may make, and the outcomes of those that end are recorded. */
async function settled({ store }: Pick<TestScheduler, 'store'> | TestService): Promise<void> {
  for (let commit = 0; commit < 4; commit++) await store.health()
}

/** Without the loop: calls, sees the outcomes to the disk, and says when to look again, in ms. */
async function workOff(run: TestScheduler): Promise<number | undefined> {
  await run.work()
  await run.recorded()
  return run.work()
}

/** Without the loop: a target that is down when so many transactions wait, found to be failing. */
async function failing(
  calls: Target,
  count: number,
  { line, ...options }: TestSchedulerOptions & { line?: Line } = {},
): Promise<TestScheduler> {
  const run = testScheduler(calls, options)
  await acceptAll(run, count, line)
  while (run.scheduler.targetFailingSince === undefined) await workOff(run)
  await run.recorded()
  return run
}

const processed = async (store: Store) => (await store.readings()).transactions.PROCESSED

describe('when the target fails', () => {
  test.each([1, 4, 10, 64])(
    'with %p calls at once hardly more than ten go out, and then one at a time',
    async (concurrency) => {
      const calls = target({ down: true })
      await using run = testScheduler(calls, { concurrency })
      await acceptAll(run, 100)
      await run.scheduler.start()
      while (run.scheduler.targetFailingSince === undefined) await run.store.health()
      await settled(run)
      const before = calls.attempts.length
      expect(before).toBeWithin(10, 10 + concurrency)
      expect(calls.activeMax).toBeLessThanOrEqual(concurrency)
      run.clock.pass(999)
      await settled(run)
      expect(calls.attempts).toHaveLength(before)
      run.clock.pass(1)
      await settled(run)
      expect(calls.attempts).toHaveLength(before + 1)
      expect((await run.store.readings()).transactions).toMatchObject({ PENDING: 100, FAILED: 0 })
    },
  )

  test('it is probed after 1 s, then ever more rarely, but every 30 s', async () => {
    const calls = target({ down: true })
    await using run = await failing(calls, 100)
    const waits: number[] = []
    for (let probes = 0; probes < 8; probes++) {
      const wait = (await run.work()) as number
      waits.push(wait)
      run.clock.pass(wait - 1)
      expect(await run.work()).toBe(1)
      expect(calls.attempts).toHaveLength(64 + probes)
      run.clock.pass(1)
      await workOff(run)
      expect(calls.attempts).toHaveLength(64 + probes + 1)
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
    expect(calls.attempts.slice(64).map(({ now }) => now - START)).toEqual([
      1000, 3000, 7000, 15_000, 31_000, 61_000, 91_000, 121_000,
    ])
  })

  test('and is found to while the loop looks for due jobs, the first probe waits all the same', async () => {
    const calls = scriptedCalls()
    await using run = testScheduler(calls)
    await acceptAll(run, 10, 'HANG')
    await run.work()
    const hanging = await Promise.all(Array.from({ length: 10 }, () => calls.hanging()))
    await run.accept('next', 'OK')
    const { tick } = run.store.work
    spyOn(run.store.work, 'tick').mockImplementationOnce(async (maxAttempts) => {
      for (const call of hanging) call.end({ kind: 'retry', detail: 'down' })
      while (run.scheduler.targetFailingSince === undefined) await Promise.resolve()
      return tick(maxAttempts)
    })
    expect(await run.scheduler.runOnce()).toBe(1000)
    expect(calls.attempts).toHaveLength(10)
  })

  test('a probe that goes on has none beside it, and the next follows on its end', async () => {
    const calls = target({ down: true })
    await using run = await failing(calls, 100, { line: 'HANG' })
    calls.down = false
    run.clock.pass(1000)
    expect(await workOff(run)).toBeUndefined()
    run.clock.pass(HOUR_MS)
    expect(await workOff(run)).toBeUndefined()
    expect(calls.attempts).toHaveLength(65)
    const probe = await calls.hanging()
    probe.end({ kind: 'retry', detail: 'at last' })
    await run.recorded()
    expect(await run.work()).toBe(2000)
    expect(calls.attempts).toHaveLength(65)
  })

  test('calls under way are left to end, and say nothing of the target any more', async () => {
    const calls = target({ down: false })
    await using run = testScheduler(calls)
    await acceptAll(run, 30, 'HANG')
    await run.work()
    const open = await Promise.all(names(30).map(() => calls.hanging()))
    for (const call of open.splice(0, 10)) call.break(new Error(DOWN))
    await run.recorded()
    run.clock.pass(400)
    for (const call of open.splice(0, 10)) call.end()
    for (const call of open) call.break(new Error(DOWN))
    await run.recorded()
    // What they came to is recorded all the same.
    expect(run.metrics.ended).toEqual({ retry: 20, done: 10 })
    expect(run.log.entries).toEqual([OPENED])
    expect(run.scheduler.targetFailingSince).toBe(START)
    expect(await run.work()).toBe(600)
  })

  test('it is logged and measured once when that is found, and once when it answers', async () => {
    const calls = target({ down: true })
    await using run = testScheduler(calls)
    await acceptAll(run, 100)
    await run.scheduler.start()
    await settled(run)
    for (const wait of [1000, 2000, 4000]) {
      run.clock.pass(wait)
      await settled(run)
    }
    expect(calls.attempts).toHaveLength(67)
    expect(run.log.entries).toEqual([OPENED])
    expect(run.metrics.failings).toEqual([true])

    calls.down = false
    run.clock.pass(8000)
    await settled(run)
    while ((await processed(run.store)) < 100) {
      run.clock.pass(1000)
      await settled(run)
    }
    const message = 'the target has recovered'
    expect(run.log.entries).toEqual([
      OPENED,
      { level: 'info', message, fields: { failed_for_ms: 15_000 } },
    ])
    expect(run.metrics.failings).toEqual([true, false])
    expect(run.metrics.ended).toEqual({ retry: 67, done: 100 })
    expect(run.store.rows('jobs')).toEqual([])
    expect(run.clock.timers).toBe(0)
  })

  test('a transaction that it refuses for good is no failure of the target', async () => {
    const calls = target({ down: false })
    await using run = testScheduler(calls)
    await acceptAll(run, 30, 'FAIL')
    await workOff(run)
    expect(run.metrics.ended).toEqual({ fail: 30 })
    expect(run.metrics.failings).toEqual([])
    // Thirty are FAILED, which is told once in a while.
    expect(run.log.entries).toMatchObject([{ message: 'transactions are FAILED' }])
  })

  test('a probe that it refuses for good shows that it is there', async () => {
    const calls = target({ down: true })
    await using run = await failing(calls, 100, { line: 'FAIL' })
    calls.down = false
    run.clock.pass(1000)
    await workOff(run)
    expect(run.metrics.failings).toEqual([true, false])
    expect(run.scheduler.targetFailingSince).toBeUndefined()
  })

  test('calls that a stop cut off are no failures of the target', async () => {
    const calls = target({ down: false })
    await using run = testScheduler(calls)
    await run.scheduler.start()
    await acceptAll(run, 20, 'HANG')
    const waiting = run.clock.nextTimer()
    for (let i = 0; i < 20; i++) {
      const call = await calls.hanging()
      call.signal.addEventListener('abort', () => call.break(call.signal.reason))
    }
    const stopped = run.scheduler.stop()
    await waiting
    run.clock.pass(8000)
    await stopped
    expect(run.metrics.failings).toEqual([])
    const message = 'the stop interrupted calls'
    expect(run.log.entries).toEqual([{ level: 'warn', message, fields: { calls: 20 } }])
    expect((await run.store.readings()).transactions).toMatchObject({ PENDING: 20 })
  })
})

describe('while the target fails', () => {
  test('each probe goes to a transaction that was tried least', async () => {
    const calls = target({ down: true })
    await using run = await failing(calls, 100)
    while (run.clock.now().steady < START + HOUR_MS) {
      run.clock.pass((await run.work()) as number)
      await workOff(run)
    }
    const tried = new Map(names(100).map((name) => [name, 0]))
    for (const name of idsOf(calls)) {
      const tries = tried.get(name) as number
      expect(tries).toBe(Math.min(...tried.values()))
      tried.set(name, tries + 1)
    }
    // As many as fit into an hour, and one at a time.
    expect(calls.attempts.length - 64).toBeWithin(120, 126)
    expect((await run.store.readings()).transactions).toMatchObject({ PENDING: 100, FAILED: 0 })
  })

  test('none is out of attempts before what came later was tried', async () => {
    const calls = target({ down: true })
    await using run = await failing(calls, 20, { maxAttempts: 3 })
    const untried = new Set<string>()
    let seen = calls.attempts.length
    let arrived = 0
    while ((await run.store.readings()).transactions.FAILED < 20) {
      if (arrived % 4 === 0) {
        await run.accept(`later ${arrived}`)
        untried.add(`later ${arrived}`)
      }
      arrived++
      run.clock.pass(30_000)
      await workOff(run)
      for (const { attempt, transaction } of calls.attempts.slice(seen)) {
        untried.delete(transaction.transactionId)
        if (attempt > 1) expect([...untried]).toEqual([])
      }
      seen = calls.attempts.length
    }
    expect(arrived).toBeGreaterThan(40)
  })

  test('a transaction that comes is the next probe, before any that was tried', async () => {
    const calls = target({ down: true })
    await using run = await failing(calls, 20)
    // So that all of them are due again, and one has failed once more.
    run.clock.pass(10_000)
    await workOff(run)
    expect(calls.attempts).toHaveLength(21)
    await run.accept('fresh')
    expect(await run.work()).toBe(2000)
    run.clock.pass(2000)
    await workOff(run)
    expect(calls.attempts).toHaveLength(22)
    expect(calls.attempts[21]).toMatchObject({
      transaction: { transactionId: 'fresh' },
      attempt: 1,
    })
  })

  test('a transaction that comes when a probe is overdue is it, at once', async () => {
    const calls = target({ down: true })
    await using run = testScheduler(calls)
    await acceptAll(run, 10)
    await run.scheduler.start()
    await settled(run)
    const asked = spyOn(run.store.work, 'tick')
    run.clock.pass(1000)
    await settled(run)
    // Nothing is due for a probe, and when it will be is known: one question, one timer.
    expect(calls.attempts).toHaveLength(10)
    expect(asked).toHaveBeenCalledTimes(1)
    expect(run.clock.timers).toBe(1)
    run.clock.pass(2000)
    await run.accept('fresh')
    await settled(run)
    expect(idsOf(calls).slice(10)).toEqual(['fresh'])
    expect(run.clock.timers).toBe(1)
  })

  test('an hour costs one look at the database for each probe, and no more', async () => {
    const calls = target({ down: true })
    await using run = testScheduler(calls)
    await acceptAll(run, 100)
    await run.scheduler.start()
    await settled(run)
    const { work } = run.store
    const asked = spyOn(work, 'tick')
    const claimed = spyOn(work, 'claim')
    const before = calls.attempts.length
    for (let ms = 0; ms < HOUR_MS; ms += 15_000) {
      run.clock.pass(15_000)
      await run.recorded()
    }
    await settled(run)
    expect(run.clock.timers).toBe(1)
    const probes = calls.attempts.length - before
    expect(probes).toBeWithin(100, 126)
    expect(asked).toHaveBeenCalledTimes(probes)
    expect(claimed).toHaveBeenCalledTimes(probes)
    expect(claimed.mock.calls.filter(([, pick]) => pick === 'earliest')).toEqual([])
    expect(run.scheduler.running).toBe(true)
  })

  test('what comes is taken and asks nothing of the database until the probe', async () => {
    const calls = target({ down: true })
    await using run = testScheduler(calls)
    await acceptAll(run, 100)
    await run.scheduler.start()
    await settled(run)
    const asked = spyOn(run.store.work, 'tick')
    for (let i = 0; i < 50; i++) {
      run.clock.pass(10)
      await run.accept(`later ${i}`)
    }
    await settled(run)
    expect(asked).not.toHaveBeenCalled()
    expect(run.clock.timers).toBe(1)
    expect((await run.store.readings()).transactions).toMatchObject({ PENDING: 150 })
    expect(calls.attempts).toHaveLength(64)
  })
})

describe('when the target is back', () => {
  test('calls begin with one at a time, and one more with each that succeeds', async () => {
    const calls = target({ down: true })
    await using run = await failing(calls, 100, { concurrency: 4, line: 'HANG' })
    calls.down = false
    // All of them are due by then.
    run.clock.pass(HOUR_MS)
    await workOff(run)
    const active = [calls.active]
    for (let ended = 0; ended < 7; ended++) {
      const call = await calls.hanging()
      call.end()
      await run.recorded()
      await run.work()
      active.push(calls.active)
    }
    expect(active).toEqual([1, 1, 2, 3, 4, 4, 4, 4])
    expect(calls.activeMax).toBe(4)
    while ((await processed(run.store)) < 100) {
      const call = await calls.hanging()
      call.end()
      await run.recorded()
      await run.work()
    }
    expect(calls.activeMax).toBe(4)
    expect(run.store.rows('jobs')).toEqual([])
  })

  test('calls from before that still go on have their places among those allowed', async () => {
    const calls = target({ down: false })
    await using run = testScheduler(calls, { concurrency: 12 })
    await acceptAll(run, 60, 'HANG')
    await run.work()
    const [first, second, ...others] = await Promise.all(names(12).map(() => calls.hanging()))
    for (const call of others) call.break(new Error(DOWN))
    await run.recorded()
    expect(run.log.entries).toEqual([OPENED])
    run.clock.pass(HOUR_MS)
    await run.work()
    while ((await processed(run.store)) < 40) {
      const call = await calls.hanging()
      call.end()
      await run.recorded()
      await run.work()
    }
    expect([calls.active, calls.activeMax]).toEqual([12, 12])
    for (const call of [first, second]) call?.end()
    await run.recorded()
    await run.work()
    expect([calls.active, calls.activeMax]).toEqual([12, 12])
  })

  test('one that fails anew on the way is detected, and probed after 1 s again', async () => {
    const calls = target({ down: true })
    await using run = await failing(calls, 200)
    for (let i = 0; i < 5; i++) {
      run.clock.pass((await run.work()) as number)
      await workOff(run)
    }
    calls.down = false
    run.clock.pass(HOUR_MS)
    await run.work()
    calls.down = true
    while (run.scheduler.targetFailingSince === undefined) await workOff(run)
    await run.recorded()
    expect(run.metrics.failings).toEqual([true, false, true])
    expect(run.log.entries.map(({ level }) => level)).toEqual(['warn', 'info', 'warn'])
    expect(run.scheduler.targetFailingSince).toBe(run.clock.now().steady)
    expect(await run.work()).toBe(1000)
    calls.down = false
    run.clock.pass(HOUR_MS)
    while ((await processed(run.store)) < 200) await workOff(run)
    expect(run.metrics.failings).toEqual([true, false, true, false])
  })
})

describe('over HTTP', () => {
  const post = (service: TestService, transaction_id: string) =>
    service.post(transactionBody({ transaction_id, script: ['OK'] }))
  const checks = async (service: TestService) => {
    const response = await service.get('/readyz')
    const { checks } = (await response.json()) as { checks: Record<string, string> }
    return { status: response.status, checks }
  }
  const well = { storage: 'ok', scheduler: 'ok', shutdown: 'ok', backlog: 'ok' }
  const failingGauge = async (service: TestService) => {
    const text = await (await service.get('/metrics')).text()
    return Object.values(valuesOf(parseExposition(text), 'txhook_target_failing'))
  }

  test('readiness says since when the target fails, and transactions are still taken', async () => {
    const calls = target({ down: true })
    await using service = testService({ processor: calls })
    await service.start()
    expect(await checks(service)).toEqual({ status: 200, checks: { ...well, target: 'ok' } })
    expect(await failingGauge(service)).toEqual([0])
    service.clock.pass(1234)
    for (const name of names(10)) await post(service, name)
    await settled(service)
    service.clock.pass(90_000)
    await settled(service)
    const since = 'failing since 2026-01-01T00:00:01.234Z'
    expect(await checks(service)).toEqual({ status: 200, checks: { ...well, target: since } })
    expect(await failingGauge(service)).toEqual([1])
    expect((await service.get('/')).status).toBe(200)
    expect((await service.get('/livez')).status).toBe(200)
    expect((await post(service, 'fresh')).status).toBe(202)
    expect(await (await service.get('/v1/transactions/txn_0')).json()).toMatchObject({
      status: 'PENDING',
      error: DOWN,
    })

    calls.down = false
    service.clock.pass(HOUR_MS)
    while ((await processed(service.store)) < 11) await settled(service)
    expect(await checks(service)).toEqual({ status: 200, checks: { ...well, target: 'ok' } })
    expect(await failingGauge(service)).toEqual([0])
  })

  test.each([[HOUR_MS], [-HOUR_MS]])(
    'a wall clock stepped by %p ms leaves it that long ago that the target began to fail',
    async (step) => {
      const calls = target({ down: true })
      await using service = testService({ processor: calls })
      await service.start()
      for (const name of names(10)) await post(service, name)
      await settled(service)
      service.clock.pass(2000)
      service.clock.stepWall(step)
      service.clock.pass(1000)
      const since = new Date(START + step).toISOString()
      expect((await checks(service)).checks.target).toBe(`failing since ${since}`)
    },
  )

  test('readiness says nothing of a target where there is none', async () => {
    await using service = testService()
    await service.start()
    await service.post(transactionBody())
    expect(await checks(service)).toEqual({ status: 200, checks: well })
  })

  test('a service that is not ready says nothing of the target among its faults', async () => {
    const calls = target({ down: true })
    await using service = testService({ processor: calls })
    for (const name of names(10)) await post(service, name)
    await service.work()
    await settled(service)
    expect(service.scheduler.targetFailingSince).toBe(START)
    const response = await service.get('/readyz')
    expect(response.status).toBe(503)
    const { errors } = (await response.json()) as { errors: { path: string }[] }
    expect(errors.map(({ path }) => path)).toEqual(['scheduler'])
  })
})

describe('a processor that is wrong', () => {
  const returns = (value: unknown): CallProcessor & { works: number } => ({
    kind: 'call',
    works: 0,
    async process() {
      this.works++
      return value as Outcome
    },
  })

  test.each([
    ['nothing', undefined],
    ['null', null],
    ['something else', { kind: 'other' }],
    ['a snooze without a time', { kind: 'snooze' }],
    ['a retry without a detail', { kind: 'retry' }],
  ])('and returns %s has its call tried again, and the loop goes on', async (_, value) => {
    await using run = testScheduler(returns(value))
    await run.scheduler.start()
    await run.accept('a')
    await settled(run)
    const error = 'The processor returned no outcome.'
    expect(await run.store.find('a')).toMatchObject({ status: 'PENDING', attempts: 1, error })
    expect(await dueAt(run.store)).toBe(START + 5625)
    expect(run.scheduler.running).toBe(true)
    run.clock.pass(5625)
    await settled(run)
    expect(await run.state('a')).toBe('PENDING 2')
  })

  test.each([
    ['0', 0],
    ['the past', START - HOUR_MS],
    ['now', START],
  ])('and snoozes until %s is asked every 10 ms at most', async (_, until) => {
    const processor = returns({ kind: 'snooze', until })
    await using run = testScheduler(processor)
    await run.scheduler.start()
    await run.accept('a')
    for (let i = 0; i < 5; i++) await settled(run)
    expect(processor.works).toBe(1)
    for (let ms = 0; ms < 30; ms++) {
      run.clock.pass(1)
      await settled(run)
    }
    expect(processor.works).toBe(4)
    expect(await run.state('a')).toBe('PROCESSING 1')
  })

  test('and snoozes for ever is not asked again, and the loop goes on', async () => {
    const processor = returns({ kind: 'snooze', until: Number.MAX_VALUE })
    await using run = testScheduler(processor)
    await run.scheduler.start()
    await run.accept('a')
    await settled(run)
    run.clock.pass(24 * HOUR_MS)
    await settled(run)
    expect(processor.works).toBe(1)
    expect(run.clock.timers).toBe(1)
    expect(run.scheduler.running).toBe(true)
  })
})

test('calls taken while the circuit opens are none of its probes, and put none off', async () => {
  const calls = scriptedCalls()
  await using run = testScheduler(calls, { concurrency: 20 })
  for (const name of Array.from({ length: 40 }, (_, i) => `${i}`)) await run.accept(name, 'HANG')
  await run.work()
  const open = await Promise.all(Array.from({ length: 20 }, () => calls.hanging()))
  for (const call of open.splice(0, 9)) call.break(new Error('down'))
  await run.recorded()
  const taking = run.scheduler.runOnce()
  // The tenth in a row, while the attempts of nine others are on their way to the disk.
  open.shift()?.break(new Error('down'))
  await taking
  expect(run.metrics.failings).toEqual([true])
  const taken = await Promise.all(
    Array.from({ length: calls.attempts.length - 20 }, () => calls.hanging()),
  )
  for (const call of [...open, ...taken]) call.break(new Error('down'))
  await run.recorded()
  expect(await run.work()).toBe(1000)
})

test('a millisecond that passes while the scheduler looks loses no probe', async () => {
  const calls = scriptedCalls()
  calls.before = () => {
    throw new Error('down')
  }
  await using run = testScheduler(calls)
  for (const name of Array.from({ length: 100 }, (_, i) => `${i}`)) await run.accept(name, 'OK')
  await run.work()
  await run.recorded()
  expect(await run.work()).toBe(1000)
  run.clock.pass(999)
  const { now } = run.clock
  let looks = 0
  run.clock.now = () => {
    if (++looks === 2) run.clock.pass(1)
    return now()
  }
  const delay = await run.scheduler.runOnce()
  run.clock.now = now
  expect(delay).toBeNumber()
})

test.each<[string, () => unknown]>([
  ['a wait that is no number', () => ({ kind: 'retry', detail: 'x', retryAfterMs: Number.NaN })],
  ['a wait in words', () => ({ kind: 'retry', detail: 'x', retryAfterMs: 'soon' })],
  ['a status in words', () => ({ kind: 'done', httpStatus: 'OK' })],
  ['half a status', () => ({ kind: 'done', httpStatus: 200.5 })],
  ['an object for a status', () => ({ kind: 'fail', detail: 'x', httpStatus: {} })],
  ['an error whose message is no text', () => raise(Object.assign(new Error(), { message: {} }))],
  ['an object that has no text', () => raise(Object.create(null))],
  ['a symbol', () => raise(Symbol('a'))],
  ['nothing, thrown', () => raise(undefined)],
])('a processor that comes to %s is tried again, and the scheduler stays alive', async (_, act) => {
  const processor = { kind: 'call', process: async () => act() } as CallProcessor
  await using run = testScheduler(processor)
  await run.scheduler.start()
  await run.accept('a')
  while ((await run.state('a')) !== 'PENDING 1') await run.store.health()
  expect(run.scheduler.running).toBe(true)
})

function raise(error: unknown): never {
  throw error
}

test('calls that fail for what they are hold up others for two probes at most', async () => {
  const calls = scriptedCalls()
  await using run = testScheduler(calls)
  // Refused each time, like those of one merchant, by a target that is there for all others.
  for (let i = 0; i < 15; i++) await run.accept(`poison ${i}`, 'RETRY')
  await run.work()
  await run.recorded()
  await run.work()
  expect(run.metrics.failings).toEqual([true])
  for (let i = 0; i < 30; i++) await run.accept(`more ${i}`, 'RETRY')
  run.clock.pass(1)
  await run.accept('good', 'OK')
  const wait = async () => {
    run.clock.pass((await run.work()) as number)
    await run.work()
    await run.recorded()
  }
  await wait()
  if ((await run.state('good')) !== 'PROCESSED 1') await wait()
  expect(await run.state('good')).toBe('PROCESSED 1')
  expect(run.metrics.failings).toEqual([true, false])
})

test('what is FAILED is logged at intervals, with a count and the last of them', async () => {
  const calls = scriptedCalls()
  await using run = testScheduler(calls)
  const failing = async (name: string) => {
    await run.accept(name, 'FAIL')
    await run.work()
    await run.recorded()
  }
  for (let i = 0; i < 5; i++) await failing(`txn_${i}`)
  run.clock.pass(9_999)
  await failing('txn_5')
  expect(run.log.entries.map(({ fields }) => fields.count)).toEqual([1])
  run.clock.pass(1)
  const detail = 'attempt 1 was refused'
  expect(run.log.entries).toMatchObject([
    { level: 'warn', fields: { count: 1, transaction_id: 'txn_0', detail } },
    { level: 'warn', fields: { count: 5, transaction_id: 'txn_5', detail } },
  ])
  // None is left out, also where no other follows.
  await failing('txn_6')
  run.clock.pass(10_000)
  expect(run.log.entries.at(-1)?.fields).toMatchObject({ count: 1, transaction_id: 'txn_6' })
})
