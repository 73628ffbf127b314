// IPv4, IPv6, TCP and UDP headers: hexadecimal in the order of the RFC against the accessors, every truncation refused,
// and no accessor that reads outside what was checked.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import * as ipv4 from '../../src/wire/ipv4.js';
import * as ipv6 from '../../src/wire/ipv6.js';
import * as tcp from '../../src/wire/tcp.js';
import * as udp from '../../src/wire/udp.js';
import { join } from '../support/frame-builders.js';
import { hex, hexBytes } from '../support/hex.js';

const bytesOf = (view: DataView): string => Buffer.from(view.buffer).toString('hex');

describe('wire/ipv4', () => {
  const text = '4600 0034 abcd 4000 4006 1234 c0000201 c0000202 01010101';

  it('reads its fields', () => {
    const view = hex(text);
    assert.equal(ipv4.check(view, 0, 24), true);
    assert.equal(ipv4.headerBytes(view, 0), 24);
    assert.equal(ipv4.identification(view, 0), 0xabcd);
    assert.equal(ipv4.protocol(view, 0), ipv4.PROTOCOL_TCP);
  });

  it('writes its fields and nothing beside them', () => {
    const view = hex(text);
    ipv4.setTotalLength(view, 0, 0xfffe);
    ipv4.setIdentification(view, 0, 0x0001);
    ipv4.setChecksum(view, 0, 0x5678);
    assert.equal(bytesOf(view), '4600fffe000140004006' + '5678c0000201c000020201010101');
  });

  it('refuses what is shorter than its header says', () => {
    for (let room = 0; room < 24; room++) assert.equal(ipv4.check(hex(text), 0, room), false, `${room} bytes`);
  });

  it('refuses other versions and headers below 20 bytes', () => {
    for (const first of ['65', '05', '44', '40', 'f5']) {
      assert.equal(ipv4.check(hex(first + '00'.repeat(59)), 0, 60), false, first);
    }
  });
});

describe('wire/ipv6', () => {
  const fixed = (next: string): string => `6000 0000 0000 ${next} 40 ${'00'.repeat(32)}`;

  it('wants 40 bytes of version 6', () => {
    const view = hex(fixed('06'));
    assert.equal(ipv6.check(view, 0, 40), true);
    for (let room = 0; room < 40; room++) assert.equal(ipv6.check(view, 0, room), false);
    assert.equal(ipv6.check(hex(`45${'00'.repeat(39)}`), 0, 40), false);
  });

  it('reads the next header and writes the payload length', () => {
    const view = hex(fixed('3a'));
    assert.equal(ipv6.nextHeader(view, 0), 58);
    ipv6.setPayloadLength(view, 0, 0xabcd);
    assert.equal(view.getUint16(4), 0xabcd);
  });

  it('finds the transport right behind the fixed header', () => {
    assert.equal(ipv6.protocolAt(hex(fixed('11')), 0, 40, 40), ipv4.PROTOCOL_UDP);
  });

  it('walks hop-by-hop, destination options and routing headers', () => {
    const chain = hex(`${fixed('00')} 3c00010400000000 2b01${'00'.repeat(14)} 0600${'00'.repeat(6)} 00`);
    assert.equal(ipv6.protocolAt(chain, 0, 40 + 8 + 16 + 8, 73), ipv4.PROTOCOL_TCP);
  });

  it('does not find a transport where the chain does not lead', () => {
    const view = hex(`${fixed('00')} 0600${'00'.repeat(6)} 0000`);
    assert.equal(ipv6.protocolAt(view, 0, 48, 50), ipv4.PROTOCOL_TCP);
    for (const l4At of [39, 41, 44, 47, 49]) assert.equal(ipv6.protocolAt(view, 0, l4At, 50), -1, `at ${l4At}`);
  });

  it('stops at a fragment header, at unknown headers and at the end of the frame', () => {
    for (const next of ['2c', '32', '33', '87']) {
      assert.equal(ipv6.protocolAt(hex(`${fixed(next)} 0600${'00'.repeat(6)}`), 0, 48, 48), -1, `next header ${next}`);
    }
    assert.equal(ipv6.protocolAt(hex(fixed('00')), 0, 48, 41), -1);
  });

  it('gives up on a chain without end', () => {
    const endless = join(hexBytes(fixed('00')), new Uint8Array(64 * 1024));
    const view = new DataView(endless.buffer);
    assert.equal(ipv6.protocolAt(view, 0, endless.length - 20, endless.length), -1);
  });

  it('never reads behind the end, whatever the bytes are', () => {
    const prng = new Prng(4);
    for (let trial = 0; trial < 20_000; trial++) {
      const bytes = Uint8Array.from({ length: 40 + prng.below(60) }, () => prng.below(4) * prng.below(64));
      bytes[6] = [0, 43, 60, 44, 6][prng.below(5)]!;
      const view = new DataView(bytes.buffer);
      const l4At = prng.below(bytes.length + 8);
      const protocol = ipv6.protocolAt(view, 0, l4At, bytes.length);
      assert.ok(protocol >= -1 && protocol <= 255);
    }
  });
});

describe('wire/tcp and wire/udp', () => {
  it('reads and writes TCP fields', () => {
    const view = hex('9c40 0050 fffffffe 00000002 8018 0200 abcd 0000 0101080a');
    assert.equal(tcp.headerBytes(view, 0), 32);
    assert.equal(tcp.sequence(view, 0), -2);
    assert.equal(tcp.flags(view, 0), 0x18);
    assert.equal(tcp.checksum(view, 0), 0xabcd);
    tcp.setSequence(view, 0, (tcp.sequence(view, 0) + 5) | 0);
    tcp.setFlags(view, 0, 0x90);
    tcp.setChecksum(view, 0, 0x1234);
    assert.equal(bytesOf(view), '9c40005000000003000000028090020012340000' + '0101080a');
    assert.equal(tcp.CHECKSUM_OFFSET, 16);
  });

  it('reads and writes UDP fields', () => {
    const view = hex('0fa0 0035 0008 0000');
    udp.setLength(view, 0, 0x1234);
    udp.setChecksum(view, 0, 0xbeef);
    assert.equal(udp.checksum(view, 0), 0xbeef);
    assert.equal(bytesOf(view), '0fa000351234beef');
    assert.equal(udp.CHECKSUM_OFFSET, 6);
  });
});
