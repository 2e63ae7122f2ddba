import { expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startTxhook } from '../support/executable.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

const strace = Bun.which('strace')
const withStrace = test.skipIf(strace === null && !process.env.CI)

withStrace('an answer goes out in one send, however long it is', async () => {
  using directory = temporaryDirectory()
  const log = join(directory.path, 'calls')
  const calls = 'trace=sendto,sendmsg,sendmmsg,write,writev'
  // `-yy`: sockets by their addresses.
  const under = ['strace', '-D', '-f', '-yy', '-s', '16', '-o', log, '-e', calls]
  await using txhook = await startTxhook({ cwd: directory.path, under })
  const lengths: number[] = []
  for (const length of [10, 3_900, 4_100, 13_000, 16_000, 17_000, 40_000, 60_000]) {
    for (const letter of ['x', 'é', '€']) {
      const note = letter.repeat(length / Buffer.byteLength(letter))
      const transaction_id = `txn_${length}_${letter}`
      const body = transactionBody({ transaction_id, note })
      const path = `/v1/transactions/${encodeURIComponent(transaction_id)}`
      for (const ask of [
        () => txhook.post(body),
        () => txhook.post(body),
        () => txhook.fetch(path),
        () => txhook.fetch('/v1/transactions?limit=1'),
        () => txhook.fetch(`${path}/attempts`),
        () => txhook.fetch('/v1/conflicts'),
      ]) {
        const answer = await ask()
        const { length } = await answer.bytes()
        expect(answer.headers.get('content-length')).toBe(String(length))
        lengths.push(length)
      }
    }
  }
  for (const path of ['/', '/metrics', '/swagger', '/swagger/json', '/nope']) {
    lengths.push((await (await txhook.fetch(path)).bytes()).length)
  }
  // A problem with an entry for each of many unknown members.
  const filter = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`unknown_${i}`, 'x']))
  const headers = { 'content-type': 'application/json' }
  const retry = { method: 'POST', headers, body: JSON.stringify({ filter, dry_run: true }) }
  const refusal = await txhook.fetch('/v1/transactions/retry', retry)
  expect(refusal.status).toBe(422)
  lengths.push((await refusal.bytes()).length)
  expect(lengths.at(-1)).toBeGreaterThan(20_000)
  await txhook.end('SIGTERM')
  const sends = readFileSync(log, 'utf8').match(/(?:send\w*|writev?)\(\d+<TCP.*/g) ?? []
  const firsts = sends.filter((line) => line.includes('"HTTP/1.1 '))
  expect(firsts).toHaveLength(lengths.length)
  expect([...sends]).toEqual(firsts)
})
