/** Addresses from the texts of the model to what tables of the program hold: four int32 words, IPv4 in the first. */
import { type Family, formatIp, type Ip, parseIp } from '../model/ip.js';

/** No address: every one, or none, as the table says. */
export const NO_WORDS: readonly number[] = [0, 0, 0, 0];

export function addressWords({ family, value }: Ip): number[] {
  if (family === 4) return [Number(value) | 0, 0, 0, 0];
  return [96n, 64n, 32n, 0n].map((shift) => Number((value >> shift) & 0xffffffffn) | 0);
}

/** The other way round. */
export function ipTextOf(family: Family, words: readonly number[]): string {
  const count = family === 4 ? 1 : 4;
  const value = words.slice(0, count).reduce((sum, word) => (sum << 32n) | BigInt(word >>> 0), 0n);
  return formatIp(family, value);
}

/** An address that was accepted before, as [family, four words]. */
export function familyAndWords(text: string): number[] {
  const ip = ipFrom(text);
  return [ip.family, ...addressWords(ip)];
}

export function ipFrom(text: string): Ip {
  const ip = parseIp(text);
  if (ip === null) throw new Error(`${text} was accepted but is no address`);
  return ip;
}
