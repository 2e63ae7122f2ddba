/** The parts of the OpenAPI document that several routes share. */

import { PROBLEMS, type ProblemCode } from '../problem.ts'
import { PARAMETERS, type Parameter } from '../query.ts'
import { exampleOf } from './examples.ts'
import { type HeaderName, headersOf } from './headers.ts'
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
export function success(description: string, schema: SchemaName, ...headers: HeaderName[]) {
  return {
    description,
    headers: headersOf(...headers),
    content: content('application/json', schema),
  }
}

/** The errors of a route that needs an API key. */
export function authenticatedErrors(...codes: ProblemCode[]) {
  return problemResponses('invalid_api_key', 'host_not_allowed', ...codes)
}

/** What every path answers. */
const ALWAYS = ['method_not_allowed', 'uri_too_long', 'internal_error'] as const

/** The errors of a route, by status; several codes may share one. */
export function problemResponses(...codes: ProblemCode[]) {
  const byStatus = Map.groupBy([...codes, ...ALWAYS], (code) => PROBLEMS[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, these]) => [
      status,
      {
        description: these.map((code) => `${PROBLEMS[code].meaning} (\`${code}\`)`).join('; '),
        headers: headersOf(...these.flatMap((code) => problemHeaders(code))),
        content: {
          'application/problem+json': {
            schema: { $ref: '#/components/schemas/Problem' },
            examples: Object.fromEntries(these.map((code) => [code, exampleOf(code)])),
          },
        },
      },
    ]),
  )
}

function problemHeaders(code: ProblemCode): HeaderName[] {
  if (code === 'method_not_allowed') return ['Allow']
  if (code === 'transaction_conflict') return ['Location']
  if (code === 'not_alive') return []
  switch (PROBLEMS[code].status) {
    case 401:
      return ['WWW-Authenticate']
    case 503:
      return ['Retry-After']
    default:
      return []
  }
}

function content(type: string, schema: SchemaName) {
  return { [type]: { schema: { $ref: `#/components/schemas/${schema}` } } }
}
