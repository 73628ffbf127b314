// Fragmented packets through the NAT: RFC 4787 REQ-13 and REQ-14, RFC 1858, RFC 3128.
import { strict as assert } from 'node:assert';
import { FRAGMENT_CAPACITY } from '../../src/tables/fragment-table.js';
import { ipv4, ipv6, type Packet, pattern, raw, udp } from '../support/frame-builders.js';
import { fragments4, fragments6, icmp4 } from '../support/icmp-builders.js';
import { EXTERNAL, EXTERNAL_6, NatLab, REMOTE, REMOTE_2, REMOTE_6, STATIONS } from '../support/nat-lab.js';

const { alice, bob } = STATIONS;

/** A datagram of 3000 bytes of alice in three fragments. */
function outgoing(id: number, port = 4000, to: string = REMOTE): Packet[] {
  return fragments4(ipv4({ from: alice.v4, to }, udp(port, 53, pattern(3000, id))), id, 1200, 1200);
}

function outgoing6(id: number): Packet[] {
  return fragments6(ipv6({ from: alice.v6, to: REMOTE_6 }, udp(4000, 53, pattern(3000, id))), id, 1200, 1200);
}

/** The port that alice has got outside. */
function opened(nat: NatLab, to: string = REMOTE): number {
  nat.send('alice', ipv4({ from: alice.v4, to }, udp(4000, 53, 'x')));
  return nat.takeOne('world').sourcePort;
}

function incoming(nat: NatLab, port: number, id = 7): Packet[] {
  assert.ok(nat);
  return fragments4(ipv4({ from: REMOTE, to: EXTERNAL }, udp(53, port, pattern(3000))), id, 1200, 1200);
}

describe('fragments through the NAT', () => {
  it('go out in order, each with the external source, and the sum of the whole packet is right', () => {
    const nat = new NatLab();
    nat.send('alice', ...outgoing(1));
    const seen = nat.take('world');
    const port = seen[0]!.sourcePort;
    assert.deepEqual(
      seen.map(({ text }) => text),
      [
        `udp ${EXTERNAL}:${port} > ${REMOTE}:53 fragment 0+1200+`,
        `17 ${EXTERNAL} > ${REMOTE} fragment 1200+1200+`,
        `17 ${EXTERNAL} > ${REMOTE} fragment 2400+608`,
      ],
    );
    const payload = Buffer.concat(seen.map(({ bytes }) => bytes));
    const whole = ipv4({ from: EXTERNAL, to: REMOTE }, udp(port, 53, pattern(3000, 1)));
    assert.deepEqual(payload, Buffer.from(whole.bytes.subarray(20)));
  });

  it('REQ-14: may come in any order, over both families', () => {
    const nat = new NatLab();
    const [first, second, third] = outgoing(1);
    nat.send('alice', third!, second!);
    assert.deepEqual(nat.texts('world'), []);
    nat.send('alice', first!);
    assert.equal(nat.take('world').length, 3);
    const [first6, second6, third6] = outgoing6(1);
    nat.send('alice', second6!);
    nat.send('alice', first6!);
    nat.send('alice', third6!);
    const seen = nat.texts('world');
    assert.deepEqual(seen.slice(1).sort(), [
      `17 ${EXTERNAL_6} > ${REMOTE_6} fragment 1200+1200+`,
      `17 ${EXTERNAL_6} > ${REMOTE_6} fragment 2400+608`,
    ]);
  });

  it('come in for who has a session, in any order', () => {
    const nat = new NatLab();
    const [first, second, third] = incoming(nat, opened(nat));
    nat.send('world', second!, third!, first!);
    assert.deepEqual(nat.texts('alice').sort(), [
      `17 ${REMOTE} > ${alice.v4} fragment 1200+1200+`,
      `17 ${REMOTE} > ${alice.v4} fragment 2400+608`,
      `udp ${REMOTE}:53 > ${alice.v4}:4000 fragment 0+1200+`,
    ]);
  });

  it('of a packet that may not come in are all dropped', () => {
    const nat = new NatLab();
    opened(nat, REMOTE_2);
    const [first, second, third] = incoming(nat, 9999);
    nat.send('world', second!, first!, third!);
    assert.deepEqual(nat.texts('alice'), []);
    assert.deepEqual(nat.drops(), { 'nat-no-mapping': 1, 'bad-fragment': 2 });
    nat.take('world');
  });

  it('of a hairpin reach the station with the external source', () => {
    const nat = new NatLab({ published: [`udp * 53 ${alice.v4} 53`] });
    const parts = fragments4(ipv4({ from: bob.v4, to: EXTERNAL }, udp(4000, 53, pattern(3000))), 9, 1200, 1200);
    nat.send('bob', parts[2]!, parts[0]!, parts[1]!);
    const texts = nat.texts('alice');
    assert.equal(texts.length, 3);
    for (const text of texts) assert.match(text, new RegExp(`^(udp|17) ${EXTERNAL}(:[0-9]+)? > ${alice.v4}`));
  });

  it('of a 1:1 address need nobody to remember anything', () => {
    const nat = new NatLab({ pairs: [`${alice.v4} 203.0.113.9`] });
    nat.send('alice', outgoing(1)[2]!);
    assert.deepEqual(nat.texts('world'), [`17 203.0.113.9 > ${REMOTE} fragment 2400+608`]);
  });

  it('of a ping are translated too', () => {
    const nat = new NatLab();
    const ping = ipv4({ from: alice.v4, to: REMOTE }, icmp4(8, 0, 77 << 16, pattern(2000)));
    nat.send('alice', ...fragments4(ping, 5, 1200));
    const seen = nat.take('world');
    assert.equal(seen[0]!.text, `ping ${seen[0]!.sourcePort} ${EXTERNAL} > ${REMOTE} fragment 0+1200+`);
    assert.equal(seen[1]!.text, `1 ${EXTERNAL} > ${REMOTE} fragment 1200+808`);
  });

  it('without a first one are dropped after two seconds, with a reason', () => {
    const nat = new NatLab();
    nat.send('alice', outgoing(1)[1]!, outgoing(1)[2]!);
    nat.advance(1500);
    assert.deepEqual(nat.drops(), {});
    nat.advance(1500);
    assert.deepEqual([nat.drops(), nat.texts('world')], [{ 'bad-fragment': 2 }, []]);
  });

  it('of packets whose identification is used again are told apart', () => {
    const nat = new NatLab();
    for (const port of [4000, 4001]) {
      nat.send('alice', ...outgoing(1, port));
      const seen = nat.take('world');
      assert.equal(seen.length, 3);
      const whole = ipv4({ from: EXTERNAL, to: REMOTE }, udp(seen[0]!.sourcePort, 53, pattern(3000, 1)));
      assert.deepEqual(Buffer.concat(seen.map(({ bytes }) => bytes)), Buffer.from(whole.bytes.subarray(20)));
      nat.advance(3000);
    }
  });

  it('that contradict each other are dropped: two first ones for different flows', () => {
    const nat = new NatLab();
    nat.send('world', incoming(nat, opened(nat), 3)[0]!);
    nat.take('alice');
    nat.send('bob', ipv4({ from: bob.v4, to: REMOTE }, udp(4000, 53, 'x')));
    const ofBob = nat.takeOne('world').sourcePort;
    nat.send('world', incoming(nat, ofBob, 3)[0]!, incoming(nat, ofBob, 3)[1]!);
    assert.deepEqual(nat.drops(), { 'bad-fragment': 2 });
    assert.deepEqual([nat.texts('alice'), nat.texts('bob')], [[], []]);
  });

  it('RFC 1858, RFC 3128: that reach into a transport header are dropped', () => {
    const nat = new NatLab();
    const whole = ipv4({ from: alice.v4, to: REMOTE }, udp(4000, 53, pattern(100)));
    nat.send('alice', fragments4(whole, 2, 40)[0]!);
    nat.take('world');
    const overlapping = fragments4(whole, 2, 16)[1]!;
    nat.send('alice', overlapping);
    assert.deepEqual([nat.drops(), nat.texts('world')], [{ 'bad-fragment': 1 }, []]);
  });

  it('do not wait for a first one that cannot be', () => {
    const nat = new NatLab();
    // An authentication header of 12 bytes in front of UDP: its first part is no multiple of 8.
    const whole = raw(51, Uint8Array.from([17, 1, ...new Array<number>(70).fill(0)]));
    const [first, second] = fragments6(ipv6({ from: alice.v6, to: REMOTE_6 }, whole), 3, 36);
    nat.send('alice', second!, first!);
    assert.deepEqual([nat.drops(), nat.texts('world')], [{ 'bad-fragment': 2 }, []]);
  });

  it('of a flood are bounded by sender, and others are not affected', () => {
    const nat = new NatLab();
    for (let id = 0; id < 2000; id++) nat.lab.queue('bob', nat.frame('bob', fromBob(id)));
    nat.lab.run();
    const drops = nat.drops();
    assert.ok(drops['fragments-full']! >= 1900, `${drops['fragments-full']} of 2000`);
    const [first, second, third] = outgoing(1);
    nat.send('alice', second!, third!, first!);
    assert.equal(nat.take('world').length, 3);
    nat.advance(3000);
    nat.drops();
    nat.advance(3000);
    nat.send('bob', fromBob(1));
    nat.advance(3000);
    assert.deepEqual(nat.drops(), { 'bad-fragment': 1 }, 'there is room again');
  });

  it('that come in order get through whatever forged ones without a first one do', () => {
    const nat = new NatLab();
    for (let n = 0; n < 600; n++) nat.send('world', forged(n)[1]!);
    assert.deepEqual(nat.drops(), { 'fragments-full': 88 });
    nat.send('alice', ...outgoing(1));
    assert.equal(nat.take('world').length, 3);
    assert.deepEqual(nat.drops(), {});
  });

  it('get through while first ones that nobody waits for come by the thousand', () => {
    const nat = new NatLab();
    for (let n = 0; n < FRAGMENT_CAPACITY + 100; n++) {
      nat.lab.queue('world', nat.frame('world', forged(n)[0]!));
      if (n % 200 === 199) nat.lab.run();
    }
    nat.lab.run();
    assert.deepEqual(nat.drops(), { 'nat-no-mapping': FRAGMENT_CAPACITY + 100 });
    nat.take('world');
    nat.send('alice', ...outgoing(1));
    assert.equal(nat.take('world').length, 3);
    assert.deepEqual(nat.drops(), {});
  });

  it('get through while another station begins packets by the thousand and ends none', () => {
    const nat = new NatLab();
    for (let id = 0; id < FRAGMENT_CAPACITY + 100; id++) {
      nat.lab.queue('bob', nat.frame('bob', partsOfBob(id)[0]!));
      if (id % 200 === 199) nat.lab.run();
    }
    nat.lab.run();
    nat.lab.take('world');
    nat.send('alice', ...outgoing(1));
    assert.equal(nat.take('world').length, 3);
    assert.deepEqual(nat.drops(), {});
  });

  it('come through by the thousand', () => {
    const nat = new NatLab();
    for (let id = 0; id < 1000; id++) {
      nat.lab.queue('alice', ...outgoing(id).map((packet) => nat.frame('alice', packet)));
      if (id % 50 === 49) nat.lab.run();
    }
    assert.equal(nat.lab.take('world').length, 3000);
  });
});

function partsOfBob(id: number): Packet[] {
  return fragments4(ipv4({ from: bob.v4, to: REMOTE }, udp(4000, 53, pattern(40))), id, 24);
}

function fromBob(id: number): Packet {
  return partsOfBob(id)[1]!;
}

/** The parts of a datagram of some host of the world for a port that nobody has; `n` up to 64000. */
function forged(n: number): Packet[] {
  const from = `192.0.${n >>> 8}.${n & 255}`;
  return fragments4(ipv4({ from, to: EXTERNAL }, udp(53, 9999, pattern(40))), n, 24);
}
