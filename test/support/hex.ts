/** Bytes in hexadecimal, for tests that compare with the figures of an RFC. */

/** `0800 45 00` as a view; spaces are for people. */
export function hex(text: string): DataView {
  return new DataView(hexBytes(text).buffer);
}

export function hexBytes(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replace(/\s/g, '');
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) throw new Error(`not bytes: ${text}`);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
