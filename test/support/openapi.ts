import { expect } from 'bun:test'
import Ajv, { type ValidateFunction } from 'ajv'

type Json = null | boolean | number | string | Json[] | { [member: string]: Json }
type Header = { $ref: string }
export type Answered = { description: string } & {
  headers?: Record<string, Header>
  content?: Record<string, { schema: Json; examples?: Record<string, { value: Json }> }>
}
export type Operation = { parameters?: unknown; responses: Record<string, Answered> }
export type OpenApi = {
  info: { description: string }
  paths: Record<string, Record<string, Operation>>
  components: {
    headers: Record<string, { required?: boolean; schema: Json }>
    schemas: { Problem: { properties: { code: { enum: string[] } } } }
  }
}

const FORMATS = {
  uuid: /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/,
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
  'uri-reference': /^[\w\-.~:/?#[\]@!$&'()*+,;=%]+$/,
}

/** As JSON Schema: OpenAPI 3.0 writes some of it otherwise. No object has undocumented members. */
function strictSchema(value: Json): Json {
  if (Array.isArray(value)) return value.map(strictSchema)
  if (typeof value !== 'object' || value === null) return value
  const schema = Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, strictSchema(inner)]),
  )
  if (schema.exclusiveMinimum === true) {
    const { minimum = 0, exclusiveMinimum: _, ...others } = schema
    return { ...others, exclusiveMinimum: minimum }
  }
  const closed = schema.type === 'object' && 'properties' in schema
  return closed ? { additionalProperties: false, ...schema } : schema
}

/** What the document says of answers, to compare real ones with. */
export function answersOf(document: OpenApi) {
  const ajv = new Ajv({ strict: false, allErrors: true, formats: FORMATS })
  ajv.addSchema({ ...(strictSchema(document as unknown as Json) as object), $id: 'openapi' })
  const compiled = new Map<string, ValidateFunction>()

  function expectValid(where: string, schema: Json, value: unknown): void {
    const text = JSON.stringify(strictSchema(schema)).replaceAll('"#/', '"openapi#/')
    const validate = compiled.get(text) ?? ajv.compile(JSON.parse(text))
    compiled.set(text, validate)
    validate(value)
    expect([where, validate.errors ?? []]).toEqual([where, []])
  }

  return {
    expectValid,
    /** Throws where an answer differs from the document in status, headers, type or body. */
    expectDocumented(method: string, path: string, { status, headers }: Response, body: string) {
      const where = `${method} ${path} ${status}`
      const documented = document.paths[path]?.[method.toLowerCase()]?.responses[status]
      if (documented === undefined) throw new Error(`${where} is not in the document.`)
      const known = Object.entries(documented.headers ?? {}).map(([name, { $ref }]) => {
        const header = document.components.headers[$ref.replace('#/components/headers/', '')]
        if (header === undefined) throw new Error(`${where}: there is no ${$ref}.`)
        return { name: name.toLowerCase(), ...header }
      })
      // The length belongs to the transfer, not to the document.
      const { 'content-length': _, ...answered } = Object.fromEntries(headers)
      const { 'content-type': contentType = '', ...sent } = answered
      expect([where, known.map(({ name }) => name)]).toEqual([
        where,
        expect.arrayContaining(Object.keys(sent)),
      ])
      for (const { name, required, schema } of known) {
        const value = sent[name]
        if (value === undefined) expect([where, name, required]).toEqual([where, name, undefined])
        else {
          const isNumber = (schema as { type: string }).type === 'integer'
          expectValid(`${where} ${name}`, schema, isNumber ? Number(value) : value)
        }
      }
      const type = contentType.split(';')[0] ?? ''
      const content = documented.content?.[type]
      if (content === undefined) throw new Error(`${where}: ${type} is not in the document.`)
      expectValid(where, content.schema, /json$/.test(type) ? JSON.parse(body) : body)
    },
  }
}
