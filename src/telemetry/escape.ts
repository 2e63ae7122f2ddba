const CONTROLS = /\p{Cc}+/gu

/** What a terminal, or a viewer of lines, may take for something else than text. */
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\p{Bidi_Control}]/gu

/** Text that can't begin a line of its own, nor tell the terminal anything. */
export function plain(text: string): string {
  return printable(text.replace(CONTROLS, ' '))
}

/** JSON that a terminal shows as it is: what JSON doesn't escape by itself is escaped as it would. */
export function printable(json: string): string {
  return json.replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
