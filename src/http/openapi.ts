/** The parts of the OpenAPI document that several routes share. */

import type { ElysiaSwaggerConfig } from '@elysiajs/swagger'
import { STATUSES } from '../transaction.ts'
import { PROBLEMS, type ProblemCode } from './problem.ts'

type Components = NonNullable<NonNullable<ElysiaSwaggerConfig['documentation']>['components']>
type Schemas = NonNullable<Components['schemas']>

const time = { type: 'string', format: 'date-time' } as const
const timeOrNull = { ...time, nullable: true } as const

const fields = {
  transaction_id: { type: 'string', minLength: 1, maxLength: 255, example: 'txn_001' },
  source_account: { type: 'string', minLength: 1, maxLength: 128, example: 'A123' },
  destination_account: { type: 'string', minLength: 1, maxLength: 128, example: 'B456' },
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

/** `documentation.components` of the document. */
export const components = {
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

export const WEBHOOK = content('application/json', 'Webhook')
export const TRANSACTION = content('application/json', 'Transaction')

/** The error answers of a route, by status; several codes may share one. */
export function describeProblems(...codes: ProblemCode[]) {
  const responses: Record<string, { description: string; content: ReturnType<typeof content> }> = {}
  for (const code of [...codes, 'internal_error'] as const) {
    const { status, meaning } = PROBLEMS[code]
    const before = responses[status]?.description
    const description = `${before ? `${before}; ` : ''}${meaning} (\`${code}\`)`
    responses[status] = { description, content: content('application/problem+json', 'Problem') }
  }
  return responses
}

function content(type: string, schema: keyof (typeof components)['schemas']) {
  return { [type]: { schema: { $ref: `#/components/schemas/${schema}` } } }
}
