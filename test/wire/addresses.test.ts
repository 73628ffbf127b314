import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import {
  formatIpv4,
  formatIpv6,
  formatIpv6Bytes,
  formatMac,
  isGroupMac,
  isStationMac,
  parseIpv4,
  parseIpv6,
  parseMac,
} from '../../src/wire/addresses.js';

describe('wire/addresses', () => {
  it('a MAC is 16 and 32 bits', () => {
    assert.deepEqual(parseMac('02:00:5e:10:00:01'), { high: 0x0200, low: 0x5e100001 });
    assert.deepEqual(parseMac('FF-ff-FF-ff-FF-ff'), { high: 0xffff, low: -1 });
    assert.equal(formatMac(0xffff, -1), 'ff:ff:ff:ff:ff:ff');
    assert.equal(formatMac(0x0001, 0x0203), '00:01:00:00:02:03');
    for (const text of [
      '',
      '02:00:5e:10:00',
      '02:00:5e:10:00:01:02',
      '2:0:5e:10:0:1',
      '02:00-5e:10:00:01',
      '02005e100001',
      'gg:00:5e:10:00:01',
    ]) {
      assert.equal(parseMac(text), null, text);
    }
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xffff }),
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        (high, low) => {
          assert.deepEqual(parseMac(formatMac(high, low)), { high, low });
        },
      ),
    );
  });

  it('tells group from station addresses', () => {
    assert.equal(isGroupMac(0x0100), true);
    assert.equal(isGroupMac(0x0200), false);
    assert.equal(isStationMac(0, 0), false);
    assert.equal(isStationMac(0, -1), true);
    assert.equal(isStationMac(0xffff, -1), false);
  });

  it('an IPv4 address is one int32', () => {
    assert.equal(parseIpv4('10.0.0.1'), 0x0a000001);
    assert.equal(parseIpv4('255.255.255.255'), -1);
    assert.equal(formatIpv4(-1), '255.255.255.255');
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (address) => {
        assert.equal(parseIpv4(formatIpv4(address)), address);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => assert.equal(parseIpv4(text) !== null, isIPv4(text))));
  });

  it('an IPv6 address is 16 bytes, printed as RFC 5952 says', () => {
    const printed = (text: string) => formatIpv6Bytes(parseIpv6(text)!);
    // RFC 5952 sections 4.1 to 4.3 and 2.2.
    assert.equal(printed('2001:0db8::0001'), '2001:db8::1');
    assert.equal(printed('2001:db8:0:0:0:0:2:1'), '2001:db8::2:1');
    assert.equal(printed('2001:db8:0:1:1:1:1:1'), '2001:db8:0:1:1:1:1:1');
    assert.equal(printed('2001:0:0:1:0:0:0:1'), '2001:0:0:1::1');
    assert.equal(printed('2001:db8:0:0:1:0:0:1'), '2001:db8::1:0:0:1');
    assert.equal(printed('0:0:0:0:0:0:0:0'), '::');
    assert.equal(printed('2001:DB8::ABCD'), '2001:db8::abcd');
    const view = new DataView(new ArrayBuffer(20));
    view.setUint16(3, 0xfe80);
    view.setUint8(18, 7);
    assert.equal(formatIpv6(view, 3), 'fe80::7');
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.integer({ min: 0, max: 0xffff }),
        (bytes, zeros) => {
          for (let i = 0; i < 16; i++) if (((zeros >> i) & 1) === 1) bytes[i] = 0;
          const text = formatIpv6Bytes(bytes);
          assert.ok(isIPv6(text));
          assert.deepEqual([...parseIpv6(text)!], [...bytes]);
        },
      ),
    );
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.ipV6()), (text) => {
        if (!text.includes('%')) assert.equal(parseIpv6(text) !== null, isIPv6(text));
      }),
    );
  });
});
