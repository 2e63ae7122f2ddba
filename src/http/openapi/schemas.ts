/** What the OpenAPI document says of bodies and of parameters. */

import type { ElysiaSwaggerConfig } from '@elysiajs/swagger'
import { FILTER_NAMES, FILTERS } from '../../domain/filter.ts'
import {
  ACCOUNT_LENGTH_MAX,
  ATTEMPT_OUTCOMES,
  FIELDS,
  STATUSES,
  TRANSACTION_ID_LENGTH_MAX,
} from '../../domain/transaction.ts'
import { PROBLEMS } from '../problem.ts'

type Components = NonNullable<NonNullable<ElysiaSwaggerConfig['documentation']>['components']>
type Schemas = NonNullable<Components['schemas']>

const time = { type: 'string', format: 'date-time' } as const
const timeOrNull = { ...time, nullable: true } as const

const fields = {
  transaction_id: {
    type: 'string',
    minLength: 1,
    maxLength: TRANSACTION_ID_LENGTH_MAX,
    example: 'txn_001',
  },
  source_account: { type: 'string', minLength: 1, maxLength: ACCOUNT_LENGTH_MAX, example: 'A123' },
  destination_account: {
    type: 'string',
    minLength: 1,
    maxLength: ACCOUNT_LENGTH_MAX,
    example: 'B456',
  },
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

const required = Object.keys(fields)

/** A page of a list, of whatever its rows are. */
function page(row: string): Schemas[string] {
  return {
    type: 'object',
    required: ['data', 'next_cursor'],
    properties: {
      data: { type: 'array', items: { $ref: `#/components/schemas/${row}` } },
      next_cursor: { type: 'string', nullable: true, description: 'Null on the last page.' },
    },
  }
}

/** What the docs page begins with: every error that can be answered, in one table. */
export const DESCRIPTION = `Transaction webhooks, taken and processed.

Every error is \`application/problem+json\` (RFC 9457), with one of these as its \`code\`:

| code | status | meaning |
|---|---|---|
${Object.entries(PROBLEMS)
  .map(([code, { status, meaning }]) => `| \`${code}\` | ${status} | ${meaning} |`)
  .join('\n')}
`

/** `documentation.components` of the document. */
export const components = {
  securitySchemes: {
    apiKey: {
      type: 'http',
      scheme: 'bearer',
      description: 'One of `--api-keys`, where there are any.',
    },
  },
  schemas: {
    Webhook: {
      type: 'object',
      required,
      properties: fields,
      additionalProperties: true,
      description: 'Members beyond the five are kept and shown as `extra`.',
    },
    Transaction: {
      type: 'object',
      required: [
        ...required,
        'status',
        'attempts',
        'created_at',
        'processing_started_at',
        'processed_at',
        'error',
        'extra',
      ],
      properties: {
        ...fields,
        amount: { type: 'number', description: 'In major units.', example: 100 },
        status: { type: 'string', enum: [...STATUSES] },
        attempts: { type: 'integer', minimum: 0, description: 'Attempts begun.' },
        created_at: time,
        processing_started_at: { ...timeOrNull, description: 'When the first attempt began.' },
        processed_at: timeOrNull,
        error: {
          type: 'string',
          nullable: true,
          description: 'Why the last attempt did not succeed.',
        },
        extra: { type: 'object', additionalProperties: true },
      },
    },
    Transactions: page('Transaction'),
    Attempts: {
      type: 'object',
      required: ['data'],
      properties: {
        data: {
          type: 'array',
          items: {
            type: 'object',
            required: ['attempt', 'started_at', 'finished_at', 'outcome', 'http_status', 'detail'],
            properties: {
              attempt: { type: 'integer', minimum: 1 },
              started_at: time,
              finished_at: timeOrNull,
              outcome: {
                type: 'string',
                enum: [...ATTEMPT_OUTCOMES],
                nullable: true,
                description: 'Null while it is under way.',
              },
              http_status: {
                type: 'integer',
                nullable: true,
                description: 'What the target answered, where it did.',
              },
              detail: { type: 'string', nullable: true },
            },
          },
        },
      },
    },
    Retry: {
      type: 'object',
      required: ['filter', 'dry_run'],
      additionalProperties: false,
      properties: {
        filter: {
          type: 'object',
          description: 'Those that are FAILED and have all of these; empty: all that are FAILED.',
          additionalProperties: false,
          properties: Object.fromEntries(FILTER_NAMES.map((name) => [name, FILTERS[name].schema])),
        },
        dry_run: { type: 'boolean', description: 'Only count them.' },
      },
    },
    Retries: {
      type: 'object',
      required: ['matched', 'retried'],
      properties: {
        matched: { type: 'integer', minimum: 0 },
        retried: { type: 'integer', minimum: 0 },
      },
    },
    Conflict: {
      type: 'object',
      required: ['transaction_id', 'received_at', 'differences'],
      properties: {
        transaction_id: fields.transaction_id,
        received_at: time,
        differences: {
          type: 'array',
          items: {
            type: 'object',
            required: ['field', 'stored', 'received'],
            properties: {
              field: { type: 'string', enum: [...FIELDS] },
              stored: { oneOf: [{ type: 'string' }, { type: 'number' }] },
              received: { oneOf: [{ type: 'string' }, { type: 'number' }] },
            },
          },
        },
      },
    },
    Conflicts: page('Conflict'),
    Problem: {
      type: 'object',
      description: 'RFC 9457.',
      required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
      properties: {
        type: { type: 'string', format: 'uri-reference' },
        title: { type: 'string' },
        status: { type: 'integer' },
        detail: { type: 'string' },
        code: { type: 'string', enum: Object.keys(PROBLEMS) },
        request_id: { type: 'string', format: 'uuid' },
        errors: {
          type: 'array',
          items: {
            type: 'object',
            required: ['path', 'code', 'message'],
            properties: {
              path: { type: 'string' },
              code: { type: 'string' },
              message: { type: 'string' },
            },
          },
        },
      },
    },
  },
} satisfies Components
