/**
 * Text of unknown origin made fit for a terminal, a log line or a message: nothing in it can move the cursor, start a new
 * line or reverse the direction of reading.
 */

/** Any character that may be unsafe; long answers of the daemon have none, and are looked through quickly. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
const SUSPECT = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/;

/** `text` with every control and direction character as `\u....`, cut to `most` characters. */
export function printable(text: string, most = 1_000_000): string {
  if (text.length <= most && !SUSPECT.test(text)) return text;
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
