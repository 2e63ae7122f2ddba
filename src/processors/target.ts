import type { Clock } from '../clock.ts'
import { signedHeaders } from '../domain/standard-webhooks.ts'
import type { StoredTransaction } from '../domain/transaction.ts'
import { targetJson } from '../domain/transaction-json.ts'
import { VERSION } from '../version.ts'
import { createSend, type Send } from './kept-connections.ts'
import type { Attempt, CallProcessor, Outcome } from './processor.ts'
import { httpDate, retryAfterMs } from './retry-after.ts'

export type TargetOptions = {
  /** Where each transaction is posted. */
  url: string
  /** Signs what is posted; undefined: nothing is signed. */
  secret: Uint8Array | undefined
  /** How long the head of the answer may take. */
  timeoutMs: number
  clock: Clock
}

/** Read of an answer's body; the outcome follows from the status line alone. */
const ANSWER_BYTES_MAX = 64 * 1024

/** How long the body of an answer may take: other calls wait for this place. */
const REST_MS = 1_000

/** Enough of an answer to see why the target refused a transaction. In UTF-16 code units. */
const EXCERPT_LENGTH_MAX = 200

/** Statuses besides 5xx after which another attempt may succeed. */
const TRANSIENT = [408, 425, 429]

/** What Bun's fetch calls an answer that it can't read: the target has answered. */
const UNREADABLE = [
  'Malformed_HTTP_Response',
  'InvalidHTTPResponse',
  'InvalidContentLength',
  'UnsupportedTransferEncoding',
]

/** Characters that would break a line, or change how it reads. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\s]+/gu

/**
 * Posts each transaction to a URL. Key and body are the same on each attempt, so that the target can
 * distinguish a repetition from a new transaction.
 */
export function targetProcessor(options: TargetOptions): CallProcessor {
  const send = createSend(options.clock)
  return { kind: 'call', process: (attempt) => post(attempt, options, send) }
}

async function post(
  { transaction, signal }: Attempt,
  { url, secret, timeoutMs, clock }: TargetOptions,
  send: Send,
): Promise<Outcome> {
  const body = targetJson(transaction)
  const deadline = new AbortController()
  const cancel = clock.after(timeoutMs, () => deadline.abort())
  try {
    const response = await send(url, {
      method: 'POST',
      headers: headersOf(transaction, body, secret, clock.now().wall),
      body,
      redirect: 'manual',
      // Compressed, 64 KiB could be any number of bytes.
      decompress: false,
      // Bun's own timeout of five minutes; the deadline is ours.
      timeout: false,
      signal: AbortSignal.any([deadline.signal, signal]),
    })
    const cancelRest = clock.after(REST_MS, () => deadline.abort())
    const excerpt = await excerptOf(response).finally(cancelRest)
    return outcomeOf(response, excerpt, clock.now().wall)
  } catch (error) {
    if (signal.aborted) throw error
    const { code } = error as { code?: string }
    if (code === 'UnrequestedUpgrade') return refusal(101, '')
    const detail = deadline.signal.aborted
      ? `The target did not answer within ${timeoutMs} ms.`
      : withoutAnswer(code)
    return { kind: 'retry', detail }
  } finally {
    cancel()
  }
}

function withoutAnswer(code = 'the connection failed'): string {
  return UNREADABLE.includes(code)
    ? `The target's answer is not valid HTTP, or has more than 256 headers: ${code}.`
    : `There was no answer from the target: ${code}.`
}

/** @param now wall time in ms */
function headersOf(
  transaction: StoredTransaction,
  body: string,
  secret: Uint8Array | undefined,
  now: number,
): Record<string, string> {
  const key = headerKey(transaction.transactionId)
  const headers = {
    'content-type': 'application/json',
    'accept-encoding': 'identity',
    'user-agent': `txhook/${VERSION}`,
    'idempotency-key': key,
    'webhook-id': key,
  }
  return secret ? { ...headers, ...signedHeaders(secret, key, now, Buffer.from(body)) } : headers
}

/**
 * An id as a header value: each byte of its UTF-8 outside `A-Z a-z 0-9 _ - ~` percent-encoded. The
 * dot too, since it ends the id in what Standard Webhooks signs.
 */
export function headerKey(transactionId: string): string {
  return encodeURIComponent(transactionId).replace(
    /[.!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/**
 * The outcome by the status line: 2xx, those that are tried again, all others. A date in `Retry-After`
 * counts from the answer's own `Date`, where it has one: the target's clock may be another.
 */
function outcomeOf({ status, headers }: Response, excerpt: string, now: number): Outcome {
  if (status >= 200 && status <= 299) return { kind: 'done', httpStatus: status }
  if (!TRANSIENT.includes(status) && (status < 500 || status > 599)) return refusal(status, excerpt)
  return {
    kind: 'retry',
    httpStatus: status,
    detail: answered(status, excerpt),
    retryAfterMs: retryAfterMs(headers.get('retry-after'), httpDate(headers.get('date')) ?? now),
  }
}

function refusal(status: number, excerpt: string): Outcome {
  return { kind: 'fail', httpStatus: status, detail: answered(status, excerpt) }
}

function answered(status: number, excerpt: string): string {
  return `The target answered ${status}${excerpt === '' ? '.' : `: ${excerpt}`}`
}

/**
 * Reads an answer to its end, so that its connection can be used again; that of one which is too
 * long, breaks off or doesn't end in time is closed. Returns its beginning in one line.
 */
async function excerptOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  const reader = body?.getReader()
  try {
    while (reader && bytes <= ANSWER_BYTES_MAX) {
      const { done, value } = await reader.read()
      if (done) break
      chunks.push(value)
      bytes += value.byteLength
    }
    if (bytes > ANSWER_BYTES_MAX) await reader?.cancel()
  } catch {
    // The outcome follows from the status line.
  }
  const start = Buffer.concat(chunks)
    .subarray(0, EXCERPT_LENGTH_MAX * 4)
    .toString()
  const line = start.replace(UNPRINTABLE, ' ').trim().slice(0, EXCERPT_LENGTH_MAX)
  // Not half of a character at its end.
  return line.replace(/[\ud800-\udbff]$/, '').trim()
}
