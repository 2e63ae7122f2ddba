import { Elysia } from 'elysia'
import type { Config } from '../../config/read-config.ts'
import { FILTER_NAMES, type TransactionFilter } from '../../domain/filter.ts'
import { isoTime } from '../../domain/iso-time.ts'
import type { Store } from '../../store/store.ts'
import type { Log } from '../../telemetry/log.ts'
import { actorOf } from '../access.ts'
import { type JsonBodyDeps, objectAt, readJsonObject, wrongType } from '../json-object.ts'
import { authenticatedErrors, requestBody, success } from '../openapi/responses.ts'
import { Problem, type ProblemPart, unknownPart } from '../problem.ts'
import { readParameters, readQuery, readTransactionId } from '../query.ts'
import { throwNotFailed, throwNotFound, transactionResponse } from '../response.ts'

export type RetryDeps = JsonBodyDeps & {
  store: Pick<Store, 'retry' | 'retryAll'>
  config: Pick<Config, 'apiKeys'>
  log: Pick<Log, 'info'>
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
      ({ params, request }) => retryOne(readTransactionId(params, request), request, deps),
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

async function retryOne(
  transaction_id: string,
  request: Request,
  { store, config, log, onJobs }: RetryDeps,
): Promise<Response> {
  const by = actorOf(request, config.apiKeys)
  const retry = await store.retry(transaction_id, by)
  switch (retry.kind) {
    case 'retried':
      onJobs()
      log.info('a FAILED transaction is retried', { by, transaction_id })
      return transactionResponse(202, retry.stored)
    case 'not_failed':
      return throwNotFailed(retry.stored, 'Only a FAILED transaction can be tried again.')
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
  const by = actorOf(request, deps.config.apiKeys)
  try {
    const result = await deps.store.retryAll(filter, { dryRun, by }, request.signal)
    const { retried } = result
    if (retried > 0) {
      deps.onJobs()
      deps.log.info('FAILED transactions are retried', { by, filter: filterJson(filter), retried })
    }
    return Response.json(result)
  } catch (error) {
    // The commits before the one that failed stand.
    deps.onJobs()
    throw error
  }
}

/** A filter as the request had it: its times in ISO 8601. */
function filterJson(filter: TransactionFilter): Record<string, string> {
  const entries = Object.entries(filter).map(([name, value]) => [
    name,
    typeof value === 'number' ? isoTime(value) : value,
  ])
  return Object.fromEntries(entries)
}

/** Reads `{filter, dry_run}`. Both are required, so that a typo never retries everything. */
async function readRetry(request: Request, deps: RetryDeps) {
  const errors: ProblemPart[] = []
  const body = await readJsonObject(request, deps, errors)
  if (errors.length > 0) throw invalidRetry(errors)
  const { filter, dry_run, ...others } = body
  const given = Object.entries(objectAt('filter', filter, errors))
  const parameters = readParameters(given, FILTER_NAMES, 'filter.', errors)
  if (parameters.status !== undefined && parameters.status !== 'FAILED') {
    const message = 'must be FAILED or left out: only FAILED transactions can be retried'
    errors.push({ path: 'filter.status', code: 'value', message })
  }
  if (typeof dry_run !== 'boolean') errors.push(wrongType('dry_run', dry_run, 'true or false'))
  for (const path of Object.keys(others)) errors.push(unknownPart(path))
  if (errors.length > 0) throw invalidRetry(errors)
  return { filter: parameters, dryRun: dry_run === true }
}

function invalidRetry(errors: readonly ProblemPart[]): Problem {
  const detail = 'The body is not a valid retry: `errors` names every fault.'
  return new Problem('invalid_parameters', detail, { errors })
}
