import { dlopen, FFIType } from 'bun:ffi'
import { loadFromLibc } from './libc.ts'

const EXIT_FUNCTION = { args: [FFIType.i32], returns: FFIType.void }

/**
 * Ends the process at once. `process.exit` would first checkpoint each open database: after a
 * failed sync the write-ahead log may have holes, and a checkpoint would damage an intact file.
 */
export function hardExit(code: number): never {
  loadFromLibc({ _exit: EXIT_FUNCTION })?._exit(code)
  try {
    dlopen('kernel32.dll', { ExitProcess: EXIT_FUNCTION }).symbols.ExitProcess(code)
  } catch {
    // Not Windows.
  }
  // The exit code is lost, but this ends the process at once too.
  process.kill(process.pid, 'SIGKILL')
  throw new Error('the process could not be ended')
}
