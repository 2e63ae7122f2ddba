import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { parseSecret } from '../../src/domain/standard-webhooks.ts'
import { recordingService, runText } from '../support/command-line.ts'
import { runToEnd } from '../support/executable.ts'
import { temporaryDirectory, testService, transactionBody } from '../support/service.ts'
import { secretOf } from '../support/signature-cases.ts'

// A process of its own takes time on a busy machine.
setDefaultTimeout(60_000)

describe('secret', () => {
  test('prints a new secret of 32 bytes each time', async () => {
    const seen = new Set<string>()
    for (let i = 0; i < 20; i++) {
      const { exitCode, printed, errors } = await runText(['secret'])
      expect([exitCode, errors]).toEqual([0, ''])
      expect(printed).toMatch(/^whsec_[A-Za-z0-9+/]{43}=\n$/)
      expect(parseSecret(printed.trimEnd())).toHaveLength(32)
      seen.add(printed)
    }
    expect(seen.size).toBe(20)
  })

  test('prints a secret that both clients and txhook accept', async () => {
    const secret = (await runText(['secret'])).printed.trimEnd()
    await using service = testService({ flags: { '--webhook-secrets': secret } })
    const now = new Date(service.clock.now().wall)
    const timestamp = String(now.getTime() / 1000)
    for (const Webhook of [StandardWebhook, SvixWebhook]) {
      const body = JSON.stringify(transactionBody())
      const headers = {
        'webhook-id': 'msg_1',
        'webhook-timestamp': timestamp,
        'webhook-signature': new Webhook(secret).sign('msg_1', now, body),
      }
      expect((await service.post(body, headers)).status).toBe(202)
    }
  })
})

describe('secret, send and verify as processes', () => {
  test('verify what was signed with a new secret', async () => {
    using directory = temporaryDirectory()
    const path = (name: string) => join(directory.path, name)
    const txhook = (args: string[], environment: Record<string, string> = {}) =>
      runToEnd({ variant: 'source', cwd: directory.path, args, environment })
    const made = await txhook(['secret'])
    expect([made.exitCode, made.stderr]).toEqual([0, ''])
    expect(made.stdout).toMatch(/^whsec_[A-Za-z0-9+/]{43}=\n$/)
    const secret = made.stdout.trimEnd()

    await using server = await recordingService({ '--webhook-secrets': secret })
    const environment = { TXHOOK_WEBHOOK_SECRETS: secret }
    const sent = await txhook(['send', server.url, '--transaction-id', 'own'], environment)
    expect([sent.exitCode, sent.stderr]).toEqual([0, ''])
    expect(JSON.parse(sent.stdout)).toMatchObject({ transaction_id: 'own', status: 'PENDING' })

    const [request] = server.requests as [Request]
    const lines = [...request.headers].map(([name, value]) => `${name}: ${value}`)
    writeFileSync(path('headers'), lines.join('\r\n'))
    writeFileSync(path('body'), await request.text())
    const verified = await txhook(['verify', 'headers', 'body'], environment)
    expect([verified.exitCode, verified.stdout]).toEqual([
      0,
      'Accepted: signed by secret 1 of 1.\n',
    ])
    writeFileSync(path('body'), `${readFileSync(path('body'), 'utf8')} `)
    const tampered = await txhook(['verify', 'headers', 'body'], environment)
    expect([tampered.exitCode, tampered.stdout]).toEqual([1, ''])
    expect(tampered.stderr).toStartWith('Refused: No signature')
    expect(tampered.stderr).toEndWith('\n')
  })

  test('print the answer to an unsigned webhook', async () => {
    await using server = await recordingService({ '--webhook-secrets': secretOf('a') })
    using directory = temporaryDirectory()
    const args = ['send', server.url]
    const sent = await runToEnd({ variant: 'source', cwd: directory.path, args })
    expect(sent.exitCode).toBe(1)
    expect(JSON.parse(sent.stdout)).toMatchObject({ code: 'invalid_signature' })
    expect(sent.stderr).toContain('answers 401')
  })
})
