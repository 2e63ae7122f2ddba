import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { contentOf, FINAL, type KillHistory, type Known, type Shown } from './kill-history.ts'
import { BY_STOP, type Checked, callsOf, rowsOf } from './kill-snapshot.ts'
import type { KillTarget } from './kill-target.ts'

/** How much earlier a wait may end: schedules are in whole ms. */
const CLOCK_MS = 2
const LATE_MS_MAX = 1_000

type AttemptRow = {
  id: number
  attempt: number
  outcome: string | null
  http_status: number | null
  detail: string | null
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
  const conflicts = new Map(
    (database.query(CONFLICTS).all() as { id: number; count: number }[]).map((row) => [
      row.id,
      row.count,
    ]),
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
    checkConflicts(known, conflicts.get(id) ?? 0, tell)
    if (target === undefined) checkWait(known, history, own, tell)
    else checkCalls({ ...checked, target, known, status, own, mine, tell })
  }
}

/** How many webhooks of a transaction were refused as a conflict. */
const CONFLICTS = 'SELECT stored_id AS id, sum(count) AS count FROM conflicts GROUP BY stored_id'

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

/** Each conflict that was answered is kept, and no more than were sent. */
function checkConflicts({ posts, contents }: Known, kept: number, tell: Tell): void {
  const answered = posts.filter(({ status }) => status === 409).length
  const sent = posts.filter((post) => !contents.has(contentOf(post.sent, post.sent.n))).length
  if (kept < answered || kept > sent) tell(`${kept} conflicts, ${answered} answered, ${sent} sent`)
}

/** A simulated call lasts its delay, also over restarts, and then ends within 1 s of time that is up. */
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
  const dueAt = Math.min(...answers) + Math.max(...delays)
  for (const [position, { lastAsked }] of seen) {
    if (position >= FINAL || lastAsked < dueAt) continue
    const late = lastAsked - dueAt - history.downBetween(dueAt, lastAsked)
    if (late > LATE_MS_MAX) tell(`late: not finished after ${late} ms more, of ${delays}`)
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
