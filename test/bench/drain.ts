/**
 * Drains a backlog of due jobs, by the scheduler or by a bare loop of the same statements, and
 * prints jobs a second. Usage: drain.ts scheduler|bare DATA_DIR
 */

import { systemClock } from '../../src/clock.ts'
import { readConfig } from '../../src/config/read-config.ts'
import { openService } from '../../src/service.ts'
import { loadCounts } from '../../src/store/sqlite/counts.ts'
import { openDatabase } from '../../src/store/sqlite/database/open-database.ts'
import { createTransitions } from '../../src/store/sqlite/transitions.ts'
import { createWork } from '../../src/store/sqlite/work.ts'

const BATCH = 500
const [mode, dataDir = ''] = process.argv.slice(2)
const perS = mode === 'scheduler' ? await byScheduler() : await byBareLoop()
process.stdout.write(JSON.stringify(perS))
process.exit(0)

async function byScheduler(): Promise<number> {
  const config = readConfig({ '--data-dir': dataDir, '--processing-delay-ms': '0' }, {})
  if (Array.isArray(config)) throw new Error(config.join('\n'))
  const quiet = () => {}
  const { store, scheduler } = openService(config, {
    clock: systemClock(),
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    random: Math.random,
    onFatal(error) {
      throw error
    },
  })
  const jobs = (await store.readings()).transactions.PENDING
  const began = performance.now()
  while ((await scheduler.runOnce()) === 0);
  return (jobs * 1000) / (performance.now() - began)
}

async function byBareLoop(): Promise<number> {
  const database = openDatabase(dataDir)
  const { counts } = loadCounts(database)
  const jobs = counts.PENDING
  async function write<T>(run: () => T): Promise<T> {
    database.client.run('BEGIN IMMEDIATE')
    const value = run()
    database.client.run('COMMIT')
    await database.sync()
    return value
  }
  const work = createWork(database, {
    transitions: createTransitions(database, counts),
    clock: systemClock(),
    commits: {
      readLatest: (query) => query(),
      write,
      writeLater: write,
    },
  })
  const began = performance.now()
  while (counts.PENDING > 0) await work.advanceWaits(0, BATCH)
  return (jobs * 1000) / (performance.now() - began)
}
