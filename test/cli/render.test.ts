/** How numbers, tables and frames look. */
import assert from 'node:assert/strict';
import { frameLine } from '../../src/cli/render/frame-line.js';
import { ratesOf, rateTable } from '../../src/cli/render/stats.js';
import { fieldsText, tableText } from '../../src/cli/render/table.js';
import { bitRate, bytes, duration, quantity } from '../../src/cli/render/units.js';
import { idleDatapath, idleDns } from '../support/fake-stats.js';

describe('CLI: rendering', () => {
  it('numbers have three digits and a unit', () => {
    assert.deepEqual([0, 7, 999, 999.4, 999.6, 1234, 12_345, 999_600, 1e6, 2.5e9].map(quantity), [
      '0',
      '7',
      '999',
      '999',
      '1.00 k',
      '1.23 k',
      '12.3 k',
      '1.00 M',
      '1.00 M',
      '2.50 G',
    ]);
    assert.deepEqual([0, 1023, 1024, 1536, 10 * 2 ** 20].map(bytes), [
      '0 B',
      '1023 B',
      '1.00 KiB',
      '1.50 KiB',
      '10.0 MiB',
    ]);
    assert.deepEqual([0, 125, 1.25e9].map(bitRate), ['0 bit/s', '1.00 kbit/s', '10.0 Gbit/s']);
  });

  it('durations have two units at most', () => {
    assert.deepEqual([0, 0.04, 3.15, 59.6, 61, 3600, 3661, 90_000, 172_800].map(duration), [
      '0 s',
      '0 s',
      '3.2 s',
      '1 min',
      '1 min 1 s',
      '1 h',
      '1 h 1 min',
      '1 d 1 h',
      '2 d',
    ]);
  });

  it('tables are aligned, numbers at the right, nothing trails', () => {
    const text = tableText(
      [{ title: 'NAME' }, { title: 'FRAMES', right: true }, { title: 'WHERE' }],
      [
        ['a', '7', ''],
        ['longer', '12345678', 'x'],
      ],
    );
    assert.equal(text, ['NAME      FRAMES  WHERE', 'a              7  -', 'longer  12345678  x'].join('\n'));
    assert.equal(
      fieldsText([
        ['Name', 'x'],
        ['Subnets', 'a\nb'],
        ['Empty', ''],
      ]),
      'Name:     x\nSubnets:  a\n          b\nEmpty:    -',
    );
  });

  it('rates are per second, busiest first, with a total; counters that went back count from zero', () => {
    const row = (endpoint: string, rxBytes: number, rxFrames: number) => ({
      ...{ endpoint, network: 'n', compartment: null, state: 'attached' as const },
      ...{ rxFrames, rxBytes, txFrames: 0, txBytes: 0, rxDropped: 0, txDropped: 0 },
    });
    const stats = (time: string, endpoints: ReturnType<typeof row>[]) => ({
      time,
      endpoints,
      dhcp: [],
      dns: idleDns(),
      datapath: idleDatapath(),
    });
    const rates = ratesOf(
      stats('2026-01-01T00:00:00.000Z', [row('idle', 500, 5), row('busy', 0, 0), row('reborn', 9999, 99)]),
      stats('2026-01-01T00:00:02.000Z', [row('idle', 500, 5), row('busy', 250_000, 2000), row('reborn', 250, 10)]),
    );
    assert.deepEqual(
      rates.map(({ endpoint, rxBytes, rxFrames }) => [endpoint, rxBytes, rxFrames]),
      [
        ['busy', 125_000, 1000],
        ['reborn', 125, 5],
        ['idle', 0, 0],
      ],
    );
    assert.equal(
      rateTable(rates),
      [
        'ENDPOINT  NETWORK  COMPARTMENT      RX RATE  RX FRAMES/S  TX RATE  TX FRAMES/S  DROPS/S',
        'busy      n        -            1.00 Mbit/s       1.00 k  0 bit/s            0        0',
        'reborn    n        -            1.00 kbit/s            5  0 bit/s            0        0',
        'idle      n        -                0 bit/s            0  0 bit/s            0        0',
        'all       -        -            1.00 Mbit/s       1.00 k  0 bit/s            0        0',
      ].join('\n'),
    );
  });

  it('a frame says when, where, which way, what, and why it was dropped', () => {
    const arp = Buffer.from(
      'ffffffffffff02000000000108060001080006040001020000000001' + '0a000001' + '000000000000' + '0a000002',
      'hex',
    );
    const line = frameLine({
      interfaceName: 'web-back',
      seconds: 1_800_000_000,
      nanoseconds: 120_455_999,
      direction: 'inbound',
      comment: 'dropped: isolated',
      lostBefore: 2,
      linkType: 1,
      bytes: new Uint8Array(arp),
      length: arp.length,
    });
    assert.match(
      line,
      /^\d\d:\d\d:\d\d\.120455 web-back in {2}ARP.*10\.0\.0\.2.*10\.0\.0\.1.* \[dropped: isolated\] \[2 lost before\]$/,
    );
  });
});
