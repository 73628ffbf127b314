// UDP through the NAT, seen from both sides: RFC 4787. Requirement numbers are in the names.
import { strict as assert } from 'node:assert';
import { ether, GSO_UDP, ipv4, ipv6, type Packet, pattern, superFrame, udp } from '../support/frame-builders.js';
import {
  EXTERNAL,
  EXTERNAL_2,
  EXTERNAL_6,
  GATEWAY_MAC,
  NatLab,
  type NatSettings,
  PLAIN_REMOTE,
  REMOTE,
  REMOTE_2,
  REMOTE_6,
  STATIONS,
  type Station,
} from '../support/nat-lab.js';
import { arp } from '../support/network-frames.js';

const ALICE = STATIONS.alice.v4;

function datagram(from: string, fromPort: number, to: string, toPort: number, text = 'x'): Packet {
  const ip = from.includes(':') ? ipv6 : ipv4;
  return ip({ from, to }, udp(fromPort, toPort, text));
}

/** Lets a station speak to a remote endpoint and returns the external port that it got. */
function speak(nat: NatLab, station: Exclude<Station, 'world'>, port: number, to = REMOTE, toPort = 53): number {
  const from = to.includes(':') ? STATIONS[station].v6 : STATIONS[station].v4;
  nat.send(station, datagram(from, port, to, toPort));
  return nat.takeOne('world').sourcePort;
}

/** Whether a packet from outside to an external port comes through to alice. */
function enters(nat: NatLab, from: string, fromPort: number, port: number, to = EXTERNAL): boolean {
  nat.send('world', datagram(from, fromPort, to, port));
  const seen = nat.take('alice');
  const drops = nat.drops();
  nat.take('world');
  assert.equal(seen.length + Object.values(drops).reduce((sum, n) => sum + n, 0), 1);
  return seen.length === 1;
}

describe('NAT of UDP', () => {
  it('translates what leaves and what comes back, in both families, and decrements the TTL', () => {
    const nat = new NatLab();
    nat.send('alice', datagram(ALICE, 4000, REMOTE, 53, 'question'));
    const out = nat.takeOne('world');
    assert.equal(out.text, `udp ${EXTERNAL}:${out.sourcePort} > ${REMOTE}:53`);
    assert.equal(out.ttl, 63);
    nat.send('world', datagram(REMOTE, 53, EXTERNAL, out.sourcePort, 'answer'));
    assert.deepEqual(nat.texts('alice'), [`udp ${REMOTE}:53 > ${ALICE}:4000`]);

    const port = speak(nat, 'alice', 4000, REMOTE_6);
    nat.send('world', datagram(REMOTE_6, 53, EXTERNAL_6, port, 'answer'));
    assert.deepEqual(nat.texts('alice'), [`udp [${REMOTE_6}]:53 > [${STATIONS.alice.v6}]:4000`]);
  });

  it('leaves a missing checksum missing', () => {
    const nat = new NatLab();
    const packet = datagram(ALICE, 4000, REMOTE, 53);
    packet.bytes[26] = 0;
    packet.bytes[27] = 0;
    nat.send('alice', packet);
    const { bytes } = nat.takeOne('world');
    assert.deepEqual([bytes[6], bytes[7]], [0, 0]);
  });

  it('translates super-frames of datagrams whole', () => {
    const nat = new NatLab();
    const packet = ipv4({ from: ALICE, to: REMOTE }, udp(4000, 53, pattern(9000)));
    nat.send('alice', superFrame(nat.frame('alice', packet), GSO_UDP, 1200));
    const out = nat.takeOne('world');
    assert.equal(out.text, `udp ${EXTERNAL}:${out.sourcePort} > ${REMOTE}:53`);
    assert.deepEqual([out.frame.vnet?.gsoType, out.frame.vnet?.gsoSize], [GSO_UDP, 1200]);
  });

  it('leaves destinations that are exceptions untranslated, both ways', () => {
    const nat = new NatLab();
    nat.send('alice', datagram(ALICE, 4000, PLAIN_REMOTE, 53));
    assert.deepEqual(nat.texts('world'), [`udp ${ALICE}:4000 > ${PLAIN_REMOTE}:53`]);
    nat.send('world', datagram(PLAIN_REMOTE, 53, ALICE, 4000));
    assert.deepEqual(nat.texts('alice'), [`udp ${PLAIN_REMOTE}:53 > ${ALICE}:4000`]);
  });

  it('does not let the outside address the inside directly', () => {
    const nat = new NatLab();
    nat.send('world', datagram(REMOTE, 53, ALICE, 4000));
    assert.deepEqual(nat.texts('alice'), []);
    assert.deepEqual(nat.drops(), { 'no-route': 1 });
    assert.match(nat.takeOne('world').text, /^error 3\/0 /);
  });

  it('drops an inside source that no answer would come back to', () => {
    const nat = new NatLab();
    nat.send('alice', datagram('192.0.2.77', 4000, REMOTE, 53));
    assert.deepEqual(nat.texts('world'), []);
    assert.deepEqual(nat.drops(), { 'bad-ip-source': 1 });
  });
});

describe('NAT mapping', () => {
  it('RFC 4787 REQ-1: is the same for all destinations', () => {
    const nat = new NatLab();
    const port = speak(nat, 'alice', 4000);
    assert.equal(speak(nat, 'alice', 4000, REMOTE_2, 53), port);
    assert.equal(speak(nat, 'alice', 4000, REMOTE, 5353), port);
    assert.notEqual(speak(nat, 'alice', 4002), port);
  });

  it('depends on the destination where the network says so', () => {
    const nat = new NatLab({ mapping: 'dependent' });
    const port = speak(nat, 'alice', 4000);
    const ports = new Set([port, speak(nat, 'alice', 4000, REMOTE_2), speak(nat, 'alice', 4000, REMOTE, 5353)]);
    assert.equal(ports.size, 3);
    assert.equal(speak(nat, 'alice', 4000), port);
  });

  it('RFC 4787 REQ-2: keeps one external address for all of an inside address', () => {
    const nat = new NatLab({ pool: [EXTERNAL, EXTERNAL_2], flowLimit: 100 });
    const seen = new Map<string, Set<string>>();
    for (let n = 0; n < 40; n++) {
      const from = n % 2 === 0 ? STATIONS.alice.v4 : STATIONS.bob.v4;
      nat.send(n % 2 === 0 ? 'alice' : 'bob', datagram(from, 4000 + n, REMOTE, 53));
      const { from: external } = nat.takeOne('world');
      seen.set(from, (seen.get(from) ?? new Set()).add(external));
    }
    assert.deepEqual(
      [...seen.values()].map((set) => set.size),
      [1, 1],
    );
  });

  it('RFC 4787 REQ-3: never gives two inside endpoints one external port, and keeps the class of well-known ports', () => {
    const nat = new NatLab({ ports: [512, 65535] });
    const ports = new Set<number>();
    for (let n = 0; n < 200; n++) {
      const port = speak(nat, n % 2 === 0 ? 'alice' : 'bob', 5000 + (n >> 1));
      assert.ok(port >= 1024, `${port} for an unprivileged port`);
      ports.add(port);
    }
    assert.equal(ports.size, 200);
    assert.ok(speak(nat, 'alice', 123) < 1024);
  });

  it('RFC 4787 REQ-4: keeps the parity of ports', () => {
    const nat = new NatLab();
    for (let port = 6000; port < 6032; port++) assert.equal(speak(nat, 'alice', port) & 1, port & 1);
  });

  it('RFC 6888 REQ-15: gives ports out in no order that can be guessed', () => {
    const nat = new NatLab();
    const ports = Array.from({ length: 32 }, (_, n) => speak(nat, 'alice', 6000 + 2 * n));
    const steps = new Set(ports.slice(1).map((port, n) => port - ports[n]!));
    assert.ok(steps.size > 24, `${[...steps]} are steps of one another`);
  });

  it('RFC 4787 REQ-5: lives for the time of the network after the last packet, and not longer', () => {
    const nat = new NatLab({ timers: { udp: 120 } });
    const port = speak(nat, 'alice', 4000);
    nat.advance(119_000);
    assert.ok(enters(nat, REMOTE, 53, port), 'before its time');
    nat.advance(119_000);
    assert.equal(speak(nat, 'alice', 4000), port, 'REQ-6: refreshed by what came in');
    nat.advance(119_000);
    assert.equal(speak(nat, 'alice', 4000), port, 'REQ-6: refreshed by what went out');
    nat.advance(122_000);
    assert.ok(!enters(nat, REMOTE, 53, port), 'after its time');
    assert.equal(nat.lab.nat.mappings.usedRows() - nat.lab.nat.flows.count, 1, 'nothing of it is in use');
    assert.equal(nat.lab.nat.flows.count, 0);
  });

  it('is refused with a reason and an ICMP error when an address has too many flows, and others go on', () => {
    const nat = new NatLab({ flowLimit: 8 });
    for (let n = 0; n < 8; n++) speak(nat, 'alice', 4000 + n);
    nat.send('alice', datagram(ALICE, 4100, REMOTE, 53));
    assert.deepEqual(nat.drops(), { 'nat-flow-limit': 1 });
    assert.match(nat.takeOne('alice').text, new RegExp(`^error 3/13 10.0.0.1 > ${ALICE} \\(udp ${ALICE}:4100 > `));
    assert.ok(speak(nat, 'bob', 4000) > 0);
    assert.ok(speak(nat, 'alice', 4000) > 0, 'a flow that exists goes on');
  });

  it('is refused with a reason and an ICMP error when no port is left (RFC 5508 REQ-8)', () => {
    const nat = new NatLab({ ports: [2000, 2003] });
    const ports = [0, 1, 2, 3].map((n) => speak(nat, 'alice', 4000 + n));
    assert.deepEqual([...ports].sort(), [2000, 2001, 2002, 2003]);
    nat.send('bob', datagram(STATIONS.bob.v4, 4000, REMOTE, 53));
    assert.deepEqual(nat.drops(), { 'nat-no-port': 1 });
    assert.match(nat.takeOne('bob').text, /^error 3\/13 /);
  });

  it('RFC 6888 REQ-11: never evicts what is alive, and keeps room for those that have little', () => {
    const nat = new NatLab({ flowLimit: 100_000, timers: { udp: 3000 } });
    const first = speak(nat, 'alice', 1024);
    for (let n = 1; n < 3968; n++) nat.lab.queue('alice', nat.frame('alice', datagram(ALICE, 1024 + n, REMOTE, 53)));
    nat.lab.run();
    nat.take('world');
    nat.send('alice', datagram(ALICE, 9000, REMOTE, 53));
    assert.deepEqual(nat.drops(), { 'nat-table-full': 1 });
    assert.match(nat.takeOne('alice').text, /^error 3\/13 /);
    assert.ok(speak(nat, 'bob', 4000) > 0);
    assert.equal(speak(nat, 'alice', 1024), first);
  });

  it('leaves ports to others when one address takes as many as it can', () => {
    const nat = new NatLab({ flowLimit: 100_000, ports: [2000, 2159] });
    for (let n = 0; n < 300; n++) nat.lab.queue('alice', nat.frame('alice', datagram(ALICE, 4000 + n, REMOTE, 53)));
    nat.lab.run();
    assert.equal(nat.take('world').length, 140);
    assert.deepEqual(nat.drops(), { 'nat-no-port': 160 });
    nat.take('alice');
    for (let n = 0; n < 10; n++) speak(nat, 'bob', 4000 + n);
  });

  it('leaves ports to endpoints when a station claims every address of the subnet', () => {
    const nat = new NatLab({ ports: [2000, 2159] });
    for (let n = 0; n < 600; n++) {
      nat.lab.queue('alice', nat.frame('alice', datagram(`10.0.0.${10 + (n % 200)}`, 4000 + n, REMOTE, 53)));
    }
    nat.lab.run();
    assert.equal(nat.take('world').length, 120);
    assert.deepEqual(nat.drops(), { 'nat-no-port': 480 });
    nat.take('alice');
    for (let n = 0; n < 20; n++) speak(nat, 'bob', 4000 + n);
    nat.send('alice', datagram(STATIONS.bob.v4, 4000, REMOTE, 54), datagram(STATIONS.bob.v4, 5000, REMOTE, 53));
    assert.deepEqual(
      [nat.texts('world'), nat.drops()],
      [[], { 'bad-ip-source': 2 }],
      'nobody opens a flow for another',
    );
  });

  it('leaves endpoints room among the inside addresses when strangers claim as many as there may be', () => {
    const nat = new NatLab();
    const { subscribers } = nat.lab.nat;
    const strangers = subscribers.capacity - subscribers.capacity / 32;
    for (let n = 0; n < strangers; n++) subscribers.addFlow(subscribers.findOrInsert(7, 6, n));
    nat.send('alice', datagram('10.0.0.77', 4000, REMOTE, 53));
    assert.deepEqual(nat.drops(), { 'nat-table-full': 1 });
    nat.takeOne('alice');
    assert.ok(speak(nat, 'bob', 4000) > 0);
  });

  it('counts a packet once that waits for the MAC of a station that the lab does not know', () => {
    const nat = new NatLab();
    const stranger = { ip: '10.0.0.77', from: '02:00:00:00:00:77' };
    const question = datagram(stranger.ip, 4000, REMOTE, 53);
    nat.lab.send('alice', ether({ from: stranger.from, to: GATEWAY_MAC }, question));
    const { sourcePort } = nat.takeOne('world');
    nat.send('world', datagram(REMOTE, 53, EXTERNAL, sourcePort, 'answer'));
    nat.lab.ignoreDepartures();
    nat.lab.send('alice', arp({ ...stranger, target: '10.0.0.1', to: GATEWAY_MAC, reply: true }));
    assert.equal(nat.lab.take('alice').length, 1);
    nat.lab.ignoreDepartures();
    const { flows } = nat.lab.nat;
    const bytes = 14 + 20 + 8;
    assert.deepEqual([flows.bytesOut(0), flows.bytesIn(0)], [bytes + 'x'.length, bytes + 'answer'.length]);
  });

  it('is made anew when the network loses its external address', () => {
    const nat = new NatLab();
    const port = speak(nat, 'alice', 4000);
    nat.configure({ pool: [EXTERNAL_2] });
    nat.send('alice', datagram(ALICE, 4000, REMOTE, 53));
    const { text, sourcePort } = nat.takeOne('world');
    assert.equal(text, `udp ${EXTERNAL_2}:${sourcePort} > ${REMOTE}:53`);
    const { opened, deleted, flows } = nat.lab.nat;
    assert.deepEqual([opened, deleted, flows.count], [2, 1, 1]);
    nat.send('world', datagram(REMOTE, 53, EXTERNAL, port));
    assert.deepEqual(nat.drops(), { 'no-route': 1 });
    nat.take('world');
  });
});

describe('NAT filtering', () => {
  const cases: [NatSettings['filtering'], boolean, boolean][] = [
    ['independent', true, true],
    ['address', false, true],
    ['address-and-port', false, false],
  ];
  for (const [filtering, isOtherAddressLetIn, isOtherPortLetIn] of cases) {
    it(`RFC 4787 REQ-8: ${filtering} lets in who it should`, () => {
      const nat = new NatLab({ filtering: filtering! });
      const port = speak(nat, 'alice', 4000);
      assert.ok(enters(nat, REMOTE, 53, port), 'the endpoint that was spoken to');
      assert.equal(enters(nat, REMOTE_2, 53, port), isOtherAddressLetIn, 'another address');
      assert.equal(enters(nat, REMOTE, 54, port), isOtherPortLetIn, 'another port of the same address');
    });
  }

  it('works the same with mappings that depend on the destination', () => {
    const nat = new NatLab({ mapping: 'dependent', filtering: 'address-and-port' });
    const port = speak(nat, 'alice', 4000);
    const other = speak(nat, 'alice', 4000, REMOTE_2);
    assert.ok(enters(nat, REMOTE, 53, port));
    assert.ok(!enters(nat, REMOTE_2, 53, port));
    assert.ok(enters(nat, REMOTE_2, 53, other));
  });

  it('names what it drops: no mapping, filtered', () => {
    const nat = new NatLab();
    const port = speak(nat, 'alice', 4000);
    nat.send('world', datagram(REMOTE_2, 53, EXTERNAL, port));
    assert.deepEqual(nat.drops(), { 'nat-filtered': 1 });
    assert.deepEqual(nat.texts('world'), [], 'silently');
    nat.send('world', datagram(REMOTE, 53, EXTERNAL, port ^ 1));
    assert.deepEqual(nat.drops(), { 'nat-no-mapping': 1 });
    assert.match(nat.takeOne('world').text, /^error 3\/3 /);
  });

  it('does not keep a mapping alive for those that it does not let in (RFC 7857 section 7)', () => {
    const nat = new NatLab({ timers: { udp: 120 } });
    const port = speak(nat, 'alice', 4000);
    for (let n = 0; n < 3; n++) {
      nat.advance(60_000);
      assert.ok(!enters(nat, REMOTE_2, 53, port));
    }
    assert.ok(!enters(nat, REMOTE, 53, port));
  });
});
