import { describe, expect, test } from 'bun:test'
import { FILTERS } from '../../src/domain/filter.ts'
import { testService } from '../support/service.ts'

type Parameter = { name: string; in: string; schema: object; description: string }
type OpenApi = {
  paths: { '/v1/transactions': { get: { parameters: Parameter[] } } }
  components: { schemas: { Retry: { properties: { filter: { properties: unknown } } } } }
}

describe.each(Object.entries(FILTERS))('the filter %s', (name, { schema, help }) => {
  test('is a parameter of the list', async () => {
    await using service = testService()
    const response = await service.get(`/v1/transactions?${name}=`)
    expect(await response.json()).toMatchObject({ errors: [{ path: name, code: 'value' }] })
  })

  test('is a member of the filter of a bulk retry', async () => {
    await using service = testService()
    const request = new Request('http://localhost/v1/transactions/retry', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ filter: { [name]: '' }, dry_run: true }),
    })
    const response = await service.app.fetch(request)
    const errors = [{ path: `filter.${name}`, code: 'value' }]
    expect(await response.json()).toMatchObject({ errors })
  })

  test('is in the OpenAPI document, for the list and for a bulk retry', async () => {
    await using service = testService()
    const { paths, components } = (await (await service.get('/swagger/json')).json()) as OpenApi
    const { parameters } = paths['/v1/transactions'].get
    expect(parameters).toContainEqual({ name, in: 'query', schema, description: help })
    const { filter } = components.schemas.Retry.properties
    expect(filter.properties).toMatchObject({ [name]: schema })
  })
})
