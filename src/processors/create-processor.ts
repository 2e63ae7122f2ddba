import type { Clock } from '../clock.ts'
import type { Config } from '../config/read-config.ts'
import type { Processor } from './processor.ts'
import { simulatedProcessor } from './simulated.ts'
import { targetProcessor } from './target.ts'

/** The name of the processor that posts to the target URL. */
export const TARGET = 'the target'

/** The processor of a configuration. One of your own is registered here. */
export function createProcessor(config: Config, clock: Clock): Processor {
  const { targetUrl: url, targetTimeoutMs: timeoutMs } = config
  if (url === undefined) return simulatedProcessor(config.processingDelayMs)
  const options = {
    url,
    // It may change while the service runs.
    get secret() {
      return config.targetSecret
    },
    timeoutMs,
    clock,
  }
  return { ...targetProcessor(options), name: TARGET }
}
