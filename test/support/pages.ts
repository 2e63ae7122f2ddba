import { expect } from 'bun:test'
import type { TestService } from './service.ts'

/** A page of a list, as it is answered. */
export type ShownPage<Row> = { data: Row[]; next_cursor: string | null }

/** One page of the list at a path. */
export async function pageAt<Row>(
  service: TestService,
  path: string,
  query = '',
): Promise<ShownPage<Row>> {
  const response = await service.get(`${path}${query}`)
  expect([query, response.status]).toEqual([query, 200])
  const body = (await response.json()) as ShownPage<Row>
  expect(Object.keys(body)).toEqual(['data', 'next_cursor'])
  return body
}

/** The rows on all pages: each page is full but the last, which is empty only if all are. */
export async function pagedAt<Row>(
  service: TestService,
  path: string,
  limit: number,
  filter: Record<string, string> = {},
  between: () => Promise<unknown> = async () => {},
): Promise<Row[]> {
  const found: Row[] = []
  const query = new URLSearchParams({ ...filter, limit: String(limit) })
  for (let pages = 1; ; pages++) {
    const { data, next_cursor } = await pageAt<Row>(service, path, `?${query}`)
    found.push(...data)
    // No test has more: they would go on for ever.
    expect(pages).toBeLessThan(2_000)
    if (next_cursor === null) {
      expect(found.length === 0 || data.length > 0).toBe(true)
      return found
    }
    expect(data).toHaveLength(limit)
    query.set('cursor', next_cursor)
    await between()
  }
}
