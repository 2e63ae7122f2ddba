import { describe, expect, test } from 'bun:test'
import { transactionPath } from '../../support/contract-cases.ts'
import type { HangingCall } from '../../support/scheduler.ts'
import { type ScriptedService, scriptedService } from '../../support/scripted-service.ts'
import {
  type TestServiceOptions,
  temporaryDirectory,
  testService,
  transactionBody,
} from '../../support/service.ts'

type ShownAttempt = Record<string, unknown>

type Watched = Omit<ScriptedService, 'accept'> & {
  /** Stores a transaction whose calls go on until the test ends them. */
  accept(transactionId: string): Promise<void>
  /** Makes the call that is due. */
  call(): Promise<HangingCall>
  attempts(transactionId: string): Promise<ShownAttempt[]>
}

function watched(options: TestServiceOptions = {}): Watched {
  const service = scriptedService(options)
  return {
    ...service,
    accept: (transactionId) => service.accept(transactionId, 'HANG'),
    async call() {
      await service.work()
      return service.processor.hanging()
    },
    async attempts(id) {
      const response = await service.get(`${transactionPath(id)}/attempts`)
      expect(response.status).toBe(200)
      const body = (await response.json()) as { data: ShownAttempt[] }
      expect(Object.keys(body)).toEqual(['data'])
      return body.data
    },
  }
}

const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms).toISOString()

describe('the attempts of a transaction', () => {
  test('are an empty list at first, and show an attempt that is under way', async () => {
    await using service = watched()
    await service.accept('a')
    expect(await service.attempts('a')).toEqual([])
    service.clock.pass(40)
    await service.call()
    expect(await service.attempts('a')).toEqual([
      {
        attempt: 1,
        started_at: at(40),
        finished_at: null,
        outcome: null,
        http_status: null,
        detail: null,
      },
    ])
  })

  test('are shown first to last, each with its times, outcome and detail', async () => {
    await using service = watched()
    const { clock, store } = service
    await service.accept('a')
    const expected: ShownAttempt[] = []
    const attempt = async (
      end: Parameters<HangingCall['end']>[0],
      shown: { outcome: string; http_status: number | null; detail: string | null },
    ) => {
      const call = await service.call()
      const startedAt = clock.now().wall
      clock.pass(250)
      call.end(end)
      await service.recorded()
      expected.push({
        attempt: expected.length + 1,
        started_at: new Date(startedAt).toISOString(),
        finished_at: new Date(startedAt + 250).toISOString(),
        ...shown,
      })
      expect(await service.attempts('a')).toEqual(expected)
      clock.pass(3_600_000)
    }
    const busy = { detail: 'busy', httpStatus: 503 } as const
    await attempt(
      { kind: 'retry', ...busy },
      { outcome: 'retry', detail: 'busy', http_status: 503 },
    )
    const late = { outcome: 'retry', detail: 'no answer', http_status: null }
    await attempt({ kind: 'retry', detail: 'no answer' }, late)
    const no = { kind: 'fail', detail: 'no', httpStatus: 400 } as const
    await attempt(no, { outcome: 'fail', detail: 'no', http_status: 400 })
    // A manual retry an hour later: past attempts stay, and the numbers go on.
    clock.stepWall(-7_200_000)
    expect((await store.retry('a', 'anonymous')).kind).toBe('retried')
    for (let more = 0; more < 7; more++) {
      await attempt(
        { kind: 'retry', ...busy },
        { outcome: 'retry', detail: 'busy', http_status: 503 },
      )
    }
    await attempt(
      { kind: 'done', httpStatus: 200 },
      { outcome: 'done', detail: null, http_status: 200 },
    )
    // Ordered as numbers: 10 and 11 come after 9.
    const numbers = (await service.attempts('a')).map(({ attempt }) => attempt)
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  })

  test('are those of the transaction only', async () => {
    await using service = watched()
    for (const id of ['a', 'A', 'b']) {
      await service.accept(id)
      const call = await service.call()
      call.end({ kind: 'fail', detail: `of ${id}` })
      await service.recorded()
    }
    for (const id of ['a', 'A', 'b']) {
      expect(await service.attempts(id)).toMatchObject([{ attempt: 1, detail: `of ${id}` }])
    }
  })

  test('have one for the simulated call, without a status', async () => {
    await using service = testService()
    await service.post(transactionBody())
    await service.work()
    const shown = async () => (await service.get('/v1/transactions/txn_001/attempts')).json()
    const [underWay, done] = [
      { finished_at: null, outcome: null },
      { finished_at: at(30_000), outcome: 'done' },
    ]
    const attempt = { attempt: 1, started_at: at(0), http_status: null, detail: null }
    expect(await shown()).toEqual({ data: [{ ...attempt, ...underWay }] })
    service.clock.pass(30_000)
    await service.work()
    expect(await shown()).toEqual({ data: [{ ...attempt, ...done }] })
  })

  test('that a crash ended are interrupted, and the next one follows', async () => {
    using directory = temporaryDirectory()
    const options = { dataDir: directory.path }
    {
      // The store is closed before the call has ended: the outcome is not on disk.
      const first = watched(options)
      await first.accept('a')
      const call = await first.call()
      first.clock.pass(1_000)
      await first.store.close()
      call.end()
      await first.scheduler.stop()
    }
    await using service = watched(options)
    service.clock.pass(60_000)
    await service.start()
    await service.processor.hanging()
    const cutOff = { http_status: null, detail: 'txhook ended in the middle of the attempt' }
    const underWay = { finished_at: null, outcome: null, http_status: null, detail: null }
    expect(await service.attempts('a')).toEqual([
      { attempt: 1, started_at: at(0), finished_at: at(60_000), outcome: 'interrupted', ...cutOff },
      { attempt: 2, started_at: at(60_000), ...underWay },
    ])
  })

  test('are answered on a full disk, and refused after the stop', async () => {
    await using service = watched()
    await service.accept('a')
    service.store.database.client.run('PRAGMA max_page_count = 1')
    expect(await service.attempts('a')).toEqual([])
    await service.stop()
    const response = await service.get('/v1/transactions/a/attempts')
    const { code } = (await response.json()) as { code: string }
    expect([response.status, code]).toEqual([503, 'shutting_down'])
  })
})

describe('the path of the attempts', () => {
  test.each([
    ...['a/b', 'a/attempts', '/attempts', 'attempts', 'retry', 'a?b=c#d', '%2F', '%', '%zz'],
    ...['💶👩‍👩‍👧', 'é', 'e\u0301', 'שלום', '...', '__proto__', "'; DROP TABLE attempts; --"],
    'x'.repeat(255),
  ])('carries the id %j', async (id) => {
    await using service = watched()
    await service.accept('another')
    await service.accept(id)
    await service.call()
    await service.call()
    expect(await service.attempts(id)).toMatchObject([{ attempt: 1, outcome: null }])
    const response = await service.get(`${transactionPath(id)}/attempts`)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('content-type')).toStartWith('application/json')
  })

  test('with an unknown id is a 404', async () => {
    await using service = watched()
    await service.accept('known')
    for (const id of ['unknown', 'KNOWN', 'known ', 'known/attempts', 'a/b']) {
      const response = await service.get(`${transactionPath(id)}/attempts`)
      expect([id, response.status]).toEqual([id, 404])
      expect(await response.json()).toMatchObject({ code: 'transaction_not_found' })
    }
  })

  test('with an id that does not decode is a 400', async () => {
    await using service = watched()
    for (const id of ['%', '%zz', '%ff', 'a%C3', '%C3%28', '%ED%A0%80']) {
      const response = await service.get(`/v1/transactions/${id}/attempts`)
      expect([id, response.status]).toEqual([id, 400])
      expect(await response.json()).toMatchObject({ code: 'invalid_path' })
    }
  })

  test('is answered to HEAD without a body', async () => {
    await using service = watched()
    await service.accept('a')
    const request = new Request('http://localhost/v1/transactions/a/attempts', { method: 'HEAD' })
    const response = await service.app.fetch(request)
    expect([response.status, await response.text()]).toEqual([200, ''])
  })
})
