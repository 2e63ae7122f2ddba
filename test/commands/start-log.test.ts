import { expect, test } from 'bun:test'
import { logProcessor } from '../../src/commands/start-log.ts'
import { createProcessor } from '../../src/processors/create-processor.ts'
import type { CallProcessor, Processor } from '../../src/processors/processor.ts'
import { manualClock } from '../support/clock.ts'
import { recordingLog } from '../support/log.ts'
import { configWith } from '../support/service.ts'

const own: CallProcessor = { kind: 'call', process: async () => ({ kind: 'done' }) }
const URL = { '--target-url': 'http://ledger.example:1/hidden?token=hidden' }
const configured = (flags: Record<string, string>) =>
  createProcessor(configWith(flags), manualClock())

test.each([
  ['the simulated one', configured({}), {}, 'calls are simulated', { ms: 30_000 }],
  [
    "the target's",
    configured(URL),
    URL,
    'calls go to the target',
    { target: 'http://ledger.example:1' },
  ],
  [
    'one of your own',
    { ...own, name: 'the ledger' },
    {},
    'calls go to another processor',
    { processor: 'the ledger' },
  ],
  [
    'one of your own without a name',
    own,
    URL,
    'calls go to another processor',
    { processor: 'without a name' },
  ],
] satisfies [string, Processor, Record<string, string>, string, object][])(
  'the log names the processor: %s',
  (_name, processor, flags, message, fields) => {
    const log = recordingLog()
    logProcessor(processor, configWith(flags), log)
    expect(log.entries).toEqual([{ level: 'info', message, fields: fields as never }])
  },
)
