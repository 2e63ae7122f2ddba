import { swagger } from '@elysiajs/swagger'
import { Elysia } from 'elysia'
import { version as etag } from 'swagger-ui-dist/package.json'
import style from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' }
import script from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' }
import { DESCRIPTION, tags } from '../openapi/description.ts'
import { components } from '../openapi/schemas.ts'

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>txhook</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/swagger/ui.css">
<div id="swagger-ui"></div>
<script src="/swagger/ui.js"></script>
<script src="/swagger/start.js"></script>
</html>
`

/** In a file of its own, since the policy forbids inline scripts. */
const START = `const dark = matchMedia('(prefers-color-scheme: dark)').matches
document.documentElement.classList.toggle('dark-mode', dark)
SwaggerUIBundle({ url: '/swagger/json', dom_id: '#swagger-ui', validatorUrl: null })
`

/** Allows what this executable serves, and the styles that Swagger UI sets inline. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
  "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** The docs page (`/swagger`), which loads nothing from elsewhere, and the OpenAPI document. */
export function docsRoutes(version: string) {
  const documentation = {
    info: {
      title: 'txhook',
      version,
      description: DESCRIPTION,
      contact: { name: 'Whoever operates this txhook' },
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
    },
    servers: [{ url: '/', description: 'The server of this document.' }],
    tags,
    components,
    security: [{ apiKey: [] }],
  }
  return (
    new Elysia({ detail: { hide: true } })
      // The document at /swagger/json. The plugin's page is replaced: it loads from a CDN.
      .use(swagger({ documentation }))
      .get('/swagger', () => answer(PAGE, 'text/html'))
      .get('/swagger/start.js', () => answer(START, 'text/javascript'))
      .get('/swagger/ui.js', ({ request }) => asset(request, script, 'text/javascript'))
      .get('/swagger/ui.css', ({ request }) => asset(request, style, 'text/css'))
  )
}

function asset(request: Request, path: string, type: string): Response {
  const known = request.headers.get('if-none-match') === `"${etag}"`
  const response = known ? new Response(null, { status: 304 }) : answer(Bun.file(path), type)
  response.headers.set('etag', `"${etag}"`)
  return response
}

function answer(body: string | Blob, type: string): Response {
  return new Response(body, {
    headers: {
      'content-type': `${type};charset=utf-8`,
      'content-security-policy': POLICY,
      'cache-control': 'no-cache',
      'referrer-policy': 'no-referrer',
    },
  })
}
