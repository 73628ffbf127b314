// Questions for others: who is asked when, what is kept, and what a dead upstream costs. Time and servers are the test's own.
import assert from 'node:assert/strict';
import { type DecodedPacket, decode } from 'dns-packet';
import { AnswerCache } from '../../src/control/dns/answer-cache.js';
import { readAnswer } from '../../src/control/dns/answer-reader.js';
import type { Exchange } from '../../src/control/dns/exchange.js';
import { Forwarder, isForwardable } from '../../src/control/dns/forwarder.js';
import type { Answer, Query } from '../../src/control/dns/message.js';
import { writeQuery } from '../../src/control/dns/message-writer.js';
import type { UpstreamServer } from '../../src/control/dns/resolv-conf.js';
import { type AskOptions, a, answerTo, ask, queryOf, soa } from '../support/dns-messages.js';

const FIRST = { address: '192.0.2.53', port: 53 };
const SECOND = { address: '2001:db8::53', port: 53 };

type Serve = (question: Buffer, packet: DecodedPacket, transport: 'udp' | 'tcp') => Buffer | 'silence' | 'refused';

class Upstream {
  nowMs = 0;
  /** `ADDRESS transport name [edns]` of everything that was sent. */
  readonly log: string[] = [];
  readonly serve = new Map<UpstreamServer, Serve>();
  servers: readonly UpstreamServer[] = [FIRST, SECOND];
  readonly cache = new AnswerCache(() => this.nowMs);
  readonly forwarder: Forwarder;
  /** While it is there, answers wait for it. */
  gate: Promise<void> = Promise.resolve();
  private lastId = 0;

  constructor(most = 100) {
    this.forwarder = new Forwarder({
      cache: this.cache,
      exchange: this.exchange,
      servers: () => this.servers,
      nowMs: () => this.nowMs,
      newId: () => ++this.lastId,
      most,
      name: '',
    });
  }

  private readonly exchange: Exchange = async <T>(
    server: UpstreamServer,
    transport: 'udp' | 'tcp',
    message: Buffer,
    accept: (response: Buffer) => T | null,
    timeoutMs: number,
  ): Promise<T> => {
    const packet = decode(message);
    const edns = packet.additionals?.length === 1 ? ' edns' : '';
    this.log.push(`${server.address} ${transport} ${packet.questions?.[0]?.name}${edns}`);
    await this.gate;
    const response = this.serve.get(server)?.(message, packet, transport) ?? 'silence';
    if (response === 'refused') throw Object.assign(new Error('ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const accepted = response === 'silence' ? null : accept(response);
    if (accepted !== null) return accepted;
    this.nowMs += timeoutMs;
    throw Object.assign(new Error('ETIMEDOUT'), { code: 'ETIMEDOUT' });
  };

  /** `rcode/answers`, or the failure. */
  async ask(name: string, options: AskOptions = {}): Promise<string> {
    const result = await this.forwarder.resolve(queryOf(ask(name, 'A', options)));
    if (typeof result === 'string') return result;
    const packet = decode(result.answer.bytes);
    return `${result.answer.rcode}/${packet.answers?.length}`;
  }

  takeLog(): string[] {
    return this.log.splice(0);
  }
}

const good: Serve = (question, packet) => answerTo(question, { answers: [a(packet.questions![0]!.name, '192.0.2.1')] });
const saying =
  (rcode: number): Serve =>
  (question) =>
    answerTo(question, { rcode });

describe('dns/forwarder', () => {
  it('asks the first server and keeps its answer as long as the TTL says', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, good);
    assert.equal(await upstream.ask('www.example'), '0/1');
    assert.equal(await upstream.ask('WWW.example'), '0/1');
    assert.deepEqual(upstream.takeLog(), ['192.0.2.53 udp www.example edns']);
    upstream.nowMs += 299_000;
    assert.equal(await upstream.ask('www.example'), '0/1');
    assert.deepEqual(upstream.takeLog(), []);
    upstream.nowMs += 1000;
    assert.equal(await upstream.ask('www.example'), '0/1');
    assert.equal(upstream.takeLog().length, 1);
  });

  it('keeps answers with and without signatures apart', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, good);
    await upstream.ask('www.example');
    await upstream.ask('www.example', { dnssecOk: true });
    await upstream.ask('www.example', { dnssecOk: true });
    assert.equal(upstream.takeLog().length, 2);
  });

  it('holds a server for alive that answers over UDP and has no TCP, and waits no longer for it', async () => {
    for (const tcp of ['silence', 'refused'] as const) {
      const upstream = new Upstream();
      upstream.servers = [FIRST];
      upstream.serve.set(FIRST, (question, packet, transport) => {
        if (transport === 'tcp') return tcp;
        return packet.questions![0]!.name.startsWith('large')
          ? answerTo(question, { flags: 0x0380 })
          : good(question, packet, transport);
      });
      for (let n = 0; n < 3; n++) {
        const askedAt = upstream.nowMs;
        assert.equal(await upstream.ask(`large${n}.example`), 'dead');
        assert.ok(upstream.nowMs - askedAt <= 4500, 'clients give up after five seconds');
        assert.equal(await upstream.ask(`small${n}.example`), '0/1', 'others are served');
      }
    }
  });

  it('keeps that a name does not exist (RFC 2308)', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, (question) => answerTo(question, { rcode: 3, authorities: [soa('example', 900, 60)] }));
    assert.equal(await upstream.ask('no.example'), '3/0');
    upstream.nowMs += 59_000;
    assert.equal(await upstream.ask('no.example'), '3/0');
    assert.equal(upstream.takeLog().length, 1);
    upstream.nowMs += 1000;
    await upstream.ask('no.example');
    assert.equal(upstream.takeLog().length, 1);
  });

  it('asks a question once, however many wait for the answer', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, good);
    const names = ['www.example', 'www.EXAMPLE', 'www.example', 'other.example'];
    assert.deepEqual(await Promise.all(names.map((name) => upstream.ask(name))), ['0/1', '0/1', '0/1', '0/1']);
    assert.equal(upstream.takeLog().length, 2);
  });

  it('asks the next server when one is silent, and again in a second round', async () => {
    const upstream = new Upstream();
    upstream.serve.set(SECOND, good);
    assert.equal(await upstream.ask('www.example'), '0/1');
    assert.deepEqual(upstream.takeLog(), ['192.0.2.53 udp www.example edns', '2001:db8::53 udp www.example edns']);
    let calls = 0;
    upstream.serve.set(SECOND, (...args) => (++calls === 1 ? 'silence' : good(...args)));
    assert.equal(await upstream.ask('other.example'), '0/1');
    assert.equal(upstream.log.filter((line) => line.startsWith('2001')).length, 2);
  });

  it('asks the next server when one fails or refuses, and otherwise says what the first one said', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, saying(2));
    upstream.serve.set(SECOND, good);
    assert.equal(await upstream.ask('www.example'), '0/1');
    upstream.serve.set(SECOND, saying(5));
    assert.equal(await upstream.ask('other.example'), '2/0');
    // RFC 9520: a failure is kept for a moment, so that a client that asks again and again costs nothing.
    upstream.takeLog();
    assert.equal(await upstream.ask('other.example'), '2/0');
    assert.deepEqual(upstream.takeLog(), []);
    upstream.nowMs += 1000;
    upstream.serve.set(FIRST, good);
    assert.equal(await upstream.ask('other.example'), '0/1');
  });

  it('tries without EDNS what is not understood with it', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, (question, packet, transport) =>
      packet.additionals?.length ? saying(1)(question, packet, transport) : good(question, packet, transport),
    );
    assert.equal(await upstream.ask('www.example'), '0/1');
    assert.deepEqual(upstream.takeLog(), ['192.0.2.53 udp www.example edns', '192.0.2.53 udp www.example']);
  });

  it('asks over TCP when the answer does not fit into UDP', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, (question, packet, transport) =>
      transport === 'udp' ? answerTo(question, { flags: 0x0380 }) : good(question, packet, transport),
    );
    assert.equal(await upstream.ask('www.example'), '0/1');
    assert.deepEqual(upstream.takeLog(), ['192.0.2.53 udp www.example edns', '192.0.2.53 tcp www.example edns']);
  });

  it('believes no answer to another question or with another id', async () => {
    const upstream = new Upstream();
    upstream.servers = [FIRST];
    upstream.serve.set(FIRST, (question) => {
      const forged = answerTo(question, { answers: [a('www.example', '203.0.113.66')] });
      forged.writeUInt16BE((forged.readUInt16BE(0) + 1) & 0xffff, 0);
      return forged;
    });
    assert.equal(await upstream.ask('www.example'), 'dead');
  });

  it('fails before the client gives up, then at once, and notices when a server is back', async () => {
    const upstream = new Upstream();
    assert.equal(await upstream.ask('www.example'), 'dead');
    assert.ok(upstream.nowMs <= 4500, `after ${upstream.nowMs} ms`);
    // One more question finds out whether that is still so, and not again and again.
    assert.equal(await upstream.ask('one.example'), 'dead');
    upstream.takeLog();
    const before = upstream.nowMs;
    for (let n = 0; n < 50; n++) assert.equal(await upstream.ask(`n${n}.example`), 'dead');
    assert.deepEqual([upstream.takeLog(), upstream.nowMs], [[], before]);
    upstream.serve.set(FIRST, good);
    upstream.nowMs += 4000;
    assert.equal(await upstream.ask('back.example'), '0/1');
    assert.equal(await upstream.ask('again.example'), '0/1');
  });

  it('does not wait for a server that is not there', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, () => 'refused');
    upstream.serve.set(SECOND, () => 'refused');
    assert.equal(await upstream.ask('www.example'), 'dead');
    assert.equal(upstream.nowMs, 0);
  });

  it('says so when there is no server, and asks those that come later', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, good);
    upstream.servers = [];
    assert.equal(await upstream.ask('www.example'), 'no-server');
    upstream.servers = [FIRST];
    assert.equal(await upstream.ask('www.example'), '0/1');
  });

  it('forgets the answers of servers that are not asked any more', async () => {
    const upstream = new Upstream();
    upstream.serve.set(FIRST, good);
    upstream.serve.set(SECOND, saying(3));
    upstream.servers = [FIRST];
    assert.equal(await upstream.ask('inside.example'), '0/1');
    upstream.servers = [SECOND];
    assert.equal(await upstream.ask('inside.example'), '3/0');
  });

  it('lets only so many questions wait', async () => {
    const upstream = new Upstream(2);
    upstream.serve.set(FIRST, good);
    let open = () => {};
    upstream.gate = new Promise((resolve) => {
      open = resolve;
    });
    const waiting = [upstream.ask('a.example'), upstream.ask('b.example'), upstream.ask('a.example')];
    assert.equal(await upstream.ask('c.example'), 'busy');
    open();
    assert.deepEqual(await Promise.all(waiting), ['0/1', '0/1', '0/1']);
    assert.equal(await upstream.ask('c.example'), '0/1');
  });

  it('passes on no transfers', () => {
    const typed = (type: number): Query => ({ ...queryOf(ask('a.test')), type });
    assert.deepEqual(
      [1, 255, 257, 65280, 252, 251, 0].map((type) => isForwardable(typed(type))),
      [true, true, true, true, false, false, false],
    );
    assert.equal(isForwardable({ ...typed(1), class: 3 }), false);
  });
});

describe('dns/answer-cache', () => {
  function answer(ttl: number, bytes = 100): Answer {
    const query = queryOf(ask('www.example'));
    const whole = readAnswer(
      query,
      1,
      answerTo(writeQuery(query, 1, true), { answers: [a('www.example', '192.0.2.1', ttl)] }),
    )!;
    return { ...whole, bytes: Buffer.alloc(bytes) };
  }

  it('is bounded in entries and bytes, and loses first what nobody asked for', () => {
    const cache = new AnswerCache(() => 0);
    for (let n = 0; n < 20_000; n++) {
      cache.insert(`key ${n}`, answer(300));
      assert.ok(cache.find('key 0') !== null, 'asked for again and again');
    }
    assert.ok(cache.count > 1000 && cache.count <= 8192, `${cache.count}`);
    assert.equal(cache.find('key 1'), null);
    assert.ok(cache.find('key 19999'));
    for (let n = 0; n < 200; n++) cache.insert(`large ${n}`, answer(300, 65_000));
    assert.ok(cache.count < 70, 'four megabytes');
  });

  it('keeps nothing without a TTL and tells the age of the rest', () => {
    let now = 5000;
    const cache = new AnswerCache(() => now);
    cache.insert('never', answer(0));
    cache.insert('short', answer(2));
    now += 1500;
    assert.equal(cache.find('never'), null);
    assert.equal(cache.find('short')?.ageSeconds, 1);
    now += 500;
    assert.equal(cache.find('short'), null);
    assert.equal(cache.count, 0);
  });
});
