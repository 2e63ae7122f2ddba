import { expect, setDefaultTimeout, test } from 'bun:test'
import { type KillOptions, runKillCycles } from '../support/kill-cycles.ts'
import { randomFrom } from '../support/kill-history.ts'
import { killTarget } from '../support/kill-target.ts'

/** Some cycles by default; as many as one likes by the environment. The seed gives the same again. */
const cycles = Number(process.env.KILL_CYCLES ?? 8)
const seed = Number(process.env.KILL_SEED ?? Math.floor(Math.random() * 2 ** 31))

// A cycle takes half a second, a stop that cuts calls 8 s.
setDefaultTimeout(120_000 + cycles * 10_000)

/** libfaketime gives a process another wall clock; without it the clock isn't stepped. */
const faketime = [...new Bun.Glob('/usr/lib/*/faketime/libfaketime.so.1').scanSync('/')][0]

async function run(options: Partial<KillOptions>): Promise<void> {
  console.log(`KILL_CYCLES=${cycles} KILL_SEED=${seed}`)
  const { counts, violations } = await runKillCycles({ cycles, seed, faketime, ...options })
  console.log(
    JSON.stringify({
      ...counts,
      calls: options.target?.calls.length,
      violations: violations.length,
    }),
  )
  expect(violations.slice(0, 5)).toEqual([])
  expect(counts.acknowledged).toBeGreaterThan(0)
}

test('killed, stopped and its clock stepped, again and again, with simulated calls', async () => {
  await run({})
})

test('killed, stopped and its clock stepped, again and again, with a target', async () => {
  await using target = killTarget(randomFrom(seed + 2))
  await run({ target })
})
