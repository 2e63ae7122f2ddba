import {
  configureSync,
  getAnsiColorFormatter,
  getJsonLinesFormatter,
  getLogger,
  type LogRecord,
} from '@logtape/logtape'
import { printable } from './escape.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** The log for operators: the message is constant, the fields hold what varies. */
export type Log = Record<LogLevel, (message: string, fields?: Record<string, unknown>) => void>

export type LogOptions = {
  level: LogLevel
  /** Readable lines for a terminal; otherwise one JSON object a line. */
  terminal: boolean
  write(line: string): void
}

/** Of one field of an entry, in UTF-16 code units. */
const FIELD_LENGTH_MAX = 2_000

/** Creates the log. LogTape has one configuration for the process: the last one created counts. */
export function createLog({ level, terminal, write }: LogOptions): Log {
  const format = terminal ? readableLine : getJsonLinesFormatter({ properties: 'flatten' })
  configureSync({
    reset: true,
    sinks: { out: (record) => write(printable(format(record))) },
    loggers: [
      { category: 'txhook', lowestLevel: level === 'warn' ? 'warning' : level, sinks: ['out'] },
      { category: ['logtape', 'meta'], lowestLevel: 'error', sinks: ['out'] },
    ],
  })
  const logger = getLogger('txhook')
  return {
    debug: (message, fields) => logger.debug(message, bounded(fields)),
    info: (message, fields) => logger.info(message, bounded(fields)),
    warn: (message, fields) => logger.warn(message, bounded(fields)),
    error: (message, fields) => logger.error(message, bounded(fields)),
  }
}

/** Cuts long values, and turns what JSON can't hold into text. */
function bounded(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      const text = textOf(value)
      if (text.length > FIELD_LENGTH_MAX) return [name, `${text.slice(0, FIELD_LENGTH_MAX)}…`]
      return [name, isJson(value) ? value : text]
    }),
  )
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof Error || !isJson(value)) return Bun.inspect(value)
  return JSON.stringify(value) ?? ''
}

function isJson(value: unknown): boolean {
  try {
    JSON.stringify(value)
    return true
  } catch {
    return false
  }
}

const colored = getAnsiColorFormatter({ timestamp: 'time', category: () => '' })

/** `09:45:34.207 INF stopping signal="SIGTERM"`. As JSON, no value spans lines. */
function readableLine(record: LogRecord): string {
  const fields = Object.entries(record.properties).map(([name, value]) => {
    const shown = value instanceof Error ? value.message : value
    return ` ${name}=${JSON.stringify(shown)}`
  })
  return `${colored(record).trimEnd()}${fields.join('')}\n`
}
