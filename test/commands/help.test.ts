import { expect, test } from 'bun:test'
import { runText } from '../support/command-line.ts'

/** The flags that the help of each verb lists, `--help` apart. */
const SERVER = ['--port', '--host', '--api-keys', '--url']
const FILTER = [
  ...['--status', '--currency', '--source-account', '--destination-account', '--from', '--to'],
]
const FLAGS: Record<string, string[]> = {
  healthcheck: ['--port', '--host'],
  get: SERVER,
  attempts: SERVER,
  list: [...SERVER, ...FILTER, '--limit'],
  conflicts: [...SERVER, '--limit', '--transaction-id'],
  retry: [...SERVER, ...FILTER, '--dry-run'],
  handled: [...SERVER, '--note'],
  secret: [],
  send: [
    ...['--port', '--host', '--webhook-secrets', '--transaction-id', '--source-account'],
    ...['--destination-account', '--amount', '--currency'],
  ],
  verify: ['--webhook-secrets'],
  'target-demo': ['--port', '--fail-rate', '--delay-ms'],
  version: [],
  licenses: [],
}

test.each(Object.entries(FLAGS))(
  'the help of %s lists its flags, as a client of a server',
  async (verb, flags) => {
    const { exitCode, printed, errors } = await runText([verb, '--help'])
    expect([exitCode, errors]).toEqual([0, ''])
    const listed = [...printed.matchAll(/^ {2}(?:-h, )?(--[\w-]+)/gm)].map(([, flag]) => flag)
    expect(listed.sort()).toEqual([...flags, '--help'].sort())
    // What only a server does with them.
    const server = ['to listen on', 'must be signed', 'needs one of them']
    if (verb !== 'target-demo') server.push('picks a free one')
    for (const words of server) expect(printed.replace(/\s+/g, ' ')).not.toContain(words)
  },
)

test('these are all verbs but serve', async () => {
  const { printed } = await runText(['--help'])
  const listed = [...printed.matchAll(/^ {2}([a-z][\w-]+) /gm)].map(([, verb]) => verb)
  expect(listed.sort()).toEqual([...Object.keys(FLAGS), 'serve', 'help'].sort())
})

test('the help of serve names the variables of files and the exit codes', async () => {
  const { printed } = await runText(['serve', '--help'])
  for (const name of ['WEBHOOK_SECRETS', 'API_KEYS', 'TARGET_SECRET'])
    expect(printed).toContain(`TXHOOK_${name}_FILE`)
  for (const help of [printed, (await runText(['--help'])).printed]) {
    const codes = [...help.matchAll(/^ {2}(\d) {2}\S/gm)].map(([, code]) => code)
    expect(codes).toEqual(['0', '1', '2', '3', '4'])
  }
  for (const verb of ['list', 'send'])
    expect((await runText([verb, '--help'])).printed).toMatch(
      /TXHOOK_(API_KEYS|WEBHOOK_SECRETS)_FILE/,
    )
})
