import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startTxhook } from '../support/executable.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

// strace looks at the system calls, and makes them fail. CI has it; elsewhere it may be missing.
const strace = Bun.which('strace')
const withStrace = test.skipIf(strace === null && !process.env.CI)

/** `-D`: txhook itself is the child, and gets the signals. `-y`: files by their names. */
const traced = (log: string, ...options: string[]) =>
  ['strace', '-D', '-f', '-y', '-s', '8192', '-o', log, ...options] as const

describe('the disk', () => {
  withStrace('has the transaction, synced, before the first byte of the 202 is sent', async () => {
    using directory = temporaryDirectory()
    const log = join(directory.path, 'calls')
    const under = traced(log, '-e', 'trace=pwrite64,fdatasync,sendto')
    await using txhook = await startTxhook({ cwd: directory.path, under })
    for (let n = 0; n < 20; n++) {
      expect((await txhook.post(transactionBody({ transaction_id: `txn_${n}` }))).status).toBe(202)
    }
    await txhook.end('SIGTERM')

    // A sync covers what was written before it began; it is logged in two halves where another
    // thread's call comes in between.
    const written = new Set<string>()
    const synced = new Set<string>()
    let covered: string[] = []
    const answered: string[] = []
    for (const line of readFileSync(log, 'utf8').split('\n')) {
      const names = line.match(/txn_\d+/g) ?? []
      if (/pwrite64\(\d+<[^>]*-wal>/.test(line)) for (const name of names) written.add(name)
      if (/fdatasync\(\d+<[^>]*-wal>/.test(line)) covered = [...written]
      if (/fdatasync.* = 0$/.test(line)) for (const name of covered) synced.add(name)
      const name = names[0]
      if (!/sendto\(.*"HTTP\/1\.1 202/.test(line) || name === undefined) continue
      expect({ name, synced: synced.has(name) }).toEqual({ name, synced: true })
      answered.push(name)
    }
    expect(answered).toEqual(Array.from({ length: 20 }, (_, n) => `txn_${n}`))
  })

  withStrace('that fails to sync gets nobody a 202, and the process ends with 1', async () => {
    using directory = temporaryDirectory()
    const data = join(directory.path, 'data')
    await using txhook = await startTxhook({ cwd: directory.path })
    for (let n = 0; n < 3; n++) {
      expect((await txhook.post(transactionBody({ transaction_id: `txn_${n}` }))).status).toBe(202)
    }
    const log = join(directory.path, 'calls')
    await using _strace = await attach(txhook.pid, log, '--inject=fdatasync:error=EIO')
    const statuses = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        txhook
          .post(transactionBody({ transaction_id: `lost_${n}` }))
          .then(({ status }) => status)
          .catch(() => 0),
      ),
    )
    expect(statuses).not.toContain(202)
    const { exitCode, stdout } = await txhook.ended
    expect(exitCode).toBe(1)
    expect(stdout).toContain('the storage failed')

    // The end itself touched nothing: the log stays for the next start to judge by its checksums.
    const calls = readFileSync(log, 'utf8').split('\n')
    const failed = calls.findIndex((line) => line.includes('EIO'))
    expect(failed).toBeGreaterThan(-1)
    const after = calls.slice(failed).filter((line) => /pwrite64|unlink|ftruncate/.test(line))
    expect(after.filter((line) => line.includes('txhook.db'))).toEqual([])
    expect(readdirSync(data)).toContain('txhook.db-wal')

    await using again = await startTxhook({ cwd: directory.path })
    for (let n = 0; n < 3; n++) {
      expect((await again.fetch(`/v1/transactions/txn_${n}`)).status).toBe(200)
    }
  })

  withStrace('that fails to write the log ends the process with 1 as well', async () => {
    using directory = temporaryDirectory()
    const first = await startTxhook({ cwd: directory.path })
    await first.post(transactionBody())
    await first.end('SIGTERM')
    const failing = '--inject=pwrite64:error=EIO:when=40+'
    const under = traced(join(directory.path, 'calls'), '-e', 'trace=pwrite64', failing)
    await using txhook = await startTxhook({ cwd: directory.path, under })
    const statuses: number[] = []
    for (let n = 0; n < 50 && (statuses.at(-1) ?? 202) === 202; n++) {
      const posted = txhook.post(transactionBody({ transaction_id: `txn_${n}` }))
      statuses.push(await posted.then(({ status }) => status).catch(() => 0))
    }
    expect((await txhook.ended).exitCode).toBe(1)
    await using again = await startTxhook({ cwd: directory.path })
    for (const [n, status] of statuses.entries()) {
      if (status !== 202) continue
      expect((await again.fetch(`/v1/transactions/txn_${n}`)).status).toBe(200)
    }
  })

  withStrace('that is full is a 503 and never a 202, and the process goes on', async () => {
    using directory = temporaryDirectory()
    await using first = await startTxhook({ cwd: directory.path })
    await first.post(transactionBody())
    await first.end('SIGTERM')
    const failing = '--inject=pwrite64:error=ENOSPC:when=40..79'
    const under = traced(join(directory.path, 'calls'), '-e', 'trace=pwrite64', failing)
    await using txhook = await startTxhook({ cwd: directory.path, under })
    const answers: { n: number; status: number; code: string | undefined }[] = []
    for (let n = 0; n < 100; n++) {
      const response = await txhook.post(transactionBody({ transaction_id: `full_${n}` }))
      const { code } = (await response.json()) as { code?: string }
      answers.push({ n, status: response.status, code })
      if (response.status === 503) expect(response.headers.get('retry-after')).toBe('5')
      // What is known needs no room.
      expect((await txhook.post(transactionBody())).status).toBe(202)
    }
    const refused = answers.filter(({ status }) => status === 503)
    expect(refused.length).toBeGreaterThan(0)
    expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['storage_full']))
    expect(answers.at(-1)?.status).toBe(202)
    for (const { n, status } of answers) {
      const found = (await txhook.fetch(`/v1/transactions/full_${n}`)).status
      expect({ n, found }).toEqual({ n, found: status === 202 ? 200 : 404 })
    }
    expect((await txhook.end('SIGTERM')).exitCode).toBe(0)
  })
})

/** Attaches strace to a process that runs, and resolves when it watches all of its threads. */
async function attach(pid: number, log: string, inject: string): Promise<AsyncDisposable> {
  const calls = 'trace=fdatasync,pwrite64,unlink,ftruncate'
  const command = ['strace', '-f', '-y', '-s', '16', '-o', log, '-e', calls, inject, '-p', `${pid}`]
  const child = Bun.spawn(command, { stderr: 'pipe' })
  const attached = Promise.withResolvers<void>()
  const read = async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      if (text.includes('attached')) attached.resolve()
    }
  }
  void read()
  await attached.promise
  const dispose = async () => {
    child.kill()
    await child.exited
  }
  return { [Symbol.asyncDispose]: dispose }
}
