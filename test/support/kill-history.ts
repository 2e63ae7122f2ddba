/**
 * What a test did to a txhook that is killed again and again, and what it was answered: each request
 * is noted before it is sent, and its answer when it has come. Times are monotonic, in ms.
 */

export type Sent = {
  transaction_id: string
  source_account: string
  destination_account: string
  amount: number
  currency: string
  /** A member beyond the five. */
  n: number
}

export type Post = {
  sent: Sent
  askedAt: number
  answeredAt?: number
  status?: number
  replayed?: boolean
}

/** A transaction as answers show it. */
export type Shown = Omit<Sent, 'n'> & {
  status: 'PENDING' | 'PROCESSING' | 'PROCESSED' | 'FAILED'
  attempts: number
  processing_started_at: string | null
  processed_at: string | null
  extra: { n: number }
}

/** When a state was first in an answer, and when an answer that had it was last asked for. */
type Seen = { firstAnswered: number; lastAsked: number }

export type Known = {
  id: string
  posts: Post[]
  /** By `positionOf`. */
  seen: Map<number, Seen>
  /** Each text that answers had for what must not change once it is there. */
  contents: Set<string>
  starts: Set<string>
  ends: Set<string>
}

/** A process: from its start to its end, and between, when it had printed its address. */
export type Run = {
  delayMs: number
  spawnedAt: number
  upAt: number
  /** The signal that ended it was sent. */
  downAt: number
  endedAt: number
}

/** From here on the positions are of final states. */
export const FINAL = 1_000_000

/** States in the order in which one transaction can have them. */
export function positionOf({ status, attempts }: Shown): number {
  switch (status) {
    case 'PENDING':
      return 2 * attempts
    case 'PROCESSING':
      return 2 * attempts - 1
    case 'PROCESSED':
      return FINAL
    case 'FAILED':
      return FINAL + 1
    default:
      return status satisfies never
  }
}

/** The five fields and the rest, as one text. */
export function contentOf(shown: Omit<Sent, 'n'>, n: number): string {
  const { source_account, destination_account, amount, currency } = shown
  return JSON.stringify([source_account, destination_account, amount, currency, n])
}

export class KillHistory {
  readonly known = new Map<string, Known>()
  readonly runs: Run[] = []
  /** What was noticed while it ran. */
  readonly violations: string[] = []

  /** Notes a post that is about to be sent. */
  post(sent: Sent): Post {
    const post: Post = { sent, askedAt: performance.now() }
    this.of(sent.transaction_id).posts.push(post)
    return post
  }

  /** Notes what an answer showed; `askedAt` is from before its request was sent. */
  saw(shown: Shown, askedAt: number): void {
    const known = this.known.get(shown.transaction_id)
    if (known === undefined) {
      this.violations.push(`was never sent: ${JSON.stringify(shown)}`)
      return
    }
    const position = positionOf(shown)
    const answered = performance.now()
    const seen = known.seen.get(position)
    if (seen === undefined)
      known.seen.set(position, { firstAnswered: answered, lastAsked: askedAt })
    else seen.lastAsked = Math.max(seen.lastAsked, askedAt)
    known.contents.add(contentOf(shown, shown.extra.n))
    if (shown.processing_started_at !== null) known.starts.add(shown.processing_started_at)
    if (shown.processed_at !== null) known.ends.add(shown.processed_at)
  }

  of(id: string): Known {
    const known = this.known.get(id) ?? {
      id,
      posts: [],
      seen: new Map(),
      contents: new Set(),
      starts: new Set(),
      ends: new Set(),
    }
    this.known.set(id, known)
    return known
  }

  /** Of the time between two moments, what no process was up. */
  downBetween(from: number, to: number): number {
    let down = to - from
    for (const { upAt, downAt } of this.runs)
      down -= Math.max(Math.min(downAt, to) - Math.max(upAt, from), 0)
    return down
  }

  /** The delays of the processes that were there at some moment between two. */
  delaysBetween(from: number, to: number): number[] {
    return this.runs
      .filter(({ spawnedAt, endedAt }) => spawnedAt <= to && endedAt >= from)
      .map(({ delayMs }) => delayMs)
  }

  get acknowledged(): Known[] {
    return [...this.known.values()].filter(({ posts }) =>
      posts.some(({ status }) => status === 202),
    )
  }
}

/** Numbers from 0 to 1, less than 1, that follow from the seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
