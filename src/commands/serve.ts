import { systemClock } from '../clock.ts'
import type { Config } from '../config/read-config.ts'
import { EXIT, StartError } from '../exit.ts'
import { openService, type Service } from '../service.ts'
import type { Log } from '../telemetry/log.ts'

export type ServeDeps = {
  log: Log
  /** For a person at the start: why there is none. */
  printError(message: string): void
  /** Resolves with the name of the first signal that asks for an end. */
  stopSignal(): Promise<string>
  /** Ends the process on the spot. */
  exit(code: number): never
}

/** Runs the service until a signal ends it. Returns the exit code. */
export async function serve(config: Config, deps: ServeDeps): Promise<number> {
  const { log, printError, stopSignal, exit } = deps
  const stopped = stopSignal()
  let service: Service | undefined

  function onFatal(error: unknown): void {
    const message = 'the storage failed: the process ends, since nothing more can be trusted'
    log.error(message, { error })
    exit(EXIT.fault)
  }

  try {
    service = openService(config, {
      clock: systemClock(),
      log,
      random: Math.random,
      onFatal,
    })
    await service.start()
    const url = service.listen()
    // Not the whole URL: its path or query may have a token in it.
    const target = config.targetUrl === undefined ? undefined : new URL(config.targetUrl).origin
    if (target === undefined) log.info('calls are simulated', { ms: config.processingDelayMs })
    else log.info('calls go to the target', { target })
    log.info(`listening on ${url}`, { url })
    if (config.webhookSecrets.length === 0 || config.apiKeys.length === 0) {
      const open = [
        ...(config.webhookSecrets.length === 0 ? ['anyone who reaches it can post'] : []),
        ...(config.apiKeys.length === 0 ? ['anyone who reaches it can read and retry'] : []),
      ]
      log.warn(`the service is open: ${open.join(', ')}`)
    }
  } catch (error) {
    printError(`txhook: ${(error as Error).message}\n`)
    if (!(error instanceof StartError)) log.error('the start failed', { error })
    await service?.stop().catch(onFatal)
    return error instanceof StartError ? error.exitCode : EXIT.fault
  }
  const signal = await stopped
  log.info('stopping', { signal })
  await service.stop().catch(onFatal)
  log.info('stopped')
  return EXIT.done
}
