import { expect, setDefaultTimeout, test } from 'bun:test'
import { commandOf, type RunningTxhook, startTxhook, until } from '../support/executable.ts'
import { type ShownTransaction, temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

/** libfaketime gives a process another wall clock. CI has it; elsewhere it may be missing. */
const library = [...new Bun.Glob('/usr/lib/*/faketime/libfaketime.so.1').scanSync('/')][0]
const withFaketime = test.skipIf(
  library === undefined && (!process.env.CI || process.platform !== 'linux'),
)

const DELAY_MS = 3_000

/** Starts txhook with a wall clock that is off by this, say `+1h`. */
function start(directory: string, offset: string): Promise<RunningTxhook> {
  const environment = {
    LD_PRELOAD: library as string,
    FAKETIME: offset,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
  const args = ['--processing-delay-ms', String(DELAY_MS)]
  return startTxhook({ cwd: directory, environment, args })
}

async function stateOf(txhook: RunningTxhook): Promise<ShownTransaction> {
  return (await (await txhook.fetch('/v1/transactions/txn_001')).json()) as ShownTransaction
}

/** How long a delay takes over two restarts, the wall clock being stepped there and back. */
async function tookOver(first: string, second: string, signal: NodeJS.Signals) {
  using directory = temporaryDirectory()
  let began: number
  {
    await using txhook = await start(directory.path, first)
    await txhook.post(transactionBody())
    await until(
      () => stateOf(txhook),
      ({ status }) => status === 'PROCESSING',
    )
    began = performance.now()
    await txhook.end(signal)
  }
  await using again = await start(directory.path, second)
  expect(await stateOf(again)).toMatchObject({ status: 'PROCESSING', attempts: 1 })
  await again.end(signal)
  await using txhook = await start(directory.path, first)
  const { attempts } = await until(
    () => stateOf(txhook),
    ({ status }) => status === 'PROCESSED',
  )
  const ms = performance.now() - began
  const { stdout } = await txhook.end('SIGTERM')
  expect([attempts, stdout]).toEqual([1, expect.stringContaining('the wall clock was stepped')])
  return { first, second, ms }
}

withFaketime('a wall clock stepped between processes leaves a delay its length', async () => {
  await commandOf('compiled')
  const took = await Promise.all([
    tookOver('+0', '+1h', 'SIGKILL'),
    tookOver('+0', '-1h', 'SIGTERM'),
    tookOver('-1h', '+1h', 'SIGTERM'),
  ])
  for (const { first, second, ms } of took) {
    expect({ first, second, off: Math.abs(ms - DELAY_MS) < 1_000 ? 0 : ms - DELAY_MS }).toEqual({
      first,
      second,
      off: 0,
    })
  }
})
