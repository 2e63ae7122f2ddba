import { expect, test } from 'bun:test'
import { kubernetesVariables } from '../../src/config/known-variables.ts'
import { readConfig } from '../../src/config/read-config.ts'

/** What Kubernetes sets for a Service of this name with the ports http (8000) and metrics (9000). */
function serviceVariables(name: string): Record<string, string> {
  const port = (number: number) => ({
    [`${name}_PORT_${number}_TCP`]: `tcp://10.0.0.1:${number}`,
    [`${name}_PORT_${number}_TCP_PROTO`]: 'tcp',
    [`${name}_PORT_${number}_TCP_PORT`]: String(number),
    [`${name}_PORT_${number}_TCP_ADDR`]: '10.0.0.1',
  })
  return {
    [`${name}_SERVICE_HOST`]: '10.0.0.1',
    [`${name}_SERVICE_PORT`]: '8000',
    [`${name}_SERVICE_PORT_HTTP`]: '8000',
    [`${name}_SERVICE_PORT_METRICS`]: '9000',
    [`${name}_PORT`]: 'tcp://10.0.0.1:8000',
    ...port(8000),
    ...port(9000),
  }
}

test.each(['TXHOOK', 'TXHOOK_API', 'TXHOOK_2_METRICS'])(
  'the variables of a Kubernetes Service are ignored: %s',
  (name) => {
    const environment = serviceVariables(name)
    expect(readConfig({}, environment)).toEqual(readConfig({}, {}))
    expect(kubernetesVariables(environment)).toEqual(Object.keys(environment))
  },
)

test('mistyped settings are not taken for such variables', () => {
  for (const name of ['TXHOOK_PORTS', 'TXHOOK_MY_PORT', 'TXHOOK_SERVICES', 'TXHOOK_API_KEY']) {
    expect(readConfig({}, { [name]: '8000' })).toEqual([`${name} is not a variable of txhook`])
  }
})

test.each([
  'BUN_INSPECT',
  'BUN_INSPECT_CONNECT_TO',
  'BUN_INSPECT_NOTIFY',
  'BUN_INSPECT_PRELOAD',
  'BUN_OPTIONS',
  'BUN_BE_BUN',
  'BUN_JSC_useDollarVM',
  'BUN_CONFIG_VERBOSE_FETCH',
  'BUN_CONFIG_MAX_HTTP_REQUESTS',
])('a variable that changes Bun is a fault: %s', (name) => {
  expect(readConfig({}, { [name]: '1' })).toEqual([`${name} changes the program: unset it`])
  expect(readConfig({}, { [name]: '' })).toEqual(readConfig({}, {}))
})

test('other variables of Bun are not', () => {
  const environment = { BUN_INSTALL: '/home/user/.bun', BUN_TMPDIR: '/tmp', BUN_CONFIG_TOKEN: 'x' }
  expect(readConfig({}, environment)).toEqual(readConfig({}, {}))
})
