/** weft capture: to a file, to a pipe, to the terminal, in the background. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import type { CaptureRequest, CaptureView } from '../../src/control/controller/captures.js';
import type { Controller } from '../../src/control/controller.js';
import { RequestError } from '../../src/model/problems.js';
import { ApiLab, eventually } from '../support/api-lab.js';
import { runWeft, startWeft } from '../support/cli-runner.js';

describe('CLI: capture', () => {
  let lab: ApiLab;
  const requests: CaptureRequest[] = [];
  let stopped = 0;

  /** A stream of `bytes` that ends when it is stopped. */
  function streamOf(bytes: Uint8Array) {
    return async (request: CaptureRequest) => {
      requests.push(request);
      let end = () => {};
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      streams.set('capture-1', end);
      const view = { ...VIEW, frames: 1, bytes: bytes.length, lost: 0 };
      return {
        view,
        stop: end,
        chunks: (async function* () {
          yield bytes;
          await ended;
        })(),
      };
    };
  }

  const streams = new Map<string, () => void>();

  async function start(bytes: Uint8Array = new Uint8Array(0), override: Partial<Controller> = {}): Promise<void> {
    lab = await ApiLab.start({
      override: {
        ...override,
        streamCapture: streamOf(bytes),
        stopCapture: async (name) => {
          stopped++;
          streams.get(name)?.();
          return streams.has(name) ? { ...VIEW, state: 'finished' } : lab.controller.stopCapture(name);
        },
      },
    });
    await lab.populate();
    await lab.listen();
    requests.length = 0;
    streams.clear();
    stopped = 0;
  }

  afterEach(() => lab.close());

  it('-w FILE has the daemon write it, with an absolute path; Ctrl-C ends it with a summary', async () => {
    await start();
    const run = startWeft(lab.socketPath, [
      'capture',
      '--network',
      'back',
      '-w',
      'x.pcapng',
      '--snaplen',
      '96',
      'tcp',
      'port',
      '80',
    ]);
    await eventually(() => run.stderr.includes('capturing to'), 'it runs');
    const [view] = lab.controller.listCaptures();
    assert.deepEqual(
      [view!.file, view!.network, view!.filter, view!.snaplen],
      ['/somewhere/x.pcapng', 'back', 'tcp port 80', 96],
    );
    run.interrupt();
    const outcome = await run.done;
    assert.deepEqual([outcome.status, outcome.stdout], [0, '']);
    assert.match(
      outcome.stderr,
      /^capturing to \/somewhere\/x\.pcapng; Ctrl-C ends it\n0 frames captured, 0 lost, 0 B, \/somewhere\/x\.pcapng\n$/,
    );
    assert.deepEqual(lab.controller.listCaptures(), [], 'nothing runs on');
  });

  it('is ended by Ctrl-C from the moment at which it says so', async () => {
    await start();
    const fifo = join(lab.directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const file of ['x.pcapng', fifo]) {
      const stderr = new Writable({
        write(chunk: Buffer, _encoding, written) {
          if (chunk.toString().includes('Ctrl-C ends it')) run.interrupt();
          written();
        },
      });
      const run = startWeft(lab.socketPath, ['capture', '-w', file], { stderr });
      assert.equal((await run.done).status, 0, file);
      assert.equal(run.wasInterrupted, true, file);
      assert.deepEqual(lab.controller.listCaptures(), [], file);
    }
  });

  it('leaves no capture behind when Ctrl-C comes while the daemon starts it', async () => {
    await start(new Uint8Array(0), {
      startCapture(request) {
        run.interrupt();
        return lab.control.controller.startCapture(request);
      },
    });
    const run = startWeft(lab.socketPath, ['capture', '-w', 'x.pcapng']);
    assert.equal((await run.done).status, 0);
    assert.equal(run.wasInterrupted, true);
    assert.deepEqual(lab.controller.listCaptures(), []);
  });

  it('-w FILE writes the file itself where the daemon may not, and --json tells what came', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'weft-capture-')), 'home.pcapng');
    await start(Buffer.from('these are the bytes'), {
      async startCapture() {
        const message = `weftd cannot write ${path} (EROFS)`;
        throw new RequestError('invalid-request', message, '', [{ path: 'file', code: 'out-of-reach', message }]);
      },
    });
    try {
      const run = startWeft(lab.socketPath, ['--json', 'capture', '-w', path]);
      await eventually(() => existsSync(path) && readFileSync(path).length > 0, 'the bytes');
      run.interrupt();
      const outcome = await run.done;
      assert.equal(readFileSync(path, 'latin1'), 'these are the bytes');
      assert.deepEqual(JSON.parse(outcome.stdout), { file: path, frames: 1, lost: 0 });
      assert.match(outcome.stderr, /home\.pcapng, which this command writes, as weftd may not; Ctrl-C ends it\n/);
      const refused = await runWeft(lab.socketPath, ['capture', '-w', '/nowhere/at/all.pcapng']);
      assert.match(refused.stderr, /^error: cannot capture \(weftd cannot write .* \(EROFS\)\)\n$/);
      assert.equal(refused.status, 1);
    } finally {
      rmSync(dirname(path), { recursive: true });
    }
  });

  it('-w - gives the bytes to stdout as they are, and the summary to stderr', async () => {
    const bytes = new TextEncoder().encode('\u001b[2J these are the bytes');
    await start(bytes);
    const run = startWeft(lab.socketPath, ['capture', '--endpoint', 'web-back', '--count', '5', '-w', '-']);
    await eventually(() => run.stdout.length > 0, 'the bytes');
    run.interrupt();
    const outcome = await run.done;
    assert.deepEqual([outcome.status, outcome.stdout, stopped], [0, '\u001b[2J these are the bytes', 1]);
    assert.equal(outcome.stderr, '1 frame captured, 0 lost\n');
    assert.deepEqual(requests, [{ endpoint: 'web-back', count: 5 }]);
  });

  it('-w - does not write to a terminal', async () => {
    await start();
    const outcome = await runWeft(lab.socketPath, ['capture', '-w', '-'], { terminal: true });
    assert.equal(outcome.stderr, 'error: a capture is no text (stdout is a terminal; use -w FILE or a pipe)\n');
    assert.deepEqual(requests, []);
  });

  it('without -w there is a line per frame', async () => {
    await start(pcapFile());
    const run = startWeft(lab.socketPath, ['capture', '--drops']);
    await eventually(() => run.stdout.includes('\n'), 'a line');
    run.interrupt();
    const outcome = await run.done;
    assert.match(outcome.stdout, /^\d\d:\d\d:\d\d\.000007 ARP.*10\.0\.0\.2.*10\.0\.0\.1.*\n$/);
    assert.equal(outcome.stderr, '1 frame captured, 0 lost\n');
    assert.deepEqual(requests, [{ all: true, drops: true }]);
  });

  it('with --json the frames are one document, also when nobody sends any', async () => {
    for (const [bytes, lengths] of [
      [pcapFile(), [42]],
      [pcapFile().subarray(0, 24), []],
    ] as const) {
      await start(bytes);
      const run = startWeft(lab.socketPath, ['--json', 'capture']);
      await eventually(() => requests.length === 1 && (lengths.length === 0 || run.stdout.length > 0), 'the frames');
      run.interrupt();
      const { status, stdout } = await run.done;
      const frames: { length: number }[] = JSON.parse(stdout);
      assert.deepEqual([status, frames.map(({ length }) => length)], [0, lengths]);
      await lab.close();
    }
    await start();
  });

  it('start leaves a capture running, list and show tell of it, stop ends it', async () => {
    await start();
    const weft = async (line: string) => (await runWeft(lab.socketPath, line.split(' '))).stdout;
    assert.equal(
      await weft('capture start --network back --name night -w night.pcapng icmp'),
      'capture night started: writes /somewhere/night.pcapng; end it with weft capture stop night\n',
    );
    assert.equal(
      await weft('capture list'),
      'NAME   STATE    SCOPE         FILTER  FRAMES  LOST  SIZE  FILE\nnight  running  network back  icmp         0     0   0 B  /somewhere/night.pcapng\n',
    );
    assert.match(
      await weft('capture show night'),
      /^Name: +night\nState: +running\nScope: +network back\nFilter: +icmp\n/,
    );
    assert.equal(await weft('capture stop night'), 'capture night stopped: 0 frames captured, 0 lost, 0 B\n');
    assert.equal(await weft('capture ls'), 'no captures\n');
  });
});

const VIEW: CaptureView = {
  ...{
    name: 'capture-1',
    network: null,
    endpoint: null,
    all: true,
    underlay: false,
    file: null,
    format: 'pcapng',
    filter: '',
  },
  ...{ rotateSize: null, rotateFiles: null, files: [] },
  ...{ snaplen: 262144, drops: false, state: 'running', reason: null, frames: 0, bytes: 0, lost: 0 },
  startedAt: '2026-01-01T00:00:00.000Z',
};

/** A classic pcap with one ARP request in it. */
function pcapFile(): Uint8Array {
  const frame = Buffer.from(
    `ffffffffffff020000000001${'0806'}00010800060400010200000000010a0000010000000000000a000002`,
    'hex',
  );
  const file = Buffer.alloc(40);
  [0xa1b2c3d4, 0x00040002, 0, 0, 262144, 1, 1_800_000_000, 7, frame.length, frame.length].forEach((word, i) => {
    file.writeUInt32LE(word, i * 4);
  });
  return Buffer.concat([file, frame]);
}
