/** The parts of the OpenAPI document that several routes share. */

import { PROBLEMS, type ProblemCode } from '../problem.ts'
import { PARAMETERS, type Parameter } from '../query.ts'
import type { components } from './schemas.ts'

export const WEBHOOK = content('application/json', 'Webhook')
export const TRANSACTION = content('application/json', 'Transaction')
export const TRANSACTIONS = content('application/json', 'Transactions')
export const ATTEMPTS = content('application/json', 'Attempts')
export const RETRY = content('application/json', 'Retry')
export const RETRIES = content('application/json', 'Retries')
export const CONFLICTS = content('application/json', 'Conflicts')

/** What a route has in its details that needs no key. */
export const OPEN = { security: [] }

/** The error answers of a route that needs a key. */
export function authenticatedErrors(...codes: ProblemCode[]) {
  return problemResponses('invalid_api_key', ...codes)
}

/** The error answers of a route, by status; several codes may share one. */
export function problemResponses(...codes: ProblemCode[]) {
  const responses: Record<string, { description: string; content: ReturnType<typeof content> }> = {}
  for (const code of [...codes, 'uri_too_long', 'internal_error'] as const) {
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

/** The parameters of a list. */
export function parametersOf(names: readonly Parameter[]) {
  return names.map((name) => {
    const { schema, help: description } = PARAMETERS[name]
    return { name, in: 'query' as const, schema, description }
  })
}
