#!/usr/bin/env bun
/**
 * The entry. It listens for the signals before anything else loads, which takes longer than all the
 * rest of a start: until then a signal ends the process, or as PID 1 is lost.
 */

import type { Signals } from './commands/process.ts'

const signals: Signals = { received: [], onSignal: undefined }
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (signals.onSignal) signals.onSignal(name)
    else signals.received.push(name)
  })
}

// Not a static import: that would be loaded first.
const { runProcess } = await import('./commands/process.ts')
process.exit(await runProcess(signals))
