// ICMP through the NAT: RFC 5508, with the requirements of RFC 4787 and 5382 about errors. Numbers are in the names.
import { strict as assert } from 'node:assert';
import { TRANSLATE_NONE, TRANSLATE_PREFIX } from '../../src/datapath/program.js';
import {
  ipv4,
  ipv6,
  join,
  type Packet,
  pattern,
  TCP_ACK,
  TCP_SYN,
  type Transport,
  tcp,
  udp,
} from '../support/frame-builders.js';
import { icmp4, icmp6 } from '../support/icmp-builders.js';
import { EXTERNAL, EXTERNAL_6, NatLab, REMOTE, REMOTE_2, REMOTE_6, readPacket, STATIONS } from '../support/nat-lab.js';

const { alice, bob } = STATIONS;
const ROUTER = '192.0.2.254';
const ROUTER_6 = '2001:db8:a::fe';

interface Family {
  name: string;
  alice: string;
  bob: string;
  remote: string;
  router: string;
  external: string;
  packet: (from: string, to: string, transport: Transport) => Packet;
  ping: (id: number, data?: string) => Transport;
  pong: (id: number, data?: string) => Transport;
  /** Port unreachable about a packet. */
  unreachable: (packet: Packet | Uint8Array) => Transport;
  code: string;
}

const FAMILIES: Family[] = [
  {
    name: 'IPv4',
    alice: alice.v4,
    bob: bob.v4,
    remote: REMOTE,
    router: ROUTER,
    external: EXTERNAL,
    packet: (from, to, transport) => ipv4({ from, to }, transport),
    ping: (id, data = 'data') => icmp4(8, 0, (id << 16) | 1, data),
    pong: (id, data = 'data') => icmp4(0, 0, (id << 16) | 1, data),
    unreachable: (packet) => icmp4(3, 3, 0, 'etherType' in packet ? packet.bytes : packet),
    code: '3/3',
  },
  {
    name: 'IPv6',
    alice: alice.v6,
    bob: bob.v6,
    remote: REMOTE_6,
    router: ROUTER_6,
    external: EXTERNAL_6,
    packet: (from, to, transport) => ipv6({ from, to }, transport),
    ping: (id, data = 'data') => icmp6(128, 0, (id << 16) | 1, data),
    pong: (id, data = 'data') => icmp6(129, 0, (id << 16) | 1, data),
    unreachable: (packet) => icmp6(1, 4, 0, 'etherType' in packet ? packet.bytes : packet),
    code: '1/4',
  },
];

/** `[address]` for IPv6. */
function host(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

/** The packet as it left, byte by byte, for an error that speaks of it. */
function packetOf(seen: { frame: { bytes: Uint8Array } }): Uint8Array {
  return seen.frame.bytes.slice(14);
}

describe('pings through the NAT', () => {
  for (const { name, alice, remote, external, packet, ping, pong } of FAMILIES) {
    it(`RFC 5508 REQ-1: go out and their answers come back, over ${name}`, () => {
      const nat = new NatLab();
      nat.send('alice', packet(alice, remote, ping(77)));
      const out = nat.takeOne('world');
      assert.equal(out.text, `ping ${out.sourcePort} ${external} > ${remote}`);
      nat.send('world', packet(remote, external, pong(out.sourcePort)));
      assert.deepEqual(nat.texts('alice'), [`pong 77 ${remote} > ${alice}`]);
    });
  }

  it('RFC 5508 REQ-1 (a): keep their identifier for all destinations, and never share it', () => {
    const nat = new NatLab();
    const ids = [];
    for (const [station, from, to] of [
      ['alice', alice.v4, REMOTE],
      ['alice', alice.v4, REMOTE_2],
      ['bob', bob.v4, REMOTE],
    ] as const) {
      nat.send(station, ipv4({ from, to }, icmp4(8, 0, 77 << 16)));
      ids.push(nat.takeOne('world').sourcePort);
    }
    assert.equal(ids[0], ids[1]);
    assert.notEqual(ids[0], ids[2]);
  });

  it('RFC 5508 REQ-2: are remembered for the time of the network', () => {
    const nat = new NatLab();
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, icmp4(8, 0, 77 << 16)));
    const id = nat.takeOne('world').sourcePort;
    nat.advance(59_000);
    nat.send('world', ipv4({ from: REMOTE, to: EXTERNAL }, icmp4(0, 0, id << 16)));
    assert.equal(nat.take('alice').length, 1);
    nat.advance(62_000);
    nat.send('world', ipv4({ from: REMOTE, to: EXTERNAL }, icmp4(0, 0, id << 16)));
    assert.deepEqual([nat.texts('alice'), nat.drops()], [[], { 'nat-no-mapping': 1 }]);
  });

  it('RFC 5508 REQ-10: timestamps go as pings do', () => {
    const nat = new NatLab();
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, icmp4(13, 0, 77 << 16, '12 bytes....')));
    const out = nat.takeOne('world');
    nat.send('world', ipv4({ from: REMOTE, to: EXTERNAL }, icmp4(14, 0, out.sourcePort << 16, '12 bytes....')));
    assert.deepEqual(nat.texts('alice'), [`stamped 77 ${REMOTE} > ${alice.v4}`]);
  });

  it('from outside are answered by the external address itself, and answers that nobody asked for go nowhere', () => {
    const nat = new NatLab();
    nat.send('world', ipv4({ from: REMOTE, to: EXTERNAL }, icmp4(8, 0, 5 << 16, 'hello')));
    nat.send('world', ipv6({ from: REMOTE_6, to: EXTERNAL_6 }, icmp6(128, 0, 5 << 16, 'hello')));
    assert.deepEqual(nat.texts('world'), [`pong 5 ${EXTERNAL} > ${REMOTE}`, `pong 5 ${EXTERNAL_6} > ${REMOTE_6}`]);
    nat.send('world', ipv4({ from: REMOTE, to: EXTERNAL }, icmp4(0, 0, 5 << 16)));
    assert.deepEqual(nat.drops(), { 'nat-no-mapping': 1 });
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, icmp4(0, 0, 5 << 16)));
    assert.deepEqual(nat.drops(), { 'nat-no-session': 1 });
  });

  it('RFC 5508 REQ-7: hairpin between 1:1 addresses, and to the external address from inside', () => {
    const nat = new NatLab({ pairs: [`${bob.v4} 203.0.113.9`] });
    nat.send('alice', ipv4({ from: alice.v4, to: '203.0.113.9' }, icmp4(8, 0, 77 << 16)));
    const seen = nat.takeOne('bob');
    nat.send('bob', ipv4({ from: bob.v4, to: EXTERNAL }, icmp4(0, 0, seen.sourcePort << 16)));
    assert.deepEqual(nat.texts('alice'), [`pong 77 203.0.113.9 > ${alice.v4}`]);
    nat.send('alice', ipv4({ from: alice.v4, to: EXTERNAL }, icmp4(8, 0, 77 << 16)));
    assert.deepEqual(nat.texts('alice'), [`pong 77 ${EXTERNAL} > ${alice.v4}`]);
  });
});

describe('ICMP errors through the NAT', () => {
  for (const family of FAMILIES) {
    const { name, alice, remote, router, external, packet, ping, unreachable, code } = family;
    const transports: [string, Transport][] = [
      ['UDP', udp(4000, 53, 'some data')],
      ['TCP', tcp({ from: 4000, to: 53, flags: TCP_SYN }, '')],
      ['ping', ping(77)],
    ];
    for (const [what, transport] of transports) {
      it(`RFC 5508 REQ-4, RFC 4787 REQ-12, RFC 5382 REQ-9: come in from any router, about ${what} over ${name}`, () => {
        const nat = new NatLab();
        nat.send('alice', packet(alice, remote, transport));
        const out = nat.takeOne('world');
        nat.send('world', packet(router, external, unreachable(packetOf(out))));
        const error = nat.takeOne('alice');
        const inner =
          what === 'ping'
            ? `ping 77 ${alice} > ${remote}`
            : `${what.toLowerCase()} ${host(alice)}:4000 > ${host(remote)}:53`;
        assert.equal(error.text, `error ${code} ${router} > ${alice} (${inner})`);
        const embedded = new DataView(error.bytes.slice(8).buffer);
        // The packet in the error is the one that alice sent, but for the TTL: its transport checksum is right again.
        readPacket(embedded, 0, false);
      });

      it(`RFC 5508 REQ-5: go out, about ${what} over ${name}`, () => {
        const nat = new NatLab();
        const isPing = what === 'ping';
        nat.send('alice', packet(alice, remote, transport));
        const { sourcePort: port } = nat.takeOne('world');
        const answer = isPing ? family.pong(port) : udp(53, port, 'answer');
        const received = packet(remote, external, what === 'TCP' ? tcp({ from: 53, to: port }) : answer);
        nat.send('world', received);
        const seen = nat.takeOne('alice');
        nat.send('alice', packet(alice, remote, unreachable(packetOf(seen))));
        const error = nat.takeOne('world');
        const inner = isPing
          ? `pong ${port} ${remote} > ${external}`
          : `${what.toLowerCase()} ${host(remote)}:53 > ${host(external)}:${port}`;
        assert.equal(error.text, `error ${code} ${external} > ${remote} (${inner})`);
        readPacket(new DataView(error.bytes.slice(8).buffer), 0, false);
      });
    }

    it(`RFC 5508 REQ-7: hairpin, over ${name}`, () => {
      const nat = new NatLab({ published: [`udp * 53 ${alice} 5353`] });
      nat.send('bob', packet(family.bob, external, udp(4000, 53, 'x')));
      const seen = nat.takeOne('alice');
      nat.send('alice', packet(alice, external, unreachable(packetOf(seen))));
      assert.deepEqual(nat.texts('bob'), [
        `error ${code} ${external} > ${family.bob} (udp ${host(family.bob)}:4000 > ${host(external)}:53)`,
      ]);
    });
  }

  it('carry as little of the packet as RFC 792 asks for', () => {
    const nat = new NatLab();
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, tcp({ from: 4000, to: 80, flags: TCP_SYN })));
    const head = packetOf(nat.takeOne('world')).slice(0, 28);
    nat.send('world', ipv4({ from: ROUTER, to: EXTERNAL }, icmp4(11, 0, 0, head)));
    assert.deepEqual(nat.texts('alice'), [`error 11/0 ${ROUTER} > ${alice.v4} (tcp ${alice.v4}:4000 > ${REMOTE}:80)`]);
  });

  it('keep type, code and MTU, and what stands behind the packet (RFC 4884)', () => {
    const nat = new NatLab();
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, udp(4000, 53, 'x'.repeat(99))));
    const quoted = packetOf(nat.takeOne('world'));
    const extension = Uint8Array.of(0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 2, 3);
    nat.send('world', ipv4({ from: ROUTER, to: EXTERNAL }, icmp4(3, 4, 1280, join(quoted, extension))));
    const error = nat.takeOne('alice');
    assert.match(error.text, /^error 3\/4 /);
    assert.deepEqual([error.bytes[6], error.bytes[7]], [1280 >> 8, 1280 & 255]);
    assert.deepEqual(Buffer.from(error.bytes.slice(-12)), Buffer.from(extension));
  });

  it('RFC 5508 REQ-3: are dropped when they are damaged, their own checksum or the embedded header', () => {
    const nat = new NatLab();
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, udp(4000, 53, 'x')));
    const quoted = packetOf(nat.takeOne('world'));
    const damaged: Packet[] = [];
    const own = ipv4({ from: ROUTER, to: EXTERNAL }, icmp4(3, 3, 0, quoted));
    own.bytes[own.bytes.length - 1]! ^= 1;
    damaged.push(own);
    const header = quoted.slice();
    header[8]! ^= 1;
    damaged.push(ipv4({ from: ROUTER, to: EXTERNAL }, icmp4(3, 3, 0, header)));
    for (const bytes of [0, 10, 20, 27]) {
      damaged.push(ipv4({ from: ROUTER, to: EXTERNAL }, icmp4(3, 3, 0, quoted.slice(0, bytes))));
    }
    nat.send('world', ...damaged);
    assert.deepEqual([nat.texts('alice'), nat.drops()], [[], { 'nat-bad-icmp': damaged.length }]);
  });

  it('RFC 5508 REQ-3 (b): about packets with IP options come through', () => {
    const nat = new NatLab();
    const options = Uint8Array.of(1, 1, 1, 1);
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE, options }, udp(4000, 53, 'x')));
    const quoted = packetOf(nat.takeOne('world'));
    nat.send('world', ipv4({ from: ROUTER, to: EXTERNAL }, icmp4(3, 1, 0, quoted)));
    assert.deepEqual(nat.texts('alice'), [`error 3/1 ${ROUTER} > ${alice.v4} (udp ${alice.v4}:4000 > ${REMOTE}:53)`]);
  });

  it('are dropped when they speak of no flow, or not of a packet of who gets them', () => {
    const nat = new NatLab();
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, udp(4000, 53, 'x')));
    const { sourcePort: port } = nat.takeOne('world');
    const forged = [
      ipv4({ from: EXTERNAL, to: REMOTE }, udp(port ^ 1, 53, 'x')),
      ipv4({ from: EXTERNAL, to: REMOTE_2 }, udp(port, 53, 'x')),
      ipv4({ from: '203.0.113.77', to: REMOTE }, udp(port, 53, 'x')),
      ipv4({ from: EXTERNAL, to: REMOTE }, icmp4(3, 3, 0, new Uint8Array(28))),
    ];
    nat.send('world', ...forged.map((packet) => ipv4({ from: ROUTER, to: EXTERNAL }, icmp4(3, 3, 0, packet.bytes))));
    assert.deepEqual([nat.texts('alice'), nat.drops()], [[], { 'nat-bad-icmp': forged.length }]);
    const quoted = ipv4({ from: REMOTE_2, to: alice.v4 }, udp(53, 4000, 'x')).bytes;
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE_2 }, icmp4(3, 3, 0, quoted)));
    assert.deepEqual([nat.texts('world'), nat.drops()], [[], { 'nat-bad-icmp': 1 }]);
  });

  it('RFC 5508 REQ-6, RFC 5382 REQ-10, RFC 4787 REQ-12: neither refresh nor end a session', () => {
    const nat = new NatLab({ timers: { udp: 120 } });
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, udp(4000, 53, 'x')));
    const out = nat.takeOne('world');
    const error = ipv4({ from: ROUTER, to: EXTERNAL }, icmp4(3, 3, 0, packetOf(out)));
    nat.advance(100_000);
    nat.send('world', error);
    nat.send('world', ipv4({ from: REMOTE, to: EXTERNAL }, udp(53, out.sourcePort, 'alive')));
    assert.equal(nat.take('alice').length, 2);
    nat.advance(100_000);
    nat.send('world', error);
    nat.advance(30_000);
    nat.send('world', error);
    assert.equal(nat.take('alice').length, 1);
    assert.deepEqual(nat.drops(), { 'nat-bad-icmp': 1 });
  });

  for (const ip of [ipv4, ipv6]) {
    it(`that are dropped on their way change nothing in what comes next, over ${ip.name}`, () => {
      const [inside, remote, external] = ip === ipv4 ? [alice.v4, REMOTE, EXTERNAL] : [alice.v6, REMOTE_6, EXTERNAL_6];
      const nat = new NatLab();
      nat.send('alice', ip({ from: inside, to: remote }, udp(4000, 53, 'question')));
      const out = nat.takeOne('world');
      const quoted = packetOf(out);
      const error = ip === ipv4 ? icmp4(3, 3, 0, quoted) : icmp6(1, 4, 0, quoted);
      nat.send('world', ip({ from: remote, to: external, ttl: 1, hopLimit: 1 }, error));
      assert.deepEqual(nat.drops(), { 'ttl-expired': 1 });
      nat.take('world');
      nat.send('world', ip({ from: remote, to: external }, udp(53, out.sourcePort, pattern(200))));
      assert.deepEqual(Buffer.from(nat.takeOne('alice').bytes.subarray(8)), Buffer.from(pattern(200)));
    });
  }

  it('of a router inside leave with the external address (RFC 5508 REQ-5 (c))', () => {
    const nat = new NatLab();
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, udp(4000, 53, 'x')));
    const { sourcePort: port } = nat.takeOne('world');
    const quoted = ipv4({ from: REMOTE, to: alice.v4 }, udp(53, 4000, 'x')).bytes;
    nat.send('bob', ipv4({ from: bob.v4, to: REMOTE }, icmp4(3, 1, 0, quoted)));
    assert.deepEqual(nat.texts('world'), [
      `error 3/1 ${EXTERNAL} > ${REMOTE} (udp ${REMOTE}:53 > ${EXTERNAL}:${port})`,
    ]);
  });

  it('about 1:1 addresses and prefixes are translated without a flow', () => {
    const nat = new NatLab({
      pairs: [`${bob.v4} 203.0.113.9`],
      translate: [1, TRANSLATE_PREFIX],
      prefixes: ['48 fd00:1:: 2001:db8:1::'],
    });
    nat.send('bob', ipv4({ from: bob.v4, to: REMOTE }, tcp({ from: 4000, to: 80, flags: TCP_SYN })));
    nat.send('world', ipv4({ from: ROUTER, to: '203.0.113.9' }, icmp4(3, 1, 0, packetOf(nat.takeOne('world')))));
    assert.deepEqual(nat.texts('bob'), [`error 3/1 ${ROUTER} > ${bob.v4} (tcp ${bob.v4}:4000 > ${REMOTE}:80)`]);
    nat.send('bob', ipv6({ from: bob.v6, to: REMOTE_6 }, tcp({ from: 4000, to: 80, flags: TCP_ACK })));
    const out = nat.takeOne('world');
    nat.send('world', ipv6({ from: ROUTER_6, to: out.from }, icmp6(1, 3, 0, packetOf(out))));
    assert.deepEqual(nat.texts('bob'), [`error 1/3 ${ROUTER_6} > ${bob.v6} (tcp [${bob.v6}]:4000 > [${REMOTE_6}]:80)`]);
  });

  it('pass untouched where nothing is translated', () => {
    const nat = new NatLab({ translate: [TRANSLATE_NONE, TRANSLATE_NONE] });
    const quoted = ipv4({ from: alice.v4, to: REMOTE }, udp(4000, 53, 'x')).bytes;
    nat.send('world', ipv4({ from: ROUTER, to: alice.v4 }, icmp4(3, 3, 0, quoted)));
    assert.equal(nat.take('alice').length, 1);
  });

  it('RFC 4787 REQ-13: are sent for packets that are too big for the uplink and must not be cut', () => {
    const nat = new NatLab({ uplinkMtu: 1280 });
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, udp(4000, 53, 'x'.repeat(1400))));
    const error = nat.takeOne('alice');
    assert.match(error.text, /^error 3\/4 10\.0\.0\.1 /);
    assert.equal((error.bytes[6]! << 8) | error.bytes[7]!, 1280);
    assert.deepEqual(nat.drops(), { 'too-big': 1 });
    nat.send('alice', ipv6({ from: alice.v6, to: REMOTE_6 }, udp(4000, 53, 'x'.repeat(1400))));
    assert.match(nat.takeOne('alice').text, /^error 2\/0 /);
    assert.deepEqual(nat.drops(), { 'too-big': 1 });
    nat.send('alice', ipv4({ from: alice.v4, to: REMOTE, flags: 0 }, udp(4000, 53, 'x'.repeat(1400))));
    assert.equal(nat.take('world').length, 2, 'in fragments');
  });
});
