import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { CONTRACT_CASES, CONTRACT_FLAGS, checkCase } from '../support/contract-cases.ts'
import { type RunningTxhook, startTxhook, VARIANTS } from '../support/executable.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'
import { SIGNATURE_FLAGS, signatureCases, signedHeaders } from '../support/signature-cases.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

const argsOf = (flags: Record<string, string>) => Object.entries(flags).flat()

describe.each([...VARIANTS])('over the wire, txhook (%s)', (variant) => {
  test('answers every case of the contract as the contract has it', async () => {
    using directory = temporaryDirectory()
    const args = argsOf(CONTRACT_FLAGS)
    await using txhook = await startTxhook({ variant, cwd: directory.path, args })
    for (const it of CONTRACT_CASES) {
      await checkCase(txhook.fetch, it).catch((cause) => {
        throw new Error(it.name, { cause })
      })
    }
    expect((await txhook.end('SIGTERM')).exitCode).toBe(0)
  })

  test('answers every case of the signatures as the contract has it', async () => {
    using directory = temporaryDirectory()
    const args = argsOf(SIGNATURE_FLAGS)
    await using txhook = await startTxhook({ variant, cwd: directory.path, args })
    for (const it of signatureCases(Date.now())) {
      await checkCase(txhook.fetch, it).catch((cause) => {
        throw new Error(it.name, { cause })
      })
    }
  })
})

const OPEN = ['/', '/livez', '/readyz', '/webhook', '/v1/webhooks/transactions']

test.each([...VARIANTS])(
  'over the wire, txhook (%s) wants a key for all but what is open',
  async (variant) => {
    using directory = temporaryDirectory()
    const args = ['--api-keys', 'key-1,key-2']
    await using txhook = await startTxhook({ variant, cwd: directory.path, args })
    const { paths } = (await (await txhook.fetch('/swagger/json')).json()) as {
      paths: Record<string, Record<string, unknown>>
    }
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({ path, method: method.toUpperCase() })),
    )
    expect(operations.length).toBeGreaterThan(10)
    for (const { path, method } of operations) {
      const ask = async (authorization?: string) => {
        const headers = authorization === undefined ? {} : { authorization }
        const { status } = await txhook.fetch(path.replace('{transaction_id}', 'a'), {
          method,
          headers,
        })
        return status
      }
      const statuses = [await ask(), await ask('Bearer key-3'), await ask('Bearer key-2')]
      const refused = statuses.map((status) => status === 401)
      expect([path, refused]).toEqual([
        path,
        OPEN.includes(path) ? [false, false, false] : [true, true, false],
      ])
    }
  },
)

describe('what only a socket can send', () => {
  const body = JSON.stringify(transactionBody())
  const post = (...headers: string[]) =>
    [
      'POST /webhook HTTP/1.1',
      'Host: localhost',
      'Connection: close',
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
      ...headers,
      '',
      body,
    ].join('\r\n')

  test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const)(
    'a doubled %s is a 401, even when both are right',
    async (doubled) => {
      using directory = temporaryDirectory()
      const args = argsOf(SIGNATURE_FLAGS)
      await using txhook = await startTxhook({ cwd: directory.path, args })
      const headers = signedHeaders(body, Date.now())
      const lines = (['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const).map(
        (name) => `${name}: ${headers[name]}`,
      )
      expect(await send(txhook, post(...lines))).toStartWith('HTTP/1.1 202 ')
      const answer = await send(txhook, post(...lines, `${doubled}: ${headers[doubled]}`))
      expect(answer).toStartWith('HTTP/1.1 401 ')
      expect(answer).toContain('"code":"invalid_signature"')
    },
  )

  test('a body that is announced too long is a 413 before any of it is sent', async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ cwd: directory.path })
    const head = post().replace(/Content-Length: \d+/, 'Content-Length: 3000000000')
    const answer = await send(txhook, head.slice(0, -body.length))
    expect(answer).toStartWith('HTTP/1.1 413 ')
    expect(answer).toContain('"code":"body_too_large"')
  })

  test('a body without an end is a 413, and the server goes on', async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ cwd: directory.path })
    const chunk = `4000\r\n${' '.repeat(0x4000)}\r\n`
    const head = post().replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked')
    const answer = await send(txhook, head.slice(0, -body.length) + chunk.repeat(64))
    expect(answer).toStartWith('HTTP/1.1 413 ')
    expect((await txhook.post(transactionBody())).status).toBe(202)
  })

  test('a health check of HTTP/1.0, without a Host, is answered', async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ cwd: directory.path })
    expect(await send(txhook, 'GET /readyz HTTP/1.0\r\n\r\n')).toContain('"status":"READY"')
  })

  test('a Host that is not the loopback reaches nothing but health, however it comes', async () => {
    using directory = temporaryDirectory()
    const args = ['--allow-host', 'hook.example']
    await using txhook = await startTxhook({ cwd: directory.path, args })
    expect((await txhook.post(transactionBody())).status).toBe(202)
    const ask = (line: string, ...headers: string[]) =>
      send(txhook, [line, ...headers, 'Connection: close', '', ''].join('\r\n'))
    const list = 'GET /v1/transactions HTTP/1.1'
    for (const hosts of [
      ['Host: rebound.example'],
      ['Host: localhost', 'Host: rebound.example'],
      ['Host: rebound.example', 'Host: localhost'],
      ['Host: localhost', 'Host: localhost'],
      ['Host: localhost, rebound.example'],
      ['Host: rebound.example@localhost'],
      ['Host: rebound.example/localhost'],
      ['Host: localhost\xff'],
    ]) {
      for (const line of [list, 'GET /nothing HTTP/1.1', 'GET http://localhost/metrics HTTP/1.1']) {
        const answer = await ask(line, ...hosts)
        expect([hosts, answer]).toEqual([hosts, expect.stringMatching(/^HTTP\/1.1 40[03] /)])
        expect(answer).not.toContain('txn_001')
      }
      expect(await ask('GET /readyz HTTP/1.1', ...hosts)).toContain('"READY"')
    }
    for (const host of [
      'hook.example',
      'Hook.Example.:8000',
      'localhost',
      '127.0.0.1:1',
      '[::1]',
    ]) {
      expect(await ask(list, `Host: ${host}`)).toContain('"txn_001"')
    }
    expect(await ask('GET /v1/transactions HTTP/1.0')).toContain('"txn_001"')
  })

  test.each([
    ['a path', `/v1/transactions/${'%zz'}`, '400'],
    ['a path that leads out', '/v1/transactions/../../etc/passwd', '404'],
  ])('%s that makes no sense is a problem', async (_name, path, status) => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ cwd: directory.path })
    const answer = await send(
      txhook,
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    )
    expect(answer).toStartWith(`HTTP/1.1 ${status} `)
    expect(answer).toContain('application/problem+json')
  })
})

/** Sends bytes as they are, and resolves with all that comes back until the server hangs up. */
async function send(txhook: RunningTxhook, bytes: string): Promise<string> {
  const { hostname, port } = new URL(txhook.url)
  const { promise, resolve } = Promise.withResolvers<string>()
  let answer = ''
  const enough = () => {
    const length = /content-length: (\d+)/i.exec(answer)
    const bodyAt = answer.indexOf('\r\n\r\n') + 4
    if (length && bodyAt > 3 && answer.length - bodyAt >= Number(length[1])) resolve(answer)
  }
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_socket, data) {
        answer += data.toString('latin1')
        enough()
      },
      close: () => resolve(answer),
      error: () => resolve(answer),
    },
  })
  socket.write(bytes)
  await promise
  socket.end()
  return answer
}
