/**
 * Text from elsewhere (file names, messages, what servers and files say) as a terminal may get it. Whatever moves the
 * cursor, rings, colours or turns the direction of writing is shown as an escape.
 */

/** Control characters, separators of lines, marks of direction, and halves of letters, which stand for stray bytes. */
const UNSHOWN = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}]/gu;
/** The same but for line breaks. */
const UNSHOWN_IN_LINES = /(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}]/gu;

/** Bytes of names that are no UTF-8, see `file-name.ts`. */
const STRAY = { from: 0xdc80, to: 0xdcff, byte: 0xdc00 } as const;

/** On one line. Shown text stays as it is when it is shown again. */
export function shownText(text: string): string {
  return text.replace(UNSHOWN, escaped);
}

/** With its line breaks. JSON stays JSON: what may stand in it as it is becomes an escape of JSON. */
export function shownLines(text: string): string {
  return text.replace(UNSHOWN_IN_LINES, escaped);
}

function escaped(char: string): string {
  const code = char.charCodeAt(0);
  if (char === "\n") return "\\n";
  if (char === "\t") return "\\t";
  if (code < 0x20) return `\\x${hex(code, 2)}`;
  if (code >= STRAY.from && code <= STRAY.to) return `\\x${hex(code - STRAY.byte, 2)}`;
  return `\\u${hex(code, 4)}`;
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, "0");
