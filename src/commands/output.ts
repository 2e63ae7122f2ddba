/** Standard output and standard error. */

import { writeSync } from 'node:fs'
import { EXIT, ExitError } from '../exit.ts'

export type Output = {
  /**
   * Prints the output of a command.
   *
   * @returns false where the pipe is closed, as after `| head -1`
   * @throws ExitError where it can't be written whole
   */
  print(text: string): boolean
  printError(text: string): void
  /**
   * Prints a line of the log. One that can't be written is lost, and so is one that no reader takes
   * from a full pipe within a second; a pipe that blocks is waited for.
   */
  printLog(line: string): void
}

/** Between two tries to write to a full pipe that doesn't block. */
const PIPE_FULL_MS = 5

/** How long the service waits for the reader of its log, once. */
const LOG_WAIT_MS_MAX = 1_000

/** Writes to these file descriptors, at once: no text is left behind when the process ends. */
export function openOutput(stdout = 1, stderr = 2): Output {
  let brokenLine = false
  let isStuck = false
  return {
    print(text) {
      const { error } = write(stdout, `${text.trimEnd()}\n`)
      if (error?.code === 'EPIPE') return false
      if (error === undefined) return true
      const message = `the output could not be written: ${error.message}`
      throw new ExitError(EXIT.fault, message, { cause: error })
    },
    printError: (text) => void write(stderr, `${text.trimEnd()}\n`),
    printLog(line) {
      const text = `${line.trimEnd()}\n`
      const waitMsMax = isStuck ? 0 : LOG_WAIT_MS_MAX
      const { error, bytes } = write(stdout, brokenLine ? `\n${text}` : text, waitMsMax)
      isStuck = error?.code === 'EAGAIN'
      // The rest of a line is lost, but not the line after it.
      if (error === undefined) brokenLine = false
      else if (bytes > 0) brokenLine = true
    },
  }
}

/** Writes a text whole. Returns how many bytes went out before an error. */
function write(
  fd: number,
  text: string,
  waitMsMax = Number.POSITIVE_INFINITY,
): { bytes: number; error?: NodeJS.ErrnoException } {
  const all = Buffer.from(text)
  let bytes = 0
  let waitedMs = 0
  while (bytes < all.length) {
    try {
      bytes += writeSync(fd, all, bytes)
    } catch (thrown) {
      const error = thrown as NodeJS.ErrnoException
      if (error.code !== 'EAGAIN' || waitedMs >= waitMsMax) return { bytes, error }
      Bun.sleepSync(PIPE_FULL_MS)
      waitedMs += PIPE_FULL_MS
    }
  }
  return { bytes }
}
