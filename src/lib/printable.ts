/**
 * Text of unknown origin made fit for a terminal, a log line or a message: nothing in it can move the cursor, start a new
 * line or reverse the direction of reading.
 */

/** `text` with every control and direction character as `\u....`, cut to `most` characters. */
export function printable(text: string, most = 1_000_000): string {
  let safe = '';
  for (const character of text) {
    if (safe.length >= most) return `${safe.slice(0, most)}...`;
    safe += isSafe(character.codePointAt(0)!) ? character : escaped(character.codePointAt(0)!);
  }
  return safe;
}

/** Not C0, DEL, C1, the line and paragraph separators, the direction marks (Unicode TR 9), nor a half surrogate. */
function isSafe(code: number): boolean {
  if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return false;
  if (code >= 0x200e && code <= 0x200f) return false;
  if ((code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069)) return false;
  return code < 0xd800 || code > 0xdfff;
}

function escaped(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`;
}
