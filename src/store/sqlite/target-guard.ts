import { EXIT, StartError } from '../../exit.ts'
import { backlogOf, type Counts } from './counts.ts'
import type { Connection } from './database/connection.ts'
import { deployment } from './schema.ts'

/**
 * Records how transactions are processed from now on, and refuses a start without calls while
 * transactions wait for one: they would be PROCESSED though no target got them.
 *
 * @throws StartError
 */
export function guardTarget(
  { orm }: Connection,
  counts: Counts,
  processing: 'calls' | 'waits',
): void {
  const calls = processing === 'calls'
  const before = orm.select().from(deployment).get()
  if (before?.calls === calls) return
  const waiting = backlogOf(counts)
  if (before?.calls === true && waiting > 0) {
    throw new StartError(
      EXIT.usage,
      `${waiting} transactions wait to be posted to a target, and --target-url is not set: ` +
        'simulated calls would make them PROCESSED without posting them',
    )
  }
  const values = { id: 1, calls }
  orm
    .insert(deployment)
    .values(values)
    .onConflictDoUpdate({ target: deployment.id, set: values })
    .run()
}
