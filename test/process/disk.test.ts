import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { type RunningTxhook, runToEnd, startTxhook, until } from '../support/executable.ts'
import { setFileSizeLimit } from '../support/file-size-limit.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

// strace looks at the system calls, and makes them fail. CI has it; elsewhere it may be missing.
const strace = Bun.which('strace')
const withStrace = test.skipIf(strace === null && !process.env.CI)

const withPrlimit = test.skipIf(Bun.which('prlimit') === null && !process.env.CI)
const withMount = test.skipIf(!canMount())

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

  // A disk that says so at a sync has lost what it took: that is no full disk.
  withStrace.each(['EIO', 'EDQUOT', 'ENOSPC'])(
    'that fails to sync (%s) gets nobody a 202, and the process ends with 1',
    async (errno) => {
      using directory = temporaryDirectory()
      const data = join(directory.path, 'data')
      await using txhook = await startTxhook({ cwd: directory.path })
      for (let n = 0; n < 3; n++) {
        expect((await txhook.post(transactionBody({ transaction_id: `txn_${n}` }))).status).toBe(
          202,
        )
      }
      const log = join(directory.path, 'calls')
      await using _strace = await attach(txhook.pid, log, `--inject=fdatasync:error=${errno}`)
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
      const failed = calls.findIndex((line) => line.includes(errno))
      expect(failed).toBeGreaterThan(-1)
      const after = calls.slice(failed).filter((line) => /pwrite64|unlink|ftruncate/.test(line))
      expect(after.filter((line) => line.includes('txhook.db'))).toEqual([])
      expect(readdirSync(data)).toContain('txhook.db-wal')

      await using again = await startTxhook({ cwd: directory.path })
      for (let n = 0; n < 3; n++) {
        expect((await again.fetch(`/v1/transactions/txn_${n}`)).status).toBe(200)
      }
    },
  )

  withStrace(
    'that failed to sync and then is full starts no txhook that answers from memory',
    async () => {
      using directory = temporaryDirectory()
      const first = await startTxhook({ cwd: directory.path })
      await first.post(transactionBody())
      {
        const log = join(directory.path, 'syncs')
        await using _strace = await attach(first.pid, log, '--inject=fdatasync:error=EIO')
        await first.post(transactionBody({ transaction_id: 'lost' })).catch(() => {})
        expect((await first.ended).exitCode).toBe(1)
      }
      // The next sync succeeds: the system reports a failed one only once.
      const failing = '--inject=pwrite64:error=ENOSPC'
      const under = traced(join(directory.path, 'writes'), '-e', 'trace=pwrite64', failing)
      const second = await runToEnd({ cwd: directory.path, under, args: ['--port', '0'] })
      expect([second.exitCode, second.stderr]).toEqual([1, expect.stringContaining('no room')])
      await using third = await startTxhook({ cwd: directory.path })
      expect((await third.fetch('/v1/transactions/txn_001')).status).toBe(200)
    },
  )

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

  withStrace.each(['ENOSPC', 'EDQUOT', 'EFBIG'])(
    'that is full (%s) is a 503 and never a 202, and the process goes on',
    async (errno) => {
      using directory = temporaryDirectory()
      await using first = await startTxhook({ cwd: directory.path })
      await first.post(transactionBody())
      await first.end('SIGTERM')
      const failing = `--inject=pwrite64:error=${errno}:when=40..79`
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
    },
  )
})

describe('a disk without room', () => {
  const large = (n: number) =>
    transactionBody({ transaction_id: `large_${n}`, note: 'x'.repeat(60_000) })

  /** Posts until the storage refuses one. Returns the number of the one that was refused. */
  async function postUntilFull(txhook: RunningTxhook, from = 0): Promise<number> {
    for (let n = from; ; n++) {
      const response = await txhook.post(large(n))
      if (response.status === 202) continue
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5'])
      expect(await response.json()).toMatchObject({ code: 'storage_full' })
      return n
    }
  }

  async function expectReadsAndReplays(txhook: RunningTxhook, accepted: number): Promise<void> {
    for (const n of [0, accepted - 1]) {
      expect((await txhook.fetch(`/v1/transactions/large_${n}`)).status).toBe(200)
      expect((await txhook.post(large(n))).status).toBe(202)
    }
    expect((await txhook.fetch('/v1/transactions')).status).toBe(200)
    expect((await txhook.fetch('/readyz')).status).toBe(503)
  }

  /** Posts again and again until one is accepted that was refused, and it is ready. */
  async function expectRecovery(txhook: RunningTxhook, refused: number): Promise<void> {
    await until(
      async () => (await txhook.post(large(refused))).status,
      (status) => status === 202,
    )
    await until(
      async () => (await txhook.fetch('/readyz')).status,
      (status) => status === 200,
    )
  }

  withPrlimit('because of a limit on the size of files recovers when that is raised', async () => {
    using directory = temporaryDirectory()
    const under = ['prlimit', '--fsize=2000000:']
    await using txhook = await startTxhook({ cwd: directory.path, under })
    const first = await postUntilFull(txhook)
    expect(first).toBeGreaterThan(10)
    // Only the log had come to the limit: it is copied and starts over, but not again and again.
    await expectRecovery(txhook, first)
    const accepted = await postUntilFull(txhook, first + 1)
    await expectReadsAndReplays(txhook, accepted)
    setFileSizeLimit(txhook.pid, 'unlimited')
    await expectRecovery(txhook, accepted)
    expect((await txhook.end('SIGTERM')).exitCode).toBe(0)
  })

  withMount('goes on: also after a stop, a kill and starts, until there is room', async () => {
    using disk = smallDisk()
    const cwd = disk.path
    let accepted: number
    {
      await using txhook = await startTxhook({ cwd })
      accepted = await postUntilFull(txhook)
      disk.fill()
      await expectReadsAndReplays(txhook, accepted)
      expect((await txhook.end('SIGTERM')).exitCode).toBe(0)
    }
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      disk.fill()
      await using txhook = await startTxhook({ cwd })
      disk.fill()
      expect((await txhook.post(large(accepted))).status).toBe(503)
      await expectReadsAndReplays(txhook, accepted)
      await txhook.end(signal)
    }
    await using txhook = await startTxhook({ cwd })
    disk.empty()
    await expectRecovery(txhook, accepted)
    await expectStored(txhook, accepted)
    expect((await txhook.end('SIGTERM')).exitCode).toBe(0)
  })

  withMount('that stopped in order while there was room starts when it is full', async () => {
    using disk = smallDisk()
    const cwd = disk.path
    {
      await using txhook = await startTxhook({ cwd })
      for (let n = 0; n < 3; n++) expect((await txhook.post(large(n))).status).toBe(202)
      expect((await txhook.end('SIGTERM')).exitCode).toBe(0)
    }
    disk.fill()
    await using txhook = await startTxhook({ cwd })
    expect((await txhook.post(large(3))).status).toBe(503)
    await expectReadsAndReplays(txhook, 3)
    disk.empty()
    await expectRecovery(txhook, 3)
  })

  withMount('at the first start ends it with 1, and says why', async () => {
    using disk = smallDisk()
    mkdirSync(join(disk.path, 'data'))
    disk.fill()
    const { exitCode, stderr } = await runToEnd({ cwd: disk.path, args: ['--port', '0'] })
    expect(exitCode).toBe(1)
    expect(stderr).toContain('there is no room on its disk')
  })

  withStrace('for the index of the log is a full disk too', async () => {
    using directory = temporaryDirectory()
    const data = join(realpathSync(directory.path), 'data')
    // The first eight writes make the index; from 4,063 pages in the log on it needs more.
    const paths = ['-P', join(data, 'txhook.db-shm'), '-P', join(data, 'txhook.probe')]
    const failing = '--inject=pwrite64:error=EDQUOT:when=9..12'
    const log = join(directory.path, 'calls')
    const under = traced(log, '-e', 'trace=pwrite64', ...paths, failing)
    const args = ['--max-body-bytes', '60000000']
    await using txhook = await startTxhook({ cwd: directory.path, under, args })
    expect((await txhook.post(large(0))).status).toBe(202)
    const huge = transactionBody({ transaction_id: 'huge', note: 'x'.repeat(17_000_000) })
    const refused = await txhook.post(huge)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
    await expectReadsAndReplays(txhook, 1)
    await until(
      async () => (await txhook.post(huge)).status,
      (status) => status === 202,
    )
    expect(readFileSync(log, 'utf8')).toMatch(/-shm>.*EDQUOT.*INJECTED/)
    expect((await txhook.end('SIGTERM')).exitCode).toBe(0)
  })

  async function expectStored(txhook: RunningTxhook, accepted: number): Promise<void> {
    for (let n = 0; n < accepted; n++) {
      expect((await txhook.fetch(`/v1/transactions/large_${n}`)).status).toBe(200)
    }
  }
})

describe('a data directory', () => {
  test.each<[string, (data: string) => void]>([
    ['removed', (data) => rmSync(data, { recursive: true })],
    [
      'replaced by an empty one',
      (data) => {
        renameSync(data, `${data}.old`)
        mkdirSync(data)
      },
    ],
  ])('that is %s ends the process with 1, and nothing is made there', async (_, change) => {
    using directory = temporaryDirectory()
    const data = join(directory.path, 'data')
    await using txhook = await startTxhook({ cwd: directory.path })
    expect((await txhook.post(transactionBody())).status).toBe(202)
    change(data)
    const began = performance.now()
    // The same one again and again: a replay is an answer of the storage as well.
    const status = await until(
      () =>
        txhook.post(transactionBody()).then(
          ({ status }) => status,
          () => 0,
        ),
      (status) => status !== 202,
    )
    expect(performance.now() - began).toBeLessThan(1_000)
    expect([503, 0]).toContain(status)
    const { exitCode, stdout } = await txhook.ended
    expect(exitCode).toBe(1)
    expect(stdout).toContain('was removed or replaced')
    expect(existsSync(data) ? readdirSync(data) : []).toEqual([])
  })

  test('that is removed while nothing comes in makes a stop exit 1', async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({ cwd: directory.path })
    rmSync(join(directory.path, 'data'), { recursive: true })
    expect((await txhook.end('SIGTERM')).exitCode).toBe(1)
    expect(existsSync(join(directory.path, 'data'))).toBe(false)
  })
})

/** A file system of 4 MB, of which 2 can be made free; it is gone at the end. */
function smallDisk(): Disposable & { path: string; fill(): void; empty(): void } {
  const directory = temporaryDirectory()
  const { path } = directory
  const mount = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', path])
  if (mount.exitCode !== 0) throw new Error(mount.stderr.toString())
  const rest = join(path, 'rest')
  writeFileSync(rest, Buffer.alloc(2 ** 21))
  return {
    path,
    fill() {
      const file = openSync(rest, 'a')
      try {
        // The last bytes one page after the other.
        for (;;) writeSync(file, Buffer.alloc(4096))
      } catch (error) {
        expect((error as { code?: string }).code).toBe('ENOSPC')
      } finally {
        closeSync(file)
      }
    },
    empty: () => rmSync(rest),
    [Symbol.dispose]() {
      Bun.spawnSync(['umount', '-l', path])
      directory[Symbol.dispose]()
    },
  }
}

/** Whether this user may mount file systems, as root may on most machines. */
function canMount(): boolean {
  try {
    smallDisk()[Symbol.dispose]()
    return true
  } catch {
    return false
  }
}

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
