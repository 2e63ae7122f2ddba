import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CallProcessor } from '../../src/processors/processor.ts'
import {
  type ShownTransaction,
  type TestService,
  temporaryDirectory,
  testService,
  transactionBody,
} from '../support/service.ts'

const ROOT = join(import.meta.dir, '../..')
const TYPES = join(ROOT, 'node_modules/bun-types')
const README = readFileSync(join(ROOT, 'src/README.md'), 'utf8')

/** The transaction when no call for it is under way any more. */
async function settled(service: TestService): Promise<ShownTransaction> {
  for (;;) {
    const shown = await service.get('/v1/transactions/txn_001')
    const transaction = (await shown.json()) as ShownTransaction
    if (transaction.status !== 'PROCESSING') return transaction
    await service.store.health()
  }
}

test('the processor that src/README.md shows compiles and works as it stands there', async () => {
  const source = README.match(/```ts\n(import type \{ CallProcessor \}[\s\S]*?)```/)?.[1] ?? ''
  using directory = temporaryDirectory()
  const file = join(directory.path, 'ledger.ts')
  const processors = join(ROOT, 'src/processors')
  await Bun.write(file, source.replace("'./", `'${processors}/`))
  const config = { extends: join(ROOT, 'tsconfig.json'), compilerOptions: { types: [TYPES] } }
  await Bun.write(
    join(directory.path, 'tsconfig.json'),
    JSON.stringify({ ...config, include: [file] }),
  )
  const tsc = Bun.spawnSync([join(ROOT, 'node_modules/.bin/tsc'), '-p', directory.path])
  expect(tsc.stdout.toString()).toBe('')
  expect(tsc.exitCode).toBe(0)
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

test('a processor gets the members beyond the five fields as text, with all their digits', async () => {
  const given: (string | null)[] = []
  const processor: CallProcessor = {
    kind: 'call',
    async process({ transaction }) {
      given.push(transaction.extra)
      return { kind: 'done' }
    },
  }
  await using service = testService({ processor })
  const extra = '{"booking":9007199254740993,"rates":[1.10,{"x":-0}]}'
  await service.post(extra.slice(0, -1).concat(',', JSON.stringify(transactionBody()).slice(1)))
  await service.post(transactionBody({ transaction_id: 'txn_002' }))
  await service.work()
  expect(given).toEqual([extra, null])
})
