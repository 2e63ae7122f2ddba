import { expect, test } from 'bun:test'
import { EXIT, StartError } from '../../../src/exit.ts'
import { scriptedCalls } from '../../support/scheduler.ts'
import { temporaryDirectory, testService, transactionBody } from '../../support/service.ts'

type Start = 'with a target' | 'without' | 'simulated'

/** Starts a service on a directory and ends it. Returns the exit code of a refusal. */
async function start(dataDir: string, how: Start): Promise<number | 'started'> {
  const flags = { '--simulate': String(how === 'simulated') }
  const processor = how === 'with a target' ? { processor: scriptedCalls() } : {}
  try {
    await using _ = testService({ dataDir, flags, ...processor })
    return 'started'
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    expect(error.message).toContain('--simulate')
    expect(error.message).toContain('--target-url is not set')
    return error.exitCode
  }
}

test('what waits for a call is not PROCESSED without one when the target is no longer set', async () => {
  using directory = temporaryDirectory()
  {
    await using service = testService({ dataDir: directory.path, processor: scriptedCalls() })
    await service.post(transactionBody())
  }
  expect(await start(directory.path, 'without')).toBe(EXIT.usage)
  // Nothing is changed by that, and the directory is free again.
  expect(await start(directory.path, 'without')).toBe(EXIT.usage)
  expect(await start(directory.path, 'with a target')).toBe('started')
})

test('a directory that has had a target needs consent to waits, whatever it contains', async () => {
  using directory = temporaryDirectory()
  expect(await start(directory.path, 'without')).toBe('started')
  expect(await start(directory.path, 'simulated')).toBe('started')
  expect(await start(directory.path, 'without')).toBe('started')
  expect(await start(directory.path, 'with a target')).toBe('started')
  expect(await start(directory.path, 'without')).toBe(EXIT.usage)
  // Consent is for one start.
  expect(await start(directory.path, 'simulated')).toBe('started')
  expect(await start(directory.path, 'without')).toBe(EXIT.usage)
})

test('what FAILED at a target and is retried is not PROCESSED without one', async () => {
  using directory = temporaryDirectory()
  {
    await using service = testService({ dataDir: directory.path, processor: scriptedCalls() })
    await service.post(transactionBody({ script: ['FAIL'] }))
    await service.work()
    while ((await service.store.readings()).transactions.FAILED === 0) await service.store.health()
  }
  expect(await start(directory.path, 'without')).toBe(EXIT.usage)
})

test('what was accepted without a target may be posted to one that is set later', async () => {
  using directory = temporaryDirectory()
  {
    await using service = testService({ dataDir: directory.path })
    await service.post(transactionBody())
  }
  expect(await start(directory.path, 'with a target')).toBe('started')
  expect(await start(directory.path, 'without')).toBe(EXIT.usage)
})
