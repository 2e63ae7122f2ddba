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

/** What one field of an entry may hold, in UTF-16 code units: a line stays one to read. */
const FIELD_LENGTH_MAX = 2_000

/** What a terminal, or a viewer of lines, may take for something else than text. */
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\p{Bidi_Control}]/gu

/** The log of this process: LogTape keeps one configuration for all of it. */
export function createLog({ level, terminal, write }: LogOptions): Log {
  const format = terminal ? readableLine : getJsonLinesFormatter({ properties: 'flatten' })
  configureSync({
    reset: true,
    sinks: { out: (record) => write(format(record).replace(UNPRINTABLE, escaped)) },
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

/** JSON has escaped the rest of what could forge a line. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Cuts what is too long: a value that isn't text is then shown as some. */
function bounded(fields: Record<string, unknown> = {}): Record<string, unknown> {
  const entries = Object.entries(fields).map(([name, value]) => {
    const text = textOf(value)
    const tooLong = text.length > FIELD_LENGTH_MAX
    return [name, tooLong ? `${text.slice(0, FIELD_LENGTH_MAX)}…` : value]
  })
  return Object.fromEntries(entries)
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return value instanceof Error ? Bun.inspect(value) : (JSON.stringify(value) ?? '')
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
