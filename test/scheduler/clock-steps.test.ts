import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import type { Processor } from '../../src/processors/processor.ts'
import { simulatedProcessor } from '../../src/processors/simulated.ts'
import { continueSteadyTime } from '../../src/store/sqlite/steady-time.ts'
import { testMachine } from '../support/clock.ts'
import { recordingLog } from '../support/log.ts'
import { scriptedCalls, type TestScheduler, testScheduler } from '../support/scheduler.ts'
import { temporaryDirectory } from '../support/service.ts'
import { claimOne, firstValue, rowsOf, testQueue } from '../support/store.ts'

const DELAY_MS = 30_000
const HOUR_MS = 3_600_000

/** One machine on which processes of txhook follow each other, on the same data. */
function successiveProcesses(processor: () => Processor) {
  const machine = testMachine()
  const directories: ReturnType<typeof temporaryDirectory>[] = []
  const processes: TestScheduler[] = []
  const newDirectory = () => {
    const directory = temporaryDirectory()
    directories.push(directory)
    return directory.path
  }
  let dataDir = newDirectory()
  return {
    machine,
    start() {
      const clock = machine.clock()
      const process = testScheduler(processor(), { dataDir, clock })
      processes.push(process)
      return process
    },
    /** Ends the newest process in order. */
    async stop() {
      await processes.at(-1)?.scheduler.stop()
      await processes.at(-1)?.store.close()
    },
    /** Goes on with what the newest process has on the disk now, as after `kill -9`. */
    kill() {
      const killed = dataDir
      dataDir = newDirectory()
      cpSync(killed, dataDir, { recursive: true })
    },
    async [Symbol.asyncDispose]() {
      for (const process of processes) await process[Symbol.asyncDispose]()
      for (const directory of directories) directory[Symbol.dispose]()
    },
  }
}

type Step = (machine: ReturnType<typeof testMachine>) => void
const step =
  (ms: number): Step =>
  ({ stepWall }) =>
    stepWall(ms)

/** Before an end of the process, while none runs, and after the start of the next. */
const WHEN = ['before', 'during', 'after'] as const

const CASES = [HOUR_MS, -HOUR_MS].flatMap((ms) =>
  WHEN.flatMap((when) => (['stop', 'kill'] as const).map((end) => [ms, when, end] as const)),
)

/** What is left of a delay after each of many restarts with steps of the clock. */
async function leftAfterRestarts(
  processor: () => Processor,
  begin: (run: TestScheduler) => Promise<unknown>,
  [ms, when, end]: (typeof CASES)[number],
): Promise<(number | undefined)[]> {
  await using processes = successiveProcesses(processor)
  const { machine } = processes
  let run = processes.start()
  await begin(run)
  const left: (number | undefined)[] = []
  for (let restart = 0; restart < 4; restart++) {
    run.clock.pass(500)
    if (when === 'before') step(ms)(machine)
    left.push(await run.work())
    await processes[end]()
    if (when === 'during') step(ms)(machine)
    machine.pass(500)
    run = processes.start()
    if (when === 'after') step(ms)(machine)
    left.push(await run.work())
  }
  return left
}

describe('steps of the wall clock and restarts', () => {
  test.each(CASES)('by %p ms %s a %s leave a wait its end', async (ms, when, end) => {
    const left = await leftAfterRestarts(
      () => simulatedProcessor(DELAY_MS),
      async (run) => {
        await run.accept('a')
        await run.work()
      },
      [ms, when, end],
    )
    const expected = [1, 2, 3, 4, 5, 6, 7, 8].map((halves) => DELAY_MS - halves * 500)
    expect(left).toEqual(expected)
  })

  test.each(CASES)('by %p ms %s a %s leave a Retry-After its end', async (ms, when, end) => {
    const left = await leftAfterRestarts(
      scriptedCalls,
      async (run) => {
        await run.accept('a')
        const { claim } = await claimOne(run.store)
        const retry = { kind: 'retry', inMs: 60_000, detail: 'later' } as const
        expect(await run.store.work.settle(claim, retry)).toBe('settled')
      },
      [ms, when, end],
    )
    const expected = [1, 2, 3, 4, 5, 6, 7, 8].map((halves) => 60_000 - halves * 500)
    expect(left).toEqual(expected)
  })

  test('forward and back again leave a wait its end', async () => {
    await using processes = successiveProcesses(() => simulatedProcessor(DELAY_MS))
    const { machine } = processes
    let run = processes.start()
    await run.accept('a')
    await run.work()
    const steps = [HOUR_MS, -2 * HOUR_MS, 500, -500, HOUR_MS, 90_000, -HOUR_MS]
    for (const [i, ms] of steps.entries()) {
      machine.stepWall(ms)
      machine.pass(1_000)
      await processes[i % 2 ? 'kill' : 'stop']()
      run = processes.start()
      expect(await run.work()).toBe(DELAY_MS - (i + 1) * 1_000)
    }
    run.clock.pass(DELAY_MS - steps.length * 1_000)
    await run.work()
    expect(await run.state('a')).toBe('PROCESSED 1')
  })

  test.each(['stop', 'kill'] as const)('leave a wait its end over a reboot by %s', async (end) => {
    await using processes = successiveProcesses(() => simulatedProcessor(DELAY_MS))
    const { machine } = processes
    let run = processes.start()
    await run.accept('a')
    await run.work()
    for (const [i, ms] of [HOUR_MS, -HOUR_MS, -HOUR_MS, HOUR_MS].entries()) {
      machine.stepWall(ms)
      // The loop runs; then the machine starts again, and its wall clock is right.
      await run.work()
      await processes[end]()
      machine.reboot()
      machine.pass(2_000)
      run = processes.start()
      expect(await run.work()).toBe(DELAY_MS - (i + 1) * 2_000)
    }
  })

  test('are logged: while it runs, and when it starts', async () => {
    await using processes = successiveProcesses(() => simulatedProcessor(DELAY_MS))
    const first = processes.start()
    await first.accept('a')
    await first.work()
    await processes.stop()
    processes.machine.stepWall(HOUR_MS)
    const second = processes.start()
    const stepped = { level: 'warn', message: 'the wall clock was stepped' } as const
    expect(second.store.log.entries).toEqual([{ ...stepped, fields: { stepped_ms: HOUR_MS } }])
  })
})

describe('what a process leaves of its clock', () => {
  const written = (dataDir: string) => rowsOf(dataDir, 'SELECT * FROM clock')

  test('is one row, written when there is something new in it', async () => {
    await using processes = successiveProcesses(() => simulatedProcessor(DELAY_MS))
    const first = processes.start()
    const { database, dataDir } = first.store
    const changes = () => firstValue(database.client, 'SELECT total_changes()')
    const row = written(dataDir)
    expect(row).toHaveLength(1)
    const before = changes()
    processes.machine.pass(HOUR_MS)
    processes.machine.stepWall(999)
    await first.work()
    expect(changes()).toBe(before)
    processes.machine.stepWall(1)
    await first.work()
    await first.work()
    expect(changes()).toBe(Number(before) + 1)
    expect(written(dataDir)).toEqual([{ ...row[0], wall_ahead: 1_000 }])
    await processes.stop()

    const second = processes.start()
    expect(firstValue(second.store.database.client, 'SELECT total_changes()')).toBe(0)
  })

  test('is written later where no write is possible at the start', async () => {
    using parts = testQueue()
    const { database, dataDir, clock, queue } = parts
    using other = new Database(join(dataDir, 'txhook.db'))
    // As a full disk does, a lock goes away by itself.
    other.run('BEGIN IMMEDIATE')
    const log = recordingLog()
    const steadyTime = continueSteadyTime(database, { clock, log, newestTime: 0 })
    await steadyTime.keep(queue)
    other.run('ROLLBACK')
    expect(written(dataDir)).toEqual([])
    await steadyTime.keep(queue)
    expect(written(dataDir)).toHaveLength(1)
  })

  test('of a boot that it does not count from is not used: then the wall clock is', async () => {
    // As in a container whose uptime is its own, under the boot id of the machine.
    const machine = testMachine()
    const late = { ...machine.clock(), boot: () => ({ id: 'same', ms: 5_000_000 }) }
    await using first = testScheduler(simulatedProcessor(DELAY_MS), { clock: late })
    await first.accept('a')
    await first.work()
    await first.store.close()
    machine.pass(10_000)
    const early = { ...machine.clock(), boot: () => ({ id: 'same', ms: 3_000 }) }
    const { dataDir } = first.store
    await using second = testScheduler(simulatedProcessor(DELAY_MS), { dataDir, clock: early })
    expect(await second.work()).toBe(DELAY_MS - 10_000)
  })

  test('without a time since the boot lets a wait go on by the wall clock', async () => {
    const machine = testMachine()
    const clock = () => ({ ...machine.clock(), boot: () => undefined })
    await using first = testScheduler(simulatedProcessor(DELAY_MS), { clock: clock() })
    await first.accept('a')
    await first.work()
    machine.stepWall(HOUR_MS)
    await first.work()
    await first.store.close()
    machine.pass(10_000)
    const { dataDir } = first.store
    await using second = testScheduler(simulatedProcessor(DELAY_MS), { dataDir, clock: clock() })
    expect(await second.work()).toBe(DELAY_MS - 10_000)
  })
})
