/** What a start says in the log. */

import { resolve } from 'node:path'
import type { Config } from '../config/read-config.ts'
import { TARGET } from '../processors/create-processor.ts'
import type { Processor } from '../processors/processor.ts'
import type { Log } from '../telemetry/log.ts'
import { VERSION } from '../version.ts'

/** The first line: what runs, where, and how many secrets and keys guard it. */
export function logConfig(config: Config, log: Log): void {
  const { dataDir } = config
  const what = { version: VERSION, data_dir: resolve(dataDir), ...guardsOf(config) }
  log.info(`txhook ${VERSION} starts`, what)
}

/** How many secrets and keys there are. */
export function guardsOf({ webhookSecrets, apiKeys, targetSecret }: Config) {
  return {
    webhook_secrets: webhookSecrets.length,
    api_keys: apiKeys.length,
    target_secrets: targetSecret === undefined ? 0 : 1,
  }
}

/** Where the calls go. Not the whole URL of the target: its path or query may contain a token. */
export function logProcessor(processor: Processor, { targetUrl }: Config, log: Log): void {
  const { kind, name } = processor
  if (kind === 'wait') log.info('calls are simulated', { ms: processor.waitMs })
  else if (name === TARGET && targetUrl)
    log.info('calls go to the target', { target: new URL(targetUrl).origin })
  else log.info('calls go to another processor', { processor: name ?? 'without a name' })
}

/** The address, and what anyone who reaches it can do. */
export function logAddress(url: string, { webhookSecrets, apiKeys }: Config, log: Log): void {
  log.info(`listening on ${url}`, { url })
  const open = [
    ...(webhookSecrets.length === 0 ? ['anyone who reaches it can post'] : []),
    ...(apiKeys.length === 0 ? ['anyone who reaches it can read and retry'] : []),
  ]
  if (open.length > 0) log.warn(`the service is open: ${open.join(', ')}`)
}
