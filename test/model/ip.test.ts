import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import {
  formatIp,
  formatRange,
  overlaps,
  parseIp,
  parseRange,
  parseSubnet,
  type Subnet,
  usableRange,
  whyUnusable,
} from '../../src/model/ip.js';

const subnet = (text: string): Subnet => {
  const read = parseSubnet(text);
  assert.ok(read.ok, text);
  return read.value;
};
const reason = (text: string): string => {
  const read = parseSubnet(text);
  assert.ok(!read.ok, text);
  return read.reason;
};

describe('model/ip', () => {
  it('reads back every address that it writes', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }), (value) => {
        const text = formatIp(4, value);
        assert.ok(isIPv4(text));
        assert.deepEqual(parseIp(text), { family: 4, value });
      }),
    );
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
        fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
        (a, b) => {
          // Runs of zeros are where RFC 5952 is tricky.
          const value = a & b & (b << 16n) & (2n ** 128n - 1n);
          const text = formatIp(6, value);
          assert.ok(isIPv6(text));
          assert.deepEqual(parseIp(text), { family: 6, value });
        },
      ),
    );
  });

  it('reads one spelling of an IPv4 address and every spelling of an IPv6 address', () => {
    for (const text of [
      '10.1',
      '010.0.0.1',
      '0x7f.0.0.1',
      '10.0.0.256',
      '10.0.0.1 ',
      '',
      '1.2.3',
      '2130706433',
      '1.2.3.4.5',
    ]) {
      assert.equal(parseIp(text), null, text);
    }
    for (const text of ['::1%eth0', ':::', '1::2::3', '12345::', 'g::', ':', '1:2:3:4:5:6:7', '::1/64']) {
      assert.equal(parseIp(text), null, text);
    }
    assert.equal(formatIp(6, parseIp('2001:DB8:0:0:0:0:0:001')!.value), '2001:db8::1');
    assert.equal(formatIp(6, parseIp('::ffff:192.0.2.1')!.value), '::ffff:c000:201');
  });

  it('reads subnets, and says what is wrong with others', () => {
    assert.deepEqual(subnet('10.0.0.0/24'), {
      family: 4,
      first: 0x0a000000n,
      last: 0x0a0000ffn,
      prefix: 24,
      text: '10.0.0.0/24',
    });
    assert.equal(subnet('2001:DB8::/32').text, '2001:db8::/32');
    assert.equal(subnet('::/0').last, 2n ** 128n - 1n);
    assert.match(reason('10.0.0.1/24'), /did you mean 10\.0\.0\.0\/24\?/);
    assert.match(reason('10.0.0.0/33'), /0\.\.32/);
    assert.match(reason('fd00::/129'), /0\.\.128/);
    assert.match(reason('10.0.0.0'), /ADDRESS\/PREFIX/);
    for (const text of ['10.0.0.0/', '10.0.0.0/08', '10.0.0.0/-1', '10.0.0.0/1e1', '/24', 'x/24', '10.0.0.0/24/24'])
      reason(text);
    assert.ok(!reason(`${'a'.repeat(500)}\u0007/24`).includes('\u0007'));
    assert.ok(reason(`${'a'.repeat(500)}/24`).length < 200);
  });

  it('reads ranges, subnets and single addresses where a range is wanted', () => {
    const shown = (text: string) => {
      const read = parseRange(text);
      return read.ok ? formatRange(read.value) : read.reason;
    };
    assert.equal(shown('10.0.0.10 - 10.0.0.99'), '10.0.0.10-10.0.0.99');
    assert.equal(shown('10.0.0.16/28'), '10.0.0.16/28');
    assert.equal(shown('FD00::1'), 'fd00::1');
    assert.match(shown('10.0.0.9-10.0.0.1'), /ends before it begins/);
    assert.match(shown('10.0.0.9-fd00::1'), /mixes/);
    assert.match(shown('a-b'), /neither/);
  });

  it('knows which addresses a station may have', () => {
    const range = (text: string) => {
      const { family, first, last } = usableRange(subnet(text));
      return `${formatIp(family, first)}-${formatIp(family, last)}`;
    };
    assert.equal(range('10.0.0.0/24'), '10.0.0.1-10.0.0.254');
    assert.equal(range('10.0.0.0/31'), '10.0.0.0-10.0.0.1');
    assert.equal(range('10.0.0.7/32'), '10.0.0.7-10.0.0.7');
    assert.equal(range('fd00::/120'), 'fd00::1-fd00::ff');
    assert.equal(range('fd00::/127'), 'fd00::-fd00::1');
    assert.equal(range('fd00::9/128'), 'fd00::9-fd00::9');
  });

  it('knows which addresses no network can have', () => {
    for (const text of [
      '127.0.0.0/24',
      '224.0.0.0/8',
      '0.0.0.0/16',
      '::/64',
      'fe80::/64',
      'ff02::/16',
      '255.255.255.255/32',
    ]) {
      assert.ok(whyUnusable(subnet(text)) !== null, text);
    }
    for (const text of ['10.0.0.0/8', '169.254.0.0/16', '100.64.0.0/10', 'fd00::/8', '2001:db8::/32']) {
      assert.equal(whyUnusable(subnet(text)), null, text);
    }
  });

  it('finds overlaps exactly', () => {
    const bits = fc.integer({ min: 24, max: 32 });
    const value = fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(value, bits, value, bits, (a, aBits, b, bBits) => {
        const make = (last: number, prefix: number) => {
          const size = 2 ** (32 - prefix);
          return subnet(`10.0.0.${Math.floor(last / size) * size}/${prefix}`);
        };
        const [left, right] = [make(a, aBits), make(b, bBits)];
        let isShared = false;
        for (let each = left.first; each <= left.last; each++) isShared ||= each >= right.first && each <= right.last;
        assert.equal(overlaps(left, right), isShared);
      }),
    );
    assert.equal(overlaps(subnet('0.0.0.0/0'), subnet('::/0')), false);
  });
});
