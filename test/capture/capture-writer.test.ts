// Capture files as the programs see them that will read them: tshark and tcpdump, without a warning.
import { strict as assert } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { CaptureFileReader } from '../../src/capture/capture-file-reader.js';
import { ChunkBuilder } from '../../src/capture/chunk-builder.js';
import { createPcapWriter } from '../../src/capture/pcap-writer.js';
import { createPcapngWriter, toNanoseconds } from '../../src/capture/pcapng-writer.js';
import { ARRIVAL, DEPARTURE } from '../../src/datapath/frame-tap.js';
import { Prng } from '../../src/lib/prng.js';
import { ether, ipv4, pattern, tcp, udp } from '../support/frame-builders.js';
import { capturedFrame, corpus, linesOf, useDirectory } from './capture-frames.js';

const WEB = '02:00:00:00:00:01';
const DB = '02:00:00:00:00:02';
const v4 = { from: '192.0.2.1', to: '192.0.2.2' };
const SMALL = ether({ from: WEB, to: DB }, ipv4(v4, udp(4000, 5300, 'who?'))).bytes;
const SUPER_FRAME = ether({ from: DB, to: WEB }, ipv4({ from: v4.to, to: v4.from }, tcp({}, pattern(65_000)))).bytes;

const CHECKSUMS = ['-o', 'ip.check_checksum:TRUE', '-o', 'tcp.check_checksum:TRUE', '-o', 'udp.check_checksum:TRUE'];

function tsharkFields(file: string, ...fields: string[]): string[][] {
  const wanted = fields.flatMap((field) => ['-e', field]);
  const lines = linesOf('tshark', ['-n', '-r', file, ...CHECKSUMS, '-T', 'fields', ...wanted]);
  return lines.map((line) => line.split('\t'));
}

/** Counters of every interface statistics block (type 5) by option code: tshark does not show them. */
function statisticsIn(file: Buffer): object[] {
  const found: object[] = [];
  for (let at = 0; at < file.length; at += file.readUInt32LE(at + 4)) {
    if (file.readUInt32LE(at) !== 5) continue;
    const counters: Record<string, number | bigint> = { interface: file.readUInt32LE(at + 8) };
    for (let option = at + 20; file.readUInt16LE(option) !== 0; option += 4 + file.readUInt16LE(option + 2)) {
      if (file.readUInt16LE(option) >= 4) counters[file.readUInt16LE(option)] = file.readBigUInt64LE(option + 4);
    }
    found.push(counters);
  }
  return found;
}

describe('capture files', function captureFiles() {
  this.timeout(120_000);
  const directory = useDirectory();

  describe('pcapng', () => {
    let file: string;

    before(() => {
      const writer = createPcapngWriter({ application: 'weft 1.2.3', snaplen: 262144, filter: 'ip or arp' });
      const out = new ChunkBuilder();
      writer.begin(out);
      writer.addInterface(out, { name: 'web', description: 'network front, interface eth0', mac: WEB });
      writer.frame(out, 0, capturedFrame(SMALL, { seconds: 1_700_000_000, nanoseconds: 123_456_789 }), 46, null, 0);
      // An interface that appears later, in another chunk.
      const first = out.take();
      writer.addInterface(out, { name: 'd\u00fcb', description: 'network front, interface eth1', mac: null });
      const later = capturedFrame(SUPER_FRAME, { seconds: 1_700_000_001, nanoseconds: 1, direction: DEPARTURE });
      writer.frame(out, 1, later, SUPER_FRAME.length, null, 0);
      const reason = 'dropped: isolated: Sender and destination are both isolated endpoints.';
      writer.frame(
        out,
        0,
        capturedFrame(SMALL, { seconds: 1_700_000_002, direction: ARRIVAL }),
        20,
        reason,
        4_294_967_297,
      );
      const totals = [
        { received: 10, accepted: 2, lost: 4_294_967_297 },
        { received: 1, accepted: 1, lost: 0 },
      ];
      writer.end(out, totals, 1_700_000_000_000, 1_700_000_003_500);
      file = directory.path('written.pcapng');
      writeFileSync(file, Buffer.concat([first, out.take()]));
    });

    it('has names, directions, comments, lengths and times that tshark shows', () => {
      const rows = tsharkFields(
        file,
        'frame.interface_name',
        'frame.interface_description',
        'frame.packet_flags_direction',
        'frame.time_epoch',
        'frame.len',
        'frame.cap_len',
        'frame.comment',
      );
      const reason = 'dropped: isolated: Sender and destination are both isolated endpoints.';
      const front = 'network front, interface';
      assert.deepEqual(rows, [
        ['web', `${front} eth0`, '0x00000001', '1700000000.123456789', '46', '46', ''],
        ['d\u00fcb', `${front} eth1`, '0x00000002', '1700000001.000000001', '65054', '65054', ''],
        ['web', `${front} eth0`, '0x00000001', '1700000002.000000000', '46', '20', reason],
      ]);
    });

    it('has checksums that tshark verifies', () => {
      const rows = tsharkFields(file, 'ip.checksum.status', 'udp.checksum.status', 'tcp.checksum.status');
      assert.deepEqual(rows.slice(0, 2), [
        ['1', '1', ''],
        ['1', '', '1'],
      ]);
    });

    it('says what wrote it, with which filter, and how many frames were lost', () => {
      const infos = linesOf('capinfos', ['-M', file]).map((line) => line.replace(/\s+/g, ' ').trim());
      for (const line of [
        'File type: pcapng',
        'File timestamp precision: nanoseconds (9)',
        'Capture application: weft 1.2.3',
        'Number of interfaces in file: 2',
        'Number of packets: 3',
        'Name = web',
        'Filter string = ip or arp',
        'Time precision = nanoseconds (9)',
        'Number of stat entries = 1',
      ]) {
        assert.ok(infos.includes(line), `${line} in\n${infos.join('\n')}`);
      }
      const drops = linesOf('tshark', ['-r', file, '-T', 'fields', '-e', 'frame.drop_count']);
      assert.deepEqual(drops, ['4294967297']);
      assert.deepEqual(statisticsIn(readFileSync(file)), [
        { interface: 0, 4: 10n, 5: 4_294_967_297n, 6: 2n },
        { interface: 1, 4: 1n, 5: 0n, 6: 1n },
      ]);
    });

    it('marks a checksum that is not computed in bit 9 of the flags, and the direction stays', () => {
      const out = new ChunkBuilder();
      const writer = createPcapngWriter({ application: 'weft', snaplen: 128, filter: '' });
      const flags = [true, false].map((isChecksumComplete) => {
        writer.frame(out, 0, capturedFrame(SMALL, { isChecksumComplete }), SMALL.length, null, 0);
        const block = Buffer.from(out.take());
        return block.readUInt32LE(28 + ((SMALL.length + 3) & ~3) + 4);
      });
      assert.deepEqual(flags, [1, 1 | (1 << 9)]);
    });

    it('is read by tcpdump', () => {
      const lines = linesOf('tcpdump', ['-n', '-r', file]);
      assert.equal(lines.length, 3);
      assert.match(lines[0]!, /IP 192\.0\.2\.1\.4000 > 192\.0\.2\.2\.5300: UDP, length 4$/);
    });
  });

  it('pcap has times to the nanosecond and lengths, for tshark and tcpdump', () => {
    const writer = createPcapWriter(96);
    const out = new ChunkBuilder();
    writer.begin(out);
    writer.addInterface(out, { name: 'web', description: '', mac: null });
    writer.frame(out, 0, capturedFrame(SMALL, { nanoseconds: 123_456_789 }), 46, null, 0);
    writer.frame(out, 0, capturedFrame(SUPER_FRAME, { nanoseconds: 999_999_999 }), 96, 'dropped', 7);
    writer.end(out, [{ received: 2, accepted: 2, lost: 7 }], 0, 1);
    const file = directory.path('written.pcap');
    writeFileSync(file, out.take());
    assert.deepEqual(tsharkFields(file, 'frame.time_epoch', 'frame.len', 'frame.cap_len'), [
      ['1700000000.123456789', '46', '46'],
      ['1700000000.999999999', '65054', '96'],
    ]);
    const lines = linesOf('tcpdump', ['-n', '-tt', '--nano', '-r', file]);
    assert.equal(lines.length, 2);
    assert.match(lines[0]!, /^1700000000\.123456789 IP /);
  });

  it('of any frames are what the reader of weft and tshark both find in them', () => {
    const seed = Date.now() | 0;
    const prng = new Prng(seed);
    const frames = corpus(prng, 500).filter((bytes) => bytes.length > 0);
    const writer = createPcapngWriter({ application: 'weft', snaplen: 262144, filter: '' });
    const out = new ChunkBuilder();
    writer.begin(out);
    for (const name of ['a', 'b', 'c']) writer.addInterface(out, { name, description: name, mac: null });
    const expected = frames.map((bytes, index) => {
      const captured = 1 + prng.below(bytes.length);
      const direction = prng.below(2);
      const comment = prng.below(4) === 0 ? `dropped: ${'x'.repeat(prng.below(9))}` : null;
      const seconds = prng.next();
      const nanoseconds = prng.below(1e9);
      const lostBefore = prng.below(3);
      writer.frame(
        out,
        index % 3,
        capturedFrame(bytes, { seconds, nanoseconds, direction }),
        captured,
        comment,
        lostBefore,
      );
      return {
        interfaceName: 'abc'[index % 3],
        seconds,
        nanoseconds,
        direction: direction === ARRIVAL ? 'inbound' : 'outbound',
        comment,
        lostBefore,
        linkType: 1,
        bytes: bytes.slice(0, captured),
        length: bytes.length,
      };
    });
    const file = out.take();
    const reader = new CaptureFileReader();
    reader.push(file);
    assert.deepEqual(
      frames.map(() => reader.next()),
      expected,
      `seed ${seed}`,
    );
    assert.deepEqual([reader.next(), reader.error, reader.pendingBytes], [null, null, 0]);
    const path = directory.path('random.pcapng');
    writeFileSync(path, file);
    const rows = tsharkFields(path, 'frame.interface_name', 'frame.time_epoch', 'frame.len', 'frame.cap_len');
    assert.deepEqual(
      rows,
      expected.map(({ interfaceName, seconds, nanoseconds, length, bytes }) => [
        interfaceName,
        `${seconds}.${String(nanoseconds).padStart(9, '0')}`,
        String(length),
        String(bytes.length),
      ]),
      `seed ${seed}`,
    );
  });

  it('have time stamps that are exact to the nanosecond at any time', () => {
    const prng = new Prng(Date.now() | 0);
    for (let i = 0; i < 20_000; i++) {
      const seconds = prng.next();
      const nanoseconds = prng.below(1e9);
      const { high, low } = toNanoseconds(seconds, nanoseconds);
      assert.equal((BigInt(high) << 32n) | BigInt(low), BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds));
    }
  });
});
