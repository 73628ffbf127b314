// Whole frames with a UDP datagram, against the independent builders of test/support, and everything that is none.
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { writeDomainList } from '../../src/wire/domain-list.js';
import { readUdpFrame, type UdpDatagram, writeUdpFrame } from '../../src/wire/udp-frame.js';
import { ether, ipv4, ipv6, mac, udp } from '../support/frame-builders.js';
import { hexBytes } from '../support/hex.js';

const WEB = '02:00:00:00:00:01';
const GATEWAY = '02:00:00:00:00:fe';
const PAYLOAD = Uint8Array.of(1, 2, 3);

function frameOf(family: 4 | 6): Uint8Array {
  const packet =
    family === 4
      ? ipv4({ from: '10.80.0.1', to: '10.80.0.9', id: 0 }, udp(67, 68, PAYLOAD))
      : ipv6({ from: 'fe80::fe', to: 'fe80::1' }, udp(547, 546, PAYLOAD));
  return ether({ from: GATEWAY, to: WEB }, packet).bytes;
}

function datagramOf(family: 4 | 6): UdpDatagram {
  return {
    family,
    sourceMac: Uint8Array.from(mac(GATEWAY)),
    destinationMac: Uint8Array.from(mac(WEB)),
    source: hexBytes(family === 4 ? '0a500001' : 'fe8000000000000000000000000000fe'),
    destination: hexBytes(family === 4 ? '0a500009' : 'fe800000000000000000000000000001'),
    sourcePort: family === 4 ? 67 : 547,
    destinationPort: family === 4 ? 68 : 546,
    payload: PAYLOAD,
  };
}

describe('wire/udp-frame', () => {
  for (const family of [4, 6] as const) {
    it(`writes and reads a datagram over IPv${family}`, () => {
      assert.deepEqual(writeUdpFrame(datagramOf(family)), frameOf(family));
      assert.deepEqual(readUdpFrame(frameOf(family)), datagramOf(family));
    });

    it(`finds every damaged byte behind the MACs over IPv${family}, and every cut`, () => {
      const frame = frameOf(family);
      for (let at = 12; at < frame.length; at++) {
        const damaged = frame.slice();
        damaged[at]! ^= 0x10;
        // Version, traffic class, flow label and hop limit of IPv6 are in no checksum.
        const isCovered = family === 4 || at < 14 || (at > 17 && at !== 21);
        if (isCovered) assert.equal(readUdpFrame(damaged), null, `byte ${at}`);
      }
      for (let length = 0; length < frame.length; length++) assert.equal(readUdpFrame(frame.slice(0, length)), null);
    });
  }

  it('looks through options and padding, and takes UDP over IPv4 without a checksum', () => {
    const packet = ipv4({ from: '10.80.0.1', to: '10.80.0.9', options: hexBytes('94040000') }, udp(67, 68, PAYLOAD));
    const { bytes, l4At } = ether({ from: GATEWAY, to: WEB }, packet);
    const padded = new Uint8Array(60);
    padded.set(bytes);
    padded.set([0, 0], l4At + 6);
    assert.deepEqual(readUdpFrame(padded), datagramOf(4));
  });

  it('refuses fragments, other protocols and datagrams of IPv6 without a checksum', () => {
    const fragment = ipv4({ from: '10.80.0.1', to: '10.80.0.9', flags: 0x2000 }, udp(67, 68, PAYLOAD));
    assert.equal(readUdpFrame(ether({ from: GATEWAY, to: WEB }, fragment).bytes), null);
    assert.equal(readUdpFrame(ether({ from: GATEWAY, to: WEB, type: 0x0806 }, fragment).bytes), null);
    const unsummed = frameOf(6);
    unsummed.set([0, 0], 14 + 40 + 6);
    assert.equal(readUdpFrame(unsummed), null);
  });

  it('survives any bytes', () => {
    const start = fc.constantFrom(frameOf(4), frameOf(6));
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 80 }), fc.nat(60), (frame, bytes, at) => {
        const changed = frame.slice();
        changed.set(bytes.subarray(0, Math.max(0, changed.length - at)), Math.min(at, changed.length));
        const read = readUdpFrame(changed);
        if (read !== null) assert.ok(read.payload.length <= changed.length);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('wire/domain-list', () => {
  it('writes names as RFC 1035 section 3.1 has them, one behind the other', () => {
    const both = hexBytes('05 66726f6e74 04 77656674 00 04 77656674 00');
    assert.deepEqual(writeDomainList(['front.weft', 'weft.']), both);
    assert.deepEqual(writeDomainList([]), new Uint8Array(0));
  });

  it('leaves out what is no name', () => {
    const long = 'a'.repeat(64);
    const names = ['', 'a..b', `${long}.weft`, Array.from({ length: 60 }, () => 'abcd').join('.')];
    assert.deepEqual(writeDomainList(names), new Uint8Array(0));
  });
});
