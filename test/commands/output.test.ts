import { expect, test } from 'bun:test'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { openOutput } from '../../src/commands/output.ts'
import { temporaryDirectory } from '../support/service.ts'

const withPipes = test.skipIf(process.platform === 'win32')

withPipes(
  'a log that no reader takes from a full pipe is lost, and does not stop the service',
  () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'pipe')
    expect(Bun.spawnSync(['mkfifo', path]).exitCode).toBe(0)
    const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    try {
      const { printLog } = openOutput(pipe)
      printLog('x'.repeat(1_000_000))
      const began = performance.now()
      for (let n = 0; n < 100; n++) printLog('lost')
      // The service has waited for the reader once.
      expect(performance.now() - began).toBeLessThan(500)

      const chunk = new Uint8Array(2_000_000)
      const cut = readSync(pipe, chunk)
      expect(cut).toBeLessThan(1_000_000)
      printLog('whole')
      expect(Buffer.from(chunk.subarray(0, readSync(pipe, chunk))).toString()).toBe('\nwhole\n')
    } finally {
      closeSync(pipe)
    }
  },
)
