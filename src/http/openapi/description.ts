/** What people read first of the OpenAPI document. */

import { CIRCUIT_BREAKER, LIMITS } from '../../documentation.ts'
import { PROBLEMS } from '../problem.ts'

/** `documentation.tags` of the document. */
export const tags = [
  { name: 'Health', description: 'For load balancers, orchestrators and Prometheus.' },
  { name: 'Webhooks', description: 'Where senders post transactions.' },
  { name: 'Transactions', description: 'What has become of them, and retries of FAILED ones.' },
  { name: 'Conflicts', description: 'Webhooks with a known id and other content.' },
]

/** The text at the top of the docs page, with a table of every error. */
export const DESCRIPTION = `Accepts transaction webhooks durably and processes them in the background.

Every error is \`application/problem+json\` (RFC 9457), with one of these as its \`code\`.
An unknown path is 404 with and without a key. HEAD is answered where GET is.

| code | status | meaning |
|---|---|---|
${Object.entries(PROBLEMS)
  .map(([code, { status, meaning }]) => `| \`${code}\` | ${status} | ${meaning} |`)
  .join('\n')}

${CIRCUIT_BREAKER}

${LIMITS}
`
