// `weft replay`: files and pipes, what it says, and how it ends.
import { strict as assert } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ApiLab, eventually } from '../support/api-lab.js';
import { pcapFile, pcapngFile } from '../support/capture-files.js';
import { type CliOutcome, runWeft, startWeft } from '../support/cli-runner.js';
import { ether, ipv4, pattern, tcp, udp } from '../support/frame-builders.js';

const ADDRESSES = { from: '02:00:5e:00:00:01', to: '02:00:5e:00:00:02' };
const V4 = { from: '192.0.2.1', to: '192.0.2.2' };
const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2024, 0, 1);

describe('CLI: replay', () => {
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
    await lab.populate();
    await lab.listen();
  });
  afterEach(() => lab.close());

  function datagram(text: string): Uint8Array {
    return ether(ADDRESSES, ipv4(V4, udp(4000, 9, text))).bytes;
  }

  function save(name: string, bytes: Uint8Array): string {
    const path = join(lab.directory, name);
    writeFileSync(path, bytes);
    return path;
  }

  function weft(...parameters: string[]): Promise<CliOutcome> {
    return runWeft(lab.socketPath, ['replay', ...parameters]);
  }

  /** The time that it took is not for golden texts. */
  function timeless({ status, stdout, stderr }: CliOutcome): CliOutcome {
    return { status, stdout: stdout.replace(/in [\d.]+ s/, 'in T'), stderr };
  }

  it('says what became of the frames of a file', async () => {
    const stream = ether(ADDRESSES, ipv4(V4, tcp({}, pattern(20_000)))).bytes;
    const packets = [
      { bytes: datagram('one'), direction: 'in' as const },
      { bytes: datagram('gone out'), direction: 'out' as const },
      { bytes: stream },
      { bytes: datagram('cut').subarray(0, 40), length: 45 },
    ];
    const file = save('web.pcapng', pcapngFile(['web'], packets));
    assert.deepEqual(timeless(await weft(file, '--endpoint', 'web-back', '--top-speed')), {
      status: 0,
      stdout:
        '2 frames (1 super-frame) injected into web-back, 19.6 KiB, in T\n' +
        'not injected: 1 of another direction or interface, 1 not captured whole (snaplen)\n',
      stderr: '',
    });
    assert.equal(lab.control.datapath.injected.length, 2);
  });

  it('reads a pipe, and prints one JSON document with --json', async () => {
    const stdin = Readable.from([pcapFile([{ bytes: datagram('one') }, { bytes: datagram('two') }])]);
    const outcome = await runWeft(
      lab.socketPath,
      [
        '--json',
        'replay',
        '-',
        '--endpoint',
        'web-back',
        '--count',
        '1',
        '--from-interface',
        'x',
        '--direction',
        'any',
      ],
      { stdin },
    );
    const { seconds: _, ...document } = JSON.parse(outcome.stdout);
    assert.deepEqual(document, {
      endpoint: 'web-back',
      injected: 0,
      bytes: 0,
      superFrames: 0,
      dropped: 0,
      skipped: { notSelected: 2, notEthernet: 0, cut: 0, tooShort: 0, tooLong: 0 },
      ended: 'end-of-file',
    });
    assert.deepEqual([outcome.status, outcome.stderr], [0, '']);
  });

  it('shows its progress on a terminal when it takes longer than a second', async () => {
    const packets = [0, 1500].map((offset) => ({ bytes: datagram('slow'), atMs: START_MS + offset }));
    const file = save('slow.pcap', pcapFile(packets));
    const outcome = await runWeft(lab.socketPath, ['replay', file, '--endpoint', 'web-back'], { terminal: true });
    const shown = outcome.stderr.replaceAll('\r\x1b[K', '|');
    assert.match(shown, /^(\|replaying: 100 % of 148 B read, 1(\.\d)? s; Ctrl-C ends it)+\|$/);
    assert.match(outcome.stdout, /^2 frames injected into web-back, 92 B, in 1\.\d s\n$/);
    const short = await runWeft(lab.socketPath, ['replay', file, '--endpoint', 'web-back', '--top-speed'], {
      terminal: true,
    });
    assert.equal(short.stderr, '');
  });

  it('ends on Ctrl-C and says how far it came', async () => {
    const packets = [0, HOUR_MS].map((offset) => ({ bytes: datagram('long'), atMs: START_MS + offset }));
    const file = save('long.pcap', pcapFile(packets));
    const running = startWeft(lab.socketPath, ['replay', file, '--endpoint', 'web-back']);
    await eventually(() => lab.control.datapath.injected.length === 1, 'the first frame is in');
    running.interrupt();
    assert.deepEqual(timeless(await running.done), {
      status: 0,
      stdout: '1 frame injected into web-back, 46 B, in T, ended before the file did\n',
      stderr: '',
    });
  });

  it('fails with one line that says why', async () => {
    const good = save('good.pcap', pcapFile([{ bytes: datagram('one') }]));
    const text = save('text', Buffer.from('not a capture'));
    const cut = save('cut.pcap', pcapFile([{ bytes: datagram('one') }]).subarray(0, 60));
    const cases: [string[], number, RegExp][] = [
      [['missing', '--endpoint', 'web-back'], 1, /^error: cannot replay missing \(there is no such file; .*\)\n$/],
      [[lab.directory, '--endpoint', 'web-back'], 1, /^error: cannot replay .* \(it is a directory; .*\)\n$/],
      [[text, '--endpoint', 'web-back'], 1, /^error: cannot replay .*neither pcapng nor pcap.*\n$/],
      [[cut, '--endpoint', 'web-back'], 1, /^error: cannot replay .*cut short.*injected before that: 0.*\n$/],
      [[good, '--endpoint', 'nobody'], 1, /^error: cannot replay .*there is no endpoint nobody.*\n$/],
      [[good], 2, /^error: required option '--endpoint <E>' not specified .*\n$/],
      [[good, '--endpoint', 'web-back', '--speed', '0'], 2, /^error: .*a number above 0.*\n$/],
      [[good, '--endpoint', 'web-back', '--speed', '2', '--top-speed'], 2, /^error: .*cannot be used with.*\n$/],
      [[good, '--endpoint', 'web-back', '--direction', 'up'], 2, /^error: .*Allowed choices are in, out, any.*\n$/],
    ];
    for (const [parameters, status, stderr] of cases) {
      const outcome = await weft(...parameters);
      assert.deepEqual([outcome.status, outcome.stdout], [status, ''], parameters.join(' '));
      assert.match(outcome.stderr, stderr);
    }
    assert.equal(lab.control.datapath.injected.length, 0);
  });
});
