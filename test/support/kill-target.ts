/** A call as the target got it. `status`: what it answered; undefined: it never did. */
export type KillCall = {
  id: string
  body: string
  at: number
  answeredAt?: number
  status?: number
}

type Answer = { share: number; status: number; waitMs: number; headers?: Record<string, string> }

const WELL: Answer = { share: 0.7, status: 200, waitMs: 0 }
/** After it the wait doubles with each attempt: it is the answer to the first call alone. */
const FIRST: Answer = { share: 0.03, status: 503, waitMs: 5_000 }

/** What a target answers with which share, and the least time until the next call after it. */
const ANSWERS: readonly Answer[] = [
  FIRST,
  WELL,
  { share: 0.1, status: 429, waitMs: 1_000, headers: { 'retry-after': '1' } },
  { share: 0.08, status: 500, waitMs: 2_000, headers: { 'retry-after': '2' } },
  { share: 0.03, status: 422, waitMs: 0 },
]

export type KillTarget = AsyncDisposable & {
  url: string
  calls: KillCall[]
  /** Set: it answers 200 alone. */
  well: boolean
  /** The least time from such an answer to the next call, in ms. */
  waitAfter(status: number | undefined): number
  /** Whether calls may hang. */
  hangs: boolean
  /** Answers the calls that hang; undefined: the process that made them is gone. */
  release(status: number | undefined): void
}

/** A target that answers by chance, and leaves the rest of the calls hanging. */
export function killTarget(random: () => number): KillTarget {
  const calls: KillCall[] = []
  const called = new Set<string>()
  const hanging = new Set<(status: number | undefined) => void>()

  /** Undefined: the call hangs. */
  function choose(id: string): Answer | undefined {
    const isFirst = !called.has(id)
    called.add(id)
    if (target.well) return WELL
    let left = random()
    for (const answer of ANSWERS) {
      left -= answer.share
      if (left < 0) return answer === FIRST && !isFirst ? WELL : answer
    }
    return target.hangs ? undefined : WELL
  }

  const hang = () => new Promise<number | undefined>((resolve) => hanging.add(resolve))

  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 255,
    async fetch(request): Promise<Response> {
      const body = await request.text()
      const id = request.headers.get('idempotency-key') ?? ''
      const call: KillCall = { id, body, at: performance.now() }
      calls.push(call)
      const answer = choose(id)
      const status = answer ? answer.status : await hang()
      if (status === undefined) return new Response(null, { status: 503 })
      call.status = status
      call.answeredAt = performance.now()
      return new Response('answered', { status, headers: answer?.headers ?? {} })
    },
  })

  const target: KillTarget = {
    url: `http://127.0.0.1:${server.port}/`,
    calls,
    well: false,
    hangs: true,
    waitAfter: (status) => ANSWERS.find((answer) => answer.status === status)?.waitMs ?? 0,
    release(status) {
      for (const resolve of hanging) resolve(status)
      hanging.clear()
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
  return target
}
