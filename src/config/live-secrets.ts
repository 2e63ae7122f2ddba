/** Secrets and keys that change while the service runs, without a restart. */

import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import type { Config } from './settings.ts'

export type LiveConfig = {
  /** Its secrets and keys are those that were read last: read them anew for each use. */
  config: Config
  /** Reads them again. Where there is any fault, all stay as they are, and the faults return. */
  reload(): string[]
}

/**
 * A configuration whose secrets and keys can be read again. All other settings stay.
 *
 * @param read the whole configuration as it now is, or its faults
 */
export function liveConfig(config: Config, read: () => Config | string[]): LiveConfig {
  let current = config
  return {
    config: Object.freeze({
      ...config,
      get webhookSecrets() {
        return current.webhookSecrets
      },
      get apiKeys() {
        return current.apiKeys
      },
      get targetSecret() {
        return current.targetSecret
      },
    }),
    reload() {
      const again = read()
      if (Array.isArray(again)) return again
      current = again
      return []
    },
  }
}

/**
 * Reads a file without waiting: a pipe, as of a shell's `<(command)`, can be read only once, and the
 * service must not stop until something is written to it.
 *
 * @throws Error
 */
export function readAtOnce(path: string): string {
  // Windows has no such flag.
  const file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}
