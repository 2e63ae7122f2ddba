import type { Processor } from './processor.ts'

/**
 * The default processor: a simulated call that lasts `delayMs` and succeeds. The wait is the `run_at`
 * of its job, so a million of them need no timer, and none begins anew at a restart.
 */
export function simulatedProcessor(delayMs: number): Processor {
  return { kind: 'wait', waitMs: delayMs }
}
