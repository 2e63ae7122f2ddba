import { describe, expect, test } from 'bun:test'
import { listeningService, ODD_IDS, run } from '../support/command-line.ts'
import { transactionBody } from '../support/service.ts'

describe('retry', () => {
  test('retries one transaction and prints it', async () => {
    await using server = listeningService()
    await server.accept('a', 'FAIL', 'OK')
    await server.accept('b', 'FAIL', 'OK')
    await server.workOff()
    const { exitCode, printed, errors } = await server.run('retry', 'a')
    expect([exitCode, errors]).toEqual([0, ''])
    const pending = await server.shown('a')
    expect(pending).toMatchObject({ status: 'PENDING', attempts: 1 })
    expect(printed).toEqual([JSON.stringify(pending, null, 2)])
    await server.workOff()
    expect(await server.shown('a')).toMatchObject({ status: 'PROCESSED', attempts: 2 })
    expect(await server.shown('b')).toMatchObject({ status: 'FAILED', attempts: 1 })
  })

  test('retries any valid id and no other transaction', async () => {
    await using server = listeningService()
    const all = [...ODD_IDS, 'retry', '...', '-x', '--dry-run']
    for (const id of all) await server.accept(id, 'FAIL')
    await server.workOff()
    for (const [i, id] of all.entries()) {
      const { exitCode, printed } = await run(['retry', '--url', server.url, '--', id])
      expect([id, exitCode]).toEqual([id, 0])
      expect(JSON.parse(printed[0] as string)).toMatchObject({ transaction_id: id })
      expect((await server.store.readings()).transactions.PENDING).toBe(i + 1)
    }
  })

  test('is exit 1 for a transaction that is not FAILED or does not exist', async () => {
    await using server = listeningService()
    await server.accept('a')
    expect(await server.run('retry', 'a')).toEqual({
      exitCode: 1,
      printed: [],
      errors:
        `txhook: ${server.url} answers 409: Only a FAILED transaction can be tried again.\n` +
        '  status is PENDING\n',
    })
    expect(await server.run('retry', 'unknown')).toEqual({
      exitCode: 1,
      printed: [],
      errors: `txhook: ${server.url} answers 404: There is no transaction of this transaction_id.\n`,
    })
  })

  test('retries nothing for an id that no transaction can have', async () => {
    await using server = listeningService()
    await server.accept('a', 'FAIL')
    await server.workOff()
    for (const id of ['', '.', '..']) {
      expect(await server.run('retry', id)).toMatchObject({ exitCode: 1, printed: [] })
    }
    expect(await server.shown('a')).toMatchObject({ status: 'FAILED' })
  })

  test('retries all that a filter selects and prints the counts', async () => {
    await using server = listeningService()
    for (const [id, currency] of [
      ['a', 'USD'],
      ['b', 'EUR'],
      ['c', 'EUR'],
    ] as const) {
      await server.post(transactionBody({ transaction_id: id, currency, script: ['FAIL'] }))
      server.clock.pass(1_000)
    }
    await server.workOff()
    await server.accept('d')
    const counts = async (...words: string[]) => {
      const { exitCode, printed, errors } = await server.run('retry', ...words)
      expect([exitCode, errors]).toEqual([0, ''])
      return printed
    }
    const failed = ['--status', 'FAILED']
    expect(await counts(...failed, '--dry-run')).toEqual(['{"matched":3,"retried":0}'])
    expect((await server.store.readings()).transactions).toMatchObject({ PENDING: 1, FAILED: 3 })
    const euros = ['--currency', 'EUR', '--from', '2026-01-01T01:00:02+01:00']
    expect(await counts('--dry-run', ...euros)).toEqual(['{"matched":1,"retried":0}'])
    expect(await counts(...euros)).toEqual(['{"matched":1,"retried":1}'])
    expect(await server.shown('c')).toMatchObject({ status: 'PENDING', attempts: 1 })
    expect(await counts('--to', '2026-01-01T00:00:01Z')).toEqual(['{"matched":1,"retried":1}'])
    expect(await server.shown('a')).toMatchObject({ status: 'PENDING' })
    expect(await counts('--source-account', 'unknown')).toEqual(['{"matched":0,"retried":0}'])
    expect(await counts('--destination-account', 'B456')).toEqual(['{"matched":1,"retried":1}'])
    expect(await counts(...failed)).toEqual(['{"matched":0,"retried":0}'])
  })

  test('is exit 1 with the reason for a filter that excludes FAILED', async () => {
    await using server = listeningService()
    const { exitCode, printed, errors } = await server.run('retry', '--status', 'PROCESSED')
    expect([exitCode, printed]).toEqual([1, []])
    expect(errors).toStartWith(`txhook: ${server.url} answers 422: `)
    expect(errors).toContain('\n  --status must be FAILED')
  })
})
