import { expect, test } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { SETTINGS, type Setting } from '../src/config/settings.ts'

const ROOT = join(import.meta.dir, '..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

test('the configuration table of the README has each setting, with its variable and default', () => {
  const rows = [...read('README.md').matchAll(/^\| `(--[\w-]+)` \| `(\w+)` \| `?([^`|]+?)`? \| /gm)]
  const settings = Object.values<Setting>(SETTINGS)
  expect(rows.map(([, ...row]) => row)).toEqual(
    settings.map(({ flag, variable, default: fallback = 'none' }) => [flag, variable, fallback]),
  )
  for (const { variable, file } of settings) {
    expect(read('README.md').includes(`\`${variable}_FILE\``)).toBe(file === true)
  }
})

test('the README is short enough to be read', () => {
  expect(read('README.md').split('\n').length).toBeLessThanOrEqual(201)
})

test.each(['README.md', 'src/README.md', 'test/README.md'])(
  'the files that %s names exist',
  (document) => {
    const text = read(document)
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, path]) => path as string)
    const code = [...text.matchAll(/`([\w./-]+\.(?:ts|md|txt))`/g)].map(
      ([, path]) => path as string,
    )
    expect(links.length + code.length).toBeGreaterThan(2)
    // One that is new where the document says so.
    const named = [...links, ...code].filter((path) => path !== 'src/processors/ledger.ts')
    const bases = [ROOT, join(ROOT, dirname(document)), join(ROOT, 'src/store/sqlite')]
    const missing = named.filter((path) => !bases.some((base) => existsSync(join(base, path))))
    expect(missing).toEqual([])
  },
)
