/** JSON that all parsers read alike. */
export type StrictJson = {
  readonly ok: true
  readonly value: unknown
  /** The source text of the root member asked for, where that is a number. */
  readonly literal: string | undefined
}

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
 * @param verbatim the root member whose number is wanted as written. It alone may be beyond the
 *   doubles, as its literal can be judged. Its name must be one that JSON can write unescaped.
 */
export function parseStrictJson(bytes: Uint8Array, verbatim?: string): StrictJson | JsonFault {
  let text: string
  try {
    text = UTF8.decode(bytes)
  } catch {
    return fault(`The body is not valid UTF-8 at byte offset ${invalidUtf8At(bytes)}.`)
  }
  if (text === '') return fault('The body is empty, which is not JSON.')
  if (text.startsWith('\ufeff')) return fault('The body begins with a byte order mark.')

  const escapes = text.includes('\\')
  const { members, tooDeepAt, verbatimAt } = outlineOf(text, escapes, verbatim)
  if (tooDeepAt !== -1)
    return fault(`The body nests deeper than ${DEPTH_MAX} at character offset ${tooDeepAt}.`)

  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return fault(firstFaultIn(text))
  }

  const findings: Findings = { members: 0, escapes, fault: undefined }
  inspect(value, findings, undefined, verbatim)
  if (findings.fault !== undefined) return fault(findings.fault)
  if (findings.members !== members) return fault(firstFaultIn(text))

  const wanted =
    verbatim === undefined || verbatimAt === -1
      ? undefined
      : (value as Record<string, unknown>)[verbatim]
  const literal = typeof wanted === 'number' ? literalAt(text, verbatimAt) : undefined
  return { ok: true, value, literal }
}

/** What to know before JSON.parse. It is right up to the first syntax error, where that stops. */
function outlineOf(text: string, escapes: boolean, verbatim: string | undefined) {
  let members = 0 // of all objects together, duplicates included
  let verbatimAt = -1 // where the value of the root member asked for begins
  let depth = 0
  let keyStart = 0
  let keyEnd = 0
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case '"':
        keyStart = i + 1
        keyEnd = i = stringEnd(text, keyStart, escapes)
        break
      case ':':
        members++
        if (
          depth === 1 &&
          verbatim !== undefined &&
          isKey(verbatim, text, keyStart, keyEnd, escapes)
        )
          verbatimAt = i + 1
        break
      case '{':
      case '[':
        if (++depth > DEPTH_MAX) return { members, verbatimAt, tooDeepAt: i }
        break
      case '}':
      case ']':
        depth--
    }
  }
  return { members, verbatimAt, tooDeepAt: -1 }
}

/** Where the quote is that ends a string; at or beyond the end of the text if there is none. */
function stringEnd(text: string, start: number, escapes: boolean): number {
  if (!escapes) {
    const quote = text.indexOf('"', start)
    return quote === -1 ? text.length : quote
  }
  let end = start
  while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1
  return end
}

function isKey(name: string, text: string, start: number, end: number, escapes: boolean): boolean {
  if (end - start === name.length) return text.startsWith(name, start)
  if (!escapes || end - start > name.length * '\\u0061'.length) return false
  // Characters that need no escape can only be escaped in this one form.
  const decode = (_: string, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))
  return text.slice(start, end).replace(/\\u([\da-fA-F]{4})/g, decode) === name
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

function literalAt(text: string, start: number): string {
  let end = start
  while (text[end] !== ',' && text[end] !== '}') end++
  return text.slice(start, end).trim()
}

/** Says where the text first isn't JSON or repeats a key. Only for text known to do either. */
function firstFaultIn(text: string): string {
  const edges = ' \t\n\r{}[]:,"'
  const value = '{["0' // the tokens that may come, by first character; 0 is any number or word
  const open: (Set<string> | undefined)[] = [] // the keys of each open object; an array has none
  let expected = value
  for (let at = 0, end = 0; at < text.length; at = end) {
    const kind = edges.includes(text.charAt(at)) ? text.charAt(at) : '0'
    end = kind === '"' ? stringEnd(text, at + 1, true) + 1 : at + 1
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
