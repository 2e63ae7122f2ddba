import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { licenses } from '../.ci/licenses.ts'

test('what the executable says that it contains is what the bundle contains', async () => {
  const file = join(import.meta.dir, '../src/commands/licenses.txt')
  expect(readFileSync(file, 'utf8')).toBe(await licenses())
})
