import { describe, expect, test } from 'bun:test'
import { runText } from '../support/command-line.ts'

describe('healthcheck', () => {
  test('requests /readyz, and is exit 1 unless the answer is 200', async () => {
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

  test('is exit 1 with the URL where no server listens', async () => {
    const server = Bun.serve({ port: 0, fetch: () => new Response() })
    const { port } = server
    await server.stop(true)
    const { exitCode, errors } = await runText(['healthcheck', '--port', String(port)])
    expect(exitCode).toBe(1)
    expect(errors).toContain(`http://127.0.0.1:${port}/readyz`)
  })

  test('calls the loopback address of a server that listens on every address', async () => {
    using server = Bun.serve({ port: 0, hostname: '0.0.0.0', fetch: () => new Response() })
    const line = ['healthcheck', '--port', String(server.port), '--host', '0.0.0.0']
    expect((await runText(line)).exitCode).toBe(0)
  })
})
