import { expect } from 'bun:test'

/** Sets the limit on the size of files of a process, in bytes or `unlimited`. */
export function setFileSizeLimit(pid: number, limit: number | 'unlimited'): void {
  const { exitCode, stderr } = Bun.spawnSync(['prlimit', `--pid=${pid}`, `--fsize=${limit}:`])
  expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: '' })
}

/** Keeps this process from making any file larger than so many bytes, until it is disposed. */
export function limitFileSize(bytes: number): Disposable {
  setFileSizeLimit(process.pid, bytes)
  return { [Symbol.dispose]: () => setFileSizeLimit(process.pid, 'unlimited') }
}
