/**
 * Names of objects and of interfaces. A name of weft is also a file name (/run/netns/NAME) and part of a URL, so nothing
 * that means something to a shell, a path or a terminal is allowed in one.
 */

const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/i;

/** Why the text cannot name an object, or null when it can. */
export function whyBadName(text: string): string | null {
  if (NAME.test(text)) return null;
  return 'a name has 1 to 63 letters, digits, dots, dashes and underscores, and begins and ends with a letter or digit';
}

/** Names that mean something else under /proc/sys/net/ipv4/conf, or to everybody who uses Linux. */
const RESERVED_INTERFACES = new Set(['.', '..', 'all', 'default', 'lo']);

/**
 * Why no interface can be called so, or null when one can. net/core/dev.c, dev_valid_name: 1..15 bytes without `/`, `:`
 * and white space; `%` would be a pattern; what is not printable ASCII would only confuse.
 */
export function whyBadIfname(text: string): string | null {
  if (RESERVED_INTERFACES.has(text)) return `${text} is taken by Linux itself`;
  if (/^[!-~]{1,15}$/.test(text) && !/[/:%]/.test(text)) return null;
  return 'an interface name has 1 to 15 printable ASCII characters without spaces, slash, colon and percent sign';
}

/** The first of eth0, eth1, ... that is not taken. */
export function firstFreeIfname(isTaken: (name: string) => boolean): string {
  for (let i = 0; ; i++) {
    const name = `eth${i}`;
    if (!isTaken(name)) return name;
  }
}

/** For sorted listings: by code units, the same everywhere. */
export function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
