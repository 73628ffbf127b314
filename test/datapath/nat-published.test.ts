// Published ports, 1:1 addresses, prefixes and hairpins: what the outside, and the inside through the outside, may reach.
import { strict as assert } from 'node:assert';
import { TRANSLATE_NONE, TRANSLATE_PREFIX } from '../../src/datapath/program.js';
import { ipv4, ipv6, type Packet, raw, TCP_ACK, TCP_SYN, tcp, udp } from '../support/frame-builders.js';
import { EXTERNAL, EXTERNAL_2, EXTERNAL_6, NatLab, REMOTE, REMOTE_6, STATIONS } from '../support/nat-lab.js';

const { alice, bob } = STATIONS;
const PAIRS = [`${bob.v4} 203.0.113.9`, `${bob.v6} 2001:db8:e::9`];

function datagram(from: string, fromPort: number, to: string, toPort: number): Packet {
  return (from.includes(':') ? ipv6 : ipv4)({ from, to }, udp(fromPort, toPort, 'x'));
}

function segment(from: string, fromPort: number, to: string, toPort: number, flags: number): Packet {
  return (from.includes(':') ? ipv6 : ipv4)({ from, to }, tcp({ from: fromPort, to: toPort, flags }));
}

describe('a published port', () => {
  it('lets everybody in, in both families and protocols, with the source kept', () => {
    const nat = new NatLab({
      published: [`tcp * 8080 ${alice.v4} 80`, `udp * 53 ${alice.v4} 5353`, `tcp * 8080 ${alice.v6} 80`],
    });
    nat.send('world', segment(REMOTE, 4000, EXTERNAL, 8080, TCP_SYN));
    nat.send('world', datagram(REMOTE, 4000, EXTERNAL, 53));
    nat.send('world', segment(REMOTE_6, 4000, EXTERNAL_6, 8080, TCP_SYN));
    assert.deepEqual(nat.texts('alice'), [
      `tcp ${REMOTE}:4000 > ${alice.v4}:80 S`,
      `udp ${REMOTE}:4000 > ${alice.v4}:5353`,
      `tcp [${REMOTE_6}]:4000 > [${alice.v6}]:80 S`,
    ]);
    nat.send('alice', segment(alice.v4, 80, REMOTE, 4000, TCP_SYN | TCP_ACK));
    nat.send('alice', datagram(alice.v4, 5353, REMOTE, 4000));
    assert.deepEqual(nat.texts('world'), [
      `tcp ${EXTERNAL}:8080 > ${REMOTE}:4000 SA`,
      `udp ${EXTERNAL}:53 > ${REMOTE}:4000`,
    ]);
  });

  it('may be one of a range, and of one external address', () => {
    const nat = new NatLab({
      pool: [EXTERNAL, EXTERNAL_2],
      published: [`tcp ${EXTERNAL_2} 9000-9009 ${alice.v4} 100`, `tcp * 20000-29999 ${bob.v4} 30000`],
    });
    nat.send('world', segment(REMOTE, 4000, EXTERNAL_2, 9007, TCP_SYN));
    assert.deepEqual(nat.texts('alice'), [`tcp ${REMOTE}:4000 > ${alice.v4}:107 S`]);
    nat.send('world', segment(REMOTE, 4000, EXTERNAL, 25000, TCP_SYN));
    assert.deepEqual(nat.texts('bob'), [`tcp ${REMOTE}:4000 > ${bob.v4}:35000 S`]);
    for (const [to, port] of [[EXTERNAL, 9007] as const, [EXTERNAL_2, 9010] as const]) {
      nat.send('world', segment(REMOTE, 4000, to, port, TCP_SYN));
    }
    assert.deepEqual([nat.texts('alice'), nat.texts('bob')], [[], []]);
  });

  it('is also what its endpoint speaks from', () => {
    const nat = new NatLab({ published: [`udp * 53 ${alice.v4} 5353`] });
    nat.send('alice', datagram(alice.v4, 5353, REMOTE, 4000));
    assert.deepEqual(nat.texts('world'), [`udp ${EXTERNAL}:53 > ${REMOTE}:4000`]);
  });

  it('is never given to somebody else', () => {
    const nat = new NatLab({ ports: [5000, 5003], published: [`udp * 5000-5002 ${alice.v4} 53`] });
    nat.send('bob', datagram(bob.v4, 4000, REMOTE, 53));
    assert.equal(nat.takeOne('world').sourcePort, 5003);
    nat.send('bob', datagram(bob.v4, 4001, REMOTE, 53));
    assert.deepEqual([nat.texts('world'), nat.drops()], [[], { 'nat-no-port': 1 }]);
    nat.take('bob');
  });

  it('of a range as wide as nearly all ports leaves the others the rest', () => {
    const nat = new NatLab({ published: [`udp * 1030-65500 ${bob.v4} 1030`] });
    for (let port = 4000; port < 4030; port++) {
      nat.send('alice', ipv4({ from: alice.v4, to: REMOTE }, udp(port, 53, 'x')));
      const { sourcePort } = nat.takeOne('world');
      assert.ok(sourcePort < 1030 || sourcePort > 65_500, `${sourcePort}`);
    }
  });

  it('outlives a change of the program for connections that exist, not for new ones', () => {
    const nat = new NatLab({ published: [`tcp * 8080 ${alice.v4} 80`] });
    nat.send('world', segment(REMOTE, 4000, EXTERNAL, 8080, TCP_SYN));
    nat.configure({});
    nat.send('world', segment(REMOTE, 4000, EXTERNAL, 8080, TCP_ACK));
    assert.equal(nat.take('alice').length, 2);
    nat.send('world', segment(REMOTE, 4001, EXTERNAL, 8080, TCP_SYN));
    assert.deepEqual(nat.texts('alice'), []);
  });

  it('under a SYN flood leaves its endpoint flows to speak with itself, and gets rid of the flood in seconds', () => {
    const nat = new NatLab({ flowLimit: 400, published: [`tcp * 80 ${alice.v4} 80`] });
    for (let n = 0; n < 1000; n++) {
      nat.lab.queue('world', nat.frame('world', segment(`192.0.2.${n % 200}`, 1000 + n, EXTERNAL, 80, TCP_SYN)));
    }
    nat.lab.run();
    assert.equal(nat.take('alice').length, 350);
    assert.equal(nat.drops()['nat-flow-limit'], 650);
    nat.take('world');
    nat.send('alice', datagram(alice.v4, 4000, REMOTE, 53));
    assert.equal(nat.take('world').length, 1);
    nat.advance(8000);
    nat.send('world', segment(REMOTE, 4000, EXTERNAL, 80, TCP_SYN));
    assert.equal(nat.take('alice').length, 1);
  });
});

describe('a hairpin', () => {
  it('RFC 4787 REQ-9, RFC 5382 REQ-8: reaches a published port from inside, with the external source', () => {
    const nat = new NatLab({ published: [`tcp * 8080 ${alice.v4} 80`, `tcp * 8080 ${alice.v6} 80`] });
    for (const [from, to, external] of [
      [bob.v4, alice.v4, EXTERNAL],
      [bob.v6, alice.v6, EXTERNAL_6],
    ] as const) {
      nat.send('bob', segment(from, 4000, external, 8080, TCP_SYN));
      const seen = nat.takeOne('alice');
      assert.equal([seen.from, seen.to, seen.destinationPort].join(), [external, to, 80].join());
      nat.send('alice', segment(to, 80, external, seen.sourcePort, TCP_SYN | TCP_ACK));
      const answer = nat.takeOne('bob');
      assert.equal([answer.from, answer.sourcePort, answer.to].join(), [external, 8080, from].join());
      assert.equal(answer.destinationPort, 4000);
    }
  });

  it('reaches the publishing endpoint from itself', () => {
    const nat = new NatLab({ published: [`udp * 53 ${alice.v4} 53`] });
    nat.send('alice', datagram(alice.v4, 4000, EXTERNAL, 53));
    const seen = nat.takeOne('alice');
    assert.equal(seen.text, `udp ${EXTERNAL}:${seen.sourcePort} > ${alice.v4}:53`);
    nat.send('alice', datagram(alice.v4, 53, EXTERNAL, seen.sourcePort));
    assert.deepEqual(nat.texts('alice'), [`udp ${EXTERNAL}:53 > ${alice.v4}:4000`]);
  });

  it('reaches a mapping, filtered as if it came from outside', () => {
    const nat = new NatLab();
    nat.send('alice', datagram(alice.v4, 4000, REMOTE, 53));
    const { sourcePort: ofAlice } = nat.takeOne('world');
    nat.send('bob', datagram(bob.v4, 5000, EXTERNAL, ofAlice));
    assert.deepEqual([nat.texts('alice'), nat.drops()], [[], { 'nat-filtered': 1 }]);
    nat.send('bob', datagram(bob.v4, 5000, REMOTE, 53));
    const { sourcePort: ofBob } = nat.takeOne('world');
    nat.send('alice', datagram(alice.v4, 4000, EXTERNAL, ofBob));
    assert.deepEqual(nat.texts('bob'), [`udp ${EXTERNAL}:${ofAlice} > ${bob.v4}:5000`]);
    nat.send('bob', datagram(bob.v4, 5000, EXTERNAL, ofAlice));
    assert.deepEqual(nat.texts('alice'), [`udp ${EXTERNAL}:${ofBob} > ${alice.v4}:4000`]);
  });

  it('to a port that nobody has is refused at once and opens nothing', () => {
    const nat = new NatLab();
    nat.send('alice', segment(alice.v4, 4000, EXTERNAL, 8080, TCP_SYN));
    assert.deepEqual(nat.drops(), { 'nat-no-mapping': 1 });
    assert.equal(
      nat.takeOne('alice').text,
      `error 3/3 10.0.0.1 > ${alice.v4} (tcp ${alice.v4}:4000 > ${EXTERNAL}:8080)`,
    );
    assert.equal(nat.lab.nat.flows.count, 0);
  });

  it('does not happen where the network has it off', () => {
    const nat = new NatLab({ hairpin: false, published: [`udp * 53 ${alice.v4} 53`] });
    nat.send('bob', datagram(bob.v4, 4000, EXTERNAL, 53));
    assert.deepEqual([nat.texts('alice'), nat.drops()], [[], { 'nat-filtered': 1 }]);
  });
});

describe('basic NAT (1:1)', () => {
  it('translates addresses and leaves ports, in both directions and families', () => {
    const nat = new NatLab({ pairs: PAIRS });
    nat.send('bob', datagram(bob.v4, 4000, REMOTE, 53), datagram(bob.v6, 4000, REMOTE_6, 53));
    assert.deepEqual(nat.texts('world'), [
      `udp 203.0.113.9:4000 > ${REMOTE}:53`,
      `udp [2001:db8:e::9]:4000 > [${REMOTE_6}]:53`,
    ]);
    nat.send('world', segment(REMOTE, 4000, '203.0.113.9', 22, TCP_SYN));
    nat.send('world', segment(REMOTE_6, 4000, '2001:db8:e::9', 22, TCP_SYN));
    assert.deepEqual(nat.texts('bob'), [
      `tcp ${REMOTE}:4000 > ${bob.v4}:22 S`,
      `tcp [${REMOTE_6}]:4000 > [${bob.v6}]:22 S`,
    ]);
    assert.equal(nat.lab.nat.flows.count, 0, 'without state');
  });

  it('carries SCTP and any other protocol, which NAPT drops with a reason and an error', () => {
    const nat = new NatLab({ pairs: PAIRS });
    const sctp = (from: string): Packet => ipv4({ from, to: REMOTE }, raw(132, new Uint8Array(32).fill(1)));
    nat.send('bob', sctp(bob.v4), ipv4({ from: bob.v4, to: REMOTE }, raw(47, 'gre....')));
    assert.deepEqual(nat.texts('world'), [`sctp 203.0.113.9:257 > ${REMOTE}:257`, `47 203.0.113.9 > ${REMOTE}`]);
    nat.send('alice', sctp(alice.v4));
    assert.deepEqual([nat.texts('world'), nat.drops()], [[], { 'nat-protocol': 1 }]);
    assert.match(nat.takeOne('alice').text, /^error 3\/13 /);
    nat.send('world', ipv4({ from: REMOTE, to: EXTERNAL }, raw(132, new Uint8Array(32))));
    assert.deepEqual(nat.drops(), { 'nat-protocol': 1 });
    nat.take('world');
  });

  it('keeps the checksums of DCCP and UDP-Lite right, which cover the addresses', () => {
    const nat = new NatLab({ pairs: PAIRS });
    for (const protocol of [33, 136]) {
      const transport = {
        protocol,
        bytes: Uint8Array.from({ length: 24 }, (_, n) => (n === 6 || n === 7 ? 0 : n)),
        checksumOffset: 6,
      };
      nat.send('bob', ipv4({ from: bob.v4, to: REMOTE }, transport));
      const outside = ipv4({ from: '203.0.113.9', to: REMOTE }, transport);
      assert.deepEqual(Buffer.from(nat.takeOne('world').bytes), Buffer.from(outside.bytes.subarray(20)));
      nat.send('world', ipv4({ from: REMOTE, to: '203.0.113.9' }, transport));
      const inside = ipv4({ from: REMOTE, to: bob.v4 }, transport);
      assert.deepEqual(Buffer.from(nat.takeOne('bob').bytes), Buffer.from(inside.bytes.subarray(20)));
    }
  });

  it('hairpins: NAPT to 1:1, 1:1 to NAPT, 1:1 to itself', () => {
    const nat = new NatLab({ pairs: PAIRS, published: [`udp * 53 ${alice.v4} 53`] });
    nat.send('alice', datagram(alice.v4, 4000, '203.0.113.9', 53));
    const seen = nat.takeOne('bob');
    assert.equal(seen.text, `udp ${EXTERNAL}:${seen.sourcePort} > ${bob.v4}:53`);
    nat.send('bob', datagram(bob.v4, 53, EXTERNAL, seen.sourcePort));
    assert.deepEqual(nat.texts('alice'), [`udp 203.0.113.9:53 > ${alice.v4}:4000`]);
    nat.send('bob', datagram(bob.v4, 4000, EXTERNAL, 53));
    assert.deepEqual(nat.texts('alice'), [`udp 203.0.113.9:4000 > ${alice.v4}:53`]);
    nat.send('bob', datagram(bob.v4, 4000, '203.0.113.9', 53));
    assert.deepEqual(nat.texts('bob'), [`udp 203.0.113.9:4000 > ${bob.v4}:53`]);
  });
});

describe('IPv6 prefixes', () => {
  const settings = {
    translate: [TRANSLATE_NONE, TRANSLATE_PREFIX] as const,
    prefixes: ['48 fd00:1:: 2001:db8:1::'],
  };

  it('RFC 6296: are translated both ways without touching the transport', () => {
    const nat = new NatLab(settings);
    const packet = segment(alice.v6, 4000, REMOTE_6, 80, TCP_SYN);
    nat.send('alice', packet);
    const seen = nat.takeOne('world');
    assert.match(seen.from, /^2001:db8:1:/);
    assert.deepEqual(Buffer.from(seen.bytes), Buffer.from(packet.bytes.subarray(40)), 'checksum-neutral');
    nat.send('world', segment(REMOTE_6, 80, seen.from, 4000, TCP_SYN | TCP_ACK));
    assert.deepEqual(nat.texts('alice'), [`tcp [${REMOTE_6}]:80 > [${alice.v6}]:4000 SA`]);
    assert.equal(nat.lab.nat.flows.count, 0);
  });

  it('RFC 6296 section 5: are hairpinned, as the outside sees both', () => {
    const nat = new NatLab(settings);
    nat.send('alice', datagram(alice.v6, 4000, REMOTE_6, 53));
    nat.send('bob', datagram(bob.v6, 4000, REMOTE_6, 53));
    const [ofAlice, ofBob] = nat.take('world').map(({ from }) => from);
    nat.send('alice', datagram(alice.v6, 4000, ofBob!, 53));
    assert.deepEqual(nat.texts('bob'), [`udp [${ofAlice}]:4000 > [${bob.v6}]:53`]);
  });

  it('are routed as they are where nothing is translated', () => {
    const nat = new NatLab({ translate: [TRANSLATE_NONE, TRANSLATE_NONE] });
    nat.send('alice', datagram(alice.v6, 4000, REMOTE_6, 53), datagram(alice.v4, 4000, REMOTE, 53));
    assert.deepEqual(nat.texts('world'), [
      `udp [${alice.v6}]:4000 > [${REMOTE_6}]:53`,
      `udp ${alice.v4}:4000 > ${REMOTE}:53`,
    ]);
    nat.send('world', datagram(REMOTE_6, 53, alice.v6, 4000));
    assert.deepEqual(nat.texts('alice'), [`udp [${REMOTE_6}]:53 > [${alice.v6}]:4000`]);
  });
});
