import type { Database } from 'bun:sqlite'
import type { Transaction } from '../../domain/transaction.ts'
import { type Acceptance, type StorageReason, StorageUnavailable } from '../store.ts'
import type { CommitQueue } from './database/commit-queue.ts'
import { writeProbe } from './database/connection.ts'

/** Whether there is room for webhooks of the size that come in, and not only for a page. */
export type RoomCheck = {
  /** Takes note of a webhook that storage refuses, and of one that it accepts. */
  watch(transaction: Transaction, accepted: Promise<Acceptance>): Promise<Acceptance>
  /** How many webhooks storage has refused for want of room, or because of a lock. */
  refusals(): number
  /** Writes as much as the largest webhook that was refused, until that goes through. */
  health(): Promise<'ok' | StorageReason>
}

export function createRoomCheck(client: Database, commits: Pick<CommitQueue, 'write'>): RoomCheck {
  /** The size of the largest webhook since whose refusal nothing as large was written; 0: none. */
  let refusedBytes = 0
  let refusals = 0

  return {
    watch(transaction, accepted) {
      accepted.then(
        ({ kind }) => {
          if (refusedBytes === 0 || kind !== 'accepted') return
          if (bytesOf(transaction) >= refusedBytes) refusedBytes = 0
        },
        (error) => {
          const reason = error instanceof StorageUnavailable ? error.reason : undefined
          if (reason === 'full') refusedBytes = Math.max(refusedBytes, bytesOf(transaction))
          if (reason === 'full' || reason === 'busy') refusals++
        },
      )
      return accepted
    },
    refusals: () => refusals,
    async health() {
      const bytes = refusedBytes
      try {
        await commits.write(() => writeProbe(client, bytes))
      } catch (error) {
        return error instanceof StorageUnavailable ? error.reason : 'failed'
      }
      // Larger by now: one was refused meanwhile.
      if (refusedBytes > bytes) return 'full'
      refusedBytes = 0
      return 'ok'
    },
  }
}

function bytesOf(transaction: Transaction): number {
  return Buffer.byteLength(JSON.stringify(transaction))
}
