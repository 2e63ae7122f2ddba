type Reviver = (key: string, value: unknown, context: { source: string }) => unknown

/** The part of JSON that TypeScript doesn't know yet (TC39: JSON.parse source text access). */
const { parse, rawJSON } = JSON as unknown as {
  parse(text: string, reviver: Reviver): unknown
  rawJSON(text: string): unknown
}

/**
 * Parses JSON to print it: JSON.stringify gives its numbers the digits that they had, which doubles
 * may not have. They are opaque here.
 *
 * @throws SyntaxError
 */
export function parseExact(text: string): unknown {
  return parse(text, (_key, value, { source }) =>
    typeof value === 'number' ? rawJSON(source) : value,
  )
}
