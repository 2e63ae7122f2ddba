/** The schemas of the OpenAPI document. */

import type { ElysiaSwaggerConfig } from '@elysiajs/swagger'
import { FILTER_NAMES, FILTERS } from '../../domain/filter.ts'
import {
  ACCOUNT_LENGTH_MAX,
  ATTEMPT_OUTCOMES,
  FIELDS,
  NOTE_LENGTH_MAX,
  STATUSES,
  TRANSACTION_ID_LENGTH_MAX,
} from '../../domain/transaction.ts'
import { PROBLEMS } from '../problem.ts'
import { headers } from './headers.ts'

type Components = NonNullable<NonNullable<ElysiaSwaggerConfig['documentation']>['components']>
type Schemas = NonNullable<Components['schemas']>
type Schema = Schemas[string]

const text = { type: 'string' } as const
const time = { type: 'string', format: 'date-time' } as const
const count = { type: 'integer', minimum: 0 } as const
const textOrNumber = { oneOf: [{ type: 'string' }, { type: 'number' }] } satisfies Schema
const note = { type: 'string', minLength: 1, maxLength: NOTE_LENGTH_MAX } as const
const account = { type: 'string', minLength: 1, maxLength: ACCOUNT_LENGTH_MAX } as const

/** An object that always has the members of `required`. */
function object(required: Schemas, optional: Schemas = {}) {
  const properties = { ...required, ...optional }
  return { type: 'object' as const, required: Object.keys(required), properties }
}

function array(items: Schema) {
  return { type: 'array' as const, items }
}

function page(row: string) {
  return object({
    data: array({ $ref: `#/components/schemas/${row}` }),
    next_cursor: { ...text, nullable: true, description: 'Null on the last page.' },
  })
}

const fields = {
  transaction_id: {
    type: 'string',
    minLength: 1,
    maxLength: TRANSACTION_ID_LENGTH_MAX,
    example: 'txn_001',
  },
  source_account: { ...account, example: 'A123' },
  destination_account: { ...account, example: 'B456' },
  amount: {
    description: 'In major units: a number, or a decimal string.',
    example: 100,
    oneOf: [
      { type: 'number', minimum: 0, exclusiveMinimum: true },
      { type: 'string', pattern: '^(0|[1-9][0-9]*)(\\.[0-9]+)?$' },
    ],
  },
  currency: {
    description: 'A code of ISO 4217 that has minor units.',
    type: 'string',
    example: 'USD',
  },
} satisfies Schemas

const attempt = object({
  attempt: { type: 'integer', minimum: 1 },
  started_at: time,
  finished_at: { ...time, nullable: true },
  outcome: {
    ...text,
    enum: [...ATTEMPT_OUTCOMES, null],
    nullable: true,
    description: 'Null while the attempt is under way.',
  },
  http_status: {
    type: 'integer',
    nullable: true,
    description: 'The status of the answer of the target, where there was one.',
  },
  detail: { ...text, nullable: true },
})

/** `documentation.components` of the document. */
export const components = {
  securitySchemes: {
    apiKey: { type: 'http', scheme: 'bearer', description: 'One of `--api-keys`, where set.' },
    webhookSignature: {
      type: 'apiKey',
      in: 'header',
      name: 'webhook-signature',
      description:
        'Where `--webhook-secrets` are set: Standard Webhooks (https://www.standardwebhooks.com), ' +
        'symmetric. `v1,` and the base64 of an HMAC-SHA256 over `webhook-id`, a dot, ' +
        '`webhook-timestamp`, a dot and the body as sent, with the base64-decoded part of a ' +
        '`whsec_…` secret as its key. Several are separated by spaces: one that matches is enough. ' +
        'The `svix-*` names of the three headers count where no `webhook-*` one is sent.',
    },
  },
  headers,
  schemas: {
    Webhook: {
      ...object(fields),
      additionalProperties: true,
      description: 'Other members are kept, and shown as `extra`, their numbers digit for digit.',
    },
    Transaction: object({
      ...fields,
      amount: { type: 'number', description: 'In major units.', example: 100 },
      status: { type: 'string', enum: [...STATUSES] },
      attempts: { ...count, description: 'Attempts begun.' },
      created_at: time,
      processing_started_at: {
        ...time,
        nullable: true,
        description: 'When the first attempt began.',
      },
      processed_at: { ...time, nullable: true },
      next_attempt_at: { ...time, nullable: true, description: 'When a PENDING one is due.' },
      handled: {
        ...object({ at: time, note }),
        nullable: true,
        description: 'Of a FAILED one that has been dealt with elsewhere.',
      },
      error: { ...text, nullable: true, description: 'Why the last attempt did not succeed.' },
      extra: { type: 'object', additionalProperties: true },
    }),
    Health: object({
      status: { type: 'string', enum: ['HEALTHY', 'UNHEALTHY'] },
      current_time: time,
    }),
    Liveness: object({ status: { type: 'string', enum: ['LIVE'] } }),
    Readiness: object({
      status: { type: 'string', enum: ['READY'] },
      checks: object(
        {
          storage: text,
          scheduler: text,
          shutdown: text,
          backlog: { ...text, description: '`ok`, or that there is no room for new transactions.' },
        },
        { target: { ...text, description: '`ok`, or since when it fails. Where there is one.' } },
      ),
    }),
    Transactions: page('Transaction'),
    Attempts: object({ data: array(attempt) }),
    Handled: { ...object({ note }), additionalProperties: false },
    Retry: {
      ...object({
        filter: {
          type: 'object',
          description: 'The FAILED transactions that match all of these; empty: all FAILED ones.',
          additionalProperties: false,
          properties: Object.fromEntries(FILTER_NAMES.map((name) => [name, FILTERS[name].schema])),
        },
        dry_run: { type: 'boolean', description: 'Only count them.' },
      }),
      additionalProperties: false,
    },
    Retries: object({ matched: count, retried: count }),
    Conflict: object({
      transaction_id: fields.transaction_id,
      received_at: time,
      last_received_at: { ...time, description: 'Of the last one with the same differences.' },
      count: { type: 'integer', minimum: 1, description: 'How many had these differences.' },
      differences: array(
        object({
          field: { type: 'string', enum: [...FIELDS] },
          stored: textOrNumber,
          received: textOrNumber,
        }),
      ),
    }),
    Conflicts: page('Conflict'),
    Problem: {
      ...object(
        {
          type: { type: 'string', format: 'uri-reference' },
          title: text,
          status: { type: 'integer' },
          detail: text,
          code: { type: 'string', enum: Object.keys(PROBLEMS) },
          request_id: { type: 'string', format: 'uuid' },
        },
        { errors: array(object({ path: text, code: text, message: text })) },
      ),
      description: 'RFC 9457.',
    },
  },
} satisfies Components
