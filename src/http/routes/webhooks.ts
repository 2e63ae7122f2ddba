import { Elysia } from 'elysia'
import type { Clock } from '../../clock.ts'
import type { Config } from '../../config/read-config.ts'
import { signatureFault } from '../../domain/standard-webhooks.ts'
import { parseStrictJson } from '../../domain/strict-json.ts'
import { parseTransaction, type Transaction } from '../../domain/transaction.ts'
import type { Acceptance, Store } from '../../store/store.ts'
import type { Metrics, WebhookResult } from '../../telemetry/metrics.ts'
import { type BodyHold, readBody, requireJson } from '../body.ts'
import { problemResponses, requestBody, success } from '../openapi/responses.ts'
import { PROBLEMS, Problem, RETRY_AFTER } from '../problem.ts'
import { transactionResponse } from '../response.ts'

export type WebhookDeps = {
  store: Pick<Store, 'accept'>
  clock: Clock
  config: Pick<Config, 'maxBodyBytes' | 'webhookSecrets'>
  metrics: Pick<Metrics, 'webhook'>
  /** Begins to count a body with all others under way. */
  holdBody(): BodyHold
  /** Called when there are new jobs. */
  onJobs(): void
}

/** What is signed beside the body; the signature itself is the security scheme. */
const SIGNED_HEADERS = [
  {
    name: 'webhook-id',
    in: 'header' as const,
    description: 'The id of the message, where it is signed. The same when it is sent again.',
    schema: { type: 'string' as const, example: 'msg_1' },
  },
  {
    name: 'webhook-timestamp',
    in: 'header' as const,
    description: 'When it was signed, in unix seconds; at most 300 s off. Where it is signed.',
    schema: { type: 'string' as const, pattern: '^[0-9]{1,12}$', example: '1767225600' },
  },
]

/** Where senders post transactions. */
export function webhookRoutes(deps: WebhookDeps) {
  const detail = {
    summary: 'Accept a transaction',
    description:
      'The checks come in this order: content type, size, signature, JSON, fields, backlog. Sending ' +
      'it again does no harm.',
    tags: ['Webhooks'],
    // The signature is needed where webhook secrets are set.
    security: [{ webhookSignature: [] }, {}],
    parameters: SIGNED_HEADERS,
    requestBody: requestBody('Webhook'),
    responses: {
      202: success(
        'The transaction is on disk and will be processed. One that was posted before is shown in ' +
          'its present state, with `Idempotent-Replayed: true`.',
        'Transaction',
        'Location',
        'Idempotent-Replayed',
      ),
      ...problemResponses(
        'invalid_json',
        'invalid_signature',
        'host_not_allowed',
        'cross_site',
        'transaction_conflict',
        'body_too_large',
        'unsupported_media_type',
        'invalid_transaction',
        'backlog_full',
        'overloaded',
        'storage_full',
        'storage_unavailable',
        'shutting_down',
      ),
    },
  }
  // `parse: 'none'`: Elysia leaves the body unread.
  const hook = { parse: 'none', detail } as const
  return new Elysia()
    .post('/v1/webhooks/transactions', ({ request }) => accept(request, deps), hook)
    .post('/webhook', ({ request }) => accept(request, deps), hook)
}

/** Answers a webhook, and counts it by its result. */
async function accept(request: Request, deps: WebhookDeps): Promise<Response> {
  const { store, clock, metrics, onJobs } = deps
  const beganAt = clock.monotonic()
  const body = deps.holdBody()
  let result: WebhookResult = 'unavailable'
  try {
    const received = await readTransaction(request, body, deps)
    const acceptance = await store.accept(received)
    if (acceptance.kind === 'accepted') onJobs()
    const response = responseTo(acceptance, received)
    result = acceptance.kind === 'replayed' ? 'replayed' : 'accepted'
    return response
  } catch (error) {
    if (error instanceof Problem) result = resultOf(error)
    throw error
  } finally {
    body.release()
    metrics.webhook(result, clock.monotonic() - beganAt)
  }
}

function resultOf({ code }: Problem): WebhookResult {
  switch (PROBLEMS[code].status) {
    case 400:
    case 415:
    case 422:
      return 'invalid'
    case 401:
      return 'unauthorized'
    case 409:
      return 'conflict'
    case 413:
      return 'too_large'
    default:
      return 'unavailable'
  }
}

/** The checks come in this order: content type, size, signature, JSON, fields. */
async function readTransaction(
  request: Request,
  hold: BodyHold,
  deps: WebhookDeps,
): Promise<Transaction> {
  const { maxBodyBytes, webhookSecrets } = deps.config
  requireJson(request.headers)
  const body = await readBody(request, maxBodyBytes, hold)
  if (webhookSecrets.length > 0) {
    const fault = signatureFault(request.headers, body, webhookSecrets, deps.clock.now().wall)
    if (fault !== undefined) {
      const headers = { 'www-authenticate': 'Webhook-Signature' }
      throw new Problem('invalid_signature', fault, { headers })
    }
  }
  const parsed = parseStrictJson(body, 'amount')
  if (!parsed.ok) throw new Problem('invalid_json', parsed.message)
  const transaction = parseTransaction(parsed)
  if (!Array.isArray(transaction)) return transaction
  const detail = 'The body is not a valid transaction: `errors` names every fault.'
  throw new Problem('invalid_transaction', detail, { errors: transaction })
}

function responseTo(acceptance: Acceptance, { transactionId }: Transaction): Response {
  const location = `/v1/transactions/${encodeURIComponent(transactionId)}`
  switch (acceptance.kind) {
    case 'accepted':
      return transactionResponse(202, acceptance.stored, { location })
    case 'replayed': {
      const headers = { location, 'idempotent-replayed': 'true' }
      return transactionResponse(202, acceptance.stored, headers)
    }
    case 'conflict': {
      const message = 'differs from the stored transaction'
      const errors = acceptance.differences.map(({ field: path }) => ({
        path,
        code: 'differs',
        message,
      }))
      const detail = 'A transaction of this transaction_id is stored with other content.'
      throw new Problem('transaction_conflict', detail, { errors, headers: { location } })
    }
    case 'backlog_full': {
      const detail = 'Too many transactions are unfinished. Send it again later.'
      throw new Problem('backlog_full', detail, { headers: RETRY_AFTER })
    }
    default:
      return acceptance satisfies never
  }
}
