// Network prefix translation for IPv6, RFC 6296: one prefix becomes another of the same length, and one 16-bit word of the
// address takes up the difference, so that no checksum that covers the address changes. No state, and the way back is the same
// computation with the prefixes swapped.
//
//    prefix up to /48 (section 3.4)                      longer (section 3.5)
//   +------------------+--------+--------------------+  +---------------------------+--------------------+
//   | prefix           | subnet | interface          |  | prefix            subnet  | i n t e r f a c e  |
//   +------------------+--------+--------------------+  +---------------------------+--------------------+
//    0              47  48   63  adjusted: the subnet    adjusted: the first word from 64 on that is not ffff
import * as checksum from './checksum.js';

/** 16-bit words of an address. */
const WORDS = 8;
const SUBNET = 3;
const INTERFACE = 4;
const LONGEST_SUBNET_PREFIX = 48;

/**
 * Writes into `to` what the address becomes when its first `length` bits are replaced by those of `prefix`. False when RFC 6296 has
 * no mapping for it: the subnet ffff (section 3.4), an interface identifier of zero or of all ones (section 3.5).
 */
export function translatePrefix(
  address: Int32Array,
  at: number,
  length: number,
  prefix: Int32Array,
  prefixAt: number,
  to: Int32Array,
  toAt: number,
): boolean {
  const adjusted = adjustedWord(address, at, length);
  if (adjusted < 0) return false;
  const before = sumOf(address, at);
  for (let word = 0; word < 4; word++) {
    const bits = Math.max(0, Math.min(32, length - 32 * word));
    const mask = bits === 0 ? 0 : bits === 32 ? -1 : ~(-1 >>> bits);
    to[toAt + word] = (prefix[prefixAt + word]! & mask) | (address[at + word]! & ~mask);
  }
  const difference = checksum.fold(before + (~sumOf(to, toAt) & 0xffff));
  const value = checksum.fold(word16(to, toAt, adjusted) + difference);
  // Section 3.4: ffff is the same number as 0 in this arithmetic, and is written as 0.
  setWord16(to, toAt, adjusted, value === 0xffff ? 0 : value);
  return true;
}

/** The word that takes up the difference, or -1. */
function adjustedWord(address: Int32Array, at: number, length: number): number {
  if (length <= LONGEST_SUBNET_PREFIX) return word16(address, at, SUBNET) === 0xffff ? -1 : SUBNET;
  if ((address[at + 2]! | address[at + 3]!) === 0) return -1;
  for (let word = INTERFACE; word < WORDS; word++) if (word16(address, at, word) !== 0xffff) return word;
  return -1;
}

function word16(address: Int32Array, at: number, word: number): number {
  const pair = address[at + (word >> 1)]!;
  return (word & 1) === 0 ? pair >>> 16 : pair & 0xffff;
}

function setWord16(address: Int32Array, at: number, word: number, value: number): void {
  const pair = address[at + (word >> 1)]!;
  address[at + (word >> 1)] = (word & 1) === 0 ? (pair & 0xffff) | (value << 16) : (pair & ~0xffff) | value;
}

function sumOf(address: Int32Array, at: number): number {
  let total = 0;
  for (let word = 0; word < 4; word++) total += (address[at + word]! >>> 16) + (address[at + word]! & 0xffff);
  return checksum.fold(total);
}
