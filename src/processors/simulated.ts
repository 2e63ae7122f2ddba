import type { Processor } from './processor.ts'

/**
 * The default processor: an external call that takes `delayMs` and succeeds. The wait is the time
 * of its job and nothing else, so a million of them cost no timer and survive any restart.
 */
export function simulatedProcessor(delayMs: number): Processor {
  return { kind: 'wait', waitMs: delayMs }
}
