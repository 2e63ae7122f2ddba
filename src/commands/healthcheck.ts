import type { Config } from '../config/read-config.ts'
import { EXIT } from '../exit.ts'
import { ask, urlOf } from './client.ts'

const TIMEOUT_MS = 5_000

/** Asks the server that has this configuration whether it is ready: 0, or 1 and a reason. */
export async function healthcheck(
  config: Pick<Config, 'host' | 'port'>,
  printError: (message: string) => void,
): Promise<number> {
  const url = new URL('/readyz', urlOf(config))
  const answer = await ask(url, { timeoutMs: TIMEOUT_MS }).catch((error: Error) => error)
  if (!(answer instanceof Error) && answer.status === 200) return EXIT.done
  const what =
    answer instanceof Error ? `doesn't answer: ${answer.message}` : `answers ${answer.status}`
  printError(`txhook: ${url} ${what}\n`)
  return EXIT.fault
}
