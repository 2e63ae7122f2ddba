import { EXIT, StartError } from '../../exit.ts'
import type { Connection } from './database/connection.ts'
import { deployment } from './schema.ts'

/**
 * Records that transactions are processed by calls. From then on a start without calls needs consent:
 * what such a start makes PROCESSED, no target has got.
 *
 * @throws StartError
 */
export function guardTarget(
  { orm }: Connection,
  processing: 'calls' | 'waits',
  simulate: boolean,
): void {
  const hadCalls = orm.select().from(deployment).get()?.calls === true
  if (processing === 'waits') {
    if (!hadCalls || simulate) return
    throw new StartError(
      EXIT.usage,
      'transactions of this data directory have been posted to a target, and --target-url is not ' +
        'set: calls would be simulated, and transactions PROCESSED that no target has got. Set ' +
        '--target-url, or --simulate if that is meant',
    )
  }
  if (hadCalls) return
  const row = { id: 1, calls: true }
  orm.insert(deployment).values(row).onConflictDoUpdate({ target: deployment.id, set: row }).run()
}
