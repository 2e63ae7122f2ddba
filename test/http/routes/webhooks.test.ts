import { Database } from 'bun:sqlite'
import { describe, expect, spyOn, test } from 'bun:test'
import { join } from 'node:path'
import { type TestService, testService, transactionBody } from '../../support/service.ts'

const txn = (transaction_id: string, changes: Record<string, unknown> = {}) =>
  transactionBody({ transaction_id, ...changes })

/** Status, code and Retry-After. */
async function outcome(answer: Promise<Response>): Promise<unknown[]> {
  const response = await answer
  const body = (await response.json()) as { code?: unknown; request_id?: unknown }
  if (body.code === undefined) return [response.status]
  expect(body.request_id).toBe(response.headers.get('x-request-id'))
  return [response.status, body.code, response.headers.get('retry-after')]
}

const isReplay = (response: Response) => response.headers.get('idempotent-replayed') === 'true'

describe('an answer', () => {
  test('to a new transaction has its Location and shows it PENDING', async () => {
    await using service = testService()
    const response = await service.post(transactionBody())
    expect(response.status).toBe(202)
    expect(response.headers.get('location')).toBe('/v1/transactions/txn_001')
    expect(response.headers.get('content-type')).toStartWith('application/json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(isReplay(response)).toBe(false)
    const body = await response.text()
    expect(JSON.parse(body)).toEqual({
      ...transactionBody(),
      status: 'PENDING',
      attempts: 0,
      created_at: '2026-01-01T00:00:00.000Z',
      processing_started_at: null,
      processed_at: null,
      next_attempt_at: '2026-01-01T00:00:00.000Z',
      handled: null,
      error: null,
      extra: {},
    })
    // And a GET shows the same text.
    expect(await (await service.get('/v1/transactions/txn_001')).text()).toBe(body)
  })

  test('to a replay shows the transaction in its present state', async () => {
    await using service = testService()
    await service.post(transactionBody())
    for (const [ms, status] of [
      [0, 'PENDING'],
      [5, 'PROCESSING'],
      [30_000, 'PROCESSED'],
      [365 * 86_400_000, 'PROCESSED'],
    ] as const) {
      service.clock.pass(ms)
      if (ms > 0) await service.work()
      const response = await service.post(transactionBody())
      const shown = await response.json()
      expect([response.status, isReplay(response)]).toEqual([202, true])
      expect(shown).toMatchObject({ status, created_at: '2026-01-01T00:00:00.000Z' })
      expect(await (await service.get('/v1/transactions/txn_001')).json()).toEqual(shown)
    }
    expect(await (await service.get('/v1/transactions/txn_001')).json()).toMatchObject({
      attempts: 1,
    })
  })

  test('to a conflict names the fields that differ, without their values', async () => {
    await using service = testService()
    await service.post(transactionBody())
    const response = await service.post(transactionBody({ source_account: 'X9', amount: '7.5' }))
    const body = await response.text()
    expect(response.status).toBe(409)
    expect(response.headers.get('location')).toBe('/v1/transactions/txn_001')
    expect(JSON.parse(body)).toMatchObject({
      title: 'Conflict',
      errors: [
        { path: 'source_account', code: 'differs' },
        { path: 'amount', code: 'differs' },
      ],
    })
    // A sender must not see what another one sent with this id.
    expect(body).not.toContain('A123')
  })

  test('to a conflict is the same in every state, and the processing continues', async () => {
    await using service = testService()
    await service.post(transactionBody())
    for (const [ms, status] of [
      [0, 'PENDING'],
      [5, 'PROCESSING'],
      [30_000, 'PROCESSED'],
    ] as const) {
      service.clock.pass(ms)
      if (ms > 0) await service.work()
      expect((await service.post(transactionBody({ amount: 101 }))).status).toBe(409)
      const stored = await (await service.get('/v1/transactions/txn_001')).json()
      expect(stored).toMatchObject({ status, amount: 100 })
    }
    expect((await service.post(transactionBody())).status).toBe(202)
  })

  test('has an id that no other answer has', async () => {
    await using service = testService()
    const ids = new Set<string | null>()
    for (let i = 0; i < 3; i++) {
      for (const path of ['/', '/livez', '/readyz', '/nope', '/swagger', '/swagger/ui.css']) {
        ids.add((await service.get(path)).headers.get('x-request-id'))
      }
      ids.add((await service.post(transactionBody())).headers.get('x-request-id'))
      ids.add((await service.post('{')).headers.get('x-request-id'))
      // The client's own id is not used.
      const claimed = await service.post(transactionBody(), { 'x-request-id': 'claimed' })
      ids.add(claimed.headers.get('x-request-id'))
    }
    expect(ids.size).toBe(3 * 9)
    expect(ids).not.toContain(null)
    expect(ids).not.toContain('claimed')
  })
})

describe('at the same time', () => {
  test('of many equal webhooks exactly one is new', async () => {
    await using service = testService()
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => service.post(transactionBody())),
    )
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(202))
    expect(answers.filter((response) => !isReplay(response))).toHaveLength(1)
  })

  test('of many unequal webhooks with one id one is accepted, and shown', async () => {
    await using service = testService()
    const posts = Array.from({ length: 20 }, (_, i) => service.post(txn('same', { amount: i + 1 })))
    const answers = await Promise.all(posts)
    const taken = answers.filter(({ status }) => status === 202)
    expect(taken).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(19)
    const stored = await (await service.get('/v1/transactions/same')).json()
    expect(await taken[0]?.json()).toEqual(stored)
  })

  test('a bad webhook among good ones does not affect them', async () => {
    await using service = testService()
    const answers = await Promise.all([
      service.post(txn('a')),
      service.post('{'),
      service.post(txn('b', { amount: 0 })),
      service.post(txn('c')),
    ])
    expect(answers.map(({ status }) => status)).toEqual([202, 400, 422, 202])
  })
})

describe('a body', () => {
  const send = ({ app }: TestService, init: RequestInit) =>
    app.fetch(new Request('http://localhost/webhook', { method: 'POST', ...init }))
  const json = { 'content-type': 'application/json' }

  test('is measured, whatever its Content-Length', async () => {
    await using service = testService({ flags: { '--max-body-bytes': '1024' } })
    const body = JSON.stringify(transactionBody({ note: 'x'.repeat(2000) }))
    for (const length of ['10', '1024', '-1', 'NaN', '']) {
      const headers = { ...json, 'content-length': length }
      expect([length, (await send(service, { headers, body })).status]).toEqual([length, 413])
    }
  })

  test('with a Content-Length beyond the limit is refused before it is read', async () => {
    await using service = testService({ flags: { '--max-body-bytes': '1024' } })
    let pulls = 0
    const body = new ReadableStream(
      {
        pull(controller) {
          if (pulls++ < 500) controller.enqueue(new Uint8Array(10))
          else controller.close()
        },
      },
      { highWaterMark: 0 },
    )
    const headers = { ...json, 'content-length': '1025' }
    expect((await send(service, { headers, body })).status).toBe(413)
    expect(pulls).toBe(0)
  })

  test('without a Content-Length is read up to the limit only', async () => {
    await using service = testService({ flags: { '--max-body-bytes': '1024' } })
    let pulls = 0
    let cancelled = false
    const body = new ReadableStream(
      {
        pull(controller) {
          if (pulls++ < 500) controller.enqueue(new Uint8Array(100))
          else controller.close()
        },
        cancel() {
          cancelled = true
        },
      },
      { highWaterMark: 0 },
    )
    expect((await send(service, { headers: json, body })).status).toBe(413)
    expect([pulls, cancelled]).toEqual([11, true])
  })

  test('that breaks off is a 400, and logged as no error', async () => {
    await using service = testService()
    for (const length of [{}, { 'content-length': '500' }]) {
      let pulls = 0
      const body = new ReadableStream({
        pull(controller) {
          if (pulls++ === 0) controller.enqueue(Buffer.from('{"a":'))
          else controller.error(new DOMException('The connection was closed.', 'AbortError'))
        },
      })
      const answer = send(service, { headers: { ...json, ...length }, body })
      expect(await outcome(answer)).toEqual([400, 'invalid_json', null])
    }
    expect(service.log.entries.filter(({ level }) => level === 'error')).toBeEmpty()
  })

  test('that is missing is not JSON', async () => {
    await using service = testService()
    expect(await outcome(send(service, { headers: json }))).toEqual([400, 'invalid_json', null])
  })

  test('may have as many bytes as the limit, and no more', async () => {
    const body = JSON.stringify(transactionBody())
    for (const [limit, status] of [
      [body.length, 202],
      [body.length - 1, 413],
    ] as const) {
      await using service = testService({ flags: { '--max-body-bytes': String(limit) } })
      expect((await service.post(body)).status).toBe(status)
    }
  })
})

describe('with a full backlog', () => {
  test('new ones are refused, replays and conflicts answered, and faults named first', async () => {
    await using service = testService({ flags: { '--max-backlog': '2' } })
    expect(await outcome(service.post(txn('a')))).toEqual([202])
    expect(await outcome(service.post(txn('b')))).toEqual([202])

    expect(await outcome(service.post(txn('c')))).toEqual([503, 'backlog_full', '5'])
    expect((await service.get('/v1/transactions/c')).status).toBe(404)
    const replay = await service.post(txn('a'))
    expect([replay.status, isReplay(replay)]).toEqual([202, true])
    const conflict = [409, 'transaction_conflict', null]
    expect(await outcome(service.post(txn('a', { amount: 1 })))).toEqual(conflict)
    expect(await outcome(service.post('{'))).toEqual([400, 'invalid_json', null])
    const invalid = [422, 'invalid_transaction', null]
    expect(await outcome(service.post(txn('c', { amount: 0 })))).toEqual(invalid)

    // A PROCESSING one is unfinished, too.
    await service.work()
    expect(await outcome(service.post(txn('c')))).toEqual([503, 'backlog_full', '5'])

    service.clock.pass(30_000)
    await service.work()
    expect(await outcome(service.post(txn('c')))).toEqual([202])
    expect(await outcome(service.post(txn('d')))).toEqual([202])
    expect(await outcome(service.post(txn('e')))).toEqual([503, 'backlog_full', '5'])
  })

  test('of many at the same time as many are accepted as there is room for', async () => {
    await using service = testService({ flags: { '--max-backlog': '3' } })
    const posts = Array.from({ length: 10 }, (_, i) => service.post(txn(`t${i}`)))
    const statuses = (await Promise.all(posts)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 202)).toHaveLength(3)
    expect(statuses.filter((status) => status === 503)).toHaveLength(7)
  })

  test('it is also full after a restart', async () => {
    await using first = testService({ flags: { '--max-backlog': '1' } })
    await first.post(txn('a'))
    await first.stop()
    const { dataDir } = first
    await using second = testService({ dataDir, flags: { '--max-backlog': '1' } })
    expect(await outcome(second.post(txn('b')))).toEqual([503, 'backlog_full', '5'])
  })
})

/** Keeps the database from growing. */
function fill({ store }: TestService): void {
  const { client } = store.database
  const { page_count } = client.query('PRAGMA page_count').get() as { page_count: number }
  client.run(`PRAGMA max_page_count = ${page_count}`)
}

function makeRoom({ store }: TestService): void {
  store.database.client.run('PRAGMA max_page_count = 1000000')
}

describe('on a full disk', () => {
  const note = 'x'.repeat(20_000)

  test('new ones are refused, replays answered, and all accepted again when there is room', async () => {
    await using service = testService()
    await service.post(txn('a', { note }))
    fill(service)
    const full = [503, 'storage_full', '5']
    expect(await outcome(service.post(txn('b', { note })))).toEqual(full)
    expect((await service.get('/v1/transactions/b')).status).toBe(404)
    const replay = await service.post(txn('a'))
    expect([replay.status, isReplay(replay)]).toEqual([202, true])
    expect(await outcome(service.post('{'))).toEqual([400, 'invalid_json', null])
    expect((await service.get('/v1/transactions/a')).status).toBe(200)

    makeRoom(service)
    const taken = await service.post(txn('b', { note }))
    expect([taken.status, isReplay(taken)]).toEqual([202, false])
    expect(service.fatal).toBeEmpty()
  })

  test('of those in one commit only the ones without room are refused', async () => {
    await using service = testService()
    await service.post(txn('a', { note }))
    fill(service)
    const answers = await Promise.all([
      service.post(txn('a')),
      service.post(txn('b', { note })),
      service.post(txn('a', { note: 'other' })),
    ])
    expect(answers.map(({ status }) => status)).toEqual([202, 503, 202])
  })

  test('a conflict that cannot be kept is a 503, not a 409', async () => {
    await using service = testService()
    await service.post(txn('a'))
    fill(service)
    const other = { source_account: '€'.repeat(128), destination_account: '£'.repeat(128) }
    let answers = 0
    // One that differs from those before it: what is identical is only counted.
    const conflict = () => outcome(service.post(txn('a', { ...other, amount: answers + 1 })))
    let answer = await conflict()
    // The rest of the last page has room for a few.
    for (; answer[0] === 409 && answers < 100; answers++) answer = await conflict()
    expect(answer).toEqual([503, 'storage_full', '5'])
    expect(await outcome(service.post(txn('a')))).toEqual([202])

    makeRoom(service)
    expect(await conflict()).toEqual([409, 'transaction_conflict', null])
  })

  test('a refused one does not count in the backlog', async () => {
    await using service = testService({ flags: { '--max-backlog': '2' } })
    await service.post(txn('a', { note }))
    fill(service)
    for (let i = 0; i < 5; i++) {
      expect((await outcome(service.post(txn(`b${i}`, { note }))))[1]).toBe('storage_full')
    }
    makeRoom(service)
    expect(await outcome(service.post(txn('c')))).toEqual([202])
    expect((await outcome(service.post(txn('d'))))[1]).toBe('backlog_full')
  })
})

test('while another program locks the database, a webhook is a 503', async () => {
  await using service = testService()
  await service.post(txn('a'))
  service.store.database.client.run('PRAGMA busy_timeout = 0')
  const other = new Database(join(service.dataDir, 'txhook.db'))
  other.run('BEGIN IMMEDIATE')
  const unavailable = [503, 'storage_unavailable', '5']
  expect(await outcome(service.post(txn('b')))).toEqual(unavailable)
  expect((await service.get('/v1/transactions/a')).status).toBe(200)
  other.run('ROLLBACK')
  expect(await outcome(service.post(txn('b')))).toEqual([202])
  expect(service.fatal).toBeEmpty()
})

test('once the storage has failed, every webhook is a 503, and the process must end', async () => {
  await using service = testService()
  await service.post(txn('a'))
  service.store.database.client.run('PRAGMA query_only = ON')
  const unavailable = [503, 'storage_unavailable', '5']
  const together = [service.post(txn('b')), service.post(txn('c'))]
  for (const answer of together) expect(await outcome(answer)).toEqual(unavailable)
  expect(service.fatal).toHaveLength(1)

  // Also when it seems to work again.
  service.store.database.client.run('PRAGMA query_only = OFF')
  expect(await outcome(service.post(txn('a')))).toEqual(unavailable)
  expect(await outcome(service.post(txn('d')))).toEqual(unavailable)
  expect(await outcome(service.get('/v1/transactions/a'))).toEqual(unavailable)
  expect(service.fatal).toHaveLength(1)
})

describe('the stop', () => {
  test('refuses later webhooks, also replays', async () => {
    await using service = testService()
    await service.start()
    await service.post(txn('a'))
    await service.stop()
    const shuttingDown = [503, 'shutting_down', '5']
    expect(await outcome(service.post(txn('b')))).toEqual(shuttingDown)
    expect(await outcome(service.post(txn('a')))).toEqual(shuttingDown)
    expect(await outcome(service.post('{'))).toEqual([400, 'invalid_json', null])

    await using next = testService({ dataDir: service.dataDir })
    expect((await next.get('/v1/transactions/a')).status).toBe(200)
    expect((await next.get('/v1/transactions/b')).status).toBe(404)
  })

  test('waits for a webhook that is under way, whose transaction is then stored', async () => {
    await using service = testService({ flags: { '--port': '0' } })
    const arrived = Promise.withResolvers<void>()
    const { fetch: answer } = service.app
    service.app.fetch = (request) => {
      arrived.resolve()
      return answer(request)
    }
    const body = new TransformStream<Uint8Array, Uint8Array>()
    const writer = body.writable.getWriter()
    await service.start()
    const url = `${service.listen()}/webhook`
    const headers = { 'content-type': 'application/json' }
    const posted = fetch(url, { method: 'POST', headers, body: body.readable })
    await writer.write(Buffer.from('{'))
    await arrived.promise
    const stopped = service.stop()
    const members = JSON.stringify(txn('late')).slice(1, -1)
    await writer.write(Buffer.from(`${members},"x":1}`))
    await writer.close()
    expect(await outcome(posted)).toEqual([202])
    await stopped

    await using next = testService({ dataDir: service.dataDir })
    const stored = await next.get('/v1/transactions/late')
    expect(await stored.json()).toMatchObject({ transaction_id: 'late', extra: { x: 1 } })
  })
})

describe('an internal error', () => {
  async function expectInternalError(service: TestService, answer: Promise<Response>) {
    const response = await answer
    const body = await response.text()
    expect(response.status).toBe(500)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    const requestId = response.headers.get('x-request-id')
    // The whole body, so that it contains no internals.
    expect(JSON.parse(body)).toEqual({
      type: 'about:blank',
      title: 'Internal Server Error',
      status: 500,
      detail: 'The service failed to answer the request.',
      code: 'internal_error',
      request_id: requestId,
    })
    expect(service.log.entries).toContainEqual({
      level: 'error',
      message: 'a request failed',
      fields: { request_id: requestId, error: expect.any(Error) },
    })
  }

  test('is a 500 without internals, and an entry with them in the log', async () => {
    await using service = testService()
    await service.post(txn('a'))
    service.store.database.client.run('ALTER TABLE transactions RENAME TO hidden')
    await expectInternalError(service, service.get('/v1/transactions/a'))
    service.store.database.client.run('ALTER TABLE hidden RENAME TO transactions')
    expect((await service.get('/v1/transactions/a')).status).toBe(200)
  })

  test('affects no other webhook of the same commit', async () => {
    await using service = testService()
    await service.post(txn('a'))
    service.store.database.client.run(`UPDATE transactions SET currency = 'XXX'`)
    const [good, bad, alsoGood] = [
      service.post(txn('b')),
      service.post(txn('a')),
      service.post(txn('c')),
    ]
    await expectInternalError(service, bad)
    expect(await outcome(good)).toEqual([202])
    expect(await outcome(alsoGood)).toEqual([202])
    expect(service.fatal).toBeEmpty()
  })

  test('is not logged for invalid requests', async () => {
    await using service = testService()
    for (const body of ['{', '[]', '{"amount":0,"amount":1}', '"\\ud800"', '']) {
      await service.post(body)
    }
    await service.get('/v1/transactions/%ZZ')
    // Refusals are: see refusals.test.ts.
    expect(service.log.entries.filter(({ level }) => level === 'error')).toBeEmpty()
  })
})

test('a new transaction wakes the scheduler, a replay or a conflict does not', async () => {
  await using service = testService()
  const woken = spyOn(service.scheduler, 'wake')
  await service.post(transactionBody())
  expect(woken).toHaveBeenCalledTimes(1)
  await service.post(transactionBody())
  await service.post(transactionBody({ amount: 1 }))
  expect(woken).toHaveBeenCalledTimes(1)
  await service.post(txn('b'))
  expect(woken).toHaveBeenCalledTimes(2)
})
