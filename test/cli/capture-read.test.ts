/** weft capture read, and the options of captures that no daemon needs to know. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ChunkBuilder } from '../../src/capture/chunk-builder.js';
import { createPcapngWriter } from '../../src/capture/pcapng-writer.js';
import { ARRIVAL, DEPARTURE } from '../../src/datapath/frame-tap.js';
import { capturedFrame } from '../capture/capture-frames.js';
import { runWeft } from '../support/cli-runner.js';

const NO_DAEMON = '/nonexistent/weft.sock';
const WEB = '02:00:00:00:00:01';
const REQUEST = Buffer.from(
  'ffffffffffff0200000000010806' + '0001080006040001020000000001c0000201000000000000c0000202',
  'hex',
);

/** Three frames at 2023-11-14 22:13:20 UTC: one that came in, one that went out behind two lost ones, one that was dropped. */
function pcapng(): Buffer {
  const writer = createPcapngWriter({ application: 'weft', snaplen: 262144, filter: '' });
  const out = new ChunkBuilder();
  const bytes = new Uint8Array(REQUEST);
  const frame = (direction: number, nanoseconds: number) =>
    capturedFrame(bytes, { seconds: 1_700_000_000, nanoseconds, direction });
  writer.begin(out);
  writer.addInterface(out, { name: 'web', description: '', mac: WEB });
  writer.frame(out, 0, frame(ARRIVAL, 1_002_003), bytes.length, null, 0);
  writer.frame(out, 0, frame(DEPARTURE, 5_000), bytes.length, null, 2);
  writer.frame(out, 0, frame(ARRIVAL, 999_999_999), bytes.length, 'dropped: mtu: too long', 0);
  return Buffer.from(out.take());
}

describe('CLI: capture read', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'weft-read-'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  function file(name: string, bytes: Uint8Array): string {
    const path = join(directory, name);
    writeFileSync(path, bytes);
    return path;
  }

  const weft = (...parameters: string[]) => runWeft(NO_DAEMON, ['capture', ...parameters]);

  it('prints a line per frame, as a live capture does, without a daemon', async () => {
    const outcome = await weft('read', file('three.pcapng', pcapng()));
    const what = 'ARP, Request who-has 192.0.2.2 tell 192.0.2.1, length 28';
    const lines = outcome.stdout.replaceAll(/^\d\d:\d\d:/gm, 'HH:MM:');
    assert.equal(
      lines,
      `HH:MM:20.001002 web in  ${what}\n` +
        `HH:MM:20.000005 web out ${what} [2 lost before]\n` +
        `HH:MM:20.999999 web in  ${what} [dropped: mtu: too long]\n`,
    );
    assert.deepEqual([outcome.status, outcome.stderr], [0, '']);
  });

  it('reads stdin, and ends after --count frames', async () => {
    const outcome = await runWeft(NO_DAEMON, ['capture', 'read', '-', '--count', '2'], {
      stdin: Readable.from([pcapng()]),
    });
    assert.equal(outcome.stdout.trimEnd().split('\n').length, 2);
    assert.deepEqual([outcome.status, outcome.stderr], [0, '']);
  });

  it('--json is one array with everything about every frame', async () => {
    const outcome = await weft('read', file('json.pcapng', pcapng()), '--json');
    const frames = JSON.parse(outcome.stdout);
    assert.deepEqual(frames[1], {
      time: '2023-11-14T22:13:20.000005000Z',
      interface: 'web',
      direction: 'out',
      length: 42,
      captured: 42,
      linkType: 1,
      summary: 'ARP, Request who-has 192.0.2.2 tell 192.0.2.1, length 28',
      comment: null,
      lostBefore: 2,
      bytes: REQUEST.toString('hex'),
    });
    assert.deepEqual(
      frames.map(({ time, comment }: { time: string; comment: string | null }) => [time.slice(20), comment]),
      [
        ['001002003Z', null],
        ['000005000Z', null],
        ['999999999Z', 'dropped: mtu: too long'],
      ],
    );
  });

  it('prints what there is of a file that is cut, and then says so; the JSON of it is whole', async () => {
    const path = file('cut.pcapng', pcapng().subarray(0, -10));
    const error = `error: cannot read all of ${path} (the input is cut short in the middle of a record, behind 2 frames; every whole frame of it is printed)\n`;
    const lines = await weft('read', path);
    assert.deepEqual([lines.status, lines.stdout.trimEnd().split('\n').length, lines.stderr], [1, 2, error]);
    const json = await weft('read', '--json', path);
    assert.deepEqual([json.status, JSON.parse(json.stdout).length, json.stderr], [1, 2, error]);
  });

  it('says what is wrong with what is no capture', async () => {
    const failures: [string, RegExp][] = [
      [
        join(directory, 'nowhere'),
        /^error: cannot read .*nowhere \(there is no such file \(ENOENT\); check the path\)\n$/,
      ],
      [directory, /^error: cannot read .* \(EISDIR.*; name a file you may read\)\n$/],
      [file('empty', new Uint8Array(0)), /^error: cannot read all of .*empty \(the input is empty; .*\)\n$/],
      [
        file('text', Buffer.from('no capture')),
        /^error: .*\(this is neither pcapng nor pcap, behind 0 frames; .*\)\n$/,
      ],
    ];
    for (const [path, stderr] of failures) {
      const outcome = await weft('read', path);
      assert.deepEqual([outcome.status, outcome.stdout], [1, '']);
      assert.match(outcome.stderr, stderr);
    }
    const one = await weft('read', '--json', '--count', '1', file('one.pcapng', pcapng()));
    assert.equal(JSON.parse(one.stdout).length, 1);
    assert.equal((await weft('read', '--json', file('empty', new Uint8Array(0)))).stdout, '[]\n');
  });

  it('takes sizes with units for --rotate-size, and refuses what cannot rotate', async () => {
    const refusals: [string[], RegExp][] = [
      [['--rotate-size', '1T', '-w', 'x'], /--rotate-size <BYTES>' argument '1T' is invalid.* e\.g\. 500k, 100M or 2G/],
      [['--rotate-size', '1M', '-w', '-'], /--rotate-size' needs a file: -w FILE/],
      [['--rotate-size', '1M'], /--rotate-size' needs a file: -w FILE/],
      [['--rotate-files', '3', '-w', 'x'], /--rotate-files' needs '--rotate-size'/],
    ];
    for (const [parameters, stderr] of refusals) {
      const outcome = await weft(...parameters);
      assert.equal(outcome.status, 2);
      assert.match(outcome.stderr, stderr);
    }
  });
});
