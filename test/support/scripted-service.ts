import { expect } from 'bun:test'
import { transactionPath } from './contract-cases.ts'
import { type Line, type ScriptedCalls, scriptedCalls } from './scheduler.ts'
import {
  type TestService,
  type TestServiceOptions,
  testService,
  transactionBody,
} from './service.ts'

/** A service whose calls do as each transaction's script says. */
export type ScriptedService = TestService & {
  processor: ScriptedCalls
  /** Stores a transaction with its script. */
  accept(transactionId: string, ...script: Line[]): Promise<void>
  /** Resolves when the outcomes of the calls that have ended are on the disk. */
  recorded(): Promise<void>
  /** Does what is due, and resolves when the outcomes of the calls that ended are on the disk. */
  workOff(): Promise<void>
  /** A transaction as GET shows it. */
  shown(transactionId: string): Promise<Record<string, unknown>>
}

export function scriptedService(options: TestServiceOptions = {}): ScriptedService {
  const processor = scriptedCalls()
  const service = testService({ processor, ...options })
  async function recorded(): Promise<void> {
    await service.store.health()
    await service.store.health()
  }
  return {
    ...service,
    processor,
    recorded,
    async accept(transaction_id, ...script) {
      const { status } = await service.post(transactionBody({ transaction_id, script }))
      expect(status).toBe(202)
    },
    async workOff() {
      await service.work()
      await recorded()
    },
    async shown(id) {
      return (await (await service.get(transactionPath(id))).json()) as Record<string, unknown>
    },
    async [Symbol.asyncDispose]() {
      processor.abandon()
      await service[Symbol.asyncDispose]()
    },
  }
}
