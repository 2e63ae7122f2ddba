/**
 * How long it takes to begin 100 due jobs, in ms, the median of many. Usage: claim.ts DATA_DIR
 */

import { systemClock } from '../../src/clock.ts'
import { loadCounts } from '../../src/store/sqlite/counts.ts'
import { openDatabase } from '../../src/store/sqlite/database/open-database.ts'
import { createTransitions } from '../../src/store/sqlite/transitions.ts'
import { createWork } from '../../src/store/sqlite/work.ts'

const JOBS = 100
const ROUNDS = 200

const database = openDatabase(process.argv[2] ?? '')
const transitions = createTransitions(database, loadCounts(database).counts)
const now = { wall: Date.now() + 1_000, steady: Date.now() + 1_000 }
const work = createWork(database, {
  transitions,
  commits: {
    write: async (run) => run(),
    writeLater: async (run) => run(),
    readLatest: (query) => query(),
  },
  clock: { ...systemClock(), now: () => now },
})
const times: number[] = []
for (let round = 0; round < ROUNDS; round++) {
  database.client.run('BEGIN IMMEDIATE')
  const began = performance.now()
  const { latenessMs } = await work.advanceWaits(30_000, JOBS)
  times.push(performance.now() - began)
  if (latenessMs.length !== JOBS) throw new Error(`There were ${latenessMs.length} jobs due.`)
  // The same again: a claim that is rolled back costs the next one nothing.
  database.client.run('ROLLBACK')
}
process.stdout.write(JSON.stringify(times.toSorted((a, b) => a - b)[ROUNDS / 2]))
process.exit(0)
