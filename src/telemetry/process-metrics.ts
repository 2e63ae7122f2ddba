import { readdirSync, readFileSync } from 'node:fs'
import { Counter, Gauge, type Registry } from 'prom-client'

/**
 * Adds the metrics of the process under the names that every Prometheus client gives them. They are
 * read from the system at a scrape and at no other time; those that need `/proc` are left out where
 * there is none.
 */
export function addProcessMetrics(registry: Registry): void {
  const registers = [registry]
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })

  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the process, user and system.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1e6)
    },
  })
  gauge('process_resident_memory_bytes', 'Resident memory of the process.', () =>
    process.memoryUsage.rss(),
  )
  gauge(
    'process_start_time_seconds',
    'When the process started, in seconds since the epoch.',
    () => performance.timeOrigin / 1000,
  )
  const openMax = openFilesMax()
  if (openMax === undefined) return
  gauge('process_open_fds', 'File descriptors that the process has open.', openFiles)
  gauge('process_max_fds', 'File descriptors that it may have open.', () => openMax)
}

function openFiles(): number {
  try {
    // Without the one that reads the directory.
    return readdirSync('/proc/self/fd').length - 1
  } catch {
    // No descriptor is left to read it with.
    return Number.NaN
  }
}

/** The limit by `ulimit -n`; undefined where there is no `/proc`. */
function openFilesMax(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    const soft = /^Max open files +(\S+)/m.exec(limits)?.[1]
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return undefined
  }
}
