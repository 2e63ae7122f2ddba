import { randomUUID } from 'node:crypto'
import { signedHeaders } from '../domain/standard-webhooks.ts'
import { EXIT } from '../exit.ts'
import { printable } from '../telemetry/escape.ts'
import { ask } from './client.ts'

export type SendDeps = {
  /** Where webhooks go. */
  url: URL
  /** Signs the webhook; undefined: it goes unsigned. */
  secret: Uint8Array | undefined
  /** Wall time in ms. */
  now: number
  print(text: string): void
  printError(text: string): void
}

/** The five fields, as they are posted. */
export type TestTransaction = Record<string, string>

/** Posts a test transaction as a provider does. Returns the exit code: 0 where it was taken. */
export async function send(transaction: TestTransaction, deps: SendDeps): Promise<number> {
  const { url, secret, now, print, printError } = deps
  // Without its query, which may have a token in it.
  const where = `${url.origin}${url.pathname}`
  const body = JSON.stringify(transaction)
  const id = `msg_${randomUUID()}`
  const headers = secret ? signedHeaders(secret, id, now, Buffer.from(body)) : {}
  try {
    const answer = await ask(url, { method: 'POST', body, headers })
    print(printable(answer.body))
    if (answer.status >= 200 && answer.status <= 299) return EXIT.done
    printError(`txhook: ${where} answers ${answer.status}\n`)
  } catch (error) {
    printError(`txhook: ${where} doesn't answer: ${(error as Error).message}\n`)
  }
  return EXIT.fault
}
