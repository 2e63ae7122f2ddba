import { describe, expect, test } from 'bun:test'
import { listeningService } from '../support/command-line.ts'
import { transactionPath } from '../support/contract-cases.ts'

describe('attempts', () => {
  test('prints the attempts of a transaction, a line of JSON each', async () => {
    await using server = listeningService()
    await server.accept('a/b', 'RETRY', 'FAIL')
    await server.workOff()
    server.clock.pass(60_000)
    await server.workOff()
    const { exitCode, printed, errors } = await server.run('attempts', 'a/b')
    expect([exitCode, errors]).toEqual([0, ''])
    const answer = await server.get(`${transactionPath('a/b')}/attempts`)
    const { data } = (await answer.json()) as { data: unknown[] }
    expect(data).toMatchObject([{ outcome: 'retry' }, { outcome: 'fail' }])
    expect(printed).toEqual(data.map((row) => JSON.stringify(row)))
    expect(server.requests).toEqual(['GET /v1/transactions/a%2Fb/attempts'])
  })

  test('prints nothing before the first, and is exit 1 for an unknown id', async () => {
    await using server = listeningService()
    await server.accept('a')
    expect(await server.run('attempts', 'a')).toEqual({ exitCode: 0, printed: [], errors: '' })
    expect(await server.run('attempts', 'b')).toMatchObject({ exitCode: 1, printed: [] })
  })
})
