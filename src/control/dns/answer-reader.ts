/**
 * Reads what other servers answer: whether it is the answer to the question, how long it may be kept (RFC 2308), and where its TTLs
 * are. What is in the records is not looked at.
 */
import { type Answer, FLAG_2, HEADER_BYTES, type Query, RCODE, readRecord, TYPE } from './message.js';

/** What is known of `writeQuery(query, id)` by this response; null when it is none, or damaged. */
export function readAnswer(query: Query, id: number, bytes: Buffer): Answer | null {
  if (bytes.length < HEADER_BYTES || bytes.readUInt16BE(0) !== id) return null;
  if ((bytes[2]! & FLAG_2.response) === 0 || ((bytes[2]! >> 3) & 15) !== 0) return null;
  const rcode = bytes[3]! & 15;
  const isTruncated = (bytes[2]! & FLAG_2.truncated) !== 0;
  // Some servers leave the question out when they refuse it.
  if (bytes.readUInt16BE(4) === 0 && rcode !== RCODE.ok && rcode !== RCODE.noName) return bareAnswer(query, rcode);
  if (bytes.readUInt16BE(4) !== 1 || !isSameQuestion(query.question, bytes)) return null;
  const body = readRecords(bytes, HEADER_BYTES + query.question.length, isTruncated);
  if (body === null) return null;
  if (body.extendedRcode !== 0) return bareAnswer(query, RCODE.failure);
  const ttl = isTruncated ? 0 : keepSeconds(rcode, bytes.readUInt16BE(6), body);
  const kept = Buffer.from(bytes.subarray(0, body.end));
  kept.writeUInt16BE(body.additionals, 10);
  return { rcode, bytes: kept, ttlAt: body.ttlAt, ttl, isTruncated };
}

/** Without records, not to be kept. */
export function bareAnswer(query: Query, rcode: number): Answer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(1, 4);
  return { rcode, bytes: Buffer.concat([header, query.question]), ttlAt: [], ttl: 0, isTruncated: false };
}

/** Longest time that an answer is kept, a day, and that there is none, an hour (RFC 2308 section 5). */
const MAX_KEEP_SECONDS = 86_400;
const MAX_KEEP_NONE_SECONDS = 3600;

function keepSeconds(rcode: number, answers: number, { leastTtl, soaSeconds }: Records): number {
  if (rcode === RCODE.ok && answers > 0) return Math.min(leastTtl, MAX_KEEP_SECONDS);
  if (rcode !== RCODE.ok && rcode !== RCODE.noName) return 0;
  // RFC 2308 section 5: a negative answer without SOA is not kept.
  return soaSeconds === null ? 0 : Math.min(leastTtl, soaSeconds, MAX_KEEP_NONE_SECONDS);
}

interface Records {
  /** Behind the last record that is kept. */
  end: number;
  /** Additional records that are kept. */
  additionals: number;
  ttlAt: number[];
  leastTtl: number;
  /** MINIMUM of the SOA in the authority section. */
  soaSeconds: number | null;
  /** Upper bits of the rcode (RFC 6891 section 6.1.3). */
  extendedRcode: number;
}

/** null when the records do not fill the message as the header says. What follows an OPT record is left out. */
function readRecords(bytes: Buffer, from: number, isTruncated: boolean): Records | null {
  const counts = [bytes.readUInt16BE(6), bytes.readUInt16BE(8), bytes.readUInt16BE(10)];
  const records: Records = {
    end: from,
    additionals: 0,
    ttlAt: [],
    leastTtl: 0xffff_ffff,
    soaSeconds: null,
    extendedRcode: 0,
  };
  let at = from;
  for (let section = 0; section < 3; section++) {
    for (let left = counts[section]!; left > 0; left--) {
      const record = readRecord(bytes, at);
      if (record === null) return isTruncated ? { ...records, end: from, ttlAt: [] } : null;
      at = record.end;
      if (record.type === TYPE.opt) {
        records.extendedRcode = bytes[record.ttlAt]!;
        return section === 2 ? records : null;
      }
      records.ttlAt.push(record.ttlAt);
      // RFC 2181 section 8: a TTL with the highest bit set means 0.
      const ttl = bytes.readUInt32BE(record.ttlAt);
      records.leastTtl = Math.min(records.leastTtl, ttl > 0x7fff_ffff ? 0 : ttl);
      if (section === 1 && record.type === TYPE.soa && record.end - record.dataAt >= 22) {
        records.soaSeconds = bytes.readUInt32BE(record.end - 4);
      }
      records.end = at;
      if (section === 2) records.additionals++;
    }
  }
  return records;
}

/** Names without regard to case (RFC 1035 section 2.3.3). Lengths of labels are below 64, so they are no letters. */
function isSameQuestion(question: Buffer, bytes: Buffer): boolean {
  if (bytes.length < HEADER_BYTES + question.length) return false;
  const nameBytes = question.length - 4;
  for (let i = 0; i < nameBytes; i++) {
    if (lower(question[i]!) !== lower(bytes[HEADER_BYTES + i]!)) return false;
  }
  return question.compare(bytes, HEADER_BYTES + nameBytes, HEADER_BYTES + question.length, nameBytes) === 0;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
