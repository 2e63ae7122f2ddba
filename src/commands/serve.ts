import { resolve } from 'node:path'
import type { Command } from 'commander'
import { systemClock } from '../clock.ts'
import { kubernetesVariables } from '../config/known-variables.ts'
import { type LiveConfig, liveConfig, readAtOnce } from '../config/live-secrets.ts'
import type { Config } from '../config/read-config.ts'
import { ALL_SETTINGS } from '../config/settings.ts'
import { CIRCUIT_BREAKER, LIMITS } from '../documentation.ts'
import { EXIT, EXIT_CODES, ExitError, StartError } from '../exit.ts'
import { TARGET } from '../processors/create-processor.ts'
import type { Processor } from '../processors/processor.ts'
import { openService, type Service } from '../service.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { VERSION } from '../version.ts'
import { allowUnknown, configOf, readSettings, type VerbDeps, withSettings } from './flags.ts'
import type { Output } from './output.ts'

export type SignalName = 'SIGTERM' | 'SIGINT' | 'SIGHUP'

export type ServeDeps = VerbDeps &
  Pick<Output, 'printLog'> & {
    /** Whether standard output is a terminal. */
    terminal: boolean
    /** Calls `listener` with each signal, also with those that came before, instead of ending. */
    onSignal(listener: (name: SignalName) => void): void
    /** Ends the process at once. */
    exit(code: number): never
  }

/** Adds `serve`, the default verb. */
export function addServe(program: Command, deps: ServeDeps): void {
  allowUnknown(withSettings(program.command('serve', { isDefault: true }), ALL_SETTINGS))
    .description('start the server (the default)')
    .addHelpText('after', `\n${EXIT_CODES}\n\n${CIRCUIT_BREAKER}\n\n${LIMITS}`)
    .action(async (_options, command: Command) => {
      const { terminal, printLog, environment } = deps
      const live = liveConfig(configOf(command, ALL_SETTINGS, deps), () =>
        readSettings(command, ALL_SETTINGS, environment, readAtOnce),
      )
      const level = live.config.logLevel
      await serve(live, createLog({ level, terminal, write: printLog }), deps)
    })
}

/** Runs the service until a signal stops it. */
async function serve(live: LiveConfig, log: Log, deps: ServeDeps): Promise<void> {
  const { printError, exit, environment } = deps
  const { config } = live
  const stopped = Promise.withResolvers<SignalName>()
  deps.onSignal((name) => (name === 'SIGHUP' ? reload(live, log) : stopped.resolve(name)))
  let service: Service | undefined

  function onFatal(error: unknown): void {
    log.error('the storage failed: exiting, since later writes cannot be trusted', { error })
    exit(EXIT.fault)
  }

  logConfig(config, kubernetesVariables(environment), log)
  try {
    service = openService(config, { clock: systemClock(), log, random: Math.random, onFatal })
    await service.start()
    logProcessor(service.processor, config, log)
    logAddress(service.listen(), config, log)
  } catch (error) {
    printError(`txhook: ${(error as Error).message}\n`)
    if (!(error instanceof StartError)) log.error('the start failed', { error })
    await service?.stop().catch(onFatal)
    throw new ExitError(error instanceof StartError ? error.exitCode : EXIT.fault)
  }
  const signal = await stopped.promise
  log.info('stopping', { signal })
  await service.stop().catch(onFatal)
  log.info('stopped')
}

/** Reads the secrets and keys again. */
function reload({ config, reload }: LiveConfig, log: Log): void {
  const faults = reload()
  if (faults.length > 0) log.error('the secrets and keys stay as they were', { faults })
  else log.info('the secrets and keys were read again', guards(config))
}

/** How many secrets and keys there are. */
function guards({ webhookSecrets, apiKeys, targetSecret }: Config): Record<string, number> {
  return {
    webhook_secrets: webhookSecrets.length,
    api_keys: apiKeys.length,
    target_secrets: targetSecret === undefined ? 0 : 1,
  }
}

/** The first line: what runs, where, and what guards it. */
function logConfig(config: Config, ignored: readonly string[], log: Log): void {
  log.info(`txhook ${VERSION} starts`, {
    version: VERSION,
    data_dir: resolve(config.dataDir),
    ...guards(config),
  })
  if (ignored.length > 0)
    log.info('variables of a Kubernetes Service are ignored', { variables: ignored })
}

function logProcessor(processor: Processor, { targetUrl }: Config, log: Log): void {
  const { kind, name } = processor
  if (kind === 'wait') log.info('calls are simulated', { ms: processor.waitMs })
  else if (name !== TARGET) log.info('calls go to a processor of its own', { processor: name })
  // Not the whole URL: its path or query may contain a token.
  else log.info('calls go to the target', { target: targetUrl && new URL(targetUrl).origin })
}

function logAddress(url: string, config: Config, log: Log): void {
  log.info(`listening on ${url}`, { url })
  const open = [
    ...(config.webhookSecrets.length === 0 ? ['anyone who reaches it can post'] : []),
    ...(config.apiKeys.length === 0 ? ['anyone who reaches it can read and retry'] : []),
  ]
  if (open.length > 0) log.warn(`the service is open: ${open.join(', ')}`)
}
