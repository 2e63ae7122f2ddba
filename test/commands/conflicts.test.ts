import { describe, expect, test } from 'bun:test'
import { listeningService } from '../support/command-line.ts'
import { transactionBody } from '../support/service.ts'

describe('conflicts', () => {
  test('prints the newest first, a line of JSON each, also those of one transaction', async () => {
    await using server = listeningService()
    for (const transaction_id of ['a', 'b']) {
      await server.accept(transaction_id)
      for (const amount of [1, 2]) {
        const { status } = await server.post(transactionBody({ transaction_id, amount }))
        expect(status).toBe(409)
      }
    }
    const { data } = (await (await server.get('/v1/conflicts')).json()) as { data: unknown[] }
    expect(data).toHaveLength(4)
    expect(await server.run('conflicts')).toEqual({
      exitCode: 0,
      printed: data.map((row) => JSON.stringify(row)),
      errors: '',
    })
    const ofA = await server.run('conflicts', '--transaction-id', 'a', '--limit', '1')
    expect([ofA.exitCode, ofA.printed]).toEqual([0, [JSON.stringify(data[2])]])
    expect(ofA.errors).toBe('txhook: there are more conflicts: set a higher --limit\n')
    expect(server.requests.at(-1)).toBe('GET /v1/conflicts?transaction_id=a&limit=1')
  })

  test('names the flag that the server refuses', async () => {
    await using server = listeningService()
    const { exitCode, errors } = await server.run('conflicts', '--transaction-id', '')
    expect([exitCode, errors.split('\n')[1]]).toEqual([
      1,
      '  --transaction-id must have 1 to 255 characters',
    ])
  })
})
