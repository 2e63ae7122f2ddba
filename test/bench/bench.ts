/**
 * The benchmark: `bun run bench`, with `--only ingest,drain` for a part of it, `--rounds N`,
 * `--before EXECUTABLE` to compare with an earlier one, `--json` for machines, and `--write` to keep
 * the table in results.md, which says what it means.
 */

import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measureDrain } from './drained.ts'
import { measureGrowth } from './growth.ts'
import { measureIngest } from './ingest.ts'
import { measureOpenLoop } from './open-loop.ts'
import { measureOutage } from './outage.ts'
import { buildTxhook, hasProc } from './processes.ts'
import { measureIdle, measureStart } from './rest.ts'
import { measureSignature } from './signature.ts'
import { type Measurement, type Options, tableOf } from './table.ts'
import { measureWholeWay } from './whole-way.ts'

const PARTS: Record<string, (txhook: string, options: Options) => Promise<Measurement[]>> = {
  ingest: measureIngest,
  'open-loop': measureOpenLoop,
  drain: measureDrain,
  'whole-way': measureWholeWay,
  growth: measureGrowth,
  idle: measureIdle,
  start: measureStart,
  outage: measureOutage,
  signature: measureSignature,
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(PARTS).join(',') },
    before: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})

if (Bun.which('wrk') === null) fail('The benchmark needs wrk: apt-get install wrk')
if (!hasProc) fail('The benchmark looks at processes in /proc, which only Linux has.')

const rounds = Number(values.rounds)
const txhook = buildTxhook()
const machine = describeMachine()
const measurements: Measurement[] = []
for (const name of values.only.split(',')) {
  const measure = PARTS[name] ?? fail(`There is no part ${name}: ${Object.keys(PARTS).join(', ')}`)
  process.stderr.write(`${name} …\n`)
  measurements.push(...(await measure(txhook, { rounds, before: values.before })))
}

const table = `${machine}\n\n${tableOf(measurements)}`
process.stdout.write(values.json ? JSON.stringify({ machine, measurements }) : table)
if (values.write) await writeResults(table)
process.exit(0)

function describeMachine(): string {
  const [cpu] = cpus()
  const memory = (totalmem() / 2 ** 30).toFixed(0)
  const system = Bun.spawnSync(['uname', '-sr']).stdout.toString().trim()
  const date = new Date().toISOString().slice(0, 10)
  const hardware = `${cpus().length} × ${cpu?.model}, ${memory} GiB`
  return `${date}: ${hardware}, ${system}, Bun ${Bun.version}, ${rounds} rounds`
}

/** Puts the table between the two marks of results.md. */
async function writeResults(table: string): Promise<void> {
  const file = Bun.file(join(import.meta.dir, 'results.md'))
  const text = await file.text()
  const marks = /(<!-- table -->\n)[\s\S]*(<!-- end of the table -->)/
  await Bun.write(
    file,
    text.replace(marks, (_, start, end) => `${start}\n${table}\n${end}`),
  )
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
