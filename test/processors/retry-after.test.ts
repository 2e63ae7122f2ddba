import { expect, test } from 'bun:test'
import { retryAfterMs } from '../../src/processors/retry-after.ts'

const NOW = Date.UTC(2026, 0, 1)

test.each([
  ['0', 0],
  ['1', 1_000],
  ['120', 120_000],
  ['0005', 5_000],
  ['9999999999', 9_999_999_999_000],
  ['99999999999', 99_999_999_999_000],
  ['9'.repeat(400), Number.POSITIVE_INFINITY],
  ['90.5', 91_000],
  ['90.000001', 91_000],
  ['1.0', 1_000],
  ['0.1', 1_000],
])('%p are seconds', (header, ms) => {
  expect(retryAfterMs(header, NOW)).toBe(ms)
})

test.each([
  ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
  ['Thursday, 01-Jan-26 00:00:30 GMT', 30_000],
  ['Thu Jan  1 00:00:30 2026', 30_000],
  ['Wed, 11 Mar 2026 07:08:09 GMT', Date.UTC(2026, 2, 11, 7, 8, 9) - NOW],
  ['Wednesday, 11-Mar-26 07:08:09 GMT', Date.UTC(2026, 2, 11, 7, 8, 9) - NOW],
  ['Wed Mar 11 07:08:09 2026', Date.UTC(2026, 2, 11, 7, 8, 9) - NOW],
  ['Fri, 31 Dec 9999 23:59:59 GMT', Date.UTC(9999, 11, 31, 23, 59, 59) - NOW],
])('%p is a date, in GMT whatever the zone of the machine is', (header, ms) => {
  const { TZ } = process.env
  try {
    for (const zone of ['America/New_York', 'Asia/Kolkata', 'UTC']) {
      process.env.TZ = zone
      expect(retryAfterMs(header, NOW)).toBe(ms)
    }
  } finally {
    if (TZ === undefined) delete process.env.TZ
    else process.env.TZ = TZ
  }
})

test.each([
  'Sun, 06 Nov 1994 08:49:37 GMT',
  'Sunday, 06-Nov-94 08:49:37 GMT',
  'Sun Nov  6 08:49:37 1994',
  'Thu, 01 Jan 2026 00:00:00 GMT',
])('%p has passed, and asks for no wait', (header) => {
  expect(retryAfterMs(header, NOW)).toBe(0)
})

test('a date counts from the milliseconds that it is now', () => {
  expect(retryAfterMs('Thu, 01 Jan 2026 00:00:30 GMT', NOW + 1)).toBe(29_999)
})

test.each([
  null,
  '',
  '-1',
  '+5',
  '1.',
  '.5',
  '1.5.1',
  '1,5',
  '90.5 s',
  '-1.5',
  '1e3',
  '0x10',
  '5s',
  '5, 10',
  '٥',
  'Infinity',
  'soon',
  '2026-01-01T00:00:30Z',
  'January 1, 2026 00:00:30',
  'Mon',
  'Mon 5',
  'Sunny 2030',
  'Thu, 01 Jan 2026 00:00:30 +0100',
  'Thu, 01 Jan 2026 05:00:30 EST',
  'Thu, 99 Foo 2026 00:00:00 GMT',
  'Thu, 32 Jan 2026 00:00:00 GMT',
  'Thu, 01 Jan 2026 25:00:00 GMT',
])('%p says nothing', (header) => {
  expect(retryAfterMs(header, NOW)).toBeUndefined()
})
