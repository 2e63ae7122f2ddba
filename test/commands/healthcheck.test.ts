import { describe, expect, test } from 'bun:test'
import { runText } from '../support/command-line.ts'

describe('the health check', () => {
  test('asks for /readyz, and any answer but 200 is a fault', async () => {
    const paths: string[] = []
    let status = 200
    using server = Bun.serve({
      port: 0,
      fetch(request) {
        paths.push(new URL(request.url).pathname)
        return new Response('', { status })
      },
    })
    const line = ['healthcheck', '--port', String(server.port)]
    expect(await runText(line)).toEqual({ exitCode: 0, printed: '', errors: '' })
    for (status of [503, 500, 404, 204]) {
      const { exitCode, errors } = await runText(line)
      expect(exitCode).toBe(1)
      expect(errors).toContain(String(status))
    }
    expect(new Set(paths)).toEqual(new Set(['/readyz']))
  })

  test('where nobody listens is a fault that names the address', async () => {
    const server = Bun.serve({ port: 0, fetch: () => new Response() })
    const { port } = server
    await server.stop(true)
    const { exitCode, errors } = await runText(['healthcheck', '--port', String(port)])
    expect(exitCode).toBe(1)
    expect(errors).toContain(`http://127.0.0.1:${port}/readyz`)
  })

  test('of a server that listens everywhere asks on the loopback address', async () => {
    using server = Bun.serve({ port: 0, hostname: '0.0.0.0', fetch: () => new Response() })
    const line = ['healthcheck', '--port', String(server.port), '--host', '0.0.0.0']
    expect((await runText(line)).exitCode).toBe(0)
  })
})
