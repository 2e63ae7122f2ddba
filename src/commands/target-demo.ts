import type { Command } from 'commander'
import { parseNamed } from '../config/read-config.ts'
import { throwBadValue, wholeNumber } from '../domain/values.ts'
import { EXIT, ExitError } from '../exit.ts'
import { plain } from '../telemetry/escape.ts'
import type { VerbDeps } from './flags.ts'

type Options = { port: string; failRate: string; delayMs: string }

const DELAY_MS_MAX = 600_000

/** Adds `target-demo`. */
export function addTargetDemo(program: Command, { print }: VerbDeps): void {
  program
    .command('target-demo')
    .description('run a small receiver to try a target with: it prints what it gets')
    .option('--port <port>', 'TCP port on 127.0.0.1; 0 picks a free one', '9000')
    .option('--fail-rate <rate>', 'the share of calls that is answered 500, from 0 to 1', '0')
    .option('--delay-ms <ms>', 'how long each answer takes', '0')
    .action(async (options: Options) => {
      const over = Promise.withResolvers<void>()
      const server = listen({
        port: parseNamed('--port', options.port, wholeNumber(0, 65_535)),
        failRate: parseNamed('--fail-rate', options.failRate, share),
        delayMs: parseNamed('--delay-ms', options.delayMs, wholeNumber(0, DELAY_MS_MAX)),
        random: Math.random,
        onCall(line) {
          try {
            if (!print(line)) over.resolve()
          } catch (error) {
            over.reject(error)
          }
        },
      })
      print(`listening, for txhook --target-url ${server.url.href}`)
      // Until a signal ends the process, or the pipe that it prints to is closed.
      await over.promise
    })
}

type Receiver = {
  port: number
  /** From 0 to 1. */
  failRate: number
  delayMs: number
  /** From 0 to 1, less than 1. */
  random(): number
  onCall(line: string): void
}

/**
 * Answers each call with 200 or, by the rate, with 500. It checks nothing.
 *
 * @throws ExitError where the port can't be used
 */
function listen({ port, failRate, delayMs, random, onCall }: Receiver): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname: '127.0.0.1',
      port,
      reusePort: false,
      // Not ended by Bun while an answer is delayed.
      idleTimeout: 0,
      async fetch(request) {
        const key = request.headers.get('idempotency-key') ?? '-'
        const body = await request.text()
        if (delayMs > 0) await Bun.sleep(delayMs)
        const status = random() < failRate ? 500 : 200
        onCall(plain(`${status} ${key} ${body}`))
        return new Response(null, { status })
      },
    })
  } catch (error) {
    const message = `Can't listen on 127.0.0.1:${port}: ${(error as Error).message}`
    throw new ExitError(EXIT.fault, message, { cause: error })
  }
}

function share(text: string): number {
  if (/^(?:0(?:\.\d+)?|1(?:\.0+)?)$/.test(text)) return Number(text)
  return throwBadValue('must be a number from 0 to 1, as 0.5')
}
