/** The exit codes, by which scripts and service managers distinguish how a command ended. */
export const EXIT = {
  done: 0,
  /** At the start (port taken, directory not writable) or later (a commit or a request failed). */
  fault: 1,
  /** Bad usage or configuration. */
  usage: 2,
  /** The data directory is in use by another txhook. */
  inUse: 3,
  /** The database is newer than this executable, is not txhook's, or is damaged. */
  foreignDatabase: 4,
} as const

/** The exit codes as text for the help. */
export const EXIT_CODES = `Exit codes:
  ${EXIT.done}  done
  ${EXIT.fault}  a fault at the start or of the disk; of other verbs, no answer or one that is no success
  ${EXIT.usage}  bad usage or configuration
  ${EXIT.inUse}  the data directory is in use by another txhook
  ${EXIT.foreignDatabase}  the database is newer than this executable, another program's or damaged`

/** Ends the command with an exit code. The message is for the operator; empty: already printed. */
export class ExitError extends Error {
  readonly exitCode: number

  constructor(exitCode: number, message = '', options?: ErrorOptions) {
    super(message, options)
    this.exitCode = exitCode
  }
}

/** The server can't start. */
export class StartError extends ExitError {
  override readonly name = 'StartError'
}
