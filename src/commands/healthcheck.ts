import type { Config } from '../config.ts'
import { EXIT } from '../exit.ts'

const TIMEOUT_MS = 5_000

/** Asks the server that has this configuration whether it is ready: 0, or 1 and a reason. */
export async function healthcheck(
  { host, port }: Pick<Config, 'host' | 'port'>,
  complain: (message: string) => void,
): Promise<number> {
  const url = `http://${reachable(host)}:${port}/readyz`
  try {
    const { status } = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    if (status === 200) return EXIT.done
    complain(`txhook: ${url} answers ${status}\n`)
  } catch (error) {
    complain(`txhook: ${url} doesn't answer: ${(error as Error).message}\n`)
  }
  return EXIT.fault
}

/** A server that listens on every address is asked on the loopback one. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::' || host === '[::]') return '[::1]'
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
}
