import { Database } from 'bun:sqlite'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { contentOf, FINAL, type KillHistory, type Known, type Shown } from './kill-history.ts'
import type { KillTarget } from './kill-target.ts'
import { temporaryDirectory } from './service.ts'

export type Checked = {
  data: string
  history: KillHistory
  target: KillTarget | undefined
}

/** Of an attempt that an orderly stop cut off; one that a kill cut off has another detail. */
const BY_STOP = 'txhook was stopped in the middle of the attempt'

/** How far the clock that goes on over restarts may be off: it is read in steps of 10 ms. */
const CLOCK_MS = 50
const LATE_MS_MAX = 1_000

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

type AttemptRow = {
  id: number
  attempt: number
  outcome: string | null
  http_status: number | null
  detail: string | null
}

/** What must hold in the database at any moment, as SQL that finds what breaks it. */
const INVARIANTS = {
  'unfinished without a job': `SELECT t.transaction_id FROM transactions t LEFT JOIN jobs j USING (id)
    WHERE t.status IN ('PENDING', 'PROCESSING') AND j.id IS NULL`,
  'a job without something unfinished': `SELECT j.id FROM jobs j LEFT JOIN transactions t USING (id)
    WHERE t.status IS NULL OR t.status NOT IN ('PENDING', 'PROCESSING')`,
  'twice there': 'SELECT transaction_id FROM transactions GROUP BY 1 HAVING count(*) > 1',
  'attempts that are not numbered from 1': `SELECT t.transaction_id FROM transactions t
    LEFT JOIN attempts a USING (id) GROUP BY t.id
    HAVING count(a.attempt) <> t.attempts OR coalesce(max(a.attempt), 0) <> t.attempts`,
  'PROCESSING and no attempt under way, or the reverse': `SELECT t.transaction_id FROM transactions t
    LEFT JOIN attempts a ON a.id = t.id AND a.outcome IS NULL
    GROUP BY t.id HAVING count(a.id) <> (t.status = 'PROCESSING')`,
  'PROCESSED and not done once, or the reverse': `SELECT t.transaction_id FROM transactions t
    LEFT JOIN attempts a ON a.id = t.id AND a.outcome = 'done'
    GROUP BY t.id HAVING count(a.id) <> (t.status = 'PROCESSED')`,
}

/** Checks a copy of what is on the disk after a process ended. */
export function checkSnapshot({ data, history, target, orderly }: Checked & { orderly: boolean }) {
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

/** Checks what the answers said all along, and how all ended. */
export function checkHistory(checked: Checked & { maxAttempts: number }): void {
  const { data, history, target } = checked
  using database = new Database(join(data, 'txhook.db'), { readonly: true })
  const jobs = database.query('SELECT id FROM jobs').all()
  if (jobs.length > 0) history.violations.push(`unfinished at the end: ${jobs.length}`)
  const attempts = Map.groupBy(
    database.query('SELECT * FROM attempts ORDER BY id, attempt').all() as AttemptRow[],
    ({ id }) => id,
  )
  const calls = callsOf(target)
  for (const { id, transaction_id, status } of rowsOf(database)) {
    const known = history.known.get(transaction_id)
    if (known === undefined) continue
    const tell = (what: string) =>
      history.violations.push(
        `${what}: ${JSON.stringify({ known: { ...known, seen: [...known.seen] }, status, own, mine })}`,
      )
    const own = attempts.get(id) ?? []
    const mine = calls.get(transaction_id) ?? []
    checkAnswers(known, tell)
    if (target === undefined) checkWait(known, history, own, tell)
    else checkCalls({ ...checked, target, known, status, own, mine, tell })
  }
}

type Tell = (what: string) => void

function checkAnswers({ posts, seen, contents, starts, ends }: Known, tell: Tell): void {
  if (posts.filter(({ status, replayed }) => status === 202 && !replayed).length > 1)
    tell('accepted as new twice')
  if (contents.size > 1) tell(`contents changed: ${[...contents]}`)
  if (starts.size > 1 || ends.size > 1) tell(`times changed: ${[...starts]}, ${[...ends]}`)
  for (const [position, { lastAsked }] of seen)
    for (const [later, { firstAnswered }] of seen)
      if (later > position && lastAsked > firstAnswered)
        tell(`went back from ${later} to ${position}`)
  if (seen.has(FINAL) && seen.has(FINAL + 1)) tell('has ended in two ways')
}

/** A simulated call lasts its delay: no less, and no more than a second more of the time it could go on. */
function checkWait(known: Known, history: KillHistory, own: AttemptRow[], tell: Tell): void {
  if (own.length !== 1 || own[0]?.outcome !== 'done') tell('is not processed by one attempt')
  const { posts, seen } = known
  const sentAt = Math.min(...posts.map(({ askedAt }) => askedAt))
  const answers = [...seen].map(([, { firstAnswered }]) => firstAnswered)
  const begun = [...seen].filter(([position]) => position > 0)
  const begunAt = Math.min(...begun.map(([, { firstAnswered }]) => firstAnswered))
  const delays = history.delaysBetween(sentAt, begunAt)
  const finished = (seen.get(FINAL)?.firstAnswered ?? Number.POSITIVE_INFINITY) - sentAt
  if (finished < Math.min(...delays) - CLOCK_MS) tell(`early: ${finished} ms of ${delays}`)
  const knownAt = Math.min(...answers)
  for (const [position, { lastAsked }] of seen) {
    if (position >= FINAL || lastAsked < knownAt) continue
    const up = lastAsked - knownAt - history.downBetween(knownAt, lastAsked)
    const elapsed = lastAsked - knownAt
    if (elapsed - history.downBetween(knownAt, lastAsked) > Math.max(...delays) + LATE_MS_MAX)
      tell(`late: not finished after ${up} ms up, ${delays}`)
  }
}

type CallsCheck = Checked & {
  target: KillTarget
  maxAttempts: number
  known: Known
  status: Shown['status']
  own: AttemptRow[]
  mine: KillTarget['calls']
  tell: Tell
}

/** Attempts and calls explain one another. */
function checkCalls({ target, maxAttempts, known, status, own, mine, tell }: CallsCheck): void {
  const interrupted = own.filter(({ outcome }) => outcome === 'interrupted')
  const used = own.filter(({ detail }) => detail !== BY_STOP)
  let unrecorded = mine.length
  for (const http of new Set(own.map(({ http_status }) => http_status))) {
    if (http === null) continue
    const recorded = own.filter(({ http_status }) => http_status === http).length
    if (recorded > mine.filter((call) => call.status === http).length)
      tell(`${http} was never answered`)
    unrecorded -= recorded
  }
  if (unrecorded > interrupted.length) tell('more calls than attempts')
  if (own.some(({ outcome, http_status }) => outcome !== 'interrupted' && http_status === null))
    tell('an attempt without an answer, though the target was there')
  const last = own.at(-1)
  if (status === 'PROCESSED' && last?.outcome !== 'done') tell('PROCESSED and not done at last')
  if (used.length > maxAttempts) tell('more attempts than there are')
  if (status === 'FAILED' && last?.http_status !== 422 && used.length < maxAttempts)
    tell('FAILED too early')
  const finalAt = known.seen.get(FINAL)?.firstAnswered ?? Number.POSITIVE_INFINITY
  if (mine.some(({ at }) => at > finalAt)) tell('called after it was PROCESSED')
  for (const { body } of mine)
    if (!known.contents.has(contentOf(JSON.parse(body), JSON.parse(body).extra.n)))
      tell(`called with other content: ${body}`)
  for (const [n, call] of mine.entries()) {
    const next = mine[n + 1]
    // The call is that of the attempt only where each attempt came to its call.
    if (next === undefined || call.status !== own[n]?.http_status || mine.length !== own.length)
      continue
    const waited = next.at - (call.answeredAt ?? next.at)
    if (waited < target.waitAfter(call.status) - CLOCK_MS) tell(`called again after ${waited} ms`)
  }
}

function callsOf(target: KillTarget | undefined): Map<string, KillTarget['calls']> {
  return Map.groupBy(target?.calls ?? [], ({ id }) => id)
}

function rowsOf(database: Database): Row[] {
  return database.query('SELECT * FROM transactions').all() as Row[]
}

/** Reads all pages of the list: each acknowledged one is there once, and finished. */
export async function checkPages(url: string, history: KillHistory): Promise<void> {
  const listed = new Set<string>()
  let cursor: string | null = ''
  while (cursor !== null) {
    const askedAt = performance.now()
    const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const response = await fetch(`${url}/v1/transactions?limit=250${query}`)
    const page = (await response.json()) as { data: Shown[]; next_cursor: string | null }
    for (const shown of page.data) {
      history.saw(shown, askedAt)
      const { transaction_id: id, status } = shown
      if (listed.has(id)) history.violations.push(`${id}: listed twice`)
      listed.add(id)
      if (status !== 'PROCESSED' && status !== 'FAILED') history.violations.push(`${id}: ${status}`)
    }
    cursor = page.next_cursor
  }
  for (const { id } of history.acknowledged)
    if (!listed.has(id)) history.violations.push(`${id}: is not listed`)
}

/** How many are unfinished, as the metrics say. */
export async function unfinishedOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const count = (status: string) =>
    Number(new RegExp(`^txhook_transactions{status="${status}"} (\\d+)`, 'm').exec(text)?.[1])
  return count('PENDING') + count('PROCESSING')
}
