import { EXIT, StartError } from '../../exit.ts'
import { backlogOf, type Counts } from './counts.ts'
import type { Connection } from './database/open-database.ts'
import { deployment } from './schema.ts'

/**
 * Writes down whether transactions are processed by calls from now on. What waits for a call must
 * not be PROCESSED by a wait because a URL got lost on the way to this start.
 *
 * @throws StartError where there are such transactions
 */
export function guardTarget({ orm }: Connection, counts: Counts, calls: boolean): void {
  const before = orm.select().from(deployment).get()
  if (before?.calls === calls) return
  const waiting = backlogOf(counts)
  if (before?.calls === true && waiting > 0) {
    throw new StartError(
      EXIT.usage,
      `${waiting} transactions wait to be posted to a target, and there is none: ` +
        'without --target-url they would be PROCESSED though nobody got them',
    )
  }
  const values = { id: 1, calls }
  orm
    .insert(deployment)
    .values(values)
    .onConflictDoUpdate({ target: deployment.id, set: values })
    .run()
}
