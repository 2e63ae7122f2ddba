/** Which variables of the environment are neither txhook's nor harmless. */

import type { Environment } from './read-config.ts'
import { SETTINGS, type Setting } from './settings.ts'

/**
 * What Kubernetes sets in each container for a Service named `txhook`, or `txhook-` and more. These
 * follow from the name alone, and none is a setting.
 */
const KUBERNETES = [
  /^TXHOOK_(?:PORT$|PORT_|SERVICE_)/,
  /^TXHOOK_\w+_SERVICE_(?:HOST$|PORT$|PORT_)/,
  /^TXHOOK_\w+_PORT_\d+_(?:TCP|UDP|SCTP)(?:_PROTO|_PORT|_ADDR)?$/,
]
/** The variable of another Service; its name alone could be a mistyped setting. */
const SERVICE_URL = /^(?:tcp|udp|sctp):\/\//

/**
 * Variables by which Bun, in the executable too, opens a debugger, runs other code, changes how the
 * program runs, or prints the headers and bodies of calls.
 */
const BUN =
  /^BUN_(?:INSPECT\w*|OPTIONS|BE_BUN|JSC_\w+|CONFIG_VERBOSE_FETCH|CONFIG_MAX_HTTP_REQUESTS)$/

function given(environment: Environment): string[] {
  return Object.keys(environment).filter((name) => environment[name])
}

/** The faults of variables that txhook does not know, and of those that change Bun. */
export function variableFaults(environment: Environment): string[] {
  const known = Object.values<Setting>(SETTINGS).flatMap(({ variable, file }) =>
    file ? [variable, `${variable}_FILE`] : [variable],
  )
  const ignored = kubernetesVariables(environment)
  const names = given(environment)
  return [
    ...names
      .filter((name) => name.startsWith('TXHOOK_') && ![...known, ...ignored].includes(name))
      .map((name) => `${name} is not a variable of txhook`),
    ...names
      .filter((name) => BUN.test(name))
      .map((name) => `${name} changes the program: unset it`),
  ]
}

/** The variables that are ignored, since Kubernetes sets them. */
export function kubernetesVariables(environment: Environment): string[] {
  return given(environment).filter(
    (name) =>
      KUBERNETES.some((pattern) => pattern.test(name)) ||
      (/^TXHOOK_\w+_PORT$/.test(name) && SERVICE_URL.test(environment[name] ?? '')),
  )
}
