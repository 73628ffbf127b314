/**
 * DNS messages: their numbers, what is known of one that was read, and how to walk over its records. Read first: RFC 1035
 * section 4, RFC 6891 (EDNS). Queries are read by query-reader.ts, answers by answer-reader.ts, both written by message-writer.ts.
 *
 * Answers of other servers are passed on as the bytes they came in, so that record types that weft has never heard of
 * survive; only their TTLs are changed in place. Names in messages are compared as bytes without regard to case, never as
 * text: a label may contain a dot. All reading is bounds-checked and throws nothing, whatever the bytes are.
 *
 *   0   id              2   QR opcode AA TC RD | RA Z AD CD rcode
 *   4   QDCOUNT         6   ANCOUNT          8   NSCOUNT          10   ARCOUNT          12   question ...
 */

export const HEADER_BYTES = 12;
/** What every client takes over UDP (RFC 1035 section 4.2.1). */
export const PLAIN_UDP_BYTES = 512;
/** Larger UDP answers risk fragments (RFC 9715, DNS Flag Day 2020). */
export const MAX_UDP_BYTES = 1232;

export const RCODE = {
  ok: 0,
  badFormat: 1,
  failure: 2,
  noName: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;
export const TYPE = { a: 1, ns: 2, cname: 5, soa: 6, ptr: 12, aaaa: 28, srv: 33, opt: 41, any: 255 } as const;
export const CLASS_IN = 1;
/** RFC 8914 section 4: why there is no answer, for people. */
export const EXTENDED = { notReady: 14, prohibited: 18, noReachable: 22, network: 23 } as const;

/** Bits of the bytes 2 and 3 of the header. */
export const FLAG_2 = { response: 0x80, authoritative: 0x04, truncated: 0x02, recursionDesired: 0x01 } as const;
export const FLAG_3 = { recursionAvailable: 0x80, authentic: 0x20, checkingDisabled: 0x10 } as const;
/** Of the flags of an OPT record. */
export const DNSSEC_OK = 0x8000;
export const MAX_NAME_BYTES = 255;

export interface Query {
  id: number;
  recursionDesired: boolean;
  checkingDisabled: boolean;
  /** The client understands the AD bit (RFC 6840 section 5.7). */
  wantsAuthentic: boolean;
  /** Lower case, in order, `["web", "front", "weft"]`; empty for the root. Bytes as Latin-1. */
  labels: readonly string[];
  /** As it was asked: name, type and class. */
  question: Buffer;
  type: number;
  class: number;
  /** null: the client knows no EDNS. */
  edns: { udpBytes: number; dnssecOk: boolean } | null;
}

/** What a server answered, fit to be kept and to be given to many. */
export interface Answer {
  rcode: number;
  /** Header, question and records, without OPT. */
  bytes: Buffer;
  /** Offsets of the TTLs of all records. */
  ttlAt: readonly number[];
  /** Seconds for which it may be kept, 0 = not at all. */
  ttl: number;
  /** It did not fit into UDP: only good for trying TCP. */
  isTruncated: boolean;
}

/** null: it does not lie inside of the message. */
export function readRecord(
  bytes: Buffer,
  at: number,
): { type: number; ttlAt: number; dataAt: number; end: number } | null {
  const nameEnd = skipName(bytes, at);
  if (nameEnd < 0 || nameEnd + 10 > bytes.length) return null;
  const dataAt = nameEnd + 10;
  const end = dataAt + bytes.readUInt16BE(nameEnd + 8);
  if (end > bytes.length) return null;
  return { type: bytes.readUInt16BE(nameEnd), ttlAt: nameEnd + 4, dataAt, end };
}

/**
 * Offset behind the name at `at`, or -1. A pointer ends a name; what stands where it leads is the business of whoever reads it,
 * but it leads back, behind the header (RFC 1035 section 4.1.4), so that nobody who is handed the message reads in circles.
 */
function skipName(bytes: Buffer, at: number): number {
  for (const from = at; at < bytes.length && at - from <= MAX_NAME_BYTES; ) {
    const length = bytes[at]!;
    if (length === 0) return at + 1;
    if (length >= 0xc0) {
      if (at + 2 > bytes.length) return -1;
      const target = bytes.readUInt16BE(at) & 0x3fff;
      return target >= HEADER_BYTES && target < from ? at + 2 : -1;
    }
    if (length > 63) return -1;
    at += 1 + length;
  }
  return -1;
}
