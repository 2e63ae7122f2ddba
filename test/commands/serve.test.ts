import { describe, expect, test } from 'bun:test'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { VERSION } from '../../src/version.ts'
import { runText } from '../support/command-line.ts'
import { temporaryDirectory } from '../support/service.ts'
import { secretOf } from '../support/signature-cases.ts'

describe('serve', () => {
  test('is the default, creates what is missing, answers, and is exit 0 after a signal', async () => {
    using directory = temporaryDirectory()
    const dataDir = join(directory.path, 'new', 'data')
    for (const verb of [[], ['serve']]) {
      let ready: number | undefined
      const line = [...verb, '--port', '0', '--data-dir', dataDir]
      const { exitCode, printed, errors } = await runText(line, {}, async (url) => {
        ready = (await fetch(`${url}/readyz`)).status
      })
      expect([exitCode, ready, errors]).toEqual([0, 200, ''])
      const lines = printed.trimEnd().split('\n')
      const messages = lines.map((text) => (JSON.parse(text) as { message: string }).message)
      expect(messages.at(-4)).toStartWith('listening on http://127.0.0.1:')
      expect(messages.at(-3)).toStartWith('the service is open: ')
      expect(messages.slice(-2)).toEqual(['stopping', 'stopped'])
    }
  })

  test('logs first what runs, where, and what guards it, and no secret', async () => {
    using directory = temporaryDirectory()
    const dataDir = join(directory.path, 'data')
    const guards = ['--webhook-secrets', `${secretOf('a')},${secretOf('b')}`, '--api-keys', 'key-a']
    const target = ['--target-url', 'http://127.0.0.1:9/', '--target-secret', secretOf('c')]
    for (const [more, counts] of [
      [
        [...guards, ...target],
        [2, 1, 1],
      ],
      [[], [0, 0, 0]],
    ] as const) {
      const line = ['--port', '0', '--data-dir', relative(process.cwd(), dataDir), ...more]
      const { printed } = await runText(line, {}, async () => {})
      const first = JSON.parse(printed.split('\n')[0] as string) as Record<string, unknown>
      const { version, data_dir, webhook_secrets, api_keys, target_secrets } = first
      expect([version, data_dir]).toEqual([VERSION, dataDir])
      expect([webhook_secrets, api_keys, target_secrets]).toEqual([...counts])
      for (const hidden of ['a', 'b', 'c'].map((it) => secretOf(it).slice(6, 20)))
        expect(printed).not.toContain(hidden)
      // Without a target a directory that has had one is refused.
      rmSync(dataDir, { recursive: true })
    }
  })

  test.each([[['--host', '0.0.0.0']], [['--host=::']], [['--host', '192.168.1.1', '--port', 'x']]])(
    'refuses a host that other machines reach, and names the remedies: %j',
    async (line) => {
      using directory = temporaryDirectory()
      const dataDir = join(directory.path, 'data')
      const { exitCode, printed, errors } = await runText([...line, '--data-dir', dataDir])
      expect([exitCode, printed, existsSync(dataDir)]).toEqual([2, '', false])
      for (const way of ['--webhook-secrets', '--api-keys', '--host 127.0.0.1']) {
        expect(errors).toContain(way)
      }
      expect(errors).toContain('--allow-insecure')
      expect(errors.includes('--port must be')).toBe(line.includes('x'))
    },
  )

  test.each([
    [
      ['--webhook-secrets', secretOf('a'), '--api-keys', 'key-a'],
      [401, 401],
    ],
    [['--allow-insecure'], [415, 200]],
    [
      ['--allow-insecure', '--api-keys', 'key-a'],
      [415, 401],
    ],
    [
      ['--allow-insecure=true', '--webhook-secrets', secretOf('a')],
      [401, 200],
    ],
  ])(
    'starts on every address with secrets and keys, or with --allow-insecure: %j',
    async (line, statuses) => {
      using directory = temporaryDirectory()
      const address = ['--host', '0.0.0.0', '--port', '0', '--data-dir', directory.path]
      let answers: number[] = []
      const { exitCode, printed, errors } = await runText(
        [...address, ...line],
        {},
        async (url) => {
          const { port } = new URL(url)
          const type = statuses[0] === 401 ? 'application/json' : 'text/plain'
          const headers = { 'content-type': type }
          const init = { method: 'POST', headers, body: '{}' }
          const asked = [fetch(`http://127.0.0.1:${port}/webhook`, init)]
          asked.push(fetch(`http://127.0.0.1:${port}/v1/transactions`))
          answers = (await Promise.all(asked)).map(({ status }) => status)
        },
      )
      expect([exitCode, errors, answers]).toEqual([0, '', statuses])
      // The log names what is open.
      const anyone = (what: string) => printed.includes(`anyone who reaches it can ${what}`)
      expect([anyone('post'), anyone('read')]).toEqual(statuses.map((status) => status !== 401))
      for (const hidden of [secretOf('a').slice(6, 20), 'key-a'])
        expect(printed).not.toContain(hidden)
    },
  )

  test('is exit 1 where the port is taken, and releases the data directory', async () => {
    using directory = temporaryDirectory()
    using server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
    const line = ['--port', String(server.port), '--data-dir', directory.path]
    for (let i = 0; i < 2; i++) {
      const { exitCode, errors } = await runText(line)
      expect(exitCode).toBe(1)
      expect(errors).toStartWith(`txhook: Can't listen on 127.0.0.1:${server.port}: `)
    }
  })

  test('is exit 1 where the data directory is a file', async () => {
    using directory = temporaryDirectory()
    const dataDir = join(directory.path, 'file')
    writeFileSync(dataDir, '')
    const { exitCode, errors } = await runText(['--port', '0', '--data-dir', dataDir])
    expect(exitCode).toBe(1)
    expect(errors).toContain(dataDir)
  })
})
