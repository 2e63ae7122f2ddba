/** What the benchmark prints. */

/** One figure, with what it should reach and what it aims at where that is fixed. */
export type Measurement = {
  figure: string
  value: string
  reach?: string
  aim?: string
  detail: string
}

export type Options = {
  /** How often each comparison is made; the median counts. */
  rounds: number
  /** An earlier executable to compare with, in turns. */
  before?: string | undefined
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2
}

/** The value that this share of all values doesn't exceed. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(Math.ceil(sorted.length * share), sorted.length) - 1] ?? 0
}

/** As a table of Markdown. */
export function tableOf(measurements: readonly Measurement[]): string {
  const rows = measurements.map(({ figure, value, reach = '', aim = '', detail }) =>
    [figure, value, reach, aim, detail].join(' | '),
  )
  return ['figure | value | reach | aim | detail', '---|---|---|---|---', ...rows]
    .map((row) => `|${row}|\n`)
    .join('')
}
