import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

const SRC = join(import.meta.dir, '../src')

type Import = { from: string; to: string }

/** Every import of src/: the file, and the module, which is a path from src/ where it is one of ours. */
const IMPORTS: readonly Import[] = [...new Bun.Glob('**/*.ts').scanSync(SRC)].flatMap((from) =>
  [...readFileSync(join(SRC, from), 'utf8').matchAll(/(?:from|import) '([^']+)'/g)].map(
    ([, to = '']) => ({
      from,
      to: to.startsWith('.') ? relative(SRC, join(SRC, from, '..', to)) : to,
    }),
  ),
)

/** The imports that go from one of these places to one of those. */
function between(from: RegExp, to: RegExp): string[] {
  return IMPORTS.filter((it) => from.test(it.from) && to.test(it.to)).map(
    (it) => `${it.from} imports ${it.to}`,
  )
}

test('all imports of all files are found', () => {
  expect(IMPORTS.length).toBeGreaterThan(300)
  expect(between(/^service\.ts$/, /^store\/sqlite\/open-store\.ts$/)).toHaveLength(1)
})

test('only the folder of an engine imports its driver and drizzle', () => {
  expect(between(/^(?!store\/sqlite\/)/, /^(drizzle-orm|bun:sqlite)/)).toEqual([])
})

test('above store/ its interface alone is imported, but for the wiring', () => {
  expect(between(/^(?!store\/|service\.ts$)/, /^store\/(?!store\.ts$)/)).toEqual([])
})

test('the database of an engine knows nothing of transactions', () => {
  expect(between(/^store\/sqlite\/database\//, /^(domain|scheduler|processors|http)\//)).toEqual([])
  const meaning = /^store\/sqlite\/(?!database\/|schema\.ts$)/
  expect(between(/^store\/sqlite\/database\//, meaning)).toEqual([])
})

test('the domain imports nothing of ours but itself', () => {
  expect(between(/^domain\//, /^(?!domain\/)[\w-]+(\/|\.ts$)/)).toEqual([])
})

test('scheduler and HTTP do not know each other, and nothing below knows the commands', () => {
  expect(between(/^http\//, /^scheduler\//)).toEqual([])
  expect(between(/^scheduler\//, /^http\//)).toEqual([])
  expect(between(/^(?!commands\/|main\.ts$)/, /^commands\//)).toEqual([])
  expect(between(/^(store|scheduler|processors|telemetry|domain|config)\//, /^http\//)).toEqual([])
})
