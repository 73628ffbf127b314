/**
 * Writes responses and queries. Truncation: RFC 2181 section 9; OPT records: RFC 6891 section 6.1; extended errors: RFC 8914.
 */
import {
  type Answer,
  DNSSEC_OK,
  FLAG_2,
  FLAG_3,
  HEADER_BYTES,
  MAX_UDP_BYTES,
  PLAIN_UDP_BYTES,
  type Query,
  TYPE,
} from './message.js';

/** OPT without options: root name, type, class (size), TTL (rcode, version, flags), length. */
const OPT_BYTES = 11;
/** Option of extended errors. */
const OPTION_EXTENDED_ERROR = 15;

export interface Reply {
  rcode: number;
  isAuthoritative?: boolean;
  /** Complete records, uncompressed. */
  answers?: readonly Buffer[];
  authorities?: readonly Buffer[];
  additionals?: readonly Buffer[];
  /** Extended error: a code of EXTENDED and a sentence, for clients with EDNS. */
  extended?: { code: number; text: string };
}

export function writeResponse(query: Query, reply: Reply): Buffer {
  const { answers = [], authorities = [], additionals = [] } = reply;
  const opt = query.edns === null ? [] : [writeOpt(query, reply)];
  const header = Buffer.alloc(HEADER_BYTES);
  writeHeader(header, query, reply.rcode, reply.isAuthoritative ? FLAG_2.authoritative : 0, 0);
  header.writeUInt16BE(answers.length, 6);
  header.writeUInt16BE(authorities.length, 8);
  header.writeUInt16BE(additionals.length + opt.length, 10);
  return Buffer.concat([header, query.question, ...answers, ...authorities, ...additionals, ...opt]);
}

/** The kept answer for this client: its id and spelling of the name, TTLs less the seconds that it has been kept. */
export function writeKept(query: Query, answer: Answer, ageSeconds: number): Buffer {
  const opt = query.edns === null ? null : writeOpt(query, { rcode: answer.rcode });
  const bytes = Buffer.concat(opt === null ? [answer.bytes] : [answer.bytes, opt]);
  const isAuthentic = (bytes[3]! & FLAG_3.authentic) !== 0 && (query.wantsAuthentic || query.edns?.dnssecOk === true);
  writeHeader(bytes, query, answer.rcode, 0, isAuthentic ? FLAG_3.authentic : 0);
  query.question.copy(bytes, HEADER_BYTES);
  for (const at of answer.ttlAt) bytes.writeUInt32BE(Math.max(0, bytes.readUInt32BE(at) - ageSeconds), at);
  if (opt !== null) bytes.writeUInt16BE(bytes.readUInt16BE(10) + 1, 10);
  return bytes;
}

/** What fits into `room` bytes: the whole response, or one without records that says so (RFC 2181 section 9). */
export function fitInto(query: Query, response: Buffer, room: number): Buffer {
  if (response.length <= room) return response;
  const short = writeResponse(query, { rcode: response[3]! & 15 });
  response.copy(short, 2, 2, 4);
  short[2]! |= FLAG_2.truncated;
  return short;
}

/** Bytes that a UDP answer to this client may have. */
export function udpRoom({ edns }: Query): number {
  return Math.min(Math.max(edns?.udpBytes ?? 0, PLAIN_UDP_BYTES), MAX_UDP_BYTES);
}

/** The same question for another server. Without `withEdns` as RFC 1035 knows it. */
export function writeQuery(query: Query, id: number, withEdns: boolean): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(id, 0);
  header[2] = FLAG_2.recursionDesired;
  header[3] = query.checkingDisabled ? FLAG_3.checkingDisabled : 0;
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(withEdns ? 1 : 0, 10);
  if (!withEdns) return Buffer.concat([header, query.question]);
  return Buffer.concat([header, query.question, optRecord(MAX_UDP_BYTES, 0, query.edns?.dnssecOk === true)]);
}

/** Everything but the counts of records. */
function writeHeader(bytes: Buffer, query: Query, rcode: number, high: number, low: number): void {
  bytes.writeUInt16BE(query.id, 0);
  bytes[2] = FLAG_2.response | high | (query.recursionDesired ? FLAG_2.recursionDesired : 0);
  bytes[3] = FLAG_3.recursionAvailable | low | (query.checkingDisabled ? FLAG_3.checkingDisabled : 0) | (rcode & 15);
  bytes.writeUInt16BE(1, 4);
}

function writeOpt(query: Query, { rcode, extended }: Reply): Buffer {
  const opt = optRecord(MAX_UDP_BYTES, rcode >> 4, query.edns?.dnssecOk === true);
  if (extended === undefined) return opt;
  const text = Buffer.from(extended.text, 'utf8').subarray(0, 200);
  const option = Buffer.alloc(6);
  option.writeUInt16BE(OPTION_EXTENDED_ERROR, 0);
  option.writeUInt16BE(2 + text.length, 2);
  option.writeUInt16BE(extended.code, 4);
  opt.writeUInt16BE(option.length + text.length, OPT_BYTES - 2);
  return Buffer.concat([opt, option, text]);
}

function optRecord(udpBytes: number, extendedRcode: number, dnssecOk: boolean): Buffer {
  const opt = Buffer.alloc(OPT_BYTES);
  opt.writeUInt16BE(TYPE.opt, 1);
  opt.writeUInt16BE(udpBytes, 3);
  opt[5] = extendedRcode;
  opt.writeUInt16BE(dnssecOk ? DNSSEC_OK : 0, 7);
  return opt;
}
