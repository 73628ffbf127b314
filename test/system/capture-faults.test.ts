// Captures when something goes wrong: the disk, the reader, the daemon, what is captured. Forwarding never notices, what has
// been captured can be read, and every loss is told.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { readCaptureFrames } from '../../src/capture/capture-frames.js';
import { WEFT } from '../support/system-daemon.js';
import { useLab } from '../support/system-lab.js';
import { createPair, type Pair } from '../support/system-pair.js';
import { type Background, must, run, waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

/** Nothing in these labs sends such a frame, so a capture of them stays idle. */
const NEVER = ['udp', 'port', '12345'];

describe('weft capture, when something goes wrong', function captureFaults() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;
  let files = 0;

  before(async () => {
    pair = await createPair(lab);
  });

  function newFile(): string {
    return join(lab.directory, `fault-${files++}.pcapng`);
  }

  function weft(...parameters: string[]): string[] {
    return [process.execPath, WEFT, '--socket', daemon.socket, ...parameters];
  }

  /** As part of a shell's command line. */
  function shell(...parameters: string[]): string {
    return weft(...parameters)
      .map((word) => `'${word}'`)
      .join(' ');
  }

  async function running(): Promise<string[]> {
    return (await daemon.call('GET', '/v1/captures')).map(({ name }: { name: string }) => name);
  }

  /** Rows of tshark, which must have nothing to complain of. */
  async function tshark(file: string, ...parameters: string[]): Promise<string[]> {
    const outcome = await run(['tshark', '-n', '-r', file, ...parameters]);
    const complaints = outcome.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('Running as user'));
    assert.deepEqual([outcome.status, complaints], [0, []], `tshark reads ${file} without a complaint`);
    return outcome.stdout.split('\n').filter((line) => line !== '');
  }

  /** `count` pings of `size` bytes, a thousandth of a second apart; every one is answered. */
  async function pings(count: number, size: number, { left, right }: Pair = pair): Promise<void> {
    const command = ['ping', '-n', '-q', '-c', String(count), '-i', '0.001', '-s', String(size), right.v4];
    const before = await echoReplies(left.base);
    await lab.inside(left.base, command);
    // Counted by the kernel: ping itself waits for the last answers no longer than twice the longest round trip before.
    await waitFor(`${count} answers`, async () => (await echoReplies(left.base)) - before >= count);
    assert.equal((await echoReplies(left.base)) - before, count);
  }

  /** How many the kernel of a compartment has had so far. */
  async function echoReplies(base: string): Promise<number> {
    const [names, values] = (await lab.inside(base, ['cat', '/proc/net/snmp']))
      .split('\n')
      .filter((line) => line.startsWith('Icmp:'))
      .map((line) => line.split(' '));
    return Number(values![names!.indexOf('InEchoReps')]);
  }

  async function messages(type: string): Promise<string[]> {
    const events: { type: string; message: string }[] = await daemon.json('events');
    return events.filter((event) => event.type === type).map(({ message }) => message);
  }

  it('to a disk that is full ends with the reason and a file that can be read; forwarding goes on', async () => {
    const small = join(lab.directory, 'small');
    mkdirSync(small);
    await must(['mount', '-t', 'tmpfs', '-o', 'size=600k', 'weft-test', small]);
    try {
      const file = join(small, 'full.pcapng');
      const capture = lab.background(null, weft('capture', '--network', pair.network, '-w', file));
      await waitFor('the capture to begin', () => existsSync(file) && statSync(file).size > 0);
      await pings(1000, 1000);
      const { status, stderr } = await capture.end();
      assert.equal(status, 1);
      assert.match(
        stderr,
        /^error: the capture failed \(the disk is full \(ENOSPC\); the file has what came before\)$/m,
      );
      const rows = await tshark(file, '-Y', 'icmp');
      assert.ok(rows.length > 200 && rows.length < 2000, `${rows.length} frames were kept`);
      const ended = (await messages('capture-ended')).at(-1) ?? '';
      assert.match(ended, /ended with \d+ frames, [1-9]\d* lost: the disk is full \(ENOSPC\)$/);
    } finally {
      await must(['umount', small]);
    }
    await pings(100, 1000);
  });

  it('into a pipe ends when its reader is gone, although no frame comes', async () => {
    const command = `${shell('capture', '--network', pair.network, '-w', '-', ...NEVER)} | sleep 1`;
    const pipe = lab.background(null, ['bash', '-c', command]);
    await waitFor('the capture to run', async () => (await running()).length === 1);
    const { status, stderr } = await pipe.end();
    assert.deepEqual([status, stderr], [0, '']);
    assert.deepEqual(await running(), []);
  });

  it('to the terminal ends when nobody reads its lines any more', async () => {
    const command = `${shell('capture', '--network', pair.network, ...NEVER)} | sleep 1`;
    const pipe = lab.background(null, ['bash', '-c', command]);
    await waitFor('the capture to run', async () => (await running()).length === 1);
    assert.equal((await pipe.end()).status, 0);
    assert.deepEqual(await running(), []);
  });

  describe('into a named pipe', () => {
    async function start(name: string, ...parameters: string[]): Promise<{ fifo: string; capture: Background }> {
      const fifo = join(lab.directory, name);
      await must(['mkfifo', fifo]);
      const capture = lab.background(null, weft('capture', '--network', pair.network, '-w', fifo, ...parameters));
      await waitFor('weft to wait for a reader', () => capture.stderr.includes('as soon as somebody reads it'));
      return { fifo, capture };
    }

    it('waits for a reader, is live, and ends when the pipe is closed while nothing is captured', async () => {
      const { fifo, capture } = await start('fifo', 'icmp');
      assert.deepEqual(await running(), [], 'nobody reads, so nothing is captured');
      const tsharkCommand = ['tshark', '-n', '-l', '-r', '-', '-Y', 'icmp'];
      const reader = lab.background(null, ['bash', '-c', `exec ${tsharkCommand.join(' ')} < ${fifo}`]);
      await waitFor('the capture to run', async () => (await running()).length === 1);
      await pings(3, 100);
      await waitFor('the lines', () => reader.stdout.split('\n').length === 7);
      await reader.stop('SIGKILL');
      const { status } = await capture.end();
      assert.equal(status, 0);
      await waitFor('the capture to end in the daemon', async () => (await running()).length === 0);
    });

    it('ends with Ctrl-C, also while it waits for a reader', async () => {
      const { capture } = await start('unread');
      assert.equal((await capture.stop('SIGINT')).status, 0);
      assert.deepEqual(await running(), []);
    });

    it('ends after --count frames, and the reader has a whole file', async () => {
      const { fifo, capture } = await start('counted', '--count', '4', 'icmp');
      const file = newFile();
      const reader = lab.background(null, ['cp', fifo, file]);
      await waitFor('the capture to run', async () => (await running()).length === 1);
      await pings(5, 100);
      assert.deepEqual([(await capture.end()).status, (await reader.end(5_000)).status], [0, 0]);
      assert.equal((await tshark(file)).length, 4);
    });
  });

  it('of an endpoint that is deleted goes on, says so, and has the frames of the next one of that name', async () => {
    const other = await createPair(lab);
    const { endpoint } = other.left;
    const file = newFile();
    await daemon.call('POST', '/v1/captures', { name: 'waiting', endpoint, file, filter: 'icmp' });
    await pings(2, 100, other);
    await daemon.call('DELETE', `/v1/endpoints/${endpoint}`);
    const told = `capture waiting waits: endpoint ${endpoint} was deleted; it goes on when there is one of that name again`;
    assert.deepEqual(await messages('capture-waiting'), [told]);
    assert.equal((await daemon.call('GET', '/v1/captures/waiting')).state, 'running');
    const next = { name: endpoint, network: other.network, compartment: other.left.compartment, ip: [other.left.v4] };
    await daemon.call('POST', '/v1/endpoints', next);
    await pings(3, 100, other);
    assert.equal((await daemon.call('POST', '/v1/captures/waiting/stop')).frames, 10);
    assert.equal((await tshark(file, '-Y', `frame.interface_name == "${endpoint}"`)).length, 10);
  });

  it('a hundred times at once, each has every frame', async () => {
    const names = Array.from({ length: 100 }, (_, i) => `many-${i}`);
    const paths = names.map((name) => join(lab.directory, `${name}.pcapng`));
    await Promise.all(
      names.map((name, i) =>
        daemon.call('POST', '/v1/captures', { name, network: pair.network, file: paths[i], filter: 'icmp' }),
      ),
    );
    await pings(200, 500);
    const ends = await Promise.all(names.map((name) => daemon.call('POST', `/v1/captures/${name}/stop`)));
    assert.deepEqual(
      ends.map(({ frames, lost, state }) => [frames, lost, state]),
      names.map(() => [400, 0, 'finished']),
    );
    for (const path of paths) assert.equal((await frameLosses(path)).frames, 400);
  });

  /** What a file says of losses: in front of frames, and in the statistics of its interfaces. */
  async function frameLosses(file: string): Promise<{ frames: number; told: number; counted: number }> {
    const bytes = readFileSync(file);
    let [frames, told, counted] = [0, 0, 0];
    const input = (async function* () {
      yield bytes;
    })();
    for await (const { lostBefore } of readCaptureFrames(input)) {
      frames++;
      told += lostBefore;
    }
    for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + 4)) {
      if (bytes.readUInt32LE(at) === 5) counted += droppedIn(bytes, at + 20);
    }
    return { frames, told, counted };
  }

  /** isb_ifdrop, option 5 of the interface statistics block. */
  function droppedIn(bytes: Buffer, optionsAt: number): number {
    let at = optionsAt;
    while (bytes.readUInt16LE(at) !== 5) at += 4 + bytes.readUInt16LE(at + 2);
    return Number(bytes.readBigUInt64LE(at + 4));
  }

  it('for a reader that is too slow counts every loss in the file, and slows nobody down', async () => {
    const body = JSON.stringify({ network: pair.network });
    const outgoing = request({
      socketPath: daemon.socket,
      method: 'POST',
      path: '/v1/captures/stream',
      headers: { host: 'weft', 'content-type': 'application/json', 'content-length': body.length },
    });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.on('response', resolve).on('error', reject);
    });
    outgoing.end(body);
    const response = await answered;
    const name = String(response.headers['weft-capture']);
    const { left, right } = pair;
    const transfer = { from: left.base, to: right.base, address: right.v4, bytes: 120e6 };
    await (await startTransfer(lab, transfer)).finish();
    const isLosing = async () => (await daemon.call('GET', `/v1/captures/${name}`)).lost > 0;
    await waitFor('a loss', isLosing);
    // Somebody reads again: what comes now tells of what is missing in front of it.
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    const ended = new Promise((resolve) => response.on('end', resolve));
    await pings(20, 100);
    const view = await daemon.call('POST', `/v1/captures/${name}/stop`);
    await ended;
    const file = newFile();
    writeFileSync(file, Buffer.concat(chunks));
    const { frames, told, counted } = await frameLosses(file);
    const { 'weft-frames': sent, 'weft-lost': lost } = response.trailers;
    assert.deepEqual([frames, counted], [Number(sent), Number(lost)]);
    assert.deepEqual([view.frames, view.lost], [frames, counted]);
    assert.ok(told > 0 && told <= counted, `${told} told in front of frames, ${counted} counted`);
    await tshark(file);
  });

  it('of a daemon that is killed under load can be read up to there, without a complaint', async () => {
    for (let round = 0; round < 3; round++) {
      const file = newFile();
      await daemon.call('POST', '/v1/captures', { name: `killed-${round}`, network: pair.network, file, snaplen: 200 });
      const { left, right } = pair;
      const load = { from: left.base, to: right.base, address: right.v4, bytes: 40e6, bytesPerSecond: 20e6 };
      const transfer = await startTransfer(lab, load);
      await waitFor('the file to grow', () => statSync(file).size > (round + 1) * 40_000);
      await daemon.kill();
      assert.ok((await tshark(file, '-T', 'fields', '-e', 'frame.number')).length > 100);
      await daemon.start();
      await transfer.finish();
    }
  });

  it('rotates under load without losing a frame between two files', async () => {
    const file = newFile();
    const capture = { name: 'ring', network: pair.network, file, filter: 'icmp', rotateSize: 65_536, rotateFiles: 5 };
    await daemon.call('POST', '/v1/captures', capture);
    await pings(1000, 1000);
    const view = await daemon.call('POST', '/v1/captures/ring/stop');
    assert.deepEqual([view.frames, view.lost, view.files.length], [2000, 0, 5]);
    const sequences: number[] = [];
    for (const path of view.files) {
      const rows = await tshark(path, '-Y', 'icmp.type == 8', '-T', 'fields', '-e', 'icmp.seq');
      sequences.push(...rows.map(Number));
    }
    assert.deepEqual(
      sequences,
      Array.from({ length: sequences.length }, (_, i) => 1001 - sequences.length + i),
    );
  });
});
