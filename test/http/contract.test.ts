import { describe, expect, test } from 'bun:test'
import { CONTRACT_CASES, CONTRACT_FLAGS, checkCase, type Send } from '../support/contract-cases.ts'
import { type TestService, testService } from '../support/service.ts'

const sendTo =
  ({ app }: TestService): Send =>
  (path, init) =>
    app.fetch(new Request(`http://localhost${path}`, init))

describe('the contract, case by case', () => {
  test.each(CONTRACT_CASES.map((it) => [it.name, it] as const))('%s', async (_name, it) => {
    await using service = testService({ flags: CONTRACT_FLAGS })
    await checkCase(sendTo(service), it)
    expect(service.fatal).toBeEmpty()
    expect(service.log.entries.filter(({ level }) => level === 'error')).toBeEmpty()
  })
})

test('all cases pass against one service, as in the process tests', async () => {
  await using service = testService({ flags: CONTRACT_FLAGS })
  for (const it of CONTRACT_CASES.toReversed()) {
    await checkCase(sendTo(service), it).catch((cause) => {
      throw new Error(it.name, { cause })
    })
  }
})

test('no two cases have the same name', () => {
  const names = CONTRACT_CASES.map(({ name }) => name)
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toBeEmpty()
})
