// From query to response: who may ask, how much, and what a client reads when nobody knows.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode } from 'dns-packet';
import type { Exchange } from '../../src/control/dns/exchange.js';
import { NameService } from '../../src/control/dns/name-service.js';
import { QueryLimits } from '../../src/control/dns/query-limits.js';
import { HostResolvers, parseResolvConf } from '../../src/control/dns/resolv-conf.js';
import type { Responder } from '../../src/control/dns/responder.js';
import { DesiredState } from '../../src/model/desired-state.js';
import { parseEndpointRequest } from '../../src/model/endpoint-request.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';
import { a, answerTo, ask, see } from '../support/dns-messages.js';

const CLIENT = '198.18.1.7';
const OTHER = '198.18.1.8';

class Lab {
  nowMs = 0;
  readonly state = new DesiredState('test', { networks: 16, ports: 16 });
  readonly asked: string[] = [];
  readonly service: NameService;
  readonly responder: Responder;
  exchange: Exchange = async (server, transport, message, accept) => {
    this.asked.push(`${server.address}#${server.port} ${transport}`);
    const name = decode(message).questions![0]!.name;
    const accepted = accept(answerTo(message, { answers: [a(name, '203.0.113.9')] }));
    if (accepted === null) throw new Error('not accepted');
    return accepted;
  };

  constructor(
    dns: object = { forwarders: ['192.0.2.53', '192.0.2.54#5353'] },
    resolvConf = '/nonexistent',
    uplink = 'none',
  ) {
    const spec = parseNetworkRequest({ name: 'front', type: 'nat', subnets: ['198.18.1.0/24'], uplink, dns });
    assert.ok('value' in spec, JSON.stringify(spec));
    this.state.addNetwork(spec.value, 'id');
    this.state.addCompartment({ name: 'c', netns: null, pid: null }, 'c');
    for (const ip of [CLIENT, OTHER]) {
      const endpoint = parseEndpointRequest({ name: `at-${ip}`, network: 'front', ip });
      assert.ok(endpoint.ok);
      this.state.addEndpoint(endpoint.value, ip);
      this.state.attach(`at-${ip}`, 'c', () => false);
    }
    const exchange: Exchange = (...args) => this.exchange(...args);
    this.service = new NameService({ state: this.state, nowMs: () => this.nowMs, exchange, resolvConf });
    this.responder = this.service.responderOf('front');
  }

  async ask(name: string, client = CLIENT, transport: 'udp' | 'tcp' = 'udp') {
    const response = await this.responder.respond(ask(name), client, transport);
    return response === null ? null : see(response);
  }
}

describe('dns/responder', () => {
  it('answers names of the network itself and passes on the rest', async () => {
    const lab = new Lab();
    assert.deepEqual((await lab.ask('gateway.front.weft'))?.answers, ['A 198.18.1.1']);
    assert.deepEqual(lab.asked, []);
    assert.deepEqual((await lab.ask('www.example'))?.answers, ['A 203.0.113.9']);
    assert.deepEqual(lab.asked, ['192.0.2.53#53 udp']);
    const { queries, local, forwarded } = lab.service.counters;
    assert.deepEqual({ queries, local, forwarded }, { queries: 2, local: 1, forwarded: 1 });
  });

  it('is no resolver for anybody else', async () => {
    const lab = new Lab();
    for (const client of ['198.18.2.7', '2001:db8::1', '127.0.0.1', 'nonsense']) {
      assert.equal((await lab.ask('gateway.front.weft', client))?.rcode, 'REFUSED', client);
      assert.equal((await lab.ask('www.example', client, 'tcp'))?.rcode, 'REFUSED', client);
    }
    assert.deepEqual(lab.asked, []);
    assert.equal(lab.service.counters.refused, 8);
  });

  it('asks nobody for clients that do not want recursion, for transfers and for other classes', async () => {
    const lab = new Lab();
    const plain = await lab.responder.respond(ask('www.example', 'A', { recursion: false }), CLIENT, 'udp');
    assert.equal(see(plain!).rcode, 'REFUSED');
    const transfer = await lab.responder.respond(ask('example', 'AXFR'), CLIENT, 'tcp');
    assert.equal(see(transfer!).rcode, 'REFUSED');
    const own = see((await lab.responder.respond(ask('front.weft', 'AXFR'), CLIENT, 'tcp'))!);
    assert.deepEqual([own.rcode, own.answers], ['REFUSED', []], 'of the zone that is known here');
    const chaos = ask('version.bind', 'TXT', { udpBytes: null });
    chaos.writeUInt16BE(3, chaos.length - 2);
    assert.equal(see((await lab.responder.respond(chaos, CLIENT, 'udp'))!).rcode, 'REFUSED');
    assert.deepEqual(lab.asked, []);
  });

  it('says SERVFAIL and why when nobody answers', async () => {
    const lab = new Lab();
    lab.exchange = () => Promise.reject(new Error('ETIMEDOUT'));
    const response = await lab.responder.respond(ask('www.example'), CLIENT, 'udp');
    assert.equal(see(response!).rcode, 'SERVFAIL');
    assert.match(response!.toString('latin1'), /no resolver that weft asks answers/);
    const silent = await lab.responder.respond(ask('www.example', 'A', { udpBytes: null }), CLIENT, 'udp');
    assert.doesNotMatch(silent!.toString('latin1'), /resolver/, 'a client without EDNS gets no extended error');
    assert.equal(lab.service.counters.failed, 2);
  });

  it('answers as much as fits over UDP and everything over TCP', async () => {
    const lab = new Lab();
    lab.exchange = async (_server, _transport, message, accept) => {
      const answers = Array.from({ length: 100 }, (_, n) => a('www.example', `203.0.113.${n}`));
      return accept(answerTo(message, { answers }))!;
    };
    const short = await lab.ask('www.example');
    assert.deepEqual([short?.flags.tc, short?.answers.length], [true, 0]);
    const whole = await lab.ask('www.example', CLIENT, 'tcp');
    assert.deepEqual([whole?.flags.tc, whole?.answers.length], [false, 100]);
  });

  it('leaves addresses out that nobody asked for before it sends a client to TCP (RFC 2181 section 9)', async () => {
    const lab = new Lab({}, '/nonexistent', 'host');
    const seen: unknown[] = [];
    for (let n = 1; n <= 12; n++) {
      const name = `web-server-number-${n}`;
      const endpoint = parseEndpointRequest({ name, network: 'front', publish: [`${8000 + n}:80`] });
      assert.ok(endpoint.ok);
      lab.state.addEndpoint(endpoint.value, name);
      lab.state.attach(name, 'c', () => false);
      lab.service.forgetNames();
      if (n % 4 !== 0) continue;
      const query = ask('_http._tcp.front.weft', 'SRV', { udpBytes: null });
      const { answers = [], additionals = [], flag_tc } = decode((await lab.responder.respond(query, CLIENT, 'udp'))!);
      seen.push([answers.length, additionals.length, flag_tc]);
    }
    const expected = [
      [4, 4, false],
      [8, 0, false],
      [0, 0, true],
    ];
    assert.deepEqual(seen, expected);
  });

  it('throws away what one client asks too much, and serves the others', async () => {
    const lab = new Lab();
    let ignored = 0;
    for (let n = 0; n < 5000; n++) if ((await lab.ask('gateway.front.weft')) === null) ignored++;
    assert.equal(ignored, 3000);
    assert.equal(lab.service.counters.ignored, 3000);
    assert.deepEqual((await lab.ask('gateway.front.weft', OTHER))?.answers, ['A 198.18.1.1']);
    lab.nowMs += 100;
    assert.deepEqual((await lab.ask('gateway.front.weft'))?.answers, ['A 198.18.1.1']);
  });

  it('lets one client wait for so many answers only', async () => {
    const lab = new Lab();
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { exchange } = lab;
    lab.exchange = async (...args) => {
      await gate;
      return exchange(...args);
    };
    const waiting = Array.from({ length: 80 }, (_, n) => lab.ask(`n${n}.example`));
    const other = lab.ask('other.example', OTHER);
    open();
    const rcodes = (await Promise.all(waiting)).map((seen) => seen?.rcode);
    assert.deepEqual([rcodes.filter((rcode) => rcode === 'NOERROR').length, rcodes.length], [64, 80]);
    assert.equal((await other)?.rcode, 'NOERROR');
  });

  it('counts all addresses that weft did not give as one client', async () => {
    const lab = new Lab();
    let answered = 0;
    for (let n = 0; n < 4000; n++) {
      if ((await lab.ask('gateway.front.weft', `198.18.1.${100 + (n % 100)}`)) !== null) answered++;
    }
    assert.equal(answered, 2000);
    assert.deepEqual((await lab.ask('gateway.front.weft'))?.answers, ['A 198.18.1.1']);
  });

  it('knows the changes of the state when it is told of them, and a second later anyway', async () => {
    const lab = new Lab();
    const network = lab.state.network('front');
    assert.equal((await lab.ask('gateway.lab'))?.rcode, 'NOERROR', 'passed on');
    lab.state.changeNetwork('front', { ...network.spec, dns: { ...network.spec.dns!, domain: 'lab' } });
    lab.service.forgetNames();
    assert.deepEqual((await lab.ask('gateway.lab'))?.answers, ['A 198.18.1.1']);
    lab.state.changeNetwork('front', { ...network.spec, dns: { ...network.spec.dns!, domain: 'other' } });
    lab.nowMs += 1000;
    assert.deepEqual((await lab.ask('gateway.other'))?.answers, ['A 198.18.1.1']);
  });
});

describe('dns: the resolvers of the host', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), `weft-dns-${process.pid}-`));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it('are read as the C library reads them', () => {
    const text =
      'search a.test\n# nameserver 192.0.2.1\nnameserver 192.0.2.2\n nameserver\tfe80::1%eth0 \nnameserver x\n';
    assert.deepEqual(parseResolvConf(`${text}nameserver 192.0.2.2\nnameserver ::1\nnameserver 192.0.2.9\n`), [
      { address: '192.0.2.2', port: 53 },
      { address: 'fe80::1%eth0', port: 53 },
      { address: '::1', port: 53 },
    ]);
  });

  it('are read anew when the file changes', () => {
    let now = 0;
    const path = join(directory, 'resolv.conf');
    const resolvers = new HostResolvers(path, () => now);
    assert.deepEqual(resolvers.list(), [], 'there is no file');
    now += 1000;
    writeFileSync(path, 'nameserver 192.0.2.2\n');
    const first = resolvers.list();
    assert.deepEqual(first, [{ address: '192.0.2.2', port: 53 }]);
    now += 1000;
    assert.equal(resolvers.list(), first, 'the same list as long as nothing changes');
    writeFileSync(`${path}.new`, 'nameserver 192.0.2.3\n');
    renameSync(`${path}.new`, path);
    now += 1000;
    assert.deepEqual(resolvers.list(), [{ address: '192.0.2.3', port: 53 }]);
  });

  it('are asked, but never a gateway of weft itself', async () => {
    const path = join(directory, 'own.conf');
    writeFileSync(path, 'nameserver 198.18.1.1\nnameserver 192.0.2.77\n');
    const lab = new Lab(true as unknown as object, path);
    await lab.ask('www.example');
    assert.deepEqual(lab.asked, ['192.0.2.77#53 udp']);
  });
});

describe('dns/query-limits', () => {
  it('remember so many clients only, and none that waits is forgotten', () => {
    const limits = new QueryLimits(() => 0);
    assert.ok(limits.admit('first'));
    assert.ok(limits.begin('first'));
    for (let n = 0; n < 10_000; n++) assert.ok(limits.admit(`client ${n}`));
    for (let n = 1; n < 64; n++) assert.ok(limits.begin('first'));
    assert.equal(limits.begin('first'), false);
    limits.end('first');
    assert.ok(limits.begin('first'));
    assert.equal(limits.begin('client 0'), false, 'forgotten');
  });
});
