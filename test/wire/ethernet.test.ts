// Bytes of IEEE 802.3 frames against what the accessors make of them.
import { strict as assert } from 'node:assert';
import * as ethernet from '../../src/wire/ethernet.js';
import * as vlan from '../../src/wire/vlan.js';
import { hex } from '../support/hex.js';

describe('wire/ethernet', () => {
  it('reads destination, source and type, at any offset', () => {
    const view = hex('ffff 0180c2000003 fe005e100001 86dd');
    assert.equal(ethernet.destinationHigh(view, 2), 0x0180);
    assert.equal(ethernet.destinationLow(view, 2), 0xc2000003 | 0);
    assert.equal(ethernet.sourceHigh(view, 2), 0xfe00);
    assert.equal(ethernet.sourceLow(view, 2), 0x5e100001);
    assert.equal(ethernet.etherType(view, 2), ethernet.TYPE_IPV6);
  });

  it('wants 14 bytes', () => {
    for (let room = 0; room < 14; room++) assert.equal(ethernet.check(room), false);
    assert.equal(ethernet.check(14), true);
  });

  it('knows group addresses by the first bit on the wire', () => {
    assert.equal(ethernet.isGroup(0x0100), true);
    assert.equal(ethernet.isGroup(0xffff), true);
    assert.equal(ethernet.isGroup(0x0200), false);
    assert.equal(ethernet.isGroup(0xfe01), false, 'the second byte says nothing');
  });

  it('knows the broadcast address', () => {
    assert.equal(ethernet.isBroadcast(0xffff, -1), true);
    assert.equal(ethernet.isBroadcast(0xffff, -2), false);
    assert.equal(ethernet.isBroadcast(0xfffe, -1), false);
  });

  it('knows the sixteen addresses of 802.1Q table 8-1, and no other', () => {
    for (let last = 0; last <= 0x0f; last++) assert.ok(ethernet.isLinkLocalControl(0x0180, (0xc2000000 + last) | 0));
    for (const [high, low] of [
      [0x0180, 0xc2000010],
      [0x0180, 0xc2000100],
      [0x0180, 0xc1000000],
      [0x0181, 0xc2000000],
    ]) {
      assert.equal(ethernet.isLinkLocalControl(high!, low! | 0), false);
    }
  });
});

describe('wire/vlan', () => {
  // Priority 5, drop eligible, VLAN 0x123, then IPv4.
  const view = hex('020000000001 020000000002 8100 b123 0800');

  it('reads the tag', () => {
    assert.equal(vlan.tci(view, 12), 0xb123);
    assert.equal(vlan.vlanId(view, 12), 0x123);
    assert.equal(vlan.innerType(view, 12), 0x0800);
  });

  it('takes customer and service tags for tags, and nothing else', () => {
    for (const type of [0x8100, 0x88a8]) assert.equal(vlan.isTag(type), true);
    for (const type of [0x0800, 0x86dd, 0x9100, 0x88a9, 0]) assert.equal(vlan.isTag(type), false);
  });

  it('writes a customer tag with the priority of another one', () => {
    const target = hex('00000000 00000000');
    vlan.writeTag(target, 2, 0xb123, 4094);
    assert.equal(Buffer.from(target.buffer).toString('hex'), '00008100bffe0000');
  });
});
