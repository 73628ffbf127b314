/** Judges what clients send: strictly, because nobody needs to be served who cannot ask. RFC 1035 section 4.1, RFC 6891. */
import {
  DNSSEC_OK,
  FLAG_2,
  FLAG_3,
  HEADER_BYTES,
  MAX_NAME_BYTES,
  type Query,
  RCODE,
  readRecord,
  TYPE,
} from './message.js';
import { writeResponse } from './message-writer.js';

/** `none`: nothing is answered (RFC 1035 has no answer to a response or to noise). */
export type Reading = { kind: 'query'; query: Query } | { kind: 'refusal'; response: Buffer } | { kind: 'none' };

/** Judges what a client sent. */
export function readQuery(bytes: Buffer): Reading {
  if (bytes.length < HEADER_BYTES || (bytes[2]! & FLAG_2.response) !== 0) return { kind: 'none' };
  const opcode = (bytes[2]! >> 3) & 15;
  if (opcode !== 0) return refusal(bytes, RCODE.notImplemented);
  const question = bytes.readUInt16BE(4) === 1 ? readQuestion(bytes) : null;
  if (question === null) return refusal(bytes, RCODE.badFormat);
  const edns = readEdns(bytes, HEADER_BYTES + question.bytes.length);
  if (edns === 'bad') return refusal(bytes, RCODE.badFormat);
  const query: Query = {
    id: bytes.readUInt16BE(0),
    recursionDesired: (bytes[2]! & FLAG_2.recursionDesired) !== 0,
    checkingDisabled: (bytes[3]! & FLAG_3.checkingDisabled) !== 0,
    wantsAuthentic: (bytes[3]! & FLAG_3.authentic) !== 0,
    labels: question.labels,
    question: question.bytes,
    type: question.type,
    class: question.class,
    edns: edns === null ? null : { udpBytes: edns.udpBytes, dnssecOk: edns.dnssecOk },
  };
  if (edns !== null && edns.version > 0) {
    // RFC 6891 section 6.1.3: the answer says which version is spoken here.
    return { kind: 'refusal', response: writeResponse(query, { rcode: RCODE.badVersion }) };
  }
  return { kind: 'query', query };
}

function readQuestion(bytes: Buffer): { labels: string[]; bytes: Buffer; type: number; class: number } | null {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63 || at - HEADER_BYTES + length + 1 > MAX_NAME_BYTES) return null;
    at++;
    if (length === 0) break;
    if (at + length > bytes.length) return null;
    labels.push(bytes.toString('latin1', at, at + length).replace(/[A-Z]+/g, (upper) => upper.toLowerCase()));
    at += length;
  }
  if (at + 4 > bytes.length) return null;
  const type = bytes.readUInt16BE(at);
  // OPT is no question, and 249, 250 (TKEY, TSIG) are none that can be passed on.
  if (type === TYPE.opt || type === 249 || type === 250) return null;
  const question = Buffer.from(bytes.subarray(HEADER_BYTES, at + 4));
  return { labels, bytes: question, type, class: bytes.readUInt16BE(at + 2) };
}

/** null: the query has none. */
function readEdns(
  bytes: Buffer,
  from: number,
): { udpBytes: number; dnssecOk: boolean; version: number } | null | 'bad' {
  const counts = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  let found: { udpBytes: number; dnssecOk: boolean; version: number } | null = null;
  let at = from;
  for (let left = counts; left > 0; left--) {
    const record = readRecord(bytes, at);
    if (record === null) return 'bad';
    if (record.type === TYPE.opt) {
      // RFC 6891 section 6.1.1: at most one, and of the root.
      if (found !== null || bytes[at] !== 0) return 'bad';
      const flags = bytes.readUInt16BE(record.ttlAt + 2);
      const udpBytes = bytes.readUInt16BE(record.ttlAt - 2);
      found = { udpBytes, dnssecOk: (flags & DNSSEC_OK) !== 0, version: bytes[record.ttlAt + 1]! };
    }
    at = record.end;
  }
  return found;
}

function refusal(bytes: Buffer, rcode: number): Reading {
  const response = Buffer.alloc(HEADER_BYTES);
  response[0] = bytes[0]!;
  response[1] = bytes[1]!;
  response[2] = FLAG_2.response | (bytes[2]! & 0x79);
  response[3] = FLAG_3.recursionAvailable | rcode;
  return { kind: 'refusal', response };
}
