import { dlopen, FFIType } from 'bun:ffi'

/** Where the C libraries of the platforms are, and what ends a process in each. */
const EXITS = [
  ['libc.so.6', '_exit'],
  [`libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`, '_exit'],
  ['libSystem.B.dylib', '_exit'],
  ['kernel32.dll', 'ExitProcess'],
] as const

/**
 * Ends the process on the spot. `process.exit` would first have Bun fold the write-ahead log of
 * each open database into its file, and after a failed sync that may be a log with holes, over a
 * file that is whole.
 */
export function hardExit(code: number): never {
  for (const [library, name] of EXITS) {
    try {
      dlopen(library, { [name]: { args: [FFIType.i32], returns: FFIType.void } }).symbols[name]?.(
        code,
      )
    } catch {
      // Another platform's.
    }
  }
  // Not with the code asked for, but as much on the spot.
  process.kill(process.pid, 'SIGKILL')
  throw new Error('The process goes on after its end.')
}
