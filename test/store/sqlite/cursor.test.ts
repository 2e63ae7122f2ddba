import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { cursorBefore, keyBefore } from '../../../src/store/sqlite/cursor.ts'
import { InvalidCursor } from '../../../src/store/store.ts'

const encoded = (text: string) => Buffer.from(text).toString('base64url')

describe('a cursor', () => {
  test('that was returned is read back', () => {
    const keys = fc.oneof(
      fc.integer({ min: 1 }),
      fc.maxSafeInteger().filter((key) => key > 0),
    )
    fc.assert(fc.property(keys, (key) => expect(keyBefore(cursorBefore(key))).toBe(key)))
    expect(keyBefore(cursorBefore(Number.MAX_SAFE_INTEGER))).toBe(Number.MAX_SAFE_INTEGER)
  })

  test.each([
    ...['', 'x', '50', 'null', '\0', '-', '_', '{}', '💶'],
    ...['0', '-1', '007', '1.5', '1e3', '+50', ' 50', '50 ', '50\n', '0x32', 'fifty', '٥٠'].map(
      encoded,
    ),
    ...['{"before":50}', '', '\0', '50\0', '[50]'].map(encoded),
    // Other encodings of the same number.
    ...['NTA=', 'NTB', 'NT', 'N TA', 'NTA\n', ' NTA', 'NTA.', '3530'],
    // Numbers beyond the safe integers.
    ...['9007199254740993', '9999999999999999', '9'.repeat(17), '9'.repeat(400)].map(encoded),
  ])('that was never returned is refused: %j', (text) => {
    expect(() => keyBefore(text)).toThrow(InvalidCursor)
  })

  test('has one spelling only', () => {
    const texts = fc.oneof(
      fc.base64String(),
      fc.stringMatching(/^[MNO][A-Za-z]{1,7}$/),
      fc.nat().map((key) => encoded(`${key}`)),
    )
    let accepted = 0
    fc.assert(
      fc.property(texts, (text) => {
        try {
          expect(cursorBefore(keyBefore(text))).toBe(text)
          accepted++
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidCursor)
        }
      }),
      { numRuns: 500 },
    )
    expect(accepted).toBeGreaterThan(50)
  })
})
