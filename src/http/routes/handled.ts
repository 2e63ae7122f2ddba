import { Elysia } from 'elysia'
import type { Config } from '../../config/read-config.ts'
import { textUpTo } from '../../domain/filter.ts'
import { NOTE_LENGTH_MAX } from '../../domain/transaction.ts'
import { BadValue } from '../../domain/values.ts'
import type { Store } from '../../store/store.ts'
import type { Log } from '../../telemetry/log.ts'
import { actorOf } from '../access.ts'
import { type JsonBodyDeps, readJsonObject, wrongType } from '../json-object.ts'
import { authenticatedErrors, requestBody, success } from '../openapi/responses.ts'
import { Problem, type ProblemPart, unknownPart } from '../problem.ts'
import { readTransactionId } from '../query.ts'
import { throwNotFailed, throwNotFound, transactionResponse } from '../response.ts'

export type HandledDeps = JsonBodyDeps & {
  store: Pick<Store, 'handled'>
  config: Pick<Config, 'apiKeys'>
  log: Pick<Log, 'info'>
}

/** Notes that a FAILED transaction has been dealt with elsewhere. */
export function handledRoute(deps: HandledDeps) {
  // `parse: 'none'`: Elysia leaves the body unread.
  return new Elysia({ detail: { tags: ['Transactions'] } }).post(
    '/v1/transactions/:transaction_id/handled',
    ({ params, request }) => handle(readTransactionId(params, request), request, deps),
    {
      parse: 'none',
      detail: {
        summary: 'Note that a FAILED transaction has been dealt with elsewhere',
        description: 'It stays FAILED. A retry takes the note away.',
        requestBody: requestBody('Handled'),
        responses: {
          200: success('It is still FAILED, with the note until it is retried', 'Transaction'),
          ...authenticatedErrors(
            'invalid_path',
            'invalid_json',
            'cross_site',
            'transaction_not_found',
            'transaction_not_failed',
            'body_too_large',
            'unsupported_media_type',
            'invalid_parameters',
            'overloaded',
            'storage_full',
            'storage_unavailable',
            'shutting_down',
          ),
        },
      },
    },
  )
}

async function handle(
  transaction_id: string,
  request: Request,
  deps: HandledDeps,
): Promise<Response> {
  const { store, config, log } = deps
  const note = await readNote(request, deps)
  const by = actorOf(request, config.apiKeys)
  const result = await store.handled(transaction_id, note, by)
  switch (result.kind) {
    case 'handled':
      log.info('a FAILED transaction is handled', { by, transaction_id })
      return transactionResponse(200, result.stored)
    case 'not_failed':
      return throwNotFailed(result.stored, 'Only a FAILED transaction can be noted as handled.')
    case 'unknown':
      return throwNotFound()
    default:
      return result satisfies never
  }
}

/** Reads `{note}`. */
async function readNote(request: Request, deps: HandledDeps): Promise<string> {
  const errors: ProblemPart[] = []
  const { note, ...others } = await readJsonObject(request, deps, errors)
  const isObject = errors.length === 0
  if (isObject && typeof note !== 'string') errors.push(wrongType('note', note, 'a string'))
  if (typeof note === 'string') checkLength(note, errors)
  for (const path of Object.keys(others)) errors.push(unknownPart(path))
  if (errors.length === 0) return note as string
  const detail = 'The body is not a valid note: `errors` names every fault.'
  throw new Problem('invalid_parameters', detail, { errors })
}

function checkLength(note: string, errors: ProblemPart[]): void {
  try {
    textUpTo(NOTE_LENGTH_MAX)(note)
  } catch (error) {
    if (!(error instanceof BadValue)) throw error
    errors.push({ path: 'note', code: 'value', message: error.message })
  }
}
