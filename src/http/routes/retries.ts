import { Elysia } from 'elysia'
import type { Config } from '../../config/read-config.ts'
import { FILTER_NAMES } from '../../domain/filter.ts'
import { parseStrictJson } from '../../domain/strict-json.ts'
import type { JsonObject } from '../../domain/transaction.ts'
import type { Store } from '../../store/sqlite/open-store.ts'
import { readBody, requireJson } from '../body.ts'
import { authenticatedErrors, RETRIES, RETRY, TRANSACTION } from '../openapi/responses.ts'
import { Problem, type ProblemPart } from '../problem.ts'
import { filterOf, readParameters, readQuery } from '../query.ts'
import { dataResponse, decodedId, transactionResponse, unknownTransaction } from '../response.ts'

export type RetriesDeps = {
  store: Pick<Store, 'retries'>
  config: Pick<Config, 'maxBodyBytes'>
  /** Called when the answer to a request may take long. */
  extendTimeout(request: Request): void
  /** Called when there are new jobs. */
  onJobs(): void
}

/** What operators do about transactions that are FAILED: try them again. */
export function retries(deps: RetriesDeps) {
  const { store, onJobs } = deps
  const refused = [
    'cross_site',
    'overloaded',
    'storage_full',
    'storage_unavailable',
    'shutting_down',
  ] as const
  const one = {
    summary: 'Try a FAILED transaction again',
    tags: ['Transactions'],
    responses: {
      202: { description: 'It will be tried, with all its attempts', content: TRANSACTION },
      ...authenticatedErrors(
        'invalid_path',
        'transaction_not_found',
        'transaction_not_failed',
        'invalid_parameters',
        ...refused,
      ),
    },
  }
  const many = {
    summary: 'Try all FAILED transactions of a filter again, or count them',
    tags: ['Transactions'],
    requestBody: { required: true, content: RETRY },
    responses: {
      200: { description: 'How many there were, and how many will be tried', content: RETRIES },
      ...authenticatedErrors(
        'invalid_json',
        'body_too_large',
        'unsupported_media_type',
        'invalid_parameters',
        ...refused,
      ),
    },
  }
  return new Elysia({ name: 'retries' })
    .post(
      '/v1/transactions/:transaction_id/retry',
      async ({ params, request }) => {
        readQuery(request.url, [])
        const retry = await store.retries.one(decodedId(params.transaction_id, request.url))
        switch (retry.kind) {
          case 'retried':
            onJobs()
            return transactionResponse(202, retry.stored)
          case 'not_failed':
            return notFailed(retry.stored.status)
          case 'unknown':
            return unknownTransaction()
          default:
            return retry satisfies never
        }
      },
      { parse: 'none', detail: one },
    )
    .post(
      '/v1/transactions/retry',
      async ({ request }) => {
        readQuery(request.url, [])
        const { filter, dryRun } = await readRetry(request, deps)
        deps.extendTimeout(request)
        const retries = store.retries.all(filter, dryRun, request.signal)
        // Where the storage refuses on the way, what came before it stands.
        void retries.then(({ retried }) => void (retried > 0 && onJobs()), onJobs)
        return dataResponse(await retries)
      },
      { parse: 'none', detail: many },
    )
}

function notFailed(status: string): never {
  throw new Problem('transaction_not_failed', 'Only a FAILED transaction can be tried again.', {
    errors: [{ path: 'status', code: 'not_failed', message: `is ${status}` }],
  })
}

/** Both members are required: what retries everything should not be what was left out. */
async function readRetry(request: Request, { config }: RetriesDeps) {
  requireJson(request.headers)
  const parsed = parseStrictJson(await readBody(request, config.maxBodyBytes))
  if (!parsed.ok) throw new Problem('invalid_json', parsed.message)
  const parts: ProblemPart[] = []
  const body = objectAt('', parsed.value, parts)
  if (parts.length > 0) throw invalidRetry(parts)
  const { filter, dry_run, ...others } = body
  const given = objectAt('filter', filter, parts)
  const parameters = readParameters(Object.entries(given), FILTER_NAMES, 'filter.', parts)
  if (parameters.status !== undefined && parameters.status !== 'FAILED') {
    const message = 'must be FAILED, or be left out: nothing else can be tried again'
    parts.push({ path: 'filter.status', code: 'value', message })
  }
  if (typeof dry_run !== 'boolean') {
    const message = dry_run === undefined ? 'is missing' : 'must be true or false'
    const code = dry_run === undefined ? 'required' : 'type'
    parts.push({ path: 'dry_run', code, message })
  }
  for (const path of Object.keys(others)) {
    parts.push({ path, code: 'unknown', message: 'is not known here' })
  }
  if (parts.length === 0) return { filter: filterOf(parameters), dryRun: dry_run as boolean }
  throw invalidRetry(parts)
}

function invalidRetry(errors: readonly ProblemPart[]): Problem {
  const detail = 'The body is not a retry: `errors` names every fault.'
  return new Problem('invalid_parameters', detail, { errors })
}

function objectAt(path: string, value: unknown, parts: ProblemPart[]): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as JsonObject
  const missing = value === undefined
  const message = missing ? 'is missing' : 'must be a JSON object'
  parts.push({ path, code: missing ? 'required' : 'type', message })
  return {}
}
