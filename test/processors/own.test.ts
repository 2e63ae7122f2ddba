import { expect, test } from 'bun:test'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CallProcessor } from '../../src/processors/processor.ts'
import {
  type ShownTransaction,
  type TestService,
  testService,
  transactionBody,
} from '../support/service.ts'

const README = readFileSync(join(import.meta.dir, '../../README.md'), 'utf8')

/** The transaction when no call for it is under way any more. */
async function settled(service: TestService): Promise<ShownTransaction> {
  for (;;) {
    const shown = await service.get('/v1/transactions/txn_001')
    const transaction = (await shown.json()) as ShownTransaction
    if (transaction.status !== 'PROCESSING') return transaction
    await service.store.health()
  }
}

test('the processor that the README shows works as it stands there', async () => {
  const source = README.match(/```ts\n(import type \{ CallProcessor \}[\s\S]*?)```/)?.[1] ?? ''
  const file = join(mkdtempSync(join(tmpdir(), 'txhook-own-')), 'ledger.ts')
  await Bun.write(file, source)
  const { ledgerProcessor } = (await import(file)) as {
    ledgerProcessor(url: string): CallProcessor
  }

  const statuses = [500, 200]
  const booked: unknown[] = []
  using ledger = Bun.serve({
    port: 0,
    async fetch(request) {
      booked.push(await request.json())
      return new Response(null, { status: statuses.shift() ?? 200 })
    },
  })
  const processor = ledgerProcessor(ledger.url.href)
  await using service = testService({ processor })
  await service.post(transactionBody())
  const states: unknown[] = []
  for (const wait of [0, 10_000]) {
    service.clock.pass(wait)
    await service.work()
    states.push(await settled(service))
  }
  expect(states).toMatchObject([
    { status: 'PENDING', error: 'The ledger answered 500.' },
    { status: 'PROCESSED', error: null },
  ])
  const entry = { key: 'txn_001', minorUnits: 10_000, currency: 'USD' }
  expect(booked).toEqual([entry, entry])
})
