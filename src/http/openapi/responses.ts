/** The parts of the OpenAPI document that several routes share. */

import { PROBLEMS, type ProblemCode } from '../problem.ts'
import { PARAMETERS, type Parameter } from '../query.ts'
import type { components } from './schemas.ts'

type SchemaName = keyof (typeof components)['schemas']

/** Of a route that needs no API key. */
export const NO_AUTH = { security: [] }

/** The parameters of a list. */
export function parametersOf(names: readonly Parameter[]) {
  return names.map((name) => {
    const { schema, help: description } = PARAMETERS[name]
    return { name, in: 'query' as const, schema, description }
  })
}

/** A body that must be sent. */
export function requestBody(schema: SchemaName) {
  return { required: true, content: content('application/json', schema) }
}

/** An answer that is no error. */
export function success(description: string, schema: SchemaName) {
  return { description, content: content('application/json', schema) }
}

/** The errors of a route that needs an API key. */
export function authenticatedErrors(...codes: ProblemCode[]) {
  return problemResponses('invalid_api_key', 'host_not_allowed', ...codes)
}

/** The errors of a route, by status; several codes may share one. */
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

function content(type: string, schema: SchemaName) {
  return { [type]: { schema: { $ref: `#/components/schemas/${schema}` } } }
}
