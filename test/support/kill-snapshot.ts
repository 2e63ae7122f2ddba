import { Database } from 'bun:sqlite'
import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { contentOf, type KillHistory, type Shown } from './kill-history.ts'
import type { KillTarget } from './kill-target.ts'
import { temporaryDirectory } from './service.ts'

export type Checked = {
  data: string
  history: KillHistory
  target: KillTarget | undefined
}

/** Of an attempt that an orderly stop cut off; one that a kill cut off has another detail. */
export const BY_STOP = 'txhook was stopped in the middle of the attempt'

type Row = {
  id: number
  transaction_id: string
  source_account: string
  destination_account: string
  amount: number
  currency: string
  extra: string
  status: Shown['status']
  attempts: number
}

/** A first attempt that only waits is written at its end. */
const UNWRITTEN = `(t.status = 'PROCESSING' AND t.attempts = 1 AND j.claim IS NULL
  AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.id = t.id))`

/** What must hold in the database at any moment, as SQL that finds what breaks it. */
const INVARIANTS = {
  'unfinished without a job': `SELECT t.transaction_id FROM transactions t LEFT JOIN jobs j USING (id)
    WHERE t.status IN ('PENDING', 'PROCESSING') AND j.id IS NULL`,
  'a job without something unfinished': `SELECT j.id FROM jobs j LEFT JOIN transactions t USING (id)
    WHERE t.status IS NULL OR t.status NOT IN ('PENDING', 'PROCESSING')`,
  'twice there': 'SELECT transaction_id FROM transactions GROUP BY 1 HAVING count(*) > 1',
  'attempts that are not numbered from 1': `SELECT t.transaction_id FROM transactions t
    LEFT JOIN jobs j USING (id) LEFT JOIN attempts a USING (id) GROUP BY t.id
    HAVING count(a.attempt) <> t.attempts - ${UNWRITTEN}
      OR coalesce(max(a.attempt), 0) <> t.attempts - ${UNWRITTEN}`,
  'PROCESSING and no attempt under way, or the reverse': `SELECT t.transaction_id FROM transactions t
    LEFT JOIN jobs j USING (id) LEFT JOIN attempts a ON a.id = t.id AND a.outcome IS NULL
    GROUP BY t.id HAVING count(a.id) + ${UNWRITTEN} <> (t.status = 'PROCESSING')`,
  'PROCESSED and not done once, or the reverse': `SELECT t.transaction_id FROM transactions t
    LEFT JOIN attempts a ON a.id = t.id AND a.outcome = 'done'
    GROUP BY t.id HAVING count(a.id) <> (t.status = 'PROCESSED')`,
  'attempts used up other than by those that no stop cut': `SELECT j.id, j.tries FROM jobs j
    JOIN transactions t USING (id) LEFT JOIN attempts a ON a.id = j.id AND a.detail IS NOT '${BY_STOP}'
    GROUP BY j.id HAVING count(a.id) + ${UNWRITTEN} <> j.tries`,
  'indexed, but not in the index': `SELECT t.transaction_id FROM transactions t, indexed
    WHERE t.id <= up_to AND t.id NOT IN (SELECT id FROM ids)`,
}

/** Checks a copy of what is on the disk after a process ended. */
export function checkSnapshot({ data, history, target, orderly }: Checked & { orderly: boolean }) {
  // Killed before it made the directory.
  if (!existsSync(join(data, 'txhook.db')) && history.acknowledged.length === 0) return
  using copy = temporaryDirectory()
  cpSync(data, copy.path, { recursive: true })
  using database = new Database(join(copy.path, 'txhook.db'))
  const { violations } = history
  const ok = database.query('PRAGMA integrity_check').get() as { integrity_check: string }
  if (ok.integrity_check !== 'ok') violations.push(`integrity_check: ${ok.integrity_check}`)
  // The first process may have been killed before it made the tables.
  if (database.query("SELECT 1 FROM sqlite_schema WHERE name = 'gaps'").get() === null) {
    if (history.acknowledged.length > 0) violations.push('there are no tables')
    return
  }
  for (const [what, query] of Object.entries(INVARIANTS)) {
    const found = database.query(query).all()
    if (found.length > 0) violations.push(`${what}: ${JSON.stringify(found.slice(0, 3))}`)
  }
  const claims = database.query('SELECT id FROM jobs WHERE claim IS NOT NULL').all()
  if (orderly && claims.length > 0) violations.push(`claimed after a stop: ${claims.length}`)
  const rows = new Map(rowsOf(database).map((row) => [row.transaction_id, row]))
  checkRows(rows, history)
  for (const [id, calls] of callsOf(target)) {
    const attempts = rows.get(id)?.attempts ?? 0
    if (calls.length > attempts)
      violations.push(`${id}: ${calls.length} calls, ${attempts} attempts`)
  }
}

/** All that was acknowledged is there, as sent, and nothing else but what was sent. */
function checkRows(rows: Map<string, Row>, { known, acknowledged, violations }: KillHistory): void {
  for (const [id, row] of rows) {
    const content = contentOf({ ...row, amount: row.amount / 100 }, JSON.parse(row.extra).n)
    const posts = known.get(id)?.posts ?? []
    if (!posts.some(({ sent }) => contentOf(sent, sent.n) === content))
      violations.push(`${id}: was never sent so: ${content}`)
    for (const { sent, status } of posts) {
      const same = contentOf(sent, sent.n) === content
      if ((status === 202 && !same) || (status === 409 && same))
        violations.push(`${id}: ${status} for ${JSON.stringify(sent)}, stored: ${content}`)
    }
  }
  for (const { id } of acknowledged)
    if (!rows.has(id)) violations.push(`${id}: was acknowledged and is lost`)
}

export function callsOf(target: KillTarget | undefined): Map<string, KillTarget['calls']> {
  return Map.groupBy(target?.calls ?? [], ({ id }) => id)
}

export function rowsOf(database: Database): Row[] {
  return database.query('SELECT * FROM transactions').all() as Row[]
}
