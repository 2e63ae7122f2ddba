import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '../../../src/store/sqlite/open-store.ts'
import { manualClock } from '../../support/clock.ts'
import { recordingLog } from '../../support/log.ts'
import { recordingMetrics } from '../../support/metrics.ts'
import { startRacer } from '../../support/processes.ts'
import { temporaryDirectory } from '../../support/service.ts'
import { sentTransaction } from '../../support/store.ts'

function open(dataDir: string, processing: 'calls' | 'waits') {
  const clock = manualClock()
  const common = { clock, log: recordingLog(), metrics: recordingMetrics() }
  return openStore({ dataDir, maxBacklog: 10, processing, onFatal() {}, ...common })
}

/** The files of a directory that this process has open. */
function openFiles(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = readlinkSync(join('/proc/self/fd', descriptor))
      return path.startsWith(directory) ? [path] : []
    } catch {
      // The one that reads this list.
      return []
    }
  })
}

function run(...statements: string[]): (dataDir: string) => void {
  return (dataDir) => {
    using database = new Database(join(dataDir, 'txhook.db'))
    for (const statement of statements) database.run(statement)
  }
}

const renamed = (table: string) => run(`ALTER TABLE ${table} RENAME TO hidden`)

test.skipIf(process.platform !== 'linux').each<[string, (dataDir: string) => void]>([
  [
    'the lock file is a directory',
    (dataDir) => {
      rmSync(join(dataDir, 'txhook.lock'))
      mkdirSync(join(dataDir, 'txhook.lock'))
    },
  ],
  ['the file is no database', (dataDir) => writeFileSync(join(dataDir, 'txhook.db'), 'a diary')],
  ['the database is another program’s', run('PRAGMA application_id = 7')],
  [
    'the log is a directory',
    (dataDir) => {
      rmSync(join(dataDir, 'txhook.db-wal'))
      mkdirSync(join(dataDir, 'txhook.db-wal'))
    },
  ],
  ['a migration fails', run('PRAGMA user_version = 1')],
  ['the first counts fail', renamed('jobs')],
  ['the record of the target fails', renamed('deployment')],
  ['a statement cannot be prepared', renamed('conflicts')],
  ['transactions wait for a target', () => {}],
])('where %s, the start fails with nothing left open', async (_, damage) => {
  using directory = temporaryDirectory()
  const store = open(directory.path, 'calls')
  await store.accept(sentTransaction())
  expect(openFiles(directory.path)).not.toEqual([])
  await store.close()
  damage(directory.path)

  expect(() => open(directory.path, 'waits')).toThrow()
  expect(openFiles(directory.path)).toEqual([])
  // And another process is not told that the directory is in use.
  const other = await startRacer([])
  expect(await other.send(directory.path)).not.toBe('refused 3')
  await other.end()
})
