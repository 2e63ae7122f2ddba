/** Command lines in this process, and servers for them to call. */

import { systemClock } from '../../src/clock.ts'
import { runCommandLine } from '../../src/commands/command-line.ts'
import type { Environment } from '../../src/config/read-config.ts'
import { manualClock } from './clock.ts'
import { type ScriptedService, scriptedService } from './scripted-service.ts'
import { type TestService, testService } from './service.ts'

/** How a command line ended: what it printed, entry by entry, and its errors as one text. */
export type Ran = { exitCode: number; printed: string[]; errors: string }

/**
 * Runs a command line in this process.
 *
 * @param use called with the URL of a server that listens; the server stops when it has resolved
 */
export async function run(
  words: readonly string[],
  environment: Environment = {},
  use: (url: string) => Promise<void> = () => Promise.reject(new Error('the server started')),
): Promise<Ran> {
  const printed: string[] = []
  const errors: string[] = []
  const used = Promise.withResolvers<void>()
  let listens = false
  const exitCode = await runCommandLine(words, {
    environment,
    terminal: false,
    print(text) {
      printed.push(text)
      return true
    },
    printLog(line) {
      printed.push(line)
      const [url] = /http:[^"]+/.exec(line) ?? []
      if (!url) return
      listens = true
      use(url).then(used.resolve, used.reject)
    },
    printError: (text) => void errors.push(text),
    onSignal: (listener) => void used.promise.catch(() => {}).then(() => listener('SIGTERM')),
    endOnSignals: () => {},
    exit(code) {
      throw new Error(`exit ${code}`)
    },
  })
  if (listens) await used.promise
  return { exitCode, printed, errors: errors.join('') }
}

/** Runs a command line as `run` does, and returns what it printed as one text. */
export async function runText(...args: Parameters<typeof run>) {
  const { exitCode, printed, errors } = await run(...args)
  return { exitCode, printed: printed.join(''), errors }
}

/** Ids that a path, a shell or a terminal could mistake for something else. */
export const ODD_IDS = [
  'a/b',
  '../a',
  '/',
  'a?b=c#d',
  '%',
  '%2F',
  'a b',
  '💶👩‍👩‍👧',
  'é',
  'e\u0301',
  'שלום',
  "'; --",
]

type ListeningService = ScriptedService & {
  url: string
  port: string
  /** What came by HTTP, in order: the method, the path and the query. */
  requests: string[]
  /** Called before each of these is answered. */
  before(): unknown
  /** Runs a command line with the URL of this server. */
  run(...words: string[]): Promise<Ran>
}

/** A service that listens on a free port. The attempts follow the script of each transaction. */
export function listeningService(): ListeningService {
  const service = scriptedService({ flags: { '--port': '0' } })
  const { app } = service
  const { fetch: answer } = app
  app.fetch = async (request) => {
    const { host, pathname, search } = new URL(request.url)
    // The test's own requests have no port.
    if (host === 'localhost') return answer(request)
    running.requests.push(`${request.method} ${pathname}${search}`)
    await running.before()
    return answer(request)
  }
  const url = service.listen()
  const running: ListeningService = {
    ...service,
    url,
    port: new URL(url).port,
    requests: [],
    before: () => {},
    run: (...words) => run([...words, '--url', url]),
  }
  return running
}

type RecordingService = AsyncDisposable & {
  service: TestService
  url: string
  port: string
  requests: Request[]
}

/** A service that listens on a free port, at the present time, and records its requests. */
export async function recordingService(
  flags: Record<string, string> = {},
): Promise<RecordingService> {
  const clock = manualClock(systemClock().now().wall)
  const service = testService({ clock, flags: { '--port': '0', ...flags } })
  const requests: Request[] = []
  const { fetch: answer } = service.app
  service.app.fetch = (request) => {
    requests.push(request.clone() as Request)
    return answer(request)
  }
  await service.start()
  const url = service.listen()
  return {
    service,
    url,
    port: new URL(url).port,
    requests,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  }
}
