/**
 * Lists of domain names as DHCP options carry them: labels as on the wire of DNS (RFC 1035 section 3.1), one name behind the
 * other (RFC 3397 for IPv4, RFC 3646 section 4 for IPv6). Written without compression, which every reader understands.
 *
 * @coldPath services of the control thread
 */

const MAX_LABEL_BYTES = 63;
const MAX_NAME_BYTES = 255;

/** Bytes of the names that are valid; others are left out. */
export function writeDomainList(names: readonly string[]): Uint8Array {
  const written = names.flatMap((name) => nameBytes(name) ?? []);
  return Uint8Array.from(written);
}

/** null for what is no name: an empty or overlong label, or a name of more than 255 bytes. */
function nameBytes(name: string): number[] | null {
  const bytes: number[] = [];
  for (const label of name.replace(/\.$/, '').split('.')) {
    const text = new TextEncoder().encode(label);
    if (text.length === 0 || text.length > MAX_LABEL_BYTES) return null;
    bytes.push(text.length, ...text);
  }
  bytes.push(0);
  return bytes.length > MAX_NAME_BYTES ? null : bytes;
}
