/** Databases of a given size, made by SQL in bulk. */

import { openDatabase } from '../../src/store/sqlite/database/open-database.ts'
import { createIds } from '../../src/store/sqlite/ids.ts'

export type Seed = {
  /** Transactions that are done with. */
  processed?: number
  /** Transactions that were accepted and are due at once. */
  due?: number
  /** Transactions whose wait ends in an hour. */
  waiting?: number
}

const HOUR_MS = 3_600_000

/** Fills a new data directory. The ids are those that get.lua asks for. */
export async function seed(dataDir: string, { processed = 0, due = 0, waiting = 0 }: Seed) {
  const database = openDatabase(dataDir)
  const { client, close } = database
  const now = Date.now()
  client.run('PRAGMA synchronous = OFF')
  client.run(
    `WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
     INSERT INTO transactions
       (id, transaction_id, source_account, destination_account, amount, currency, status, attempts,
        created_at, processing_started_at, processed_at)
     SELECT n, printf('%08x-%d', (n * 48271) % 2147483647, n), 'A123', 'B456', 10000, 'USD',
       iif(n <= ?2, 'PROCESSED', iif(n <= ?2 + ?3, 'PENDING', 'PROCESSING')),
       iif(n > ?2 AND n <= ?2 + ?3, 0, 1), ?4, ?4, iif(n <= ?2, ?4, NULL)
     FROM number WHERE ?1 > 0`,
    [processed + due + waiting, processed, due, now],
  )
  client.run(
    `INSERT INTO jobs (id, run_at, attempt_started_at, tries, changed_at)
     SELECT id, iif(status = 'PENDING', ?1, ?1 + ?2), iif(status = 'PENDING', NULL, ?1), attempts, ?1
     FROM transactions WHERE status != 'PROCESSED'`,
    [now, HOUR_MS],
  )
  client.run(
    `INSERT INTO attempts (id, attempt, started_at)
     SELECT id, 1, ? FROM transactions WHERE status = 'PROCESSING'`,
    [now],
  )
  // As the first start would.
  createIds(database)
  await close()
}
