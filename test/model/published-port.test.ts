/** The text of a published port, and which two cannot be together. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { doClash, formatPublished, parsePublished, publishedFrom } from '../../src/model/published-port.js';

describe('a published port', () => {
  const ACCEPTED: [string, string, ReturnType<typeof publishedFrom>][] = [
    ['8080:80', '8080:80/tcp', { hostIp: null, hostFirst: 8080, hostLast: 8080, port: 80, protocol: 'tcp' }],
    ['53:53/UDP', '53:53/udp', { hostIp: null, hostFirst: 53, hostLast: 53, port: 53, protocol: 'udp' }],
    [
      '192.0.2.1:8000-8010:9000',
      '192.0.2.1:8000-8010:9000/tcp',
      { hostIp: '192.0.2.1', hostFirst: 8000, hostLast: 8010, port: 9000, protocol: 'tcp' },
    ],
    [
      '[2001:DB8::1]:80-80:80/tcp',
      '[2001:db8::1]:80:80/tcp',
      { hostIp: '2001:db8::1', hostFirst: 80, hostLast: 80, port: 80, protocol: 'tcp' },
    ],
    ['[::]:1:1', '[::]:1:1/tcp', { hostIp: '::', hostFirst: 1, hostLast: 1, port: 1, protocol: 'tcp' }],
    [
      ' 8000-8010:8000-8010 ',
      '8000-8010:8000/tcp',
      { hostIp: null, hostFirst: 8000, hostLast: 8010, port: 8000, protocol: 'tcp' },
    ],
    ['1-65535:1', '1-65535:1/tcp', { hostIp: null, hostFirst: 1, hostLast: 65535, port: 1, protocol: 'tcp' }],
  ];
  for (const [text, canonical, port] of ACCEPTED) {
    it(`reads ${text}`, () => {
      assert.deepEqual(parsePublished(text), { ok: true, value: port });
      assert.equal(formatPublished(port), canonical);
      assert.deepEqual(publishedFrom(canonical), port);
    });
  }

  const REFUSED: [string, RegExp][] = [
    ['', /that is no published port; write it as \[HOSTIP:\]HOSTPORT/],
    ['80', /that is no published port/],
    ['80:', /that is no published port/],
    ['0:80', /ports are 1 to 65535/],
    ['80:65536', /ports are 1 to 65535/],
    ['99999:80', /ports are 1 to 65535/],
    ['90-80:80', /the range 90-80 ends before it begins/],
    ['80-90:65530', /the range would end at port 65540 of the endpoint/],
    ['80-90:80-89', /the two ranges are of different lengths/],
    ['80:80/icmp', /only tcp and udp ports can be published/],
    ['80:80/tcp/udp', /that is no published port/],
    ['host:80:80', /"host" is no address/],
    ['2001:db8::1:80:80', /that is no published port/],
    ['[192.0.2.1]:80:80', /"\[192\.0\.2\.1\]" is no address/],
    ['192.0.2.300:80:80', /"192\.0\.2\.300" is no address/],
    [':80:80', /"" is no address/],
    ['224.0.0.1:80:80', /"224\.0\.0\.1" is no address of a host/],
    ['255.255.255.255:80:80', /is no address of a host/],
    ['[ff02::1]:80:80', /is no address of a host/],
    ['[::ffff:192.0.2.1]:80:80', /is no address of a host/],
    ['-1:80', /that is no published port/],
    ['80:80\u0007', /that is no published port/],
  ];
  for (const [text, reason] of REFUSED) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      const read = parsePublished(text);
      assert.ok(!read.ok);
      assert.match(read.reason, reason);
      assert.ok([...read.reason].every((sign) => sign >= ' '));
    });
  }

  it('reads whatever it has written, and never breaks', () => {
    const port = fc.integer({ min: 1, max: 30000 });
    const published = fc.record({
      hostIp: fc.constantFrom(null, '0.0.0.0', '::', '192.0.2.1', '2001:db8::1'),
      hostFirst: port,
      length: fc.integer({ min: 0, max: 1000 }),
      port,
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    });
    fc.assert(
      fc.property(published, ({ length, ...fields }) => {
        const value = { ...fields, hostLast: fields.hostFirst + length };
        assert.deepEqual(parsePublished(formatPublished(value)), { ok: true, value });
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => assert.equal(typeof parsePublished(text).ok, 'boolean')));
  });

  it('clashes with another one that takes the same port of the same address', () => {
    const CLASHES: [string, string, boolean][] = [
      ['80:80', '80:81', true],
      ['80:80/tcp', '80:80/udp', false],
      ['80:80', '81:80', false],
      ['80-90:80', '90-99:1', true],
      ['80-90:80', '91-99:1', false],
      ['192.0.2.1:80:80', '192.0.2.2:80:80', false],
      ['192.0.2.1:80:80', '192.0.2.1:80:81', true],
      ['80:80', '192.0.2.1:80:80', true],
      ['0.0.0.0:80:80', '192.0.2.1:80:80', true],
      ['0.0.0.0:80:80', '[::]:80:80', false],
      ['0.0.0.0:80:80', '[2001:db8::1]:80:80', false],
      ['[::]:80:80', '[2001:db8::1]:80:80', true],
      ['80:80', '[::]:80:80', true],
    ];
    for (const [a, b, expected] of CLASHES) {
      const [left, right] = [value(a), value(b)];
      assert.deepEqual([doClash(left, right), doClash(right, left)], [expected, expected], `${a} and ${b}`);
    }
  });
});

function value(text: string): ReturnType<typeof publishedFrom> {
  return publishedFrom(text);
}
