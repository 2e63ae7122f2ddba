import { Elysia } from 'elysia'
import type { Config } from '../../config/read-config.ts'
import { FILTER_NAMES } from '../../domain/filter.ts'
import { parseStrictJson } from '../../domain/strict-json.ts'
import type { JsonObject } from '../../domain/transaction.ts'
import type { Store } from '../../store/store.ts'
import { type BodyHold, readBody, requireJson } from '../body.ts'
import { authenticatedErrors, requestBody, success } from '../openapi/responses.ts'
import { Problem, type ProblemPart } from '../problem.ts'
import { readParameters, readQuery, readTransactionId } from '../query.ts'
import { throwNotFound, transactionResponse } from '../response.ts'

export type RetryDeps = {
  store: Pick<Store, 'retry' | 'retryAll'>
  config: Pick<Config, 'maxBodyBytes'>
  /** Begins to count a body with all others under way. */
  holdBody(): BodyHold
  /** Called where the answer to a request may take long. */
  extendTimeout(request: Request): void
  /** Called when there are new jobs. */
  onJobs(): void
}

/** Manual retries of FAILED transactions: of one, or of all that match a filter. */
export function retryRoutes(deps: RetryDeps) {
  const refusals = [
    'cross_site',
    'overloaded',
    'storage_full',
    'storage_unavailable',
    'shutting_down',
  ] as const
  // `parse: 'none'`: Elysia leaves the body unread.
  return new Elysia({ detail: { tags: ['Transactions'] } })
    .post(
      '/v1/transactions/:transaction_id/retry',
      ({ params, request }) => retryOne(readTransactionId(params, request), deps),
      {
        parse: 'none',
        detail: {
          summary: 'Retry a FAILED transaction',
          description: 'It gets `--max-attempts` new attempts; `attempts` counts on.',
          responses: {
            202: success('It is PENDING again, with all its attempts', 'Transaction'),
            ...authenticatedErrors(
              'invalid_path',
              'transaction_not_found',
              'transaction_not_failed',
              'invalid_parameters',
              ...refusals,
            ),
          },
        },
      },
    )
    .post('/v1/transactions/retry', ({ request }) => retryAll(request, deps), {
      parse: 'none',
      detail: {
        summary: 'Retry the FAILED transactions that match a filter, or count them',
        description:
          'Many take many commits: where one of them fails, those before it stand, and the same ' +
          'request continues.',
        requestBody: requestBody('Retry'),
        responses: {
          200: success('How many match, and how many of these are PENDING again', 'Retries'),
          ...authenticatedErrors(
            'invalid_json',
            'body_too_large',
            'unsupported_media_type',
            'invalid_parameters',
            ...refusals,
          ),
        },
      },
    })
}

async function retryOne(transactionId: string, { store, onJobs }: RetryDeps): Promise<Response> {
  const retry = await store.retry(transactionId)
  switch (retry.kind) {
    case 'retried':
      onJobs()
      return transactionResponse(202, retry.stored)
    case 'not_failed': {
      const message = `is ${retry.stored.status}`
      const errors = [{ path: 'status', code: 'not_failed', message }]
      const detail = 'Only a FAILED transaction can be tried again.'
      throw new Problem('transaction_not_failed', detail, { errors })
    }
    case 'unknown':
      return throwNotFound()
    default:
      return retry satisfies never
  }
}

async function retryAll(request: Request, deps: RetryDeps): Promise<Response> {
  readQuery(request.url, [])
  const { filter, dryRun } = await readRetry(request, deps)
  deps.extendTimeout(request)
  try {
    const result = await deps.store.retryAll(filter, { dryRun }, request.signal)
    if (result.retried > 0) deps.onJobs()
    return Response.json(result)
  } catch (error) {
    // The commits before the one that failed stand.
    deps.onJobs()
    throw error
  }
}

/** Reads `{filter, dry_run}`. Both are required, so that a typo never retries everything. */
async function readRetry(request: Request, deps: RetryDeps) {
  const parsed = await readJson(request, deps)
  const errors: ProblemPart[] = []
  const body = objectAt('', parsed, errors)
  if (errors.length > 0) throw invalidRetry(errors)
  const { filter, dry_run, ...others } = body
  const given = Object.entries(objectAt('filter', filter, errors))
  const parameters = readParameters(given, FILTER_NAMES, 'filter.', errors)
  if (parameters.status !== undefined && parameters.status !== 'FAILED') {
    const message = 'must be FAILED or left out: only FAILED transactions can be retried'
    errors.push({ path: 'filter.status', code: 'value', message })
  }
  if (typeof dry_run !== 'boolean') errors.push(wrongType('dry_run', dry_run, 'true or false'))
  for (const path of Object.keys(others)) {
    errors.push({ path, code: 'unknown', message: 'is unknown here' })
  }
  if (errors.length > 0) throw invalidRetry(errors)
  return { filter: parameters, dryRun: dry_run === true }
}

async function readJson(request: Request, { config, holdBody }: RetryDeps): Promise<unknown> {
  requireJson(request.headers)
  const hold = holdBody()
  try {
    const parsed = parseStrictJson(await readBody(request, config.maxBodyBytes, hold))
    if (!parsed.ok) throw new Problem('invalid_json', parsed.message)
    return parsed.value
  } finally {
    hold.release()
  }
}

function invalidRetry(errors: readonly ProblemPart[]): Problem {
  const detail = 'The body is not a valid retry: `errors` names every fault.'
  return new Problem('invalid_parameters', detail, { errors })
}

function objectAt(path: string, value: unknown, errors: ProblemPart[]): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as JsonObject
  errors.push(wrongType(path, value, 'a JSON object'))
  return {}
}

function wrongType(path: string, value: unknown, expected: string): ProblemPart {
  if (value === undefined) return { path, code: 'required', message: 'is missing' }
  return { path, code: 'type', message: `must be ${expected}` }
}
