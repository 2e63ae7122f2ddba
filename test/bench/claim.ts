/**
 * How long it takes to claim 100 due jobs, in ms, the median of many. Usage: claim.ts DATA_DIR
 */

import { readBeginning } from '../../src/store/counts.ts'
import { openDatabase } from '../../src/store/database.ts'
import { createJobs } from '../../src/store/jobs.ts'

const JOBS = 100
const ROUNDS = 200

const database = openDatabase(process.argv[2] ?? '')
const jobs = createJobs(database, readBeginning(database).counts)
const now = Date.now() + 1_000
const times: number[] = []
for (let round = 0; round < ROUNDS; round++) {
  database.client.run('BEGIN IMMEDIATE')
  const began = performance.now()
  const taken = jobs.take({ wall: now, steady: now }, JOBS, 1)
  times.push(performance.now() - began)
  if (taken.length !== JOBS) throw new Error(`There were ${taken.length} jobs to claim.`)
  // The same again: a claim that is taken back costs the next one nothing.
  database.client.run('ROLLBACK')
}
process.stdout.write(JSON.stringify(times.toSorted((a, b) => a - b)[ROUNDS / 2]))
process.exit(0)
