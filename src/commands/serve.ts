import type { Command } from 'commander'
import { systemClock } from '../clock.ts'
import type { Config } from '../config/read-config.ts'
import { ALL_SETTINGS } from '../config/settings.ts'
import { CIRCUIT_BREAKER, LIMITS } from '../documentation.ts'
import { EXIT, ExitError, StartError } from '../exit.ts'
import { openService, type Service } from '../service.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { allowUnknown, configOf, type VerbDeps, withSettings } from './flags.ts'

export type ServeDeps = VerbDeps & {
  /** Whether standard output is a terminal. */
  terminal: boolean
  /** Resolves with the name of the first signal that asks the process to stop. */
  stopSignal(): Promise<string>
  /** Ends the process at once. */
  exit(code: number): never
}

/** Adds `serve`, the default verb. */
export function addServe(program: Command, deps: ServeDeps): void {
  allowUnknown(withSettings(program.command('serve', { isDefault: true }), ALL_SETTINGS))
    .description('start the server (the default)')
    .addHelpText('after', `\n${CIRCUIT_BREAKER}\n\n${LIMITS}`)
    .action(async (_options, command: Command) => {
      const config = configOf(command, ALL_SETTINGS, deps)
      const { terminal, print } = deps
      await serve(config, createLog({ level: config.logLevel, terminal, write: print }), deps)
    })
}

/** Runs the service until a signal stops it. */
async function serve(
  config: Config,
  log: Log,
  { printError, stopSignal, exit }: ServeDeps,
): Promise<void> {
  const stopped = stopSignal()
  let service: Service | undefined

  function onFatal(error: unknown): void {
    log.error('the storage failed: exiting, since later writes cannot be trusted', { error })
    exit(EXIT.fault)
  }

  try {
    service = openService(config, { clock: systemClock(), log, random: Math.random, onFatal })
    await service.start()
    logStart(config, service.listen(), log)
  } catch (error) {
    printError(`txhook: ${(error as Error).message}\n`)
    if (!(error instanceof StartError)) log.error('the start failed', { error })
    await service?.stop().catch(onFatal)
    throw new ExitError(error instanceof StartError ? error.exitCode : EXIT.fault)
  }
  const signal = await stopped
  log.info('stopping', { signal })
  await service.stop().catch(onFatal)
  log.info('stopped')
}

function logStart(config: Config, url: string, log: Log): void {
  // Not the whole URL of the target: its path or query may contain a token.
  if (config.targetUrl === undefined)
    log.info('calls are simulated', { ms: config.processingDelayMs })
  else log.info('calls go to the target', { target: new URL(config.targetUrl).origin })
  log.info(`listening on ${url}`, { url })
  const open = [
    ...(config.webhookSecrets.length === 0 ? ['anyone who reaches it can post'] : []),
    ...(config.apiKeys.length === 0 ? ['anyone who reaches it can read and retry'] : []),
  ]
  if (open.length > 0) log.warn(`the service is open: ${open.join(', ')}`)
}
