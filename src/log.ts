import {
  configureSync,
  getAnsiColorFormatter,
  getJsonLinesFormatter,
  getLogger,
  type LogRecord,
} from '@logtape/logtape'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What happens, for operators: a message that is always the same, and what was special. */
export type Log = Record<LogLevel, (message: string, fields?: Record<string, unknown>) => void>

export type LogOptions = {
  level: LogLevel
  /** Readable lines for a terminal; otherwise one JSON object a line. */
  terminal: boolean
  write(line: string): void
}

/** The log of this process: LogTape keeps one configuration for all of it. */
export function createLog({ level, terminal, write }: LogOptions): Log {
  const format = terminal ? readableLine : getJsonLinesFormatter({ properties: 'flatten' })
  configureSync({
    reset: true,
    sinks: { out: (record) => write(format(record)) },
    loggers: [
      { category: 'txhook', lowestLevel: level === 'warn' ? 'warning' : level, sinks: ['out'] },
      { category: ['logtape', 'meta'], lowestLevel: 'error', sinks: ['out'] },
    ],
  })
  const logger = getLogger('txhook')
  return {
    debug: (message, fields) => logger.debug(message, fields),
    info: (message, fields) => logger.info(message, fields),
    warn: (message, fields) => logger.warn(message, fields),
    error: (message, fields) => logger.error(message, fields),
  }
}

const colored = getAnsiColorFormatter({ timestamp: 'time', category: () => '' })

/** `09:45:34.207 INF stopping signal="SIGTERM"`; values are JSON, so that none spans lines. */
function readableLine(record: LogRecord): string {
  const fields = Object.entries(record.properties).map(([name, value]) => {
    const shown = value instanceof Error ? value.message : value
    return ` ${name}=${JSON.stringify(shown)}`
  })
  return `${colored(record).trimEnd()}${fields.join('')}\n`
}
