import { describe, expect, test } from 'bun:test'
import { run } from '../support/command-line.ts'

type Recorded = { method: string; path: string; type: string | null; body: unknown }

/** A server that answers each request with this, as the contract says, and records it. */
function recording(status: number, answer: unknown) {
  const requests: Recorded[] = []
  const server = Bun.serve({
    port: 0,
    async fetch(request) {
      const { method, url, headers } = request
      const { pathname: path } = new URL(url)
      requests.push({ method, path, type: headers.get('content-type'), body: await request.json() })
      return Response.json(answer, { status })
    },
  })
  return { requests, url: server.url.origin, [Symbol.asyncDispose]: () => server.stop(true) }
}

describe('handled', () => {
  test('posts the note and prints the transaction', async () => {
    const shown = { transaction_id: 'a/b', handled: { at: '2026-01-01T00:00:00.000Z', note: 'é' } }
    await using server = recording(200, shown)
    const ran = await run(['handled', 'a/b', '--note', 'é', '--url', server.url])
    expect(ran).toEqual({ exitCode: 0, printed: [JSON.stringify(shown, null, 2)], errors: '' })
    expect(server.requests).toEqual([
      {
        method: 'POST',
        path: '/v1/transactions/a%2Fb/handled',
        type: 'application/json',
        body: { note: 'é' },
      },
    ])
  })

  test('is exit 1 with the reason, which names the flag', async () => {
    const detail = 'The body is not valid.'
    const errors = [{ path: 'note', code: 'value', message: 'must have 1 to 500 characters' }]
    await using server = recording(422, { detail, errors })
    const ran = await run(['handled', 'a', '--note', '', '--url', server.url])
    expect([ran.exitCode, ran.printed]).toEqual([1, []])
    expect(ran.errors).toBe(
      `txhook: ${server.url} answers 422: ${detail}\n  --note must have 1 to 500 characters\n`,
    )
  })

  test('is exit 2 without a note', async () => {
    const { exitCode, errors } = await run(['handled', 'a'])
    expect([exitCode, errors]).toEqual([
      2,
      "error: required option '--note <text>' not specified\n",
    ])
  })
})
