/** What the exit codes mean: scripts and service managers tell the ends apart by them. */
export const EXIT = {
  done: 0,
  /** At the start (port taken, directory not writable) or while running (a commit failed). */
  fault: 1,
  /** Bad usage or configuration. */
  usage: 2,
  /** The data directory is in use by another txhook. */
  inUse: 3,
  /** The database is newer than this executable, is not txhook's, or is damaged. */
  foreignDatabase: 4,
} as const

/** Why txhook can't start: a sentence for the operator and the exit code that goes with it. */
export class StartError extends Error {
  override readonly name = 'StartError'
  readonly exitCode: number

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.exitCode = exitCode
  }
}
