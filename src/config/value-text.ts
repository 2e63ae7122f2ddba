/** What the text of any value may look like, whether it comes from a flag, a variable or a file. */

import { throwBadValue } from '../domain/values.ts'

/** Why a value is refused that is in quotes, which no shell has removed. */
export const UNQUOTED = 'must be without quotes around it'

/** Whether a text stands in quotes, as in a Docker `--env-file` or a Kubernetes Secret. */
export function isQuoted(text: string): boolean {
  return /^(["']).*\1$/s.test(text)
}

/** What kind of value a text is. */
export type TextKind = {
  /** It may be the path of a file or a directory. */
  path?: true
  /** It may be a list, with white space between its parts. */
  list?: true
}

/**
 * The text of a value without the white space at its ends. The message never shows the value.
 *
 * @throws BadValue where it has control characters, is in quotes, or is a path that begins with `~`
 */
export function valueText(given: string, { path, list }: TextKind = {}): string {
  const text = given.trim()
  const controls = list ? /(?!\s)\p{Cc}/u : /\p{Cc}/u
  if (controls.test(text)) throwBadValue('must be without control characters')
  if (isQuoted(text)) throwBadValue(UNQUOTED)
  if (path && text.startsWith('~'))
    throwBadValue('must be a path that does not begin with ~, which only a shell replaces')
  return text
}
