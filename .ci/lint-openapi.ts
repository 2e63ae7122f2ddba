/**
 * Lints the OpenAPI document by the recommended rules of Redocly and of Spectral. Both come by
 * `bun x`: they are 240 packages, which no other command needs.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/clock.ts'
import { type Config, readConfig } from '../src/config/read-config.ts'
import { openService } from '../src/service.ts'

const directory = mkdtempSync(join(tmpdir(), 'txhook-openapi-'))
const file = (name: string) => join(directory, name)
const log = { debug() {}, info() {}, warn() {}, error() {} }

/** Exits with 1 where the command fails. */
function run(...command: string[]): void {
  const { exitCode } = Bun.spawnSync([process.execPath, 'x', ...command], {
    cwd: directory,
    stdout: 'inherit',
    stderr: 'inherit',
  })
  if (exitCode !== 0) process.exit(1)
}

process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const config = readConfig({ '--data-dir': file('data') }, {}) as Config
const onFatal = (error: unknown) => {
  throw error
}
const service = openService(config, { clock: systemClock(), log, random: Math.random, onFatal })
const response = await service.app.fetch(new Request('http://localhost/swagger/json'))
await Bun.write(file('openapi.json'), await response.text())
await service.stop()
await Bun.write(file('redocly.yaml'), 'extends: [recommended]\n')
await Bun.write(file('.spectral.yaml'), 'extends: ["spectral:oas"]\n')

run('@redocly/cli@2.77.0', 'lint', '--max-problems=100', 'openapi.json')
run('@stoplight/spectral-cli@6.16.3', 'lint', '--fail-severity=hint', 'openapi.json')
