/** Single values that come as text, in flags, variables and parameters, and how they are read. */

/** A value that is not accepted. The message says what it must be: `must be true or false`. */
export class BadValue extends Error {}

export function throwBadValue(message: string): never {
  throw new BadValue(message)
}

/**
 * A reader of whole numbers in decimal digits. Zeros in front don't count.
 *
 * @param digitsMax how many digits there may be, zeros in front included
 * @returns a function that throws BadValue
 */
export function wholeNumber(
  min: number,
  max: number,
  digitsMax = Number.POSITIVE_INFINITY,
): (text: string) => number {
  return (text) => {
    const isNumber = /^[0-9]+$/.test(text) && text.length <= digitsMax
    const value = isNumber ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    return throwBadValue(`must be a whole number from ${min} to ${max}, not "${text}"`)
  }
}

/**
 * Reads the URL of a server. The message does not show it: a URL may contain a token.
 *
 * @throws BadValue
 */
export function httpUrl(text: string): URL {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || /[\s#]/.test(text)) {
    return throwBadValue('must be an http or https URL, without white space or a fragment')
  }
  if (url.username !== '' || url.password !== '') {
    return throwBadValue('must not contain a user or a password')
  }
  return url
}
