import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { type RunningTxhook, startTxhook, until, VARIANTS } from '../support/executable.ts'
import { type ShownTransaction, temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

type Call = { key: string | null; body: string }

/** A target that answers as it is told, and remembers who called. */
function target(answer: (call: Call) => Response | Promise<Response>, port = 0) {
  const calls: Call[] = []
  let open = 0
  let openMax = 0
  const server = Bun.serve({
    port,
    async fetch(request) {
      openMax = Math.max(openMax, ++open)
      const call = { key: request.headers.get('idempotency-key'), body: await request.text() }
      calls.push(call)
      try {
        return await answer(call)
      } finally {
        open--
      }
    },
  })
  return {
    calls,
    url: server.url.href,
    port: server.port as number,
    get openMax() {
      return openMax
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

async function read<T>(txhook: RunningTxhook, path: string): Promise<T> {
  return (await (await txhook.fetch(path)).json()) as T
}

const stateOf = (txhook: RunningTxhook) =>
  read<ShownTransaction>(txhook, '/v1/transactions/txn_001')

const outcomesOf = async (txhook: RunningTxhook) => {
  const path = '/v1/transactions/txn_001/attempts'
  const { data } = await read<{ data: { outcome: string; http_status: number }[] }>(txhook, path)
  return data.map(({ outcome, http_status }) => [outcome, http_status])
}

/** The value of a series of /metrics. */
async function metric(txhook: RunningTxhook, series: string): Promise<number> {
  const text = await (await txhook.fetch('/metrics')).text()
  const line = text.split('\n').find((it) => it.startsWith(`${series} `))
  return Number(line?.slice(series.length))
}

describe.each(VARIANTS)('the target of a txhook (%s)', (variant) => {
  test('that accepts, and txhook is killed before it hears of it, is called again under the same key', async () => {
    using directory = temporaryDirectory()
    const called = Promise.withResolvers<void>()
    const killed = Promise.withResolvers<void>()
    await using service = target(async ({ key }) => {
      called.resolve()
      await killed.promise
      return new Response(key)
    })
    const options = { variant, cwd: directory.path, args: ['--target-url', service.url] }
    await using first = await startTxhook(options)
    await first.post(transactionBody())
    await called.promise
    expect(await stateOf(first)).toMatchObject({ status: 'PROCESSING', attempts: 1 })
    await first.end('SIGKILL')
    killed.resolve()

    await using second = await startTxhook(options)
    const done = await until(
      () => stateOf(second),
      ({ status }) => status === 'PROCESSED',
    )
    expect(done.attempts).toBe(2)
    expect(await outcomesOf(second)).toEqual([
      ['interrupted', null as never],
      ['done', 200],
    ])
    expect(service.calls).toHaveLength(2)
    expect(service.calls[1]).toEqual(service.calls[0] as Call)
  })

  test('may end its answer while txhook stops', async () => {
    using directory = temporaryDirectory()
    const called = Promise.withResolvers<void>()
    const stopping = Promise.withResolvers<void>()
    await using service = target(async () => {
      called.resolve()
      await stopping.promise
      return new Response()
    })
    const options = { variant, cwd: directory.path, args: ['--target-url', service.url] }
    await using first = await startTxhook(options)
    await first.post(transactionBody())
    await called.promise
    const ended = first.end('SIGTERM')
    // It takes no more requests when it has begun to stop.
    await until(
      () =>
        fetch(first.url).then(
          () => 'answered',
          () => 'refused',
        ),
      (answer) => answer === 'refused',
    )
    stopping.resolve()
    expect((await ended).exitCode).toBe(0)

    await using second = await startTxhook(options)
    expect(await outcomesOf(second)).toEqual([['done', 200]])
    expect(await stateOf(second)).toMatchObject({ status: 'PROCESSED', attempts: 1 })
  })
})

test('a call that an orderly stop cuts uses up no attempt, and the whole stop takes less than 10 s', async () => {
  using directory = temporaryDirectory()
  const called = Promise.withResolvers<void>()
  const stopped = Promise.withResolvers<void>()
  await using service = target(async () => {
    called.resolve()
    await stopped.promise
    return new Response()
  })
  const args = ['--target-url', service.url, '--max-attempts', '1']
  await using first = await startTxhook({ cwd: directory.path, args })
  await first.post(transactionBody())
  await called.promise
  const begun = performance.now()
  const { exitCode } = await first.end('SIGTERM')
  expect(exitCode).toBe(0)
  expect(performance.now() - begun).toBeWithin(7_900, 10_000)

  // The target still has the first call, and accepts the next.
  stopped.resolve()
  await using second = await startTxhook({ cwd: directory.path, args })
  const done = await until(
    () => stateOf(second),
    ({ status }) => status === 'PROCESSED' || status === 'FAILED',
  )
  expect(done).toMatchObject({ status: 'PROCESSED', attempts: 2 })
  expect(await outcomesOf(second)).toEqual([
    ['interrupted', null as never],
    ['done', 200],
  ])
  expect(service.calls).toHaveLength(2)
  expect(service.calls[1]).toEqual(service.calls[0] as Call)
})

test('a target that is down while 2,000 transactions come in gets all of them when it is back', async () => {
  using directory = temporaryDirectory()
  const CONCURRENCY = 16
  let port: number
  {
    // A port that nobody listens on any more.
    await using gone = target(() => new Response())
    port = gone.port
  }
  const args = ['--target-url', `http://127.0.0.1:${port}/`, '--concurrency', `${CONCURRENCY}`]
  await using txhook = await startTxhook({ cwd: directory.path, args })
  const posts = Array.from({ length: 2_000 }, (_, n) =>
    txhook.post(transactionBody({ transaction_id: `txn_${n}` })),
  )
  const answers = await Promise.all(posts)
  expect(answers.every(({ status }) => status === 202)).toBeTrue()
  expect(await metric(txhook, 'txhook_target_failing')).toBe(1)
  const { checks } = await read<{ checks: { target: string } }>(txhook, '/readyz')
  expect(checks.target).toStartWith('failing since ')

  await using service = target(() => new Response(), port)
  await until(
    () => metric(txhook, 'txhook_transactions{status="PROCESSED"}'),
    (processed) => processed === 2_000,
  )
  expect(service.openMax).toBeLessThanOrEqual(CONCURRENCY)
  expect(service.calls).toHaveLength(2_000)
  expect(await metric(txhook, 'txhook_transactions{status="FAILED"}')).toBe(0)
  const { stdout } = await txhook.end('SIGTERM')
  const changes = stdout
    .split('\n')
    .filter((line) => /the target (is failing|has recovered)/.test(line))
  expect(changes.map((line) => JSON.parse(line).level)).toEqual(['WARN', 'INFO'])
})
