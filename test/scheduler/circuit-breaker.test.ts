import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  type BreakerChange,
  CircuitBreaker,
  type Epoch,
} from '../../src/scheduler/circuit-breaker.ts'

/** A breaker, and its changes. */
function testBreaker(concurrency = 64): { breaker: CircuitBreaker; changes: BreakerChange[] } {
  const changes: BreakerChange[] = []
  const breaker = new CircuitBreaker({
    concurrency,
    onChange: (change) => void changes.push(change),
  })
  return { breaker, changes }
}

/** A call that begins now. */
function begun(breaker: CircuitBreaker): Epoch {
  const { epoch } = breaker
  breaker.begin(epoch)
  return epoch
}

/** So many calls, one after the other, that all fail. */
function fail(breaker: CircuitBreaker, count: number, now = 0): void {
  for (let i = 1; i <= count; i++) breaker.failed(begun(breaker), now, { detail: `failure ${i}` })
}

function succeed(breaker: CircuitBreaker, count: number, now = 0): void {
  for (let i = 0; i < count; i++) breaker.succeeded(begun(breaker), now)
}

/** So many calls that begin together. */
function begin(breaker: CircuitBreaker, count: number): Epoch[] {
  return Array.from({ length: count }, () => begun(breaker))
}

/** Opens at 0 and is closed again by its first probe, at 1000. */
function openAndClose(breaker: CircuitBreaker): void {
  fail(breaker, 10)
  succeed(breaker, 1, 1000)
}

describe('a closed breaker', () => {
  test('lets as many calls through at once as are allowed', () => {
    const { breaker } = testBreaker(3)
    expect(breaker.room(0)).toBe(3)
    const [first] = begin(breaker, 3)
    expect(breaker.room(0)).toBe(0)
    breaker.succeeded(first as Epoch, 0)
    expect(breaker.room(0)).toBe(1)
    expect(breaker.probeInMs(0)).toBeUndefined()
  })

  test('opens at the tenth failure in a row, and says so once, with the last reason', () => {
    const { breaker, changes } = testBreaker()
    fail(breaker, 9, 5)
    expect([breaker.openSince, breaker.room(5), breaker.probeInMs(5)]).toEqual([
      undefined,
      64,
      undefined,
    ])
    expect(changes).toEqual([])
    breaker.failed(begun(breaker), 7, { detail: 'the tenth' })
    expect([breaker.openSince, breaker.room(7), breaker.probeInMs(7)]).toEqual([5, 0, 1000])
    expect(changes).toEqual([{ to: 'open', failures: 10, detail: 'the tenth' }])
  })

  test('begins to count anew with each success, wherever the failures lie in time', () => {
    const { breaker, changes } = testBreaker()
    fail(breaker, 9, 1)
    succeed(breaker, 1, 2)
    fail(breaker, 9, 3_600_000)
    expect(changes).toEqual([])
    fail(breaker, 1, 7_200_000)
    expect(changes).toMatchObject([{ to: 'open', failures: 10 }])
  })

  test('counts calls by when they end, not by when they begin', () => {
    const { breaker, changes } = testBreaker()
    const [slow, ...others] = begin(breaker, 20)
    for (const epoch of others.slice(0, 9)) breaker.failed(epoch, 0, { detail: '' })
    breaker.succeeded(slow as Epoch, 0)
    for (const epoch of others.slice(9, 18)) breaker.failed(epoch, 0, { detail: '' })
    expect(changes).toEqual([])
    breaker.failed(others[18] as Epoch, 0, { detail: '' })
    expect(changes).toHaveLength(1)
  })
})

describe('an open breaker', () => {
  test('lets no call through for a second, and then one, however long that takes', () => {
    const { breaker } = testBreaker()
    fail(breaker, 10, 500)
    expect([breaker.room(1499), breaker.probeInMs(1499)]).toEqual([0, 1])
    expect([breaker.room(1500), breaker.probeInMs(1500)]).toEqual([1, undefined])
    // A probe that nobody makes stays due.
    expect(breaker.room(3_600_000)).toBe(1)
    begun(breaker)
    for (const now of [1500, 3_600_000]) {
      expect([breaker.room(now), breaker.probeInMs(now)]).toEqual([0, undefined])
    }
  })

  test('waits twice as long with each probe that fails, from its end and up to 30 s', () => {
    const { breaker, changes } = testBreaker()
    fail(breaker, 10)
    let now = 0
    const waits: number[] = []
    for (let i = 0; i < 8; i++) {
      const wait = breaker.probeInMs(now) as number
      waits.push(wait)
      expect(breaker.room(now + wait - 1)).toBe(0)
      expect(breaker.room(now + wait)).toBe(1)
      const probe = begun(breaker)
      now += wait + 700
      breaker.failed(probe, now, { detail: 'still' })
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
    expect(breaker.openSince).toBe(0)
    expect(changes).toHaveLength(1)
  })

  test('is closed by the first probe that succeeds, and says for how long it was open', () => {
    const { breaker, changes } = testBreaker()
    fail(breaker, 10, 200)
    fail(breaker, 1, 1200)
    const probe = begun(breaker)
    expect(breaker.openSince).toBe(200)
    breaker.succeeded(probe, 3456)
    expect([breaker.openSince, breaker.probeInMs(3456)]).toEqual([undefined, undefined])
    expect(changes).toMatchObject([{ to: 'open' }, { to: 'closed', failedForMs: 3256 }])
    expect(changes).toHaveLength(2)
  })

  test('takes ten failures to open anew, and begins with a second again', () => {
    const { breaker, changes } = testBreaker()
    fail(breaker, 14)
    succeed(breaker, 1, 40_000)
    fail(breaker, 9, 50_000)
    expect(changes).toHaveLength(2)
    fail(breaker, 1, 50_000)
    expect(changes).toMatchObject([{ to: 'open' }, { to: 'closed' }, { to: 'open', failures: 10 }])
    expect([breaker.openSince, breaker.probeInMs(50_000)]).toEqual([50_000, 1000])
    fail(breaker, 1, 51_000)
    expect(breaker.probeInMs(51_000)).toBe(2000)
  })
})

describe('a breaker that has closed', () => {
  test('lets one call through, and one more at once with each that succeeds, to the full', () => {
    const { breaker } = testBreaker(4)
    openAndClose(breaker)
    const under = begin(breaker, 1)
    const atOnce: number[] = []
    for (let i = 0; i < 6; i++) {
      breaker.succeeded(under.shift() as Epoch, 1000)
      under.push(...begin(breaker, breaker.room(1000)))
      atOnce.push(under.length)
    }
    expect(atOnce).toEqual([2, 3, 4, 4, 4, 4])
  })

  test('gains nothing by a call that fails', () => {
    const { breaker } = testBreaker(4)
    openAndClose(breaker)
    succeed(breaker, 1, 1000)
    expect(breaker.room(1000)).toBe(2)
    fail(breaker, 3, 1000)
    expect(breaker.room(1000)).toBe(2)
  })
})

describe('a call that began before the last change', () => {
  test('and fails when the breaker is open neither says so again nor puts off the probe', () => {
    const { breaker, changes } = testBreaker()
    const calls = begin(breaker, 30)
    for (const epoch of calls.slice(0, 10)) breaker.failed(epoch, 0, { detail: '' })
    for (const epoch of calls.slice(10)) breaker.failed(epoch, 900, { detail: 'late' })
    expect(changes).toHaveLength(1)
    expect([breaker.openSince, breaker.probeInMs(900), breaker.room(1000)]).toEqual([0, 100, 1])
    fail(breaker, 1, 1000)
    expect(breaker.probeInMs(1000)).toBe(2000)
  })

  test('and succeeds when the breaker is open does not close it', () => {
    const { breaker, changes } = testBreaker()
    const calls = begin(breaker, 30)
    for (const epoch of calls.slice(0, 10)) breaker.failed(epoch, 0, { detail: '' })
    for (const epoch of calls.slice(10)) breaker.succeeded(epoch, 900)
    expect(changes).toHaveLength(1)
    expect([breaker.openSince, breaker.probeInMs(900), breaker.room(1000)]).toEqual([0, 100, 1])
  })

  test.each([
    [
      'fails',
      (breaker: CircuitBreaker, epoch: Epoch) => breaker.failed(epoch, 1500, { detail: 'late' }),
    ],
    ['succeeds', (breaker: CircuitBreaker, epoch: Epoch) => breaker.succeeded(epoch, 1500)],
  ])('and %s while a probe is under way makes no room for a second one', (_, end) => {
    const { breaker } = testBreaker()
    const calls = begin(breaker, 11)
    for (const epoch of calls.slice(0, 10)) breaker.failed(epoch, 0, { detail: '' })
    begun(breaker)
    end(breaker, calls[10] as Epoch)
    expect([breaker.room(1500), breaker.room(60_000)]).toEqual([0, 0])
  })

  test('and fails when the breaker has closed again neither opens it nor counts', () => {
    const { breaker, changes } = testBreaker(40)
    const late = begin(breaker, 20)
    openAndClose(breaker)
    for (const epoch of late) breaker.failed(epoch, 1000, { detail: 'late' })
    expect(changes).toHaveLength(2)
    expect(breaker.room(1000)).toBe(1)
    fail(breaker, 9, 1000)
    expect(changes).toHaveLength(2)
  })

  test('and succeeds when the breaker has closed again neither widens it nor counts', () => {
    const { breaker, changes } = testBreaker(40)
    const late = begin(breaker, 20)
    openAndClose(breaker)
    fail(breaker, 9, 1000)
    for (const epoch of late) breaker.succeeded(epoch, 1000)
    expect(breaker.room(1000)).toBe(1)
    fail(breaker, 1, 1000)
    expect(changes).toHaveLength(3)
  })
})

type Event =
  | { kind: 'begin' | 'wait'; amount: number }
  | { kind: 'end'; which: number; ok: boolean }

/** What may happen to a breaker, in any order; more calls fail than not, so that it does open. */
function events(): fc.Arbitrary<Event[]> {
  const begin = fc.record({
    kind: fc.constant('begin' as const),
    amount: fc.integer({ min: 1, max: 20 }),
  })
  const epoch = fc.record({
    kind: fc.constant('wait' as const),
    amount: fc.constantFrom(1, 999, 1000, 5000, 40_000),
  })
  const end = fc.record({
    kind: fc.constant('end' as const),
    which: fc.nat(1000),
    ok: fc.nat(9).map((n) => n === 0),
  })
  return fc.array(
    fc.oneof(
      { weight: 2, arbitrary: begin },
      { weight: 1, arbitrary: epoch },
      { weight: 6, arbitrary: end },
    ),
    { minLength: 50, maxLength: 300 },
  )
}

describe('whatever happens', () => {
  test('no more calls go out than the state allows, and the breaker never gets stuck', () => {
    const seen = { open: 0, closed: 0 }
    const run = (concurrency: number, happening: Event[]) => {
      const { breaker, changes } = testBreaker(concurrency)
      /** Under way; `state` is the number of changes that were changes when it began. */
      const calls: { epoch: Epoch; state: number }[] = []
      let now = 0

      const end = (call: { epoch: Epoch; state: number } | undefined, ok: boolean) => {
        if (!call) return
        calls.splice(calls.indexOf(call), 1)
        const before = changes.length
        if (ok) breaker.succeeded(call.epoch, now)
        else breaker.failed(call.epoch, now, { detail: '' })
        expect(changes.length - before).toBeLessThanOrEqual(call.state === before ? 1 : 0)
      }
      const check = () => {
        const isOpen = changes.length % 2 === 1
        const own = calls.filter(({ state }) => state === changes.length).length
        const room = breaker.room(now)
        expect(breaker.openSince !== undefined).toBe(isOpen)
        expect(room).toBeGreaterThanOrEqual(0)
        expect(own + room).toBeLessThanOrEqual(isOpen ? 1 : concurrency)
        const wait = breaker.probeInMs(now)
        if (wait === undefined) {
          // Where nobody is changes to wait, there is room, or the end of a call makes some.
          expect(own + room).toBeGreaterThanOrEqual(1)
        } else {
          expect([isOpen, own, room, breaker.room(now + wait)]).toEqual([true, 0, 0, 1])
          expect(wait).toBeWithin(1, 30_001)
        }
      }

      for (const event of happening) {
        if (event.kind === 'wait') now += event.amount
        else if (event.kind === 'end') end(calls[event.which % calls.length], event.ok)
        else {
          for (let i = 0; i < event.amount && breaker.room(now) > 0; i++) {
            calls.push({ epoch: begun(breaker), state: changes.length })
          }
        }
        check()
      }
      for (const [i, { to }] of changes.entries()) expect(to).toBe(i % 2 === 0 ? 'open' : 'closed')
      for (const { to } of changes) seen[to]++

      // When all is well again, everything goes as fast as it may.
      while (calls.length > 0) end(calls[0], false)
      now += 30_000
      for (let i = 0; i <= concurrency; i++) {
        expect(breaker.room(now)).toBeGreaterThanOrEqual(1)
        breaker.succeeded(begun(breaker), now)
      }
      expect([breaker.room(now), breaker.openSince]).toEqual([concurrency, undefined])
    }
    fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), events(), run), { numRuns: 200 })
    // Otherwise the runs would say little.
    expect(Math.min(seen.open, seen.closed)).toBeGreaterThan(10)
  })
})

describe('what the target asks for', () => {
  const asked = (breaker: CircuitBreaker, retryAfterMs: number, now: number) =>
    breaker.failed(begun(breaker), now, { detail: '', retryAfterMs })

  test('puts off the first probe and those after it, up to 30 s', () => {
    const { breaker } = testBreaker()
    fail(breaker, 9)
    asked(breaker, 7_000, 0)
    expect(breaker.probeInMs(0)).toBe(7_000)
    asked(breaker, 500, 7_000)
    expect(breaker.probeInMs(7_000)).toBe(14_000)
    asked(breaker, 3_600_000, 21_000)
    expect(breaker.probeInMs(21_000)).toBe(30_000)
  })
})
