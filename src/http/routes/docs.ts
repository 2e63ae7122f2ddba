import { swagger } from '@elysiajs/swagger'
import { Elysia } from 'elysia'
import { version as uiVersion } from 'swagger-ui-dist/package.json'
import style from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' }
import script from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' }
import { components, DESCRIPTION } from '../openapi/schemas.ts'

/** Only what this executable holds; Swagger UI sets styles of its own as it draws. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
  "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** What the plugin's page would run inline, which the policy forbids. */
const START = "SwaggerUIBundle({ url: '/swagger/json', dom_id: '#swagger-ui', validatorUrl: null })"

/** An empty icon, so that no browser asks for /favicon.ico. */
const ICON = '<link rel="icon" href="data:,">'

/**
 * The docs page (`/swagger`) and the OpenAPI document (`/swagger/json`). The page loads only what
 * this executable holds.
 */
export function docsRoutes(version: string) {
  const info = { title: 'txhook', version, description: DESCRIPTION }
  const documentation = { info, components, security: [{ apiKey: [] }] }
  const options = { provider: 'swagger-ui', theme: '/swagger/ui.css', documentation } as const
  const page = swagger(options)
    .handle(new Request('http://localhost/swagger'))
    .then((response) => response.text())
    .then(withOwnScripts)

  return new Elysia({ name: 'docs', detail: { hide: true } })
    .use(swagger(options))
    .get('/swagger', async () => answer(await page, 'text/html;charset=utf-8'))
    .get('/swagger/start.js', () => answer(START, 'text/javascript;charset=utf-8'))
    .get('/swagger/ui.js', ({ request }) => asset(request, script, 'text/javascript;charset=utf-8'))
    .get('/swagger/ui.css', ({ request }) => asset(request, style, 'text/css;charset=utf-8'))
}

/** The plugin's page names a CDN and has an inline script, and no option of its changes either. */
function withOwnScripts(page: string): string {
  return new HTMLRewriter()
    .on('head', { element: (head) => void head.append(ICON, { html: true }) })
    .on('script[src]', { element: (it) => void it.setAttribute('src', '/swagger/ui.js') })
    .on('script:not([src])', {
      element: (it) => void it.setInnerContent('').setAttribute('src', '/swagger/start.js'),
    })
    .transform(page)
}

function asset(request: Request, path: string, type: string): Response {
  const etag = `"${uiVersion}"`
  const known = request.headers.get('if-none-match') === etag
  const response = known ? new Response(null, { status: 304 }) : answer(Bun.file(path), type)
  response.headers.set('etag', etag)
  return response
}

function answer(body: string | Blob, type: string): Response {
  return new Response(body, {
    headers: {
      'content-type': type,
      'content-security-policy': POLICY,
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    },
  })
}
