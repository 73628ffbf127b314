// What becomes of packets that raw sockets hand over: which are weft's, and as which frames they go into the datapath.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { framesOf, isForWeft, type OwnPorts } from '../../src/control/uplinks/raw-packet.js';
import * as checksum from '../../src/wire/checksum.js';

const [ICMP, TCP, UDP] = [1, 6, 17];
const MACHINE = Uint8Array.of(192, 0, 2, 1);
const OUTSIDE = [192, 0, 2, 2];
const HEADER = Uint8Array.of(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0);
const MTU = 1500;
const isIn = (port: number) => port >= 61000;
const OWN: OwnPorts = { hasTcp: isIn, hasUdp: (port) => isIn(port) || port === 53, hasIcmp: isIn };

function sum(bytes: Uint8Array, initial = 0): number {
  return checksum.sum(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length, initial);
}

function pseudo(packet: Buffer): number {
  return sum(packet.subarray(12, 20), packet[9]! + packet.length - 20);
}

/** A packet from outside for the machine, with good checksums. */
function packet(protocol: number, l4: Buffer): Buffer {
  const ip = Buffer.from([0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, protocol, 0, 0, ...OUTSIDE, ...MACHINE]);
  ip.writeUInt16BE(20 + l4.length, 2);
  ip.writeUInt16BE(checksum.finish(sum(ip)), 10);
  const whole = Buffer.concat([ip, l4]);
  const at = { [ICMP]: 22, [UDP]: 26, [TCP]: 36 }[protocol]!;
  whole.writeUInt16BE(0, at);
  whole.writeUInt16BE(checksum.finish(sum(whole.subarray(20), protocol === ICMP ? 0 : pseudo(whole))), at);
  return whole;
}

function udp(port: number, bytes = 8): Buffer {
  const l4 = Buffer.alloc(8 + bytes, 0x5a);
  l4.writeUInt16BE(4000, 0);
  l4.writeUInt16BE(port, 2);
  l4.writeUInt16BE(l4.length, 4);
  return packet(UDP, l4);
}

function tcp(port: number, bytes = 8): Buffer {
  const l4 = Buffer.alloc(20 + bytes, 0x5a);
  l4.writeUInt16BE(443, 0);
  l4.writeUInt16BE(port, 2);
  l4[12] = 0x50;
  l4[13] = 0x10;
  return packet(TCP, l4);
}

function icmp(type: number, identifier: number, quoted: Buffer = Buffer.alloc(0)): Buffer {
  const l4 = Buffer.concat([Buffer.from([type, 0, 0, 0, 0, 0, 0, 0]), quoted]);
  if (quoted.length === 0) l4.writeUInt16BE(identifier, 4);
  return packet(ICMP, l4);
}

/** As `packet` came from weft: what an error about it quotes. */
function sent(packet: Buffer): Buffer {
  const turned = Buffer.from(packet);
  packet.copy(turned, 12, 16, 20);
  packet.copy(turned, 16, 12, 16);
  if (packet[9] !== ICMP) {
    packet.copy(turned, 20, 22, 24);
    packet.copy(turned, 22, 20, 22);
  }
  return turned.subarray(0, 28);
}

describe('a packet of a raw socket', () => {
  it('is for weft when it is for one of its ports, and for the machine otherwise', () => {
    const cases: [Buffer, boolean][] = [
      [tcp(61000), true],
      [tcp(22), false],
      [udp(53), true],
      [udp(5353), false],
      [icmp(0, 61001), true],
      [icmp(0, 7), false],
      [icmp(8, 61001), false], // an echo request is for the machine to answer
    ];
    for (const [each, wanted] of cases) assert.equal(isForWeft(each, MACHINE, OWN), wanted, each.toString('hex'));
    const elsewhere = tcp(61000);
    elsewhere[19] = 9;
    assert.equal(isForWeft(elsewhere, MACHINE, OWN), false);
  });

  it('is for weft when it is an error about something that weft sent', () => {
    for (const type of [3, 11, 12]) {
      assert.equal(isForWeft(icmp(type, 0, sent(tcp(61000))), MACHINE, OWN), true);
      assert.equal(isForWeft(icmp(type, 0, sent(udp(61000))), MACHINE, OWN), true);
      assert.equal(isForWeft(icmp(type, 0, sent(icmp(8, 61000))), MACHINE, OWN), true);
      assert.equal(isForWeft(icmp(type, 0, sent(tcp(22))), MACHINE, OWN), false);
    }
    assert.equal(isForWeft(icmp(5, 0, sent(tcp(61000))), MACHINE, OWN), false, 'a redirect');
  });

  it('becomes the frame that it would have been', () => {
    for (const whole of [tcp(61000), udp(61000), icmp(0, 61000)]) {
      assert.deepEqual(framesOf(whole, HEADER, MTU), [{ frame: Buffer.concat([HEADER, whole]), unfinished: null }]);
    }
  });

  it('is dropped when its checksum is wrong, and completed when it is only begun', () => {
    for (const [whole, at, offset] of [[tcp(61000), 36, 16] as const, [udp(61000), 26, 6] as const]) {
      const wrong = Buffer.from(whole);
      wrong[wrong.length - 1]! ^= 1;
      assert.deepEqual(framesOf(wrong, HEADER, MTU), []);
      const begun = Buffer.from(whole);
      begun.writeUInt16BE(pseudo(begun), at);
      const [{ unfinished } = { unfinished: null }] = framesOf(begun, HEADER, MTU);
      assert.deepEqual(unfinished, {
        gsoType: 0,
        gsoSize: 0,
        headerBytes: 0,
        checksumStart: 34,
        checksumOffset: offset,
      });
    }
    const without = udp(61000);
    without.writeUInt16BE(0, 26);
    assert.equal(framesOf(without, HEADER, MTU).length, 1, 'UDP may go without (RFC 768)');
  });

  it('that was joined of segments becomes a super-frame', () => {
    const [frame] = framesOf(tcp(61000, 20_000), HEADER, MTU);
    assert.deepEqual(frame?.unfinished, {
      gsoType: 1,
      gsoSize: MTU - 40,
      headerBytes: 54,
      checksumStart: 34,
      checksumOffset: 16,
    });
  });

  it('that was put together of fragments is cut again, so that nothing is lost or changed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9000 }), fc.integer({ min: 68, max: 1500 }), (bytes, mtu) => {
        const whole = udp(61000, bytes);
        const parts = framesOf(whole, HEADER, mtu).map(({ frame }) => Buffer.from(frame).subarray(HEADER.length));
        if (whole.length <= mtu) {
          assert.deepEqual(parts, [whole]);
          return;
        }
        const payload = Buffer.concat(parts.map((part) => part.subarray(20)));
        assert.deepEqual(payload, whole.subarray(20));
        parts.forEach((part, i) => {
          assert.ok(part.length <= mtu && part.readUInt16BE(2) === part.length);
          assert.equal(sum(part.subarray(0, 20)), 0xffff, 'the header checksum is good');
          const before = parts.slice(0, i).reduce((total, other) => total + other.length - 20, 0);
          const more = i < parts.length - 1 ? 0x2000 : 0;
          assert.equal(part.readUInt16BE(6), more | (before >> 3));
        });
      }),
    );
  });

  it('of any bytes at all is judged without a throw, and makes no frame that is longer than the MTU', () => {
    const someHeader = fc.constantFrom(tcp(61000), udp(61000), icmp(3, 0, sent(tcp(61000))));
    fc.assert(
      fc.property(someHeader, fc.uint8Array({ maxLength: 80 }), fc.nat(80), fc.nat(100), (base, noise, at, cut) => {
        const hostile = Buffer.from(base);
        hostile.set(noise.subarray(0, Math.max(0, hostile.length - at)), Math.min(at, hostile.length));
        const part = hostile.subarray(0, Math.max(0, hostile.length - cut));
        isForWeft(part, MACHINE, OWN);
        for (const { frame } of framesOf(part, HEADER, MTU)) assert.ok(frame.length <= MTU + HEADER.length);
      }),
      { numRuns: 3000 },
    );
  });
});
