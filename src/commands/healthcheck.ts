import { get } from 'node:http'
import type { Config } from '../config.ts'
import { EXIT } from '../exit.ts'

const TIMEOUT_MS = 5_000

/** Asks the server that has this configuration whether it is ready: 0, or 1 and a reason. */
export async function healthcheck(
  { host, port }: Pick<Config, 'host' | 'port'>,
  complain: (message: string) => void,
): Promise<number> {
  const url = `http://${reachable(host)}:${port}/readyz`
  const answer = await statusOf(url)
  if (answer === 200) return EXIT.done
  const what =
    typeof answer === 'number' ? `answers ${answer}` : `doesn't answer: ${answer.message}`
  complain(`txhook: ${url} ${what}\n`)
  return EXIT.fault
}

/** Not by fetch, which would ask a proxy that the environment names. */
function statusOf(url: string): Promise<number | Error> {
  const { promise, resolve } = Promise.withResolvers<number | Error>()
  const request = get(url, { timeout: TIMEOUT_MS }, (response) => {
    response.resume()
    resolve(response.statusCode ?? 0)
  })
  request.on('timeout', () => request.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)))
  request.on('error', resolve)
  return promise
}

/** A server that listens on every address is asked on the loopback one. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::' || host === '[::]') return '[::1]'
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
}
