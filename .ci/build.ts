/**
 * Builds `dist/txhook`, or the file that is named, for this machine; with `--all`, an executable for each platform that txhook
 * runs on, and their SHA256SUMS. Bun fetches the runtimes of the other platforms itself.
 */

import { mkdir, rm } from 'node:fs/promises'

const PLATFORMS = [
  'linux-x64',
  'linux-arm64',
  'linux-x64-musl',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'windows-x64',
] as const

const all = process.argv.includes('--all')
await mkdir('dist', { recursive: true })

if (all) {
  await rm('dist/SHA256SUMS', { force: true })
  const sums: string[] = []
  for (const platform of PLATFORMS) {
    const suffix = platform.startsWith('windows') ? '.exe' : ''
    const name = `txhook-${platform}${suffix}`
    await build(`dist/${name}`, `bun-${platform}`)
    const bytes = await Bun.file(`dist/${name}`).arrayBuffer()
    sums.push(`${new Bun.CryptoHasher('sha256').update(bytes).digest('hex')}  ${name}\n`)
  }
  await Bun.write('dist/SHA256SUMS', sums.join(''))
} else {
  await build(process.argv[2] ?? 'dist/txhook')
}

async function build(outfile: string, target?: string): Promise<void> {
  // An executable must not pick up a `.env` or a `bunfig.toml` wherever it happens to be started.
  const flags = ['--no-compile-autoload-dotenv', '--no-compile-autoload-bunfig']
  // The entry, which listens for signals, is loaded before all else only as a file of its own.
  flags.push('--splitting')
  if (target) flags.push(`--target=${target}`)
  const built = await Bun.$`bun build --compile ${flags} src/main.ts --outfile ${outfile}`
    .quiet()
    .nothrow()
  if (built.exitCode !== 0) throw new Error(built.stderr.toString())
  process.stdout.write(`${outfile}\n`)
}
