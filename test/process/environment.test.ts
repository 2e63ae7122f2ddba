import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd, startTxhook } from '../support/executable.ts'
import { temporaryDirectory } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

describe.each(['source', 'compiled'] as const)('the environment of txhook (%s)', (variant) => {
  test('must have no variable by which Bun opens a debugger or changes the program', async () => {
    using directory = temporaryDirectory()
    const cwd = directory.path
    const preload = join(cwd, 'preload.js')
    writeFileSync(preload, '')
    const environment = {
      BUN_INSPECT: 'ws://127.0.0.1:0/x',
      BUN_INSPECT_CONNECT_TO: join(cwd, 'no-socket'),
      BUN_INSPECT_NOTIFY: `unix://${join(cwd, 'no-socket')}`,
      BUN_INSPECT_PRELOAD: preload,
      BUN_OPTIONS: `--preload ${preload}`,
      BUN_JSC_useDollarVM: '1',
      BUN_CONFIG_VERBOSE_FETCH: 'curl',
    }
    for (const [name, value] of Object.entries(environment)) {
      for (const verb of name === 'BUN_INSPECT' ? ['serve', 'list', 'healthcheck'] : ['serve']) {
        const args = [verb, '--port', '0']
        const ended = await runToEnd({ variant, cwd, args, environment: { [name]: value } })
        expect([name, verb, ended]).toEqual([
          name,
          verb,
          {
            exitCode: 2,
            stdout: '',
            stderr: `txhook: can't start:\n  ${name} changes the program: unset it\n`,
          },
        ])
      }
    }
    expect(existsSync(join(cwd, 'data'))).toBeFalse()
  })

  test('may have the variables of a Kubernetes Service, which are ignored and logged once', async () => {
    using directory = temporaryDirectory()
    const environment = {
      TXHOOK_PORT: 'tcp://10.0.0.1:8000',
      TXHOOK_SERVICE_HOST: '10.0.0.1',
      TXHOOK_PORT_8080_TCP_ADDR: '10.0.0.1',
    }
    await using txhook = await startTxhook({ variant, cwd: directory.path, environment })
    const { stdout } = await txhook.end('SIGTERM')
    const lines = stdout.split('\n').filter((line) => line.includes('TXHOOK_'))
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: 'INFO', variables: expect.arrayContaining(Object.keys(environment)) },
    ])
  })

  test('gives values without a line end at their ends', async () => {
    using directory = temporaryDirectory()
    const environment = { TXHOOK_DATA_DIR: './data\n', TXHOOK_LOG_LEVEL: 'info\r\n' }
    await using txhook = await startTxhook({ variant, cwd: directory.path, environment })
    await txhook.end('SIGTERM')
    expect(existsSync(join(directory.path, 'data', 'txhook.db'))).toBeTrue()
  })
})
