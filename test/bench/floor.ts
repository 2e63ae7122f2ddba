/**
 * What ingest is measured against: a plain Elysia route with the same body schema, that answers 202
 * with the same response body and stores nothing.
 */

import { Elysia, t } from 'elysia'

const identifier = (maxLength: number) => t.String({ minLength: 1, maxLength })

const app = new Elysia().post(
  '/webhook',
  ({ body, set }) => {
    set.status = 202
    return {
      ...body,
      status: 'PENDING',
      attempts: 0,
      created_at: new Date().toISOString(),
      processing_started_at: null,
      processed_at: null,
      error: null,
      extra: {},
    }
  },
  {
    body: t.Object({
      transaction_id: identifier(255),
      source_account: identifier(128),
      destination_account: identifier(128),
      amount: t.Number({ exclusiveMinimum: 0 }),
      currency: t.String({ minLength: 3, maxLength: 3 }),
    }),
  },
)

Bun.serve({ port: Number(process.argv[2]), hostname: '127.0.0.1', fetch: app.fetch })
