import { expect, test } from 'bun:test'
import { EXIT, StartError } from '../../../src/exit.ts'
import { scriptedCalls } from '../../support/scheduler.ts'
import { temporaryDirectory, testService, transactionBody } from '../../support/service.ts'

/** Starts a service on a directory, with calls or without. Returns the exit code of a refusal. */
async function start(dataDir: string, calls: boolean): Promise<number | 'started'> {
  try {
    await using _ = testService({ dataDir, ...(calls && { processor: scriptedCalls() }) })
    return 'started'
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    expect(error.message).toContain('1 transactions wait to be posted to a target')
    return error.exitCode
  }
}

test('what waits for a call is not PROCESSED without one when the target is no longer set', async () => {
  using directory = temporaryDirectory()
  {
    await using service = testService({ dataDir: directory.path, processor: scriptedCalls() })
    await service.post(transactionBody())
  }
  expect(await start(directory.path, false)).toBe(EXIT.usage)
  // Nothing is changed by that, and the directory is free again.
  expect(await start(directory.path, false)).toBe(EXIT.usage)
  expect(await start(directory.path, true)).toBe('started')
  {
    await using service = testService({ dataDir: directory.path, processor: scriptedCalls() })
    await service.work()
    while ((await service.store.readings()).transactions.PROCESSED === 0) {
      await service.store.health()
    }
  }
  expect(await start(directory.path, false)).toBe('started')
})

test('what was accepted without a target may be posted to one that is set later', async () => {
  using directory = temporaryDirectory()
  {
    await using service = testService({ dataDir: directory.path })
    await service.post(transactionBody())
  }
  expect(await start(directory.path, true)).toBe('started')
  expect(await start(directory.path, false)).toBe(EXIT.usage)
})
