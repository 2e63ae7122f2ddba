import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  CircuitBreaker,
  type CircuitChange,
  type Pass,
} from '../../src/scheduler/circuit-breaker.ts'

/** A circuit with all that it told. */
function testCircuit(concurrency = 64): { circuit: CircuitBreaker; told: CircuitChange[] } {
  const told: CircuitChange[] = []
  const circuit = new CircuitBreaker({ concurrency, onChange: (change) => void told.push(change) })
  return { circuit, told }
}

/** A call that begins now. */
function begun(circuit: CircuitBreaker): Pass {
  const { pass } = circuit
  circuit.begin(pass)
  return pass
}

/** So many calls, one after the other, that all fail. */
function fail(circuit: CircuitBreaker, count: number, now = 0): void {
  for (let i = 1; i <= count; i++) circuit.failed(begun(circuit), now, { detail: `failure ${i}` })
}

function succeed(circuit: CircuitBreaker, count: number, now = 0): void {
  for (let i = 0; i < count; i++) circuit.succeeded(begun(circuit), now)
}

/** So many calls that begin together. */
function begin(circuit: CircuitBreaker, count: number): Pass[] {
  return Array.from({ length: count }, () => begun(circuit))
}

/** Opens at 0 and is closed again by its first probe, at 1000. */
function openAndClose(circuit: CircuitBreaker): void {
  fail(circuit, 10)
  succeed(circuit, 1, 1000)
}

describe('a closed circuit', () => {
  test('lets as many calls through at once as are allowed', () => {
    const { circuit } = testCircuit(3)
    expect(circuit.room(0)).toBe(3)
    const [first] = begin(circuit, 3)
    expect(circuit.room(0)).toBe(0)
    circuit.succeeded(first as Pass, 0)
    expect(circuit.room(0)).toBe(1)
    expect(circuit.probeInMs(0)).toBeUndefined()
  })

  test('opens at the tenth failure in a row, and says so once, with the last reason', () => {
    const { circuit, told } = testCircuit()
    fail(circuit, 9, 5)
    expect([circuit.openSince, circuit.room(5), circuit.probeInMs(5)]).toEqual([
      undefined,
      64,
      undefined,
    ])
    expect(told).toEqual([])
    circuit.failed(begun(circuit), 7, { detail: 'the tenth' })
    expect([circuit.openSince, circuit.room(7), circuit.probeInMs(7)]).toEqual([5, 0, 1000])
    expect(told).toEqual([{ to: 'open', failures: 10, detail: 'the tenth' }])
  })

  test('begins to count anew with each success, wherever the failures lie in time', () => {
    const { circuit, told } = testCircuit()
    fail(circuit, 9, 1)
    succeed(circuit, 1, 2)
    fail(circuit, 9, 3_600_000)
    expect(told).toEqual([])
    fail(circuit, 1, 7_200_000)
    expect(told).toMatchObject([{ to: 'open', failures: 10 }])
  })

  test('counts calls by when they end, not by when they begin', () => {
    const { circuit, told } = testCircuit()
    const [slow, ...others] = begin(circuit, 20)
    for (const pass of others.slice(0, 9)) circuit.failed(pass, 0, { detail: '' })
    circuit.succeeded(slow as Pass, 0)
    for (const pass of others.slice(9, 18)) circuit.failed(pass, 0, { detail: '' })
    expect(told).toEqual([])
    circuit.failed(others[18] as Pass, 0, { detail: '' })
    expect(told).toHaveLength(1)
  })
})

describe('an open circuit', () => {
  test('lets no call through for a second, and then one, however long that takes', () => {
    const { circuit } = testCircuit()
    fail(circuit, 10, 500)
    expect([circuit.room(1499), circuit.probeInMs(1499)]).toEqual([0, 1])
    expect([circuit.room(1500), circuit.probeInMs(1500)]).toEqual([1, undefined])
    // A probe that nobody makes stays due.
    expect(circuit.room(3_600_000)).toBe(1)
    begun(circuit)
    for (const now of [1500, 3_600_000]) {
      expect([circuit.room(now), circuit.probeInMs(now)]).toEqual([0, undefined])
    }
  })

  test('waits twice as long with each probe that fails, from its end and up to 30 s', () => {
    const { circuit, told } = testCircuit()
    fail(circuit, 10)
    let now = 0
    const waits: number[] = []
    for (let i = 0; i < 8; i++) {
      const wait = circuit.probeInMs(now) as number
      waits.push(wait)
      expect(circuit.room(now + wait - 1)).toBe(0)
      expect(circuit.room(now + wait)).toBe(1)
      const probe = begun(circuit)
      now += wait + 700
      circuit.failed(probe, now, { detail: 'still' })
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
    expect(circuit.openSince).toBe(0)
    expect(told).toHaveLength(1)
  })

  test('is closed by the first probe that succeeds, and says for how long it was open', () => {
    const { circuit, told } = testCircuit()
    fail(circuit, 10, 200)
    fail(circuit, 1, 1200)
    const probe = begun(circuit)
    expect(circuit.openSince).toBe(200)
    circuit.succeeded(probe, 3456)
    expect([circuit.openSince, circuit.probeInMs(3456)]).toEqual([undefined, undefined])
    expect(told).toMatchObject([{ to: 'open' }, { to: 'closed', failedForMs: 3256 }])
    expect(told).toHaveLength(2)
  })

  test('takes ten failures to open anew, and begins with a second again', () => {
    const { circuit, told } = testCircuit()
    fail(circuit, 14)
    succeed(circuit, 1, 40_000)
    fail(circuit, 9, 50_000)
    expect(told).toHaveLength(2)
    fail(circuit, 1, 50_000)
    expect(told).toMatchObject([{ to: 'open' }, { to: 'closed' }, { to: 'open', failures: 10 }])
    expect([circuit.openSince, circuit.probeInMs(50_000)]).toEqual([50_000, 1000])
    fail(circuit, 1, 51_000)
    expect(circuit.probeInMs(51_000)).toBe(2000)
  })
})

describe('a circuit that has closed', () => {
  test('lets one call through, and one more at once with each that succeeds, to the full', () => {
    const { circuit } = testCircuit(4)
    openAndClose(circuit)
    const under = begin(circuit, 1)
    const atOnce: number[] = []
    for (let i = 0; i < 6; i++) {
      circuit.succeeded(under.shift() as Pass, 1000)
      under.push(...begin(circuit, circuit.room(1000)))
      atOnce.push(under.length)
    }
    expect(atOnce).toEqual([2, 3, 4, 4, 4, 4])
  })

  test('gains nothing by a call that fails', () => {
    const { circuit } = testCircuit(4)
    openAndClose(circuit)
    succeed(circuit, 1, 1000)
    expect(circuit.room(1000)).toBe(2)
    fail(circuit, 3, 1000)
    expect(circuit.room(1000)).toBe(2)
  })
})

describe('a call that began before the last change', () => {
  test('and fails when the circuit is open neither says so again nor puts off the probe', () => {
    const { circuit, told } = testCircuit()
    const calls = begin(circuit, 30)
    for (const pass of calls.slice(0, 10)) circuit.failed(pass, 0, { detail: '' })
    for (const pass of calls.slice(10)) circuit.failed(pass, 900, { detail: 'late' })
    expect(told).toHaveLength(1)
    expect([circuit.openSince, circuit.probeInMs(900), circuit.room(1000)]).toEqual([0, 100, 1])
    fail(circuit, 1, 1000)
    expect(circuit.probeInMs(1000)).toBe(2000)
  })

  test('and succeeds when the circuit is open does not close it', () => {
    const { circuit, told } = testCircuit()
    const calls = begin(circuit, 30)
    for (const pass of calls.slice(0, 10)) circuit.failed(pass, 0, { detail: '' })
    for (const pass of calls.slice(10)) circuit.succeeded(pass, 900)
    expect(told).toHaveLength(1)
    expect([circuit.openSince, circuit.probeInMs(900), circuit.room(1000)]).toEqual([0, 100, 1])
  })

  test.each([
    [
      'fails',
      (circuit: CircuitBreaker, pass: Pass) => circuit.failed(pass, 1500, { detail: 'late' }),
    ],
    ['succeeds', (circuit: CircuitBreaker, pass: Pass) => circuit.succeeded(pass, 1500)],
  ])('and %s while a probe is under way makes no room for a second one', (_, end) => {
    const { circuit } = testCircuit()
    const calls = begin(circuit, 11)
    for (const pass of calls.slice(0, 10)) circuit.failed(pass, 0, { detail: '' })
    begun(circuit)
    end(circuit, calls[10] as Pass)
    expect([circuit.room(1500), circuit.room(60_000)]).toEqual([0, 0])
  })

  test('and fails when the circuit has closed again neither opens it nor counts', () => {
    const { circuit, told } = testCircuit(40)
    const late = begin(circuit, 20)
    openAndClose(circuit)
    for (const pass of late) circuit.failed(pass, 1000, { detail: 'late' })
    expect(told).toHaveLength(2)
    expect(circuit.room(1000)).toBe(1)
    fail(circuit, 9, 1000)
    expect(told).toHaveLength(2)
  })

  test('and succeeds when the circuit has closed again neither widens it nor counts', () => {
    const { circuit, told } = testCircuit(40)
    const late = begin(circuit, 20)
    openAndClose(circuit)
    fail(circuit, 9, 1000)
    for (const pass of late) circuit.succeeded(pass, 1000)
    expect(circuit.room(1000)).toBe(1)
    fail(circuit, 1, 1000)
    expect(told).toHaveLength(3)
  })
})

type Event =
  | { kind: 'begin' | 'pass'; amount: number }
  | { kind: 'end'; which: number; ok: boolean }

/** What may happen to a circuit, in any order; more calls fail than not, so that it does open. */
function events(): fc.Arbitrary<Event[]> {
  const begin = fc.record({
    kind: fc.constant('begin' as const),
    amount: fc.integer({ min: 1, max: 20 }),
  })
  const pass = fc.record({
    kind: fc.constant('pass' as const),
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
      { weight: 1, arbitrary: pass },
      { weight: 6, arbitrary: end },
    ),
    { minLength: 50, maxLength: 300 },
  )
}

describe('whatever happens', () => {
  test('no more calls go out than the state allows, and the circuit never gets stuck', () => {
    const seen = { open: 0, closed: 0 }
    const run = (concurrency: number, happening: Event[]) => {
      const { circuit, told } = testCircuit(concurrency)
      /** Under way; `state` is the number of changes that were told when it began. */
      const calls: { pass: Pass; state: number }[] = []
      let now = 0

      const end = (call: { pass: Pass; state: number } | undefined, ok: boolean) => {
        if (!call) return
        calls.splice(calls.indexOf(call), 1)
        const before = told.length
        if (ok) circuit.succeeded(call.pass, now)
        else circuit.failed(call.pass, now, { detail: '' })
        const changes = told.length - before
        expect(changes).toBeLessThanOrEqual(call.state === before ? 1 : 0)
      }
      const check = () => {
        const isOpen = told.length % 2 === 1
        const own = calls.filter(({ state }) => state === told.length).length
        const room = circuit.room(now)
        expect(circuit.openSince !== undefined).toBe(isOpen)
        expect(room).toBeGreaterThanOrEqual(0)
        expect(own + room).toBeLessThanOrEqual(isOpen ? 1 : concurrency)
        const wait = circuit.probeInMs(now)
        if (wait === undefined) {
          // Where nobody is told to wait, there is room, or the end of a call makes some.
          expect(own + room).toBeGreaterThanOrEqual(1)
        } else {
          expect([isOpen, own, room, circuit.room(now + wait)]).toEqual([true, 0, 0, 1])
          expect(wait).toBeWithin(1, 30_001)
        }
      }

      for (const event of happening) {
        if (event.kind === 'pass') now += event.amount
        else if (event.kind === 'end') end(calls[event.which % calls.length], event.ok)
        else {
          for (let i = 0; i < event.amount && circuit.room(now) > 0; i++) {
            calls.push({ pass: begun(circuit), state: told.length })
          }
        }
        check()
      }
      for (const [i, { to }] of told.entries()) expect(to).toBe(i % 2 === 0 ? 'open' : 'closed')
      for (const { to } of told) seen[to]++

      // When all is well again, everything goes as fast as it may.
      while (calls.length > 0) end(calls[0], false)
      now += 30_000
      for (let i = 0; i <= concurrency; i++) {
        expect(circuit.room(now)).toBeGreaterThanOrEqual(1)
        circuit.succeeded(begun(circuit), now)
      }
      expect([circuit.room(now), circuit.openSince]).toEqual([concurrency, undefined])
    }
    fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), events(), run), { numRuns: 200 })
    // Otherwise the runs would say little.
    expect(Math.min(seen.open, seen.closed)).toBeGreaterThan(10)
  })
})

describe('what the target asks for', () => {
  const asked = (circuit: CircuitBreaker, askedMs: number, now: number) =>
    circuit.failed(begun(circuit), now, { detail: '', askedMs })

  test('puts off the first probe and those after it, up to 30 s', () => {
    const { circuit } = testCircuit()
    fail(circuit, 9)
    asked(circuit, 7_000, 0)
    expect(circuit.probeInMs(0)).toBe(7_000)
    asked(circuit, 500, 7_000)
    expect(circuit.probeInMs(7_000)).toBe(14_000)
    asked(circuit, 3_600_000, 21_000)
    expect(circuit.probeInMs(21_000)).toBe(30_000)
  })
})
