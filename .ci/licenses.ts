/**
 * Writes `src/commands/licenses.txt`: what the executable contains, and under which licenses. Only
 * packages of which the bundle really has a part are in it. A test holds the file against this.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dir, '..')
const MODULES = 'node_modules/'
const LICENSE_FILE = /^(?:licen[cs]e|notice|copying)(?:\.(?:md|txt))?$/i

type Package = { name: string; version: string; license: string; texts: string[] }

/** The whole of the file. */
export async function licenses(): Promise<string> {
  const packages = (await bundledDirectories()).map(readPackage)
  const list = packages.map(({ name, version, license }) => `  ${name} ${version} (${license})`)
  const byText = new Map<string, string[]>()
  for (const { name, license, texts } of packages) {
    // A package without a text of its own means the one that its license names.
    const own = texts.length > 0 ? texts : [textOf(license, packages)]
    for (const text of own) byText.set(text, [...(byText.get(text) ?? []), name])
  }
  const texts = [...byText].map(([text, names]) => `${RULE}\n${names.join(', ')}\n\n${text}\n`)
  return [
    'txhook (MIT), the Bun runtime with what it links, and parts of these packages:\n',
    `${list.join('\n')}\n`,
    `${RULE}\ntxhook\n\n${readFileSync(join(ROOT, 'LICENSE'), 'utf8').trim()}\n`,
    ...texts,
    `${RULE}\nBun\n\n${bunLicense()}\n`,
  ].join('\n')
}

const RULE = '-'.repeat(80)

/** The directories of the packages from which the bundle has a file. */
async function bundledDirectories(): Promise<string[]> {
  const entrypoints = [join(ROOT, 'src/main.ts')]
  const { metafile } = await Bun.build({ entrypoints, target: 'bun', root: ROOT, metafile: true })
  const directories = Object.keys(metafile?.inputs ?? {}).flatMap((path) => {
    const at = path.lastIndexOf(MODULES)
    if (at === -1) return []
    const [scope = '', name = ''] = path.slice(at + MODULES.length).split('/')
    return [path.slice(0, at) + MODULES + (scope.startsWith('@') ? `${scope}/${name}` : scope)]
  })
  const byName = (path: string) => path.slice(path.lastIndexOf(MODULES))
  return [...new Set(directories)].sort((a, b) => (byName(a) < byName(b) ? -1 : 1))
}

function readPackage(path: string): Package {
  const directory = join(ROOT, path)
  const { name, version, license } = JSON.parse(
    readFileSync(join(directory, 'package.json'), 'utf8'),
  )
  const files = readdirSync(directory).filter((file) => LICENSE_FILE.test(file))
  const texts = files.sort().map((file) => readFileSync(join(directory, file), 'utf8').trim())
  return { name, version, license, texts }
}

/** The text of a license, from another package that has it. */
function textOf(license: string, packages: readonly Package[]): string {
  const other = packages.find((it) => it.license === license && it.texts.length === 1)
  if (license !== 'Apache-2.0' || other === undefined) {
    throw new Error(`There is no text of the license ${license}.`)
  }
  return other.texts[0] as string
}

/** What Bun says of itself and of what it links; its types carry it. */
function bunLicense(): string {
  const path = join(ROOT, 'node_modules/bun-types/docs/project/license.mdx')
  if (!existsSync(path)) throw new Error(`${path} is missing.`)
  return readFileSync(path, 'utf8')
    .replace(/^---\n[\s\S]*?\n---\n/, '')
    .trim()
}

if (import.meta.main) await Bun.write(join(ROOT, 'src/commands/licenses.txt'), await licenses())
