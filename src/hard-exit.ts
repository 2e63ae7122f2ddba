import { dlopen, FFIType } from 'bun:ffi'

/** The C library of each platform, and its function that ends the process. */
const EXITS = [
  ['libc.so.6', '_exit'],
  [`libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`, '_exit'],
  ['libSystem.B.dylib', '_exit'],
  ['kernel32.dll', 'ExitProcess'],
] as const

/**
 * Ends the process at once. `process.exit` would first checkpoint each open database: after a
 * failed sync the write-ahead log may have holes, and a checkpoint would damage an intact file.
 */
export function hardExit(code: number): never {
  for (const [library, name] of EXITS) {
    try {
      const functions = { [name]: { args: [FFIType.i32], returns: FFIType.void } }
      dlopen(library, functions).symbols[name]?.(code)
    } catch {
      // The library of another platform.
    }
  }
  // The exit code is lost, but this ends the process at once too.
  process.kill(process.pid, 'SIGKILL')
  throw new Error('the process could not be ended')
}
