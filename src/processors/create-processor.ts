import type { Clock } from '../clock.ts'
import type { Config } from '../config/read-config.ts'
import type { Processor } from './processor.ts'
import { simulatedProcessor } from './simulated.ts'
import { targetProcessor } from './target.ts'

/** The processor of a configuration. One of your own is registered here. */
export function createProcessor(config: Config, clock: Clock): Processor {
  const { targetUrl: url, targetSecret: secret, targetTimeoutMs: timeoutMs } = config
  if (url === undefined) return simulatedProcessor(config.processingDelayMs)
  return targetProcessor({ url, secret, timeoutMs, clock })
}
