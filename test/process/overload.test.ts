import { expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { startTxhook } from '../support/executable.ts'
import { temporaryDirectory, transactionBody } from '../support/service.ts'

// A process of its own takes its time on a busy machine.
setDefaultTimeout(60_000)

const MIB = 1024 * 1024
/** Fewer than fetch has under way at once; four times as much as there is room for. */
const POSTED = 240
/** So many bodies fit into 128 MiB. */
const HELD_MAX = 64

// strace makes a sync last. CI has it; elsewhere it may be missing.
const withStrace = test.skipIf(Bun.which('strace') === null && !process.env.CI)

/** The memory that a process has now, in MiB (Linux). */
function residentMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

/** Every sync of a process that runs lasts until this is disposed of. */
async function hangSyncs(pid: number): Promise<AsyncDisposable> {
  const hang = 'inject=fdatasync:delay_enter=60000000'
  const command = ['strace', '-f', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', hang]
  const child = Bun.spawn([...command, '-p', `${pid}`], { stderr: 'pipe' })
  const attached = Promise.withResolvers<void>()
  const read = async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      if (text.includes('attached')) attached.resolve()
    }
  }
  void read()
  await attached.promise
  const dispose = async () => {
    child.kill('SIGKILL')
    await child.exited
  }
  return { [Symbol.asyncDispose]: dispose }
}

withStrace(
  'while a sync hangs, the bodies that wait take bounded memory, and all else is 503',
  async () => {
    using directory = temporaryDirectory()
    await using txhook = await startTxhook({
      cwd: directory.path,
      args: ['--max-body-bytes', `${2 * MIB}`],
    })
    expect((await txhook.post(transactionBody())).status).toBe(202)
    const before = residentMib(txhook.pid)
    const note = 'x'.repeat(2 * MIB - 1024)
    const statuses: number[] = []
    const refused = Promise.withResolvers<void>()
    let answers: Promise<void>[]
    {
      await using _hanging = await hangSyncs(txhook.pid)
      answers = Array.from({ length: POSTED }, async (_, n) => {
        const response = await txhook.post(transactionBody({ transaction_id: `txn_${n}`, note }))
        await response.arrayBuffer()
        statuses.push(response.status)
        if (statuses.length === POSTED - HELD_MAX) refused.resolve()
      })
      await refused.promise
      expect(new Set(statuses)).toEqual(new Set([503]))
      expect((await txhook.fetch('/livez')).status).toBe(200)
      // Beside each body there are its text and what was parsed from it.
      expect(residentMib(txhook.pid) - before).toBeLessThan(6 * 128)
    }
    await Promise.all(answers)
    const accepted = statuses.filter((status) => status === 202).length
    const refusals = statuses.filter((status) => status === 503).length
    expect(accepted + refusals).toBe(POSTED)
    expect(accepted).toBeLessThanOrEqual(HELD_MAX)
    // Of those that come in at once, several may be refused for each other.
    expect(accepted).toBeGreaterThan(HELD_MAX / 4)
    expect((await txhook.post(transactionBody({ transaction_id: 'after', note }))).status).toBe(202)
  },
)
