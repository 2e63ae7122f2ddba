import type { Command } from 'commander'
import { systemClock } from '../clock.ts'
import { kubernetesVariables } from '../config/known-variables.ts'
import { type LiveConfig, liveConfig, readAtOnce } from '../config/live-secrets.ts'
import { ALL_SETTINGS } from '../config/settings.ts'
import { CIRCUIT_BREAKER, LIMITS } from '../documentation.ts'
import { EXIT, EXIT_CODES, ExitError, StartError } from '../exit.ts'
import { openService, type Service } from '../service.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { allowUnknown, configOf, readSettings, type VerbDeps, withSettings } from './flags.ts'
import type { Output } from './output.ts'
import { guardsOf, logAddress, logConfig, logProcessor } from './start-log.ts'

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
  let service: Service | undefined

  function onFatal(error: unknown): void {
    log.error('the storage failed: exiting, since later writes cannot be trusted', { error })
    exit(EXIT.fault)
  }

  logConfig(config, log)
  deps.onSignal((name) => (name === 'SIGHUP' ? reload(live, log) : stopped.resolve(name)))
  const variables = kubernetesVariables(environment)
  if (variables.length > 0) log.info('variables of a Kubernetes Service are ignored', { variables })
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
function reload({ config, reload: readAgain }: LiveConfig, log: Log): void {
  const faults = readAgain()
  if (faults.length > 0) log.error('the secrets and keys stay as they were', { faults })
  else log.info('the secrets and keys were read again', guardsOf(config))
}
