import type { Log, LogLevel } from '../../src/telemetry/log.ts'

export type LogEntry = { level: LogLevel; message: string; fields: Record<string, unknown> }

/** A log that remembers. */
export function recordingLog(): Log & { entries: LogEntry[] } {
  const entries: LogEntry[] = []
  const record =
    (level: LogLevel): Log[LogLevel] =>
    (message, fields = {}) =>
      void entries.push({ level, message, fields })
  return {
    entries,
    debug: record('debug'),
    info: record('info'),
    warn: record('warn'),
    error: record('error'),
  }
}
