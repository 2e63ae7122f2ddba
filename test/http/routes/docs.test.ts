import { describe, expect, test } from 'bun:test'
import { PROBLEMS } from '../../../src/http/problem.ts'
import { testService } from '../../support/service.ts'

type Json = null | boolean | number | string | Json[] | { [member: string]: Json }
type Members = { [member: string]: Json }
type Operation = {
  operationId: string
  summary?: string
  tags?: string[]
  parameters?: { name: string; in: string; required?: boolean; schema?: Json }[]
  requestBody?: { content: Record<string, { schema: Json }> }
  responses: Record<string, { description: string; content?: Record<string, { schema: Json }> }>
}
type OpenApi = {
  openapi: string
  info: { title: string; version: string }
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema>; headers: Record<string, Json> }
}
type Schema = { properties: Record<string, { example?: Json; enum?: Json }> }

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']

async function openApi(): Promise<OpenApi> {
  await using service = testService()
  const response = await service.get('/swagger/json')
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toStartWith('application/json')
  return (await response.json()) as OpenApi
}

function schema({ components }: OpenApi, name: string): Schema {
  const found = components.schemas[name]
  if (found === undefined) throw new Error(`There is no schema ${name}.`)
  return found
}

function operationsOf({ paths }: OpenApi) {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  )
}

/** The values of all members of this name, at any depth. */
function valuesUnder(name: string, value: Json): Json[] {
  if (Array.isArray(value)) return value.flatMap((element) => valuesUnder(name, element))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([member, inner]) =>
    member === name ? [inner] : valuesUnder(name, inner),
  )
}

describe('the page', () => {
  test('loads nothing from elsewhere and runs nothing inline', async () => {
    await using service = testService()
    const response = await service.get('/swagger')
    const page = await response.text()
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toStartWith('text/html')
    const links: string[] = []
    const inline: string[] = []
    let scripts = 0
    const rewriter = new HTMLRewriter()
      .on('*', {
        element({ attributes }) {
          for (const [name, value] of attributes) {
            if (['src', 'href', 'action', 'data', 'srcset', 'poster'].includes(name)) {
              links.push(value)
            }
            if (name.startsWith('on') || value.startsWith('javascript:')) inline.push(value)
          }
        },
      })
      .on('script', {
        element: (script) => {
          scripts++
          if (!script.hasAttribute('src')) inline.push('a script without src')
        },
        text: ({ text }) => void inline.push(...(text.trim() === '' ? [] : [text])),
      })
    rewriter.transform(page)
    expect(inline).toBeEmpty()
    expect(scripts).toBe(2)
    expect(links.filter((link) => !link.startsWith('data:')).sort()).toEqual([
      '/swagger/start.js',
      '/swagger/ui.css',
      '/swagger/ui.js',
    ])
    expect(page).not.toContain('//')
  })

  test('can load everything that it names', async () => {
    await using service = testService()
    for (const [path, type, minimum] of [
      ['/swagger/start.js', 'text/javascript', 20],
      ['/swagger/ui.js', 'text/javascript', 1_000_000],
      ['/swagger/ui.css', 'text/css', 100_000],
    ] as const) {
      const response = await service.get(path)
      expect([path, response.status]).toEqual([path, 200])
      expect(response.headers.get('content-type')).toStartWith(type)
      expect((await response.bytes()).length).toBeGreaterThan(minimum)
    }
    const start = await (await service.get('/swagger/start.js')).text()
    expect(start).toContain('/swagger/json')
    expect(start).not.toContain('//')
  })

  test('has a style that loads nothing from elsewhere', async () => {
    await using service = testService()
    const style = await (await service.get('/swagger/ui.css')).text()
    const urls = [...style.matchAll(/url\(\s*["']?([^)]{5})/g)].map(([, start]) => start)
    expect(urls).not.toBeEmpty()
    expect(new Set(urls)).toEqual(new Set(['data:']))
    expect(style).not.toContain('@import')
  })

  test('and its parts have a policy that forbids everything else', async () => {
    await using service = testService()
    for (const path of ['/swagger', '/swagger/start.js', '/swagger/ui.js', '/swagger/ui.css']) {
      const { headers } = await service.get(path)
      const policy = headers.get('content-security-policy')?.split('; ')
      expect(policy).toContain("default-src 'none'")
      expect(policy).toContain("script-src 'self'")
      expect(policy).toContain("frame-ancestors 'none'")
      expect(headers.get('content-security-policy')).not.toMatch(/https?:|\*|unsafe-eval/)
      expect(headers.get('x-content-type-options')).toBe('nosniff')
    }
  })
})

describe('an asset', () => {
  test.each(['/swagger/ui.js', '/swagger/ui.css'])(
    'that the browser has is not sent again: %s',
    async (path) => {
      await using service = testService()
      const first = await service.get(path)
      const etag = first.headers.get('etag') ?? ''
      expect(etag).toMatch(/^"[^"]+"$/)
      const ask = (ifNoneMatch: string) => {
        const headers = { 'if-none-match': ifNoneMatch }
        return service.app.fetch(new Request(`http://localhost${path}`, { headers }))
      }
      const again = await ask(etag)
      expect(again.status).toBe(304)
      expect(again.headers.get('etag')).toBe(etag)
      expect(again.headers.has('x-request-id')).toBe(true)
      expect(await again.text()).toBe('')
      expect((await ask('"other"')).status).toBe(200)
    },
  )
})

describe('the document', () => {
  test('is OpenAPI 3.0.3 with a name and a version', async () => {
    const { openapi, info } = await openApi()
    expect(openapi).toBe('3.0.3')
    expect(info.title).toBe('txhook')
    expect(info.version).toMatch(/^\d+\.\d+\.\d+$/)
  })

  test('has every path of the contract, and none of the docs', async () => {
    const { paths } = await openApi()
    const methods = Object.entries(paths).map(([path, item]) => [path, Object.keys(item)])
    expect(Object.fromEntries(methods)).toMatchObject({
      '/': ['get'],
      '/livez': ['get'],
      '/readyz': ['get'],
      '/webhook': ['post'],
      '/v1/webhooks/transactions': ['post'],
      '/v1/transactions/{transaction_id}': ['get'],
    })
    expect(Object.keys(paths).filter((path) => path.startsWith('/swagger'))).toBeEmpty()
  })

  test('has complete operations, each with its own id', async () => {
    const operations = operationsOf(await openApi())
    for (const { path, method, operation } of operations) {
      const where = `${method} ${path}`
      expect([where, METHODS.includes(method)]).toEqual([where, true])
      expect([where, typeof operation.summary]).toEqual([where, 'string'])
      expect([where, operation.tags?.length]).toEqual([where, 1])
      expect([where, Object.keys(operation.responses).length > 0]).toEqual([where, true])
      for (const { description } of Object.values(operation.responses)) {
        expect(description).not.toBeEmpty()
      }
      // OpenAPI 3.0: each parameter of the path must be declared, and required.
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
      const declared = operation.parameters?.filter((parameter) => parameter.in === 'path') ?? []
      expect([where, declared.map(({ name }) => name)]).toEqual([where, named])
      expect(declared.every(({ required, schema }) => required && schema)).toBe(true)
    }
    const ids = operations.map(({ operation }) => operation.operationId)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('refers only to schemas and headers that it has', async () => {
    const document = await openApi()
    const references = valuesUnder('$ref', document as unknown as Json)
    expect(references).not.toBeEmpty()
    for (const reference of references) {
      const [, kind = '', name = ''] = /^#\/components\/(\w+)\/([\w-]+)$/.exec(`${reference}`) ?? []
      expect(Object.keys(document.components[kind as 'schemas' | 'headers'])).toContain(name)
    }
  })

  test('names every error code, under its status', async () => {
    const document = await openApi()
    const found = new Map<string, Set<string>>()
    for (const { operation } of operationsOf(document)) {
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        for (const [, code = ''] of description.matchAll(/\(`(\w+)`\)/g)) {
          found.set(code, (found.get(code) ?? new Set()).add(status))
          expect(Object.keys(content ?? {})).toEqual(['application/problem+json'])
        }
      }
    }
    // It answers requests without an operation.
    const { not_found, ...operational } = PROBLEMS
    expect(not_found.status).toBe(404)
    const expected = Object.entries(operational).map(([code, { status }]) => [code, [`${status}`]])
    const actual = [...found].map(([code, statuses]) => [code, [...statuses]])
    expect(Object.fromEntries(actual)).toEqual(Object.fromEntries(expected))
    const { properties } = schema(document, 'Problem')
    expect(properties).toMatchObject({ code: { enum: Object.keys(PROBLEMS) } })
  })

  test('has an example webhook that is accepted, and the members of the answers', async () => {
    await using service = testService()
    const document = await openApi()
    const propertiesOf = (name: string) => Object.entries(schema(document, name).properties)
    const example = propertiesOf('Webhook').map(([name, { example }]) => [name, example])
    const response = await service.post(Object.fromEntries(example))
    expect(response.status).toBe(202)
    const transaction = (await response.json()) as Members
    expect(propertiesOf('Transaction').map(([name]) => name)).toEqual(Object.keys(transaction))
    const problem = (await (await service.post({})).json()) as Members
    expect(propertiesOf('Problem').map(([name]) => name)).toEqual(Object.keys(problem))
  })
})
