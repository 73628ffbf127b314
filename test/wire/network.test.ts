// Bytes of ARP, ICMP, ICMPv6, IPv4 and IPv6 against what the accessors make of them, and addresses as words.
import { strict as assert } from 'node:assert';
import * as words from '../../src/wire/address-words.js';
import * as arp from '../../src/wire/arp.js';
import * as checksum from '../../src/wire/checksum.js';
import * as icmp from '../../src/wire/icmp.js';
import * as icmpv6 from '../../src/wire/icmpv6.js';
import * as ipv4 from '../../src/wire/ipv4.js';
import * as ipv6 from '../../src/wire/ipv6.js';
import { ipv4 as buildIpv4, ipv6 as buildIpv6, raw, referenceSum, udp } from '../support/frame-builders.js';
import { hex } from '../support/hex.js';

const REQUEST = 'ff 0001 0800 06 04 0001 02005e000001 c0000201 000000000000 c0000202';

describe('wire/arp', () => {
  it('reads what RFC 826 says, at any offset', () => {
    const view = hex(REQUEST);
    assert.ok(arp.check(view, 1, 28));
    assert.equal(arp.operation(view, 1), arp.REQUEST);
    assert.deepEqual([arp.senderHigh(view, 1), arp.senderLow(view, 1)], [0x0200, 0x5e000001]);
    assert.deepEqual([arp.senderAddress(view, 1), arp.targetAddress(view, 1)], [0xc0000201 | 0, 0xc0000202 | 0]);
  });

  it('is not interested in other hardware, other protocols and parts', () => {
    for (let room = 0; room < 28; room++) assert.equal(arp.check(hex(REQUEST), 1, room), false);
    for (const [at, value] of [
      [2, 6],
      [3, 0x86],
      [5, 8],
      [6, 16],
    ] as const) {
      const view = hex(REQUEST);
      view.setUint8(at, value);
      assert.equal(arp.check(view, 1, 28), false);
    }
  });

  it('writes a whole packet', () => {
    const view = new DataView(new ArrayBuffer(29));
    view.setUint8(0, 0xff);
    arp.write(view, 1, arp.REQUEST, 0x0200, 0x5e000001, 0xc0000201 | 0, 0, 0, 0xc0000202 | 0);
    assert.deepEqual(new Uint8Array(view.buffer), new Uint8Array(hex(REQUEST).buffer));
  });
});

describe('wire/icmp', () => {
  it('tells queries from errors', () => {
    const all = Array.from({ length: 256 }, (_, type) => type);
    assert.deepEqual(all.filter(icmp.isQuery), [0, 8, 13, 14]);
    assert.deepEqual(all.filter(icmp.isError), [3, 4, 5, 11, 12]);
    assert.deepEqual(all.filter(icmpv6.isEcho), [128, 129]);
    assert.deepEqual(all.filter(icmpv6.isDiscovery), [133, 134, 135, 136, 137]);
    assert.equal(all.filter(icmpv6.isError).length, 128);
  });

  it('reads and writes its header', () => {
    const view = new DataView(new ArrayBuffer(8));
    icmp.writeHeader(view, 0, icmp.UNREACHABLE, icmp.CODE_FRAGMENTATION_NEEDED, 1400);
    assert.deepEqual([...new Uint8Array(view.buffer)], [3, 4, 0, 0, 0, 0, 5, 0x78]);
    assert.deepEqual([icmp.type(view, 0), icmp.code(view, 0), icmp.nextHopMtu(view, 0)], [3, 4, 1400]);
  });

  it('finds the link-layer address among the options of neighbour discovery', () => {
    const options = hex('05 01 0000 000005dc 01 01 02005e000001 02 01 02005e000002');
    assert.equal(icmpv6.linkOptionAt(options, 0, 24, icmpv6.OPTION_SOURCE_LINK), 10);
    assert.equal(icmpv6.linkOptionAt(options, 0, 24, icmpv6.OPTION_TARGET_LINK), 18);
    assert.equal(icmpv6.linkOptionAt(options, 0, 24, icmpv6.OPTION_PREFIX), -1);
    assert.equal(icmpv6.linkOptionAt(options, 0, 0, icmpv6.OPTION_SOURCE_LINK), -1);
    assert.ok(icmpv6.areOptionsValid(options, 0, 24) && icmpv6.areOptionsValid(options, 0, 0));
  });

  it('believes no options that have no length or go on behind the end', () => {
    for (const text of ['01 00 02005e000001', '01 02 02005e000001', '01 01 02005e00', '01']) {
      const view = hex(text);
      assert.equal(icmpv6.linkOptionAt(view, 0, view.byteLength, 1), -1, text);
      assert.equal(icmpv6.areOptionsValid(view, 0, view.byteLength), false, text);
    }
  });
});

describe('wire/ipv4 and wire/ipv6', () => {
  it('read and write fragments, TTL and lengths', () => {
    const { bytes } = buildIpv4({ from: '192.0.2.1', to: '192.0.2.2', flags: 0x2005, ttl: 9 }, raw(17, 'eight by'));
    const view = new DataView(bytes.buffer);
    const field = ipv4.fragmentField(view, 0);
    assert.deepEqual(
      [ipv4.fragmentOffset(field), ipv4.hasMoreFragments(field), ipv4.mustNotFragment(field)],
      [40, true, false],
    );
    assert.deepEqual([ipv4.ttl(view, 0), ipv4.totalLength(view, 0), ipv4.protocol(view, 0)], [9, 28, 17]);
    const written = new DataView(new ArrayBuffer(20));
    ipv4.write(written, 0, 28, 0x1234, 9, 17, 0xc0000201 | 0, 0xc0000202 | 0);
    ipv4.setFragmentField(view, 0, 0);
    ipv4.setChecksum(view, 0, 0);
    ipv4.setChecksum(view, 0, ~referenceSum(bytes.slice(0, 20)) & 0xffff);
    assert.deepEqual(new Uint8Array(written.buffer), bytes.slice(0, 20));
  });

  it('know the extension headers and how long they are', () => {
    const all = Array.from({ length: 256 }, (_, type) => type);
    assert.deepEqual(all.filter(ipv6.isExtension), [0, 43, 44, 51, 60, 135]);
    const view = hex('3a 02');
    assert.equal(ipv6.extensionBytes(view, 0, ipv6.HOP_BY_HOP), 24);
    assert.equal(ipv6.extensionBytes(view, 0, ipv6.AUTHENTICATION), 16);
    assert.equal(ipv6.extensionBytes(view, 0, ipv6.FRAGMENT), 8);
    const fragment = hex('3a 00 0029 01020304');
    const field = ipv6.fragmentField(fragment, 0);
    assert.deepEqual([ipv6.fragmentOffset(field), ipv6.hasMoreFragments(field)], [40, true]);
    assert.equal(ipv6.fragmentIdentification(fragment, 0), 0x01020304);
  });

  it('write the fixed IPv6 header', () => {
    const { bytes } = buildIpv6({ from: 'fd00::1', to: 'fd00::2', hopLimit: 255 }, raw(58, pattern8()));
    const view = new DataView(new ArrayBuffer(40));
    const addresses = Int32Array.of(9, 0xfd000000 | 0, 0, 0, 1, 0xfd000000 | 0, 0, 0, 2);
    ipv6.write(view, 0, 8, 58, 255, addresses, 1, addresses, 5);
    assert.deepEqual(new Uint8Array(view.buffer), bytes.slice(0, 40));
  });

  it('have pseudo-headers for checksums', () => {
    const four = buildIpv4({ from: '192.0.2.1', to: '198.51.100.255' }, udp(1, 2, 'odd'));
    const six = buildIpv6({ from: '2001:db8::ffff', to: 'fd00::1' }, udp(1, 2, 'odd'));
    assert.equal(checksum.pseudoSum(new DataView(four.bytes.buffer), 0, 4, 17, 11), four.pseudoSum);
    assert.equal(checksum.pseudoSum(new DataView(six.bytes.buffer), 0, 6, 17, 11), six.pseudoSum);
  });
});

describe('wire/address-words', () => {
  const row = (...list: number[]) => Int32Array.of(99, ...list);

  it('reads and writes both families', () => {
    const view = hex('c0000201 20010db8 00000000 0000ffff 00000001');
    const to = new Int32Array(9).fill(7);
    words.read(view, 0, 4, to, 1);
    assert.deepEqual([...to], [7, 0xc0000201 | 0, 0, 0, 0, 7, 7, 7, 7]);
    words.read(view, 4, 6, to, 5);
    assert.deepEqual([...to.slice(5)], [0x20010db8, 0, 0xffff, 1]);
    const back = new DataView(new ArrayBuffer(20));
    words.write(back, 0, 4, to, 1);
    words.write(back, 4, 6, to, 5);
    assert.deepEqual(new Uint8Array(back.buffer), new Uint8Array(view.buffer));
  });

  it('compares prefixes of every length', () => {
    const a = row(0x20010db8, -1, 0x7fffffff, 5);
    for (let bits = 0; bits <= 128; bits++) {
      assert.ok(words.hasPrefix(a, 1, a.slice(), 1, bits));
      if (bits === 0) continue;
      const other = a.slice();
      other[1 + ((bits - 1) >> 5)]! ^= 1 << (31 - ((bits - 1) & 31));
      assert.ok(!words.hasPrefix(a, 1, other, 1, bits), `bit ${bits} differs`);
      assert.ok(words.hasPrefix(a, 1, other, 1, bits - 1), `bits before ${bits} are the same`);
    }
  });

  it('knows addresses that are none of one station', () => {
    const four = (text: number) => row(text | 0, 0, 0, 0);
    assert.ok(words.isMulticast(four(0xe0000001), 1, 4) && words.isMulticast(four(0xefffffff), 1, 4));
    assert.ok(!words.isMulticast(four(0xdfffffff), 1, 4) && !words.isMulticast(four(0xf0000000), 1, 4));
    assert.ok(
      words.isMulticast(row(0xff020000 | 0, 0, 0, 1), 1, 6) && !words.isMulticast(row(0xfe800000 | 0, 0, 0, 1), 1, 6),
    );
    assert.ok(words.isLinkLocal(four(0xa9fe0102), 1, 4) && !words.isLinkLocal(four(0xa9ff0102), 1, 4));
    assert.ok(
      words.isLinkLocal(row(0xfebf0000 | 0, 0, 0, 1), 1, 6) && !words.isLinkLocal(row(0xfec00000 | 0, 0, 0, 1), 1, 6),
    );
    assert.ok(words.isLoopback(four(0x7f000001), 1, 4) && words.isLoopback(row(0, 0, 0, 1), 1, 6));
    assert.ok(!words.isLoopback(row(0, 0, 0, 2), 1, 6) && !words.isLoopback(row(1, 0, 0, 1), 1, 6));
    assert.ok(words.isZero(row(0, 0, 0, 0), 1) && !words.isZero(row(0, 0, 0, 1), 1));
  });
});

function pattern8(): Uint8Array {
  return Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
}
