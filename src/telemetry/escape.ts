const CONTROLS = /\p{Cc}+/gu

/** What a terminal or a viewer of lines may interpret instead of showing. */
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\p{Bidi_Control}]/gu

/** Text on one line, without control sequences. */
export function plain(text: string): string {
  return printable(text.replace(CONTROLS, ' '))
}

/** JSON that is safe on a terminal: also escapes the characters that JSON leaves as they are. */
export function printable(json: string): string {
  return json.replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
