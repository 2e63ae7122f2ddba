import { describe, expect, test } from 'bun:test'
import { type TestService, testService, transactionBody } from '../support/service.ts'

/** What Firefox and Chromium send. */
const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8'

const root = ({ app }: TestService, accept?: string, method = 'GET') =>
  app.fetch(
    new Request('http://localhost/', { method, headers: accept === undefined ? {} : { accept } }),
  )

/** What the page links to, and what it could run. */
async function partsOf(page: string) {
  const links: string[] = []
  const active: string[] = []
  const rewriter = new HTMLRewriter().on('*', {
    element({ tagName, attributes }) {
      if (/^(?:script|style|iframe|object|form)$/.test(tagName)) active.push(tagName)
      for (const [name, value] of attributes) {
        if (name === 'href') links.push(value)
        if (name.startsWith('on') || name === 'style' || name === 'src') active.push(name)
      }
    },
  })
  await rewriter.transform(new Response(page)).text()
  return { links: links.filter((link) => link !== 'data:,'), active }
}

describe('GET / by a browser', () => {
  test('is a page with the same status, also when the service is unhealthy', async () => {
    await using service = testService()
    for (const [status, text] of [
      [503, 'UNHEALTHY'],
      [200, 'HEALTHY'],
    ] as const) {
      const response = await root(service, BROWSER)
      const page = await response.text()
      expect([response.status, response.headers.get('content-type')]).toEqual([
        status,
        'text/html;charset=utf-8',
      ])
      expect(response.headers.get('cache-control')).toBe('no-store')
      expect(response.headers.get('x-request-id')).not.toBeNull()
      expect(page).toContain(`<strong>${text}</strong>`)
      expect(page).toContain('2026-01-01T00:00:00.000Z')
      expect((await root(service)).status).toBe(status)
      await service.start()
    }
  })

  test('runs nothing, loads nothing, and has a policy that says so', async () => {
    await using service = testService()
    const response = await root(service, BROWSER)
    const policy = response.headers.get('content-security-policy')?.split('; ')
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy?.join()).not.toMatch(/script|unsafe|https?:|\*/)
    const page = await response.text()
    expect((await partsOf(page)).active).toBeEmpty()
    expect(page).not.toContain('//')
  })

  test.each(['', 'key-1'])('has links that lead somewhere without a key: %p', async (key) => {
    await using service = testService({ flags: key === '' ? {} : { '--api-keys': key } })
    await service.start()
    await service.post(transactionBody())
    const { links } = await partsOf(await (await root(service, BROWSER)).text())
    expect(links).toContain('/swagger')
    expect(links.includes('/v1/transactions')).toBe(key === '')
    for (const link of links) {
      expect([link, (await service.get(link)).status]).toEqual([link, 200])
    }
  })

  test('is answered to HEAD without the page', async () => {
    await using service = testService()
    const response = await root(service, BROWSER, 'HEAD')
    expect([response.status, await response.text()]).toEqual([503, ''])
    expect(response.headers.get('content-type')).toStartWith('text/html')
  })
})

test.each([
  [undefined, false],
  ['', false],
  ['*/*', false],
  ['application/json', false],
  ['application/json, text/plain, */*', false],
  ['text/*', false],
  ['text/htmlx', false],
  ['application/json;x=text/html', false],
  ['text/html;q=0', false],
  ['text/html;q=0.0, application/json', false],
  [BROWSER, true],
  ['text/html', true],
  ['TEXT/HTML', true],
  ['application/json, text/html;q=0.1', true],
  ['text/html;charset=utf-8;q=1', true],
])('GET / with Accept %p is a page: %p', async (accept, isPage) => {
  await using service = testService()
  const { headers } = await root(service, accept)
  expect(headers.get('content-type')).toStartWith(isPage ? 'text/html' : 'application/json')
  expect(headers.get('vary')).toBe('Accept')
})
