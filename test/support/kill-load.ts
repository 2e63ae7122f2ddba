import type { KillHistory, Sent, Shown } from './kill-history.ts'

/** Posts under way at once. */
const SENDERS = 16

export type Load = {
  /** Posts so many webhooks; ends early when the server is gone. */
  post(url: string, count: number, onAnswer: () => void): Promise<void>
  /** Asks for the states again and again, until the server is gone or `done` says so. */
  watch(url: string, done: () => Promise<boolean>): Promise<void>
  /** Whether the server is stopping, and may refuse webhooks for that. */
  stopping: boolean
}

/** Senders: most webhooks are new, some come twice, some conflict, some do while the first is new. */
export function killLoad(history: KillHistory, random: () => number): Load {
  let numbers = 0
  /** The last ones: what comes twice is one of them. */
  const recent: Sent[] = []
  /** What had no answer is sent again, as a sender does. */
  const unanswered: Sent[] = []

  function fresh(): Sent {
    const n = ++numbers
    const id = `txn_${n}`
    const accounts = { source_account: `A${n % 7}`, destination_account: `B${n % 11}` }
    const sent = { transaction_id: id, ...accounts, amount: n + 0.25, currency: 'USD', n }
    if (recent.length < 500) recent.push(sent)
    else recent[Math.floor(random() * recent.length)] = sent
    return sent
  }
  const other = (sent: Sent): Sent => ({ ...sent, amount: sent.amount + 0.5 })

  /** What one sender sends next, at once. */
  function next(): Sent[] {
    const again = unanswered.pop()
    if (again) return [again]
    const kind = random()
    const old = recent[Math.floor(random() * recent.length)]
    if (kind < 0.12 && old) return [old]
    if (kind < 0.15 && old) return [other(old)]
    const sent = fresh()
    if (kind < 0.18) return [sent, sent]
    if (kind < 0.2) return [sent, other(sent)]
    return [sent]
  }

  /** Whether there was an answer. */
  async function send(url: string, sent: Sent): Promise<boolean> {
    const post = history.post(sent)
    try {
      const response = await fetch(`${url}/webhook`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(sent),
      })
      const shown = (await response.json()) as Shown
      post.answeredAt = performance.now()
      post.status = response.status
      post.replayed = response.headers.has('idempotent-replayed')
      if (response.status === 202) history.saw(shown, post.askedAt)
      else if (response.status !== 409 && !(load.stopping && response.status === 503))
        history.violations.push(`answered ${response.status}: ${JSON.stringify([sent, shown])}`)
      return true
    } catch {
      unanswered.push(sent)
      return false
    }
  }

  async function sender(url: string, budget: { left: number }, onAnswer: () => void) {
    while (budget.left-- > 0) {
      const answered = await Promise.all(next().map((sent) => send(url, sent)))
      if (!answered.every(Boolean)) return
      onAnswer()
    }
  }

  /** The pages of the list, until one has nothing unfinished. */
  async function look(url: string): Promise<void> {
    let cursor: string | null = null
    do {
      const askedAt = performance.now()
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`
      const response = await fetch(`${url}/v1/transactions?limit=250${query}`)
      const page = (await response.json()) as { data: Shown[]; next_cursor: string | null }
      for (const shown of page.data) history.saw(shown, askedAt)
      const unfinished = page.data.some(
        ({ status }) => status.startsWith('P') && status !== 'PROCESSED',
      )
      cursor = unfinished ? page.next_cursor : null
    } while (cursor !== null)
  }

  const load: Load = {
    stopping: false,
    async post(url, count, onAnswer) {
      const budget = { left: count }
      await Promise.all(Array.from({ length: SENDERS }, () => sender(url, budget, onAnswer)))
    },
    async watch(url, done) {
      try {
        do await look(url)
        while (!(await done()))
      } catch {
        // The server is gone.
      }
    },
  }
  return load
}
