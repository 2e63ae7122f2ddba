import { newDirectory, runScript, SERVER_CORE } from './processes.ts'
import { seed } from './seed.ts'
import { type Measurement, median, type Options } from './table.ts'

const JOBS = 200_000

/** A backlog of due jobs whose processing is done at once, against a bare loop of the statements. */
export async function measureDrain(_txhook: string, { rounds }: Options): Promise<Measurement[]> {
  const scheduler: number[] = []
  const bare: number[] = []
  for (let round = 0; round < rounds; round++) {
    for (const [mode, figures] of [
      ['scheduler', scheduler],
      ['bare', bare],
    ] as const) {
      const dataDir = newDirectory()
      await seed(dataDir, { due: JOBS })
      figures.push(await runScript<number>(SERVER_CORE, 'drain.ts', mode, dataDir))
    }
  }
  const ratio = median(scheduler.map((perS, i) => perS / (bare[i] as number)))
  const [ours, theirs] = [scheduler, bare].map((figures) => Math.round(median(figures)))
  return [
    {
      figure: 'drain ÷ bare loop in batches of 500',
      value: ratio.toFixed(2),
      reach: '0.5',
      aim: '0.8',
      detail: `${ours} against ${theirs} jobs/s, ${JOBS} jobs`,
    },
  ]
}
