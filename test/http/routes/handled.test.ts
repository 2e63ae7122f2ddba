import { describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { type ScriptedService, scriptedService } from '../../support/scripted-service.ts'
import type { TestServiceOptions } from '../../support/service.ts'
import { rowsOf } from '../../support/store.ts'

const KEY = 'key-8d7fca12b1-one'
const FINGERPRINT = createHash('sha256').update(KEY).digest('hex').slice(0, 8)

function ask(
  { app }: ScriptedService,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  return app.fetch(
    new Request(`http://localhost/v1/transactions/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      ...(text !== undefined && { body: text }),
    }),
  )
}

/** A service with one FAILED transaction, `a`. */
async function withFailed(options: TestServiceOptions = {}): Promise<ScriptedService> {
  const service = scriptedService(options)
  await service.accept('a', 'FAIL')
  await service.workOff()
  return service
}

describe('a FAILED transaction that is noted as handled', () => {
  test('is shown with the note, in GET and in the list, until it is retried', async () => {
    await using service = await withFailed()
    const before = await service.shown('a')
    expect(before).toMatchObject({ status: 'FAILED', handled: null, next_attempt_at: null })
    service.clock.pass(1_000)
    const response = await ask(service, 'a/handled', { note: 'paid by phone' })
    expect(response.status).toBe(200)
    const handled = { at: '2026-01-01T00:00:01.000Z', note: 'paid by phone' }
    const body = (await response.json()) as Record<string, unknown>
    expect(body).toEqual({ ...before, handled })
    expect(Object.keys(body).slice(5)).toEqual([
      'status',
      'attempts',
      'created_at',
      'processing_started_at',
      'processed_at',
      'next_attempt_at',
      'handled',
      'error',
      'extra',
    ])
    expect(await service.shown('a')).toEqual(body)
    const list = await (await service.get('/v1/transactions?status=FAILED')).json()
    expect(list).toMatchObject({ data: [body] })

    expect(await (await ask(service, 'a/retry')).json()).toMatchObject({ handled: null })
    expect(await service.shown('a')).toMatchObject({ status: 'PENDING', handled: null })
  })

  test('is refused a note that is not one, with every fault', async () => {
    await using service = await withFailed()
    const faults = async (body: unknown) => {
      const response = await ask(service, 'a/handled', body)
      const problem = (await response.json()) as { code: string; errors?: { path: string }[] }
      return [response.status, problem.code, ...(problem.errors ?? []).map(({ path }) => path)]
    }
    const invalid = (...paths: string[]) => [422, 'invalid_parameters', ...paths]
    expect(await faults({})).toEqual(invalid('note'))
    expect(await faults({ note: '' })).toEqual(invalid('note'))
    expect(await faults({ note: 'x'.repeat(501) })).toEqual(invalid('note'))
    expect(await faults({ note: 5, by: 'me' })).toEqual(invalid('note', 'by'))
    expect(await faults([])).toEqual(invalid(''))
    expect(await faults('{')).toEqual([400, 'invalid_json'])
    expect(await faults(undefined)).toEqual([400, 'invalid_json'])
    const typed = { 'content-type': 'text/plain' }
    expect((await ask(service, 'a/handled', { note: 'x' }, typed)).status).toBe(415)
    expect(await service.shown('a')).toMatchObject({ handled: null })
    for (const note of ['x', 'é'.repeat(500)]) {
      expect(await (await ask(service, 'a/handled', { note })).json()).toMatchObject({
        handled: { note },
      })
    }
  })

  test('is the only one that can be: any other is 409, an unknown one 404', async () => {
    await using service = scriptedService()
    expect((await ask(service, 'a/handled', { note: 'x' })).status).toBe(404)
    await service.accept('a', 'OK')
    for (const status of ['PENDING', 'PROCESSED']) {
      expect(await service.shown('a')).toMatchObject({ status })
      const response = await ask(service, 'a/handled', { note: 'x' })
      expect(response.status).toBe(409)
      expect(await response.json()).toMatchObject({
        code: 'transaction_not_failed',
        errors: [{ path: 'status', code: 'not_failed', message: `is ${status}` }],
      })
      await service.workOff()
    }
  })
})

describe('what people do is logged and kept', () => {
  const kept = ({ dataDir }: ScriptedService) =>
    rowsOf(dataDir, 'SELECT by, action, target, count FROM actions')

  test('with a fingerprint of the key, which does not give it away', async () => {
    await using service = await withFailed({ flags: { '--api-keys': `other,${KEY}` } })
    const key = { authorization: `Bearer ${KEY}` }
    expect((await ask(service, 'a/handled', { note: 'x' }, key)).status).toBe(200)
    expect((await ask(service, 'a/retry', undefined, key)).status).toBe(202)
    const one = { by: FINGERPRINT, target: '{"transaction_id":"a"}', count: 1 }
    expect(kept(service)).toEqual([
      { ...one, action: 'handled' },
      { ...one, action: 'retry' },
    ])
    const fields = { by: FINGERPRINT, transaction_id: 'a' }
    expect(service.log.entries.slice(-2)).toEqual([
      { level: 'info', message: 'a FAILED transaction is handled', fields },
      { level: 'info', message: 'a FAILED transaction is retried', fields },
    ])
    expect(JSON.stringify([service.log.entries, kept(service)])).not.toContain(KEY)
  })

  test('with the filter and the number of a bulk retry; a dry run is not', async () => {
    await using service = await withFailed()
    const filter = { currency: 'USD', created_from: '2026-01-01T00:00:00.000Z' }
    const entries = service.log.entries.length
    await ask(service, 'retry', { filter, dry_run: true })
    expect(service.log.entries).toHaveLength(entries)
    await ask(service, 'retry', { filter, dry_run: false })
    // Without keys the header says nothing of who it was.
    await ask(service, 'retry', { filter, dry_run: false }, { authorization: `Bearer ${KEY}` })
    const created_from = Date.UTC(2026, 0, 1)
    const target = JSON.stringify({ currency: 'USD', created_from })
    expect(kept(service)).toEqual([{ by: 'anonymous', action: 'retry', target, count: 1 }])
    expect(service.log.entries.slice(entries)).toEqual([
      {
        level: 'info',
        message: 'FAILED transactions are retried',
        fields: { by: 'anonymous', filter, retried: 1 },
      },
    ])
  })
})
