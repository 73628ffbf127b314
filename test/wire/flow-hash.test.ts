// The hash that spreads flows over source ports: the same for all packets of a flow, different for different ones, and never a byte
// read behind the frame.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import { flowHash, trafficClass } from '../../src/wire/flow-hash.js';
import { type BuiltFrame, ether, ipv4, ipv6, type Packet, pattern, tcp, udp } from '../support/frame-builders.js';
import { randomBytes } from '../support/random-frames.js';

const WEB = '02:00:5e:00:00:01';
const DB = '02:00:5e:00:00:02';
const L3 = 14;

const frame = (packet: Packet): BuiltFrame => ether({ from: WEB, to: DB }, packet);

function hashOf({ bytes }: { bytes: Uint8Array }): number {
  return flowHash(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, L3, bytes.length);
}

/** Of how many values the lower bits are, which choose the port. */
function spread(frames: readonly BuiltFrame[]): number {
  return new Set(frames.map((each) => hashOf(each) & 0x3fff)).size;
}

describe('wire/flow-hash', () => {
  const v4 = { from: '192.0.2.1', to: '192.0.2.2' };
  const v6 = { from: '2001:db8::1', to: '2001:db8::2' };

  it('does not depend on what differs between packets of a flow', () => {
    const one = frame(ipv4({ ...v4, id: 1, tos: 0, ttl: 64 }, tcp({ sequence: 1 }, 'a')));
    const other = frame(ipv4({ ...v4, id: 2, tos: 3, ttl: 63 }, tcp({ sequence: 9, window: 7 }, pattern(900))));
    assert.equal(hashOf(one), hashOf(other));
  });

  it('spreads flows that differ in one field only', () => {
    const many = Array.from({ length: 500 }, (_, n) => n);
    const byPort = many.map((n) => frame(ipv4(v4, udp(1024 + n, 53, ''))));
    const byAddress = many.map((n) => frame(ipv4({ ...v4, from: `198.18.${n >> 8}.${n & 255}` }, udp(1, 2, ''))));
    const byAddress6 = many.map((n) => frame(ipv6({ ...v6, to: `2001:db8::${n.toString(16)}` }, tcp({}, ''))));
    const byMac = many.map((n) => ether({ from: `02:00:00:00:${n >> 8}:${(n & 255).toString(16)}`, to: DB }, 'x'));
    for (const frames of [byPort, byAddress, byAddress6, byMac]) {
      assert.ok(spread(frames) > 470, `${spread(frames)} of 500 flows are apart`);
    }
  });

  it('tells IPv6 flows without ports apart by their flow label (RFC 6438)', () => {
    const packet = (flowLabel: number) => frame(ipv6({ ...v6, flowLabel }, { ...udp(1, 2), protocol: 50 }));
    assert.notEqual(hashOf(packet(1)), hashOf(packet(2)));
    assert.equal(hashOf(packet(1)), hashOf(packet(1)));
  });

  it('reads the traffic class of IP packets, and says 0 of everything else', () => {
    const read = ({ bytes }: BuiltFrame): number => trafficClass(new DataView(bytes.buffer), L3, bytes.length);
    assert.equal(read(frame(ipv4({ ...v4, tos: 0xb9 }, udp(1, 2)))), 0xb9);
    assert.equal(read(frame(ipv6({ ...v6, trafficClass: 0xb9, flowLabel: 0xfffff }, udp(1, 2)))), 0xb9);
    assert.equal(read(ether({ from: WEB, to: DB }, pattern(60))), 0);
    assert.equal(read(ether({ from: WEB, to: DB, type: 0x0800 }, pattern(19).fill(0xff))), 0);
  });

  it('reads nothing behind the frame, however damaged it is', () => {
    const prng = new Prng(7);
    for (let n = 0; n < 20_000; n++) {
      const bytes = randomBytes(prng, 14 + prng.below(60));
      const type = [0x0800, 0x86dd, prng.below(65536)][prng.below(3)]!;
      bytes.set([type >> 8, type & 255], 12);
      if (bytes.length > L3 && prng.below(2) === 0) bytes[L3] = type === 0x0800 ? 0x45 : 0x60;
      // A view of exactly the frame throws on the first byte behind it.
      const exact = new DataView(bytes.slice().buffer);
      const hash = flowHash(exact, 0, L3, bytes.length);
      assert.equal(hash, hash | 0);
      trafficClass(exact, L3, bytes.length);
    }
  });
});
