/**
 * From the bytes of a query to the bytes of the response, for the clients of one network: who may ask, what is answered
 * here, what others are asked. Knows no sockets, so that UDP and TCP are the same but for the size of the answer.
 */
import { contains, type IpRange, parseIp } from '../../model/ip.js';
import type { DnsCounters } from './dns-counters.js';
import { type Failure, type Forwarder, isForwardable, isTransfer } from './forwarder.js';
import { answerLocally, type LocalNames } from './local-answers.js';
import { CLASS_IN, EXTENDED, type Query, RCODE } from './message.js';
import { fitInto, type Reply, udpRoom, writeKept, writeResponse } from './message-writer.js';
import type { QueryLimits } from './query-limits.js';
import { readQuery } from './query-reader.js';

const TCP_ROOM = 65_535;
/** In the place of an address. */
const STRANGERS = 'strangers';

export interface ResponderParts {
  /** As they are at this moment. */
  names: () => LocalNames;
  /** Subnets whose stations are served. */
  clients: () => readonly IpRange[];
  forwarder: () => Forwarder;
  limits: QueryLimits;
  counters: DnsCounters;
}

const FAILURES: Record<Failure, { code: number; text: string }> = {
  'no-server': { code: EXTENDED.network, text: 'weft knows no resolver to ask' },
  dead: { code: EXTENDED.noReachable, text: 'no resolver that weft asks answers' },
  busy: { code: EXTENDED.notReady, text: 'too many questions wait for an answer' },
};

export class Responder {
  private readonly parts: ResponderParts;

  constructor(parts: ResponderParts) {
    this.parts = parts;
  }

  /** null: no response, and none would come. Resolves late when somebody else has to be asked; never rejects. */
  async respond(message: Buffer, client: string, transport: 'udp' | 'tcp'): Promise<Buffer | null> {
    const { counters, limits } = this.parts;
    counters.queries++;
    if (!limits.admit(this.bucketOf(client))) return this.ignore();
    const reading = readQuery(message);
    if (reading.kind === 'none') return this.ignore();
    if (reading.kind === 'refusal') {
      counters.refused++;
      return reading.response;
    }
    const { query } = reading;
    const room = transport === 'udp' ? udpRoom(query) : TCP_ROOM;
    return fitInto(query, await this.answer(query, client, room), room);
  }

  /** A message that came from where nothing can be answered: it counts, and that is all. */
  disregard(): void {
    this.parts.counters.queries++;
    this.ignore();
  }

  private ignore(): null {
    this.parts.counters.ignored++;
    return null;
  }

  private async answer(query: Query, client: string, room: number): Promise<Buffer> {
    const { counters, names } = this.parts;
    if (!this.isServed(client)) return this.refuse(query, 'this server is for the stations of its network');
    // RFC 5936 section 2.2.1: who does not give zones away says so, also for the zone that is its own.
    if (isTransfer(query)) return this.refuse(query, 'zones are not handed over');
    const local = query.class === CLASS_IN ? answerLocally(names(), query) : null;
    if (local !== null) {
      counters.local++;
      const whole = writeResponse(query, local);
      // RFC 2181 section 9: what is there besides is left out before anybody has to ask again over TCP.
      return whole.length <= room ? whole : writeResponse(query, { ...local, additionals: [] });
    }
    if (!isForwardable(query)) return this.refuse(query, 'not a kind of question that is passed on');
    // RFC 1034 section 4.3.1: who does not want recursion gets none.
    if (!query.recursionDesired) return this.refuse(query, 'without recursion only the names of the network are known');
    return this.forward(query, client);
  }

  private async forward(query: Query, client: string): Promise<Buffer> {
    const { counters, forwarder, limits } = this.parts;
    const bucket = this.bucketOf(client);
    if (!limits.begin(bucket)) return this.fail(query, 'busy');
    try {
      const result = await forwarder().resolve(query);
      if (typeof result === 'string') return this.fail(query, result);
      counters.forwarded++;
      return writeKept(query, result.answer, result.ageSeconds);
    } finally {
      limits.end(bucket);
    }
  }

  /** Addresses that weft did not give share one: a station can have as many of those as it likes. */
  bucketOf(client: string): string {
    return this.parts.names().zones.some((zone) => zone.nameOf(client) !== null) ? client : STRANGERS;
  }

  private isServed(client: string): boolean {
    const ip = parseIp(client);
    return ip !== null && this.parts.clients().some((subnet) => contains(subnet, ip));
  }

  private refuse(query: Query, text: string): Buffer {
    this.parts.counters.refused++;
    const reply: Reply = { rcode: RCODE.refused, extended: { code: EXTENDED.prohibited, text } };
    return writeResponse(query, reply);
  }

  private fail(query: Query, failure: Failure): Buffer {
    this.parts.counters.failed++;
    return writeResponse(query, { rcode: RCODE.failure, extended: FAILURES[failure] });
  }
}
