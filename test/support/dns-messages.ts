/** DNS messages for tests: written and read by dns-packet, which weft's own reading of messages has nothing to do with. */
import assert from 'node:assert/strict';
import { type Answer as Content, type DecodedPacket, decode, encode, type Packet, type RecordType } from 'dns-packet';
import type { Query } from '../../src/control/dns/message.js';
import { readQuery } from '../../src/control/dns/query-reader.js';

export interface AskOptions {
  id?: number;
  /** null: no EDNS. */
  udpBytes?: number | null;
  dnssecOk?: boolean;
  /** false: without the wish for recursion. */
  recursion?: boolean;
}

/** The bytes of a query. */
export function ask(name: string, type: RecordType = 'A', options: AskOptions = {}): Buffer {
  const { id = 4711, udpBytes = 1232, dnssecOk = false, recursion = true } = options;
  const additionals: Packet['additionals'] =
    udpBytes === null
      ? []
      : [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: udpBytes,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: dnssecOk ? 0x8000 : 0,
            flag_do: dnssecOk,
            options: [],
          },
        ];
  return encode({
    type: 'query',
    id,
    flags: recursion ? 0x0100 : 0,
    questions: [{ name, type, class: 'IN' }],
    additionals,
  });
}

/** The same as weft reads it. */
export function queryOf(bytes: Buffer): Query {
  const reading = readQuery(bytes);
  assert.equal(reading.kind, 'query');
  return (reading as { query: Query }).query;
}

/** What a server would answer to `question`. */
export function answerTo(question: Buffer, parts: Partial<Packet> & { rcode?: number }): Buffer {
  const { id, questions } = decode(question);
  const { rcode = 0, flags = 0x0180, ...rest } = parts;
  return encode({ type: 'response', id: id ?? 0, questions: questions ?? [], ...rest, flags: flags | rcode });
}

export function a(name: string, data: string, ttl = 300): Content {
  return { type: 'A', name, ttl, class: 'IN', data };
}

export function soa(name: string, ttl: number, minimum: number): Content {
  const data = { mname: `ns.${name}`, rname: `admin.${name}`, serial: 7, refresh: 1, retry: 1, expire: 1, minimum };
  return { type: 'SOA', name, ttl, data };
}

export interface Seen {
  rcode: string;
  flags: { aa: boolean; tc: boolean; rd: boolean; ra: boolean; ad: boolean };
  /** `TYPE data` each. */
  answers: string[];
  authorities: string[];
}

/** The parts of a response that tests compare; without OPT. */
export function see(response: Buffer): Seen {
  const packet: DecodedPacket & { rcode?: string } = decode(response);
  return {
    rcode: packet.rcode ?? '',
    flags: {
      aa: packet.flag_aa,
      tc: packet.flag_tc,
      rd: packet.flag_rd,
      ra: packet.flag_ra,
      ad: packet.flag_ad,
    },
    answers: (packet.answers ?? []).map(lineOf),
    authorities: (packet.authorities ?? []).map(lineOf),
  };
}

function lineOf(record: Content): string {
  if (record.type === 'SRV') return `SRV ${record.data.port} ${record.data.target}`;
  if (record.type === 'SOA') return `SOA ${record.name}`;
  return `${record.type} ${'data' in record ? String(record.data) : ''}`;
}
