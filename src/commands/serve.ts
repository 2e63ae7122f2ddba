import { systemClock } from '../clock.ts'
import type { Config } from '../config.ts'
import { EXIT, StartError } from '../exit.ts'
import type { Log } from '../log.ts'
import { openService, type Service } from '../service.ts'

export type ServeDeps = {
  log: Log
  /** For a person at the start: why there is none. */
  complain(message: string): void
  /** Resolves with the name of the first signal that asks for an end. */
  stopSignal: Promise<string>
  /** Ends the process on the spot. */
  exit(code: number): never
}

/** Runs the service until a signal ends it. Returns the exit code. */
export async function serve(config: Config, deps: ServeDeps): Promise<number> {
  const { log, complain, stopSignal, exit } = deps
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
    log.info(`listening on ${url}`, { url })
    if (config.webhookSecrets.length === 0 || config.apiKeys.length === 0) {
      const open = [
        ...(config.webhookSecrets.length === 0 ? ['anyone who reaches it can post'] : []),
        ...(config.apiKeys.length === 0 ? ['anyone who reaches it can read and retry'] : []),
      ]
      log.warn(`the service is open: ${open.join(', ')}`)
    }
  } catch (error) {
    complain(`txhook: ${(error as Error).message}\n`)
    if (!(error instanceof StartError)) log.error('the start failed', { error })
    await service?.stop().catch(onFatal)
    return error instanceof StartError ? error.exitCode : EXIT.fault
  }
  const signal = await stopSignal
  log.info('stopping', { signal })
  await service.stop().catch(onFatal)
  log.info('stopped')
  return EXIT.done
}
