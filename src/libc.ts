import { dlopen, type FFIFunction, type Library } from 'bun:ffi'

/** The C library of each platform. */
const LIBRARIES = [
  'libc.so.6',
  `libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`,
  'libSystem.B.dylib',
]

/** Functions of the C library by their names; undefined where this platform has none of these. */
export function loadFromLibc<Functions extends Record<string, FFIFunction>>(
  functions: Functions,
): Library<Functions>['symbols'] | undefined {
  for (const library of LIBRARIES) {
    try {
      return dlopen(library, functions).symbols
    } catch {
      // The library of another platform.
    }
  }
  return undefined
}
