import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { linkSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { EXIT } from '../../../../src/exit.ts'
import { openDatabase } from '../../../../src/store/sqlite/database/open-database.ts'
import { openElsewhere, startRacer } from '../../../support/processes.ts'
import { temporaryDirectory } from '../../../support/service.ts'

setDefaultTimeout(60_000)

// The lock on the file itself is Linux's.
const onLinux = test.skipIf(process.platform !== 'linux')

describe('another process is refused with code 3', () => {
  onLinux('although the lock file is deleted', async () => {
    using directory = temporaryDirectory()
    const first = openDatabase(directory.path)
    rmSync(join(directory.path, 'txhook.lock'))
    expect((await openElsewhere(directory.path)).refused).toBe(EXIT.inUse)
    first.client.run('CREATE TABLE still_works (x ANY) STRICT')
    first.close()
    const other = await openElsewhere(directory.path)
    expect(other.refused).toBeUndefined()
    await other.end('cleanly')
  })

  onLinux.each<[string, (from: string, to: string) => void]>([
    ['a symbolic link', (from, to) => symlinkSync(from, to)],
    ['a hard link', (from, to) => linkSync(from, to)],
  ])('in a directory whose database is %s to one in use', async (_, link) => {
    using directory = temporaryDirectory()
    const [one, other] = ['one', 'other'].map((name) => join(directory.path, name)) as [
      string,
      string,
    ]
    const first = openDatabase(one)
    mkdirSync(other)
    link(join(one, 'txhook.db'), join(other, 'txhook.db'))
    expect((await openElsewhere(other)).refused).toBe(EXIT.inUse)
    // It was refused before it made anything.
    expect(readdirSync(other)).toEqual(['txhook.db'])
    first.close()
  })

  onLinux('also after the directory was renamed', async () => {
    using directory = temporaryDirectory()
    const [one, other] = ['one', 'other'].map((name) => join(directory.path, name)) as [
      string,
      string,
    ]
    const first = openDatabase(one)
    renameSync(one, other)
    expect((await openElsewhere(other)).refused).toBe(EXIT.inUse)
    renameSync(other, one)
    first.close()
  })
})

// Slow to take locks: each sees what the others have begun to lock.
const SLOWLY = 'strace -f -o /dev/null -e trace=fcntl --inject=fcntl:delay_exit=3000'.split(' ')

describe('of processes that start at the same instant one has the directory, never none', () => {
  test('as fast as they can', () => race([], 60))

  test.skipIf(Bun.which('strace') === null && !process.env.CI)('slowly', () => race(SLOWLY, 4))
})

async function race(under: readonly string[], rounds: number): Promise<void> {
  using directory = temporaryDirectory()
  const racers = await Promise.all([1, 2, 3].map(() => startRacer(under)))
  const all = (line: string) => Promise.all(racers.map((racer) => racer.send(line)))
  try {
    for (let round = 0; round < rounds; round++) {
      // Each directory is empty in one round, and has a database in the next.
      const path = join(directory.path, `${Math.floor(round / 2)}`)
      const results = (await all(path)).sort()
      expect({ round, results }).toEqual({ round, results: ['open', 'refused 3', 'refused 3'] })
      await all('')
    }
  } finally {
    for (const racer of racers) await racer.end()
  }
}
