import { describe, expect, test } from 'bun:test'
import { listeningService, ODD_IDS, run } from '../support/command-line.ts'
import { transactionBody } from '../support/service.ts'

describe('get', () => {
  test('prints the transaction as indented JSON', async () => {
    await using server = listeningService()
    await server.accept('a', 'FAIL')
    await server.workOff()
    const { exitCode, printed, errors } = await server.run('get', 'a')
    expect([exitCode, errors]).toEqual([0, ''])
    expect(printed).toEqual([JSON.stringify(await server.shown('a'), null, 2)])
    expect(printed[0]).toContain('\n  "status": "FAILED",\n')
  })

  test('prints numbers with the digits that were sent', async () => {
    await using server = listeningService()
    const numbers = '"n":9007199254740993,"a":[1.10,{"b":1e2}],"z":-0'
    await server.post(`{${numbers},${JSON.stringify(transactionBody()).slice(1)}`)
    const { printed } = await server.run('get', 'txn_001')
    expect(printed[0]?.replace(/\s/g, '')).toEndWith(`,"extra":{${numbers}}}`)
    expect(printed[0]).toContain('\n    "n": 9007199254740993,\n')
  })

  test('finds every valid id', async () => {
    await using server = listeningService()
    const all = [...ODD_IDS, 'retry', '...', '-x', '--url', '0', 'x'.repeat(255)]
    for (const id of all) await server.accept(id)
    for (const id of all) {
      // Behind -- an id may look like a flag.
      const { exitCode, printed } = await run(['get', '--url', server.url, '--', id])
      expect([id, exitCode]).toEqual([id, 0])
      expect(JSON.parse(printed[0] as string)).toMatchObject({ transaction_id: id })
    }
  })

  test('is exit 1 for an unknown id', async () => {
    await using server = listeningService()
    expect(await server.run('get', 'unknown')).toEqual({
      exitCode: 1,
      printed: [],
      errors: `txhook: ${server.url} answers 404: There is no transaction of this transaction_id.\n`,
    })
    for (const id of ['', '.', '..', '../..']) {
      expect(await server.run('get', id)).toMatchObject({ exitCode: 1, printed: [] })
    }
  })
})
