// Capture filters: the frames that weft accepts are the frames that tcpdump accepts.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { accepts, type BpfProgram, PACKET_INBOUND } from '../../src/capture/bpf.js';
import { CaptureFileReader } from '../../src/capture/capture-file-reader.js';
import { ChunkBuilder } from '../../src/capture/chunk-builder.js';
import { compileFilter, type FilterResult } from '../../src/capture/filter.js';
import { createPcapWriter } from '../../src/capture/pcap-writer.js';
import { Prng } from '../../src/lib/prng.js';
import { capturedFrame, corpus, useDirectory } from './capture-frames.js';

const EXPRESSIONS = [
  'tcp',
  'udp',
  'arp',
  'icmp',
  'icmp6',
  'ip6',
  'vlan',
  'vlan 5',
  'vlan 7 and vlan 5 and ip',
  'not vlan and ip',
  'tcp port 80',
  'udp port 53 or tcp dst port 443',
  'portrange 50-100',
  'host 192.0.2.1',
  'src host 192.0.2.2 and dst net 198.51.100.0/24',
  'host 2001:db8::1',
  'ether host 02:00:00:00:00:01',
  'ether broadcast',
  'ether multicast',
  'greater 100',
  'less 60',
  'len == 60',
  'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0',
  'tcp[tcpflags] == tcp-syn',
  'icmp[icmptype] == icmp-echo',
  'ip[0] & 0xf != 5',
  'ip[6:2] & 0x1fff != 0',
  'ip[8] < 64',
  'ip6[6] == 58',
  '((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0',
  'ip proto 47 or ip6 proto 47',
  'ip6 protochain 6',
  'ip protochain 6',
  'ether proto 0x88cc',
  'stp',
  'ether[0] & 1 = 1 and not (tcp or udp)',
  'ip and (len % 7 == 3)',
  'ether[14:4] * 3 / 5 > 100 and ether[20] << 3 != 8',
  'not ip and not ip6 and not arp',
];

/** Time stamps are the numbers of the frames. */
function numberedFile(frames: Uint8Array[]): Uint8Array {
  const writer = createPcapWriter(262144);
  const out = new ChunkBuilder();
  writer.begin(out);
  frames.forEach((bytes, index) => {
    writer.frame(out, 0, capturedFrame(bytes, { seconds: index, nanoseconds: 0 }), bytes.length, null, 0);
  });
  return out.take();
}

function numbersIn(file: Uint8Array): number[] {
  const reader = new CaptureFileReader();
  reader.push(file);
  const numbers: number[] = [];
  for (let frame = reader.next(); frame !== null; frame = reader.next()) numbers.push(frame.seconds);
  assert.equal(reader.error, null);
  return numbers;
}

async function programOf(expression: string): Promise<BpfProgram> {
  const result = await compileFilter(expression);
  assert.ok(result.kind === 'compiled' && result.program !== null, JSON.stringify(result));
  return result.program;
}

async function refusal(expression: string, compiler = {}): Promise<FilterResult & { kind: 'refused' }> {
  const result = await compileFilter(expression, compiler);
  assert.ok(result.kind === 'refused', JSON.stringify(result));
  return result;
}

describe('capture filter', function filter() {
  this.timeout(120_000);
  const directory = useDirectory();
  const seed = Date.now() | 0;
  const frames = corpus(new Prng(seed), 3000).filter((bytes) => bytes.length > 0);
  let file: string;

  before(() => {
    file = directory.path('corpus.pcap');
    writeFileSync(file, numberedFile(frames));
  });

  for (const expression of EXPRESSIONS) {
    it(`accepts what tcpdump accepts: ${expression}`, async () => {
      const program = await programOf(expression);
      const accepted = frames.flatMap((bytes, index) =>
        accepts(program, bytes, 0, bytes.length, bytes.length, PACKET_INBOUND) ? [index] : [],
      );
      const parameters = ['-r', file, '-w', '-', '--', expression];
      const { status, stdout, stderr } = spawnSync('tcpdump', parameters, { maxBuffer: 64 << 20 });
      assert.equal(status, 0, stderr.toString());
      assert.deepEqual(accepted, numbersIn(stdout), `seed ${seed}`);
    });
  }

  it('has frames that are accepted and frames that are not for every protocol', async () => {
    for (const expression of ['tcp', 'udp', 'arp', 'icmp', 'icmp6', 'vlan', 'ip6', 'tcp port 80']) {
      const program = await programOf(expression);
      const accepted = frames.filter((bytes) => accepts(program, bytes, 0, bytes.length, bytes.length, PACKET_INBOUND));
      assert.ok(
        accepted.length > 10 && accepted.length < frames.length - 10,
        `${expression}: ${accepted.length}, seed ${seed}`,
      );
    }
  });

  it('knows how far into a frame it looks', async () => {
    assert.ok((await programOf('arp')).reachBytes <= 20);
    const ports = (await programOf('tcp port 80')).reachBytes;
    assert.ok(ports > 54 && ports <= 128, `${ports}`);
    assert.ok((await programOf('ether[1000] == 1')).reachBytes > 1000);
    assert.ok((await programOf('ip6 protochain 6')).reachBytes > 65536);
  });

  it('looks at no more of a frame than it says', async () => {
    for (const expression of EXPRESSIONS) {
      const program = await programOf(expression);
      for (const bytes of frames) {
        const captured = Math.min(bytes.length, program.reachBytes);
        const whole = accepts(program, bytes, 0, bytes.length, bytes.length, PACKET_INBOUND);
        assert.equal(
          accepts(program, bytes, 0, captured, bytes.length, PACKET_INBOUND),
          whole,
          `${expression}, seed ${seed}`,
        );
      }
    }
  });

  it('is no program at all when it is empty', async () => {
    for (const expression of ['', '   ']) {
      assert.deepEqual(await compileFilter(expression), { kind: 'compiled', program: null });
    }
  });

  it('passes on what tcpdump says about a wrong expression', async () => {
    const syntax = await refusal('host 192.0.2.1 adn port 80');
    assert.equal(syntax.reason, '`host 192.0.2.1 adn port 80` is no filter: syntax error at column 16, "adn port 80"');
    assert.match(syntax.remedy, /pcap-filter/);
  });

  // What is wrong, the column where it begins, and what stands there.
  const faults: [string, RegExp, number | null, string][] = [
    ['tcp prot 80', /^syntax error/, 5, 'prot 80'],
    ['tcp port', /^syntax error/, 9, ''],
    ['(tcp or udp', /^syntax error/, 12, ''],
    ['tcp or udp)', /^syntax error/, 11, ')'],
    ['foo', /^syntax error/, 1, 'foo'],
    ['tcp and not and udp', /^syntax error/, 13, 'and udp'],
    ['ip[0] & 0xf != 5 and tcp[13 & 2', /^syntax error/, 32, ''],
    ['ip[0] &  & 0xf != 5', /^syntax error/, 10, '& 0xf != 5'],
    ['portrange 50-', /^syntax error/, 11, '50-'],
    ['tcp port 80 and tcp port 443 or udp prot 53 or arp', /^syntax error/, 37, 'prot 53 or arp'],
    ['tcp port 99999', /99999/, 10, '99999'],
    ['udp or (tcp and port 80) or vlan 5000 or icmp', /5000/, 34, '5000 or icmp'],
    ['arp or net 10.0.0.0/40 or ip', /mask length/, 12, '10.0.0.0/40 or ip'],
    ['arp or tcp port nosuchport or ip', /nosuchport/, 17, 'nosuchport or ip'],
    ['arp or ether host 192.0.2.1', /./, 19, '192.0.2.1'],
    ['tcp and udp', /^expression rejects all packets$/, null, ''],
  ];
  for (const [expression, complaint, column, rest] of faults) {
    it(`finds the fault in: ${expression}`, async () => {
      const { reason } = await refusal(expression);
      const said = reason.slice(`\`${expression}\` is no filter: `.length);
      assert.match(said, complaint);
      const place = column === null ? '' : ` at column ${column}, ${rest === '' ? 'where it ends' : `"${rest}"`}`;
      assert.equal(said.slice(said.indexOf(' at column') < 0 ? said.length : said.indexOf(' at column')), place);
    });
  }

  it('never takes a word of a right expression for a fault', async () => {
    for (const expression of EXPRESSIONS.slice(20)) {
      const { reason } = await refusal(`${expression} nonsense`);
      assert.ok(
        reason.endsWith(`syntax error at column ${expression.length + 2}, "nonsense"`),
        `${expression}: ${reason}`,
      );
    }
  });

  it('asks tcpdump a bounded number of times, and goes without the place when that takes too long', async () => {
    const count = directory.path('runs');
    const counting = directory.path('counting-tcpdump');
    const script = (probe = 'ffff::*') =>
      [
        '#!/bin/sh',
        `echo run >> ${count}`,
        'for expression; do :; done',
        'case $expression in',
        `${probe}) echo "tcpdump: bogus IPv6 address $expression" >&2 ;;`,
        `*) echo "tcpdump: can't parse filter expression: syntax error" >&2 ;;`,
        'esac',
        'exit 1',
      ].join('\n');
    writeFileSync(counting, script(), { mode: 0o755 });
    const long = 'tcp or '.repeat(500).trim();
    assert.match((await refusal(long, { tcpdump: counting, timeoutMs: 30_000 })).reason, /syntax error at column 1,/);
    assert.ok(readFileSync(count, 'utf8').split('\n').length <= 15);
    writeFileSync(counting, script('never'), { mode: 0o755 });
    assert.equal((await refusal('tcp prot', { tcpdump: counting })).reason, '`tcp prot` is no filter: syntax error');
    const once = directory.path('once');
    const slowLater = `#!/bin/sh\n[ ! -e ${once} ] || exec sleep 20\ntouch ${once}\n`;
    writeFileSync(counting, script().replace('#!/bin/sh\n', slowLater), { mode: 0o755 });
    const { reason } = await refusal('tcp or udp', { tcpdump: counting, timeoutMs: 2000 });
    assert.equal(reason, '`tcp or udp` is no filter: syntax error');
  });

  it('cannot be used to give tcpdump options, commands or files', async () => {
    for (const expression of [
      '-i eth0',
      '-w /tmp/weft-injected',
      '--version',
      '-z id',
      '$(id)',
      '`id`',
      '; id',
      '| id',
    ]) {
      assert.match((await refusal(expression)).reason, /is no filter: /, expression);
    }
  });

  it('refuses control characters and expressions without an end', async () => {
    assert.match((await refusal('tcp\u0000udp')).reason, /control characters/);
    assert.match((await refusal('tcp\nudp')).reason, /control characters/);
    assert.match((await refusal('tcp or '.repeat(1000))).reason, /characters/);
  });

  it('says what to install when there is no tcpdump', async () => {
    const { reason, remedy } = await refusal('tcp', { tcpdump: '/nonexistent/tcpdump' });
    assert.match(reason, /tcpdump, which is not installed/);
    assert.match(remedy, /apt-get install tcpdump/);
  });

  it('gives up on a tcpdump that does not come back', async () => {
    const slow = directory.path('slow-tcpdump');
    writeFileSync(slow, '#!/bin/sh\nexec sleep 20\n', { mode: 0o755 });
    const { reason } = await refusal('host slow.example', { tcpdump: slow, timeoutMs: 100 });
    assert.match(reason, /took too long/);
  });

  it('believes no tcpdump that ends well when its time is up, with half of what it had to print or nothing', async () => {
    const tidy = directory.path('tidy-tcpdump');
    const printed = ['', '2\\n40 0 0 12\\n'];
    for (const half of printed) {
      writeFileSync(tidy, `#!/bin/sh\ntrap 'exit 0' TERM\nprintf '${half}'\nwhile :; do sleep 0.05; done\n`, {
        mode: 0o755,
      });
      const { reason } = await refusal('tcp', { tcpdump: tidy, timeoutMs: 500 });
      assert.match(reason, /took too long/);
    }
  });
});
