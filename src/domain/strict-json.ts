import { type JsonSource, outlineOf, stringEnd } from './json-source.ts'

/** JSON that all parsers read alike, with what `value` was parsed from. */
export type StrictJson = JsonSource & { readonly ok: true; readonly value: unknown }

/** Why a body is refused, in one sentence for its sender. Offsets count from 0. */
export type JsonFault = { readonly ok: false; readonly message: string }

const DEPTH_MAX = 8
const QUOTED_CHARS_MAX = 60

/** Keeps a BOM in the text, where it can be seen and refused. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Parses JSON (RFC 8259), and refuses what two parsers could read differently: invalid UTF-8, a
 * BOM, a key twice in one object, a lone surrogate, more than 8 objects and arrays inside one
 * another, a number beyond the doubles. Its time is linear in the length of the body.
 *
 * JSON.parse judges the syntax and makes the value. Of two members with the same key it keeps one,
 * so whatever the keys are and however they are escaped, a text with a duplicate has more members
 * than its value has: it is enough to count both. Depth is checked first: the rest may recurse.
 *
 * @param exempt the root member whose number may be beyond the doubles: its source is judged
 */
export function parseStrictJson(bytes: Uint8Array, exempt?: string): StrictJson | JsonFault {
  let text: string
  try {
    text = UTF8.decode(bytes)
  } catch {
    return fault(`The body is not valid UTF-8 at byte offset ${invalidUtf8At(bytes)}.`)
  }
  if (text === '') return fault('The body is empty, which is not JSON.')
  if (text.startsWith('\ufeff')) return fault('The body begins with a byte order mark.')

  const escapes = text.includes('\\')
  const { members, spaces, count, tooDeepAt } = outlineOf(text, DEPTH_MAX)
  if (tooDeepAt !== -1)
    return fault(`The body nests deeper than ${DEPTH_MAX} at character offset ${tooDeepAt}.`)

  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return fault(firstFaultIn(text))
  }

  const findings: Findings = { members: 0, escapes, fault: undefined }
  inspect(value, findings, undefined, exempt)
  if (findings.fault !== undefined) return fault(findings.fault)
  if (findings.members !== count) return fault(firstFaultIn(text))
  return { ok: true, value, text, members, spaces, escapes }
}

type Findings = { members: number; readonly escapes: boolean; fault: string | undefined }

/** Counts the members, and finds numbers beyond the doubles and lone surrogates. */
function inspect(value: unknown, findings: Findings, key?: string, exempt?: string): void {
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) findings.fault ??= `A number${under(key)} is beyond the doubles.`
  } else if (typeof value === 'string') {
    // Text from valid UTF-8 has no lone surrogates, so only an escape can have made one.
    if (findings.escapes && !value.isWellFormed())
      findings.fault ??= `A string${under(key)} has a lone surrogate.`
  } else if (Array.isArray(value)) {
    for (const element of value) inspect(element, findings, key)
  } else if (typeof value === 'object' && value !== null) {
    const object = value as Record<string, unknown>
    const keys = Object.keys(object)
    findings.members += keys.length
    for (const name of keys) {
      if (findings.escapes && !name.isWellFormed())
        findings.fault ??= `The key ${quoted(name)} has a lone surrogate.`
      const member = object[name]
      if (name !== exempt || typeof member !== 'number') inspect(member, findings, name)
    }
  }
}

/** Says where the text first isn't JSON or repeats a key. Only for text known to do either. */
function firstFaultIn(text: string): string {
  const edges = ' \t\n\r{}[]:,"'
  const value = '{["0' // the tokens that may come, by first character; 0 is any number or word
  const open: (Set<string> | undefined)[] = [] // the keys of each open object; an array has none
  let expected = value
  for (let at = 0, end = 0; at < text.length; at = end) {
    const kind = edges.includes(text.charAt(at)) ? text.charAt(at) : '0'
    end = kind === '"' ? stringEnd(text, at + 1) + 1 : at + 1
    while (kind === '0' && end < text.length && !edges.includes(text.charAt(end))) end++
    if (' \t\n\r'.includes(kind)) continue

    const token = text.slice(at, end)
    let scalar: unknown
    try {
      if (kind === '"' || kind === '0') scalar = JSON.parse(token)
    } catch {
      expected = ''
    }
    if (!expected.includes(kind))
      return `The body is not JSON: ${quoted(token)} at character offset ${at} is out of place.`

    if (kind === '{') open.push(new Set())
    if (kind === '[') open.push(undefined)
    if (kind === '}' || kind === ']') open.pop()
    const keys = open.at(-1)
    if (kind === '{') expected = '"}'
    else if (kind === '[') expected = `${value}]`
    else if (kind === ':') expected = value
    else if (kind === ',') expected = keys ? '"' : value
    else if (keys && typeof scalar === 'string' && !expected.includes('0')) {
      if (keys.has(scalar))
        return `The key ${quoted(scalar)} comes twice in one object, again at character offset ${at}.`
      keys.add(scalar)
      expected = ':'
    } else expected = open.length === 0 ? '' : keys ? ',}' : ',]'
  }
  return `The body is not JSON: it ends too early, at character offset ${text.length}.`
}

/** The lossy decoder puts a replacement character where the first invalid byte is. */
function invalidUtf8At(bytes: Uint8Array): number {
  const lossy = Buffer.from(Buffer.from(bytes).toString())
  const at = bytes.findIndex((byte, i) => byte !== lossy[i])
  return at === -1 ? bytes.length : at
}

const under = (key: string | undefined) =>
  key === undefined ? '' : ` under the key ${quoted(key)}`

/** In JSON's notation, which has an escape for a lone surrogate, and no longer than is useful. */
function quoted(text: string): string {
  const start = text.slice(0, QUOTED_CHARS_MAX)
  return JSON.stringify(start) + (start === text ? '' : '…')
}

const fault = (message: string): JsonFault => ({ ok: false, message })
