// Captures from the ring to files: which frames, both directions, drops, filters, limits and losses.
import { strict as assert } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { createCaptureMemory } from '../../src/capture/capture-layout.js';
import { createCaptureManager } from '../../src/control/captures/capture-manager.js';
import { DROP } from '../../src/datapath/drop-reasons.js';
import { CAPTURE_ARRIVALS, CAPTURE_DEPARTURES, CAPTURE_DROPS } from '../../src/datapath/program.js';
import { ether, ipv4, partial, pattern, tcp } from '../support/frame-builders.js';
import { linesOf, useDirectory } from './capture-frames.js';
import { brief, type CaptureLab, datagram, HOST_OF, PORTS, read, useCaptureLab, waitFor } from './capture-lab.js';

describe('capture manager', function manager() {
  this.timeout(120_000);
  const directory = useDirectory();
  const useLab = useCaptureLab();
  let lab: CaptureLab;

  beforeEach(() => {
    lab = useLab();
  });

  it('marks nothing while no capture runs', async () => {
    assert.deepEqual([lab.captures.snaplen(), lab.captures.flagsOf('web', 'front')], [0, 0]);
    const { name } = await lab.start({ endpoint: 'web' });
    assert.equal(lab.changes, 1);
    await lab.captures.stop(name);
    assert.equal(lab.changes, 2);
    assert.deepEqual([lab.captures.snaplen(), lab.captures.flagsOf('web', 'front')], [0, 0]);
  });

  it('marks the ports of a network for arrivals, those of an endpoint for both directions, and drops when asked', async () => {
    await lab.start({ network: 'front' });
    assert.equal(lab.captures.flagsOf('web', 'front'), CAPTURE_ARRIVALS);
    assert.equal(lab.captures.flagsOf(null, 'front'), CAPTURE_ARRIVALS);
    assert.equal(lab.captures.flagsOf('cache', 'back'), 0);
    await lab.start({ endpoint: 'web', drops: true });
    assert.equal(lab.captures.flagsOf('web', 'front'), CAPTURE_ARRIVALS | CAPTURE_DEPARTURES | CAPTURE_DROPS);
    assert.equal(lab.captures.flagsOf('db', 'front'), CAPTURE_ARRIVALS);
  });

  it('of an underlay marks the ports of the VTEP for both directions, and no others', async () => {
    const flags = (network: string, carries?: string[]) => lab.captures.flagsOf(null, network, carries);
    const key = 'socket 192.0.2.1 4789';
    await lab.start({ network: 'front', underlay: true });
    const both = CAPTURE_ARRIVALS | CAPTURE_DEPARTURES;
    assert.deepEqual([flags('front'), flags(key, ['front', 'back']), flags(key, ['back'])], [0, both, 0]);
    await lab.start({ underlay: true, drops: true });
    assert.deepEqual([flags('front'), flags(key, ['back'])], [0, both | CAPTURE_DROPS]);
  });

  it('has each frame of a network once, where it enters', async () => {
    const capture = await lab.start({ network: 'front' });
    lab.conversation();
    assert.deepEqual(await capture.frames(), ['web in 1', 'db in 2', 'weft-front in 3']);
  });

  it('has each frame of all networks once, by default', async () => {
    const capture = await lab.start();
    lab.conversation();
    assert.deepEqual(await capture.frames(), ['web in 1', 'db in 2', 'weft-front in 3', 'cache in 4']);
  });

  it('has both directions of an endpoint', async () => {
    const capture = await lab.start({ endpoint: 'web' });
    lab.conversation();
    assert.deepEqual(await capture.frames(), ['web in 1', 'web out 2', 'web out 3']);
  });

  it('serves several captures from one ring', async () => {
    const all = await lab.start({ all: true });
    const web = await lab.start({ endpoint: 'web' });
    const filtered = await lab.start({ network: 'front', filter: 'src host 192.0.2.2' });
    lab.conversation();
    assert.equal((await all.frames()).length, 4);
    assert.equal((await web.frames()).length, 3);
    assert.deepEqual(await filtered.frames(), ['db in 2']);
  });

  it('shows a hundred captures at once their frames', async () => {
    const hundred = await Promise.all(Array.from({ length: 100 }, () => lab.start({ network: 'front' })));
    lab.conversation();
    for (const capture of hundred) assert.deepEqual(await capture.frames(), ['web in 1', 'db in 2', 'weft-front in 3']);
  });

  it('says why a frame was dropped, and has departures that failed, when drops are asked for', async () => {
    const plain = await lab.start({ endpoint: 'web' });
    const drops = await lab.start({ endpoint: 'web', drops: true });
    const network = await lab.start({ network: 'front', drops: true });
    lab.recorder.arrive(0, datagram(0, 1, 1), DROP.isolated);
    lab.recorder.depart(0, datagram(1, 0, 2), DROP.portDown);
    lab.recorder.depart(0, datagram(1, 0, 3));
    assert.deepEqual(await plain.frames(), ['web in 1', 'web out 3']);
    const dropped = ['web in 1 (dropped: isolated)', 'web out 2 (dropped: port-down)'];
    assert.deepEqual(await drops.frames(), [...dropped, 'web out 3']);
    assert.deepEqual(await network.frames(), dropped);
  });

  it('gives tshark the name, the description and the comment', async () => {
    const { name, file } = await lab.start({ network: 'front', drops: true, filter: 'udp' });
    lab.recorder.arrive(0, datagram(0, 1, 1), DROP.storm);
    await lab.captures.stop(name);
    const fields = ['frame.interface_name', 'frame.interface_description', 'frame.comment', 'frame.time_epoch'];
    const lines = linesOf('tshark', ['-r', file, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])]);
    const [web, description, comment, time] = lines[0]!.split('\t');
    assert.deepEqual([web, description, time], ['web', 'network front, interface eth0', '1700000000.000000005']);
    assert.match(comment ?? '', /^dropped: storm: The port sent more broadcast/);
  });

  it('completes checksums, of whole frames and of cut ones', async () => {
    const whole = ether(
      { from: PORTS[0]!.mac, to: PORTS[1]!.mac },
      ipv4({ from: HOST_OF[0]!, to: HOST_OF[1]! }, tcp({}, pattern(3001))),
    );
    for (const snaplen of [undefined, 100]) {
      const { name, file } = await lab.start({ network: 'front', ...(snaplen === undefined ? {} : { snaplen }) });
      lab.recorder.arrive(0, partial(whole));
      await lab.captures.stop(name);
      const [frame] = read(readFileSync(file));
      assert.deepEqual(frame?.bytes, whole.bytes.slice(0, snaplen));
      assert.equal(frame?.length, whole.bytes.length);
    }
  });

  it('filters on more of a frame than it keeps', async () => {
    const { name, file } = await lab.start({
      network: 'front',
      snaplen: 20,
      filter: 'udp src port 7 and ether[200] == 9',
    });
    assert.ok(lab.captures.snaplen() > 200);
    for (const [n, byte] of [
      [7, 9],
      [7, 8],
      [6, 9],
    ] as const) {
      lab.recorder.arrive(0, datagram(0, 1, n, new Uint8Array(500).fill(byte)));
    }
    await lab.captures.stop(name);
    const frames = read(readFileSync(file));
    assert.deepEqual(
      frames.map(({ bytes, length }) => [bytes.length, length]),
      [[20, 542]],
    );
  });

  it('compiles a filter once that many captures want at the same time', async () => {
    const runs = directory.path('shared-runs');
    const tcpdump = directory.path('shared-tcpdump');
    writeFileSync(tcpdump, `#!/bin/sh\necho run >> ${runs}\nexec tcpdump "$@"\n`, { mode: 0o755 });
    const captures = createCaptureManager({
      tables: { capture: createCaptureMemory(1 << 20) },
      clock: { now: () => 0 },
      log: { info: () => {}, warn: () => {} },
      filter: { tcpdump },
    });
    const startMany = (filter: string, count: number) =>
      Promise.allSettled(
        Array.from({ length: count }, (_, n) =>
          captures.start({ file: directory.path(`${filter}-${n}.pcapng`), filter }),
        ),
      );
    const outcomes = async (filter: string) => new Set((await startMany(filter, 20)).map(({ status }) => status));
    assert.deepEqual([...(await outcomes('tcp'))], ['fulfilled']);
    assert.deepEqual([...(await outcomes('nonsense'))], ['rejected'], 'all are told');
    const before = readFileSync(runs, 'utf8').split('\n').length;
    assert.deepEqual([...(await outcomes('udp'))], ['fulfilled']);
    assert.equal(readFileSync(runs, 'utf8').split('\n').length - before, 1);
    assert.equal((await captures.start({ file: directory.path('again.pcapng'), filter: 'udp' })).filter, 'udp');
    assert.equal(readFileSync(runs, 'utf8').split('\n').length - before, 2, 'and again for who comes later');
    await captures.close();
  });

  it('compiles a filter ahead, and anew when that was long ago', async () => {
    const runs = directory.path('runs');
    const tcpdump = directory.path('tcpdump');
    writeFileSync(tcpdump, `#!/bin/sh\necho run >> ${runs}\nexec tcpdump "$@"\n`, { mode: 0o755 });
    let now = 0;
    const captures = createCaptureManager({
      tables: { capture: createCaptureMemory(1 << 20) },
      clock: { now: () => now },
      log: { info: () => {}, warn: () => {} },
      filter: { tcpdump },
    });
    const runsAfterStart = async () => {
      await captures.start({ file: directory.path(`${now}.pcapng`), filter: 'tcp' });
      return readFileSync(runs, 'utf8').split('\n').length - 1;
    };
    await captures.prepareFilter('tcp');
    assert.equal(await runsAfterStart(), 1);
    now = 61_000;
    assert.equal(await runsAfterStart(), 2);
    await assert.rejects(captures.prepareFilter('tcp prot 80'), /syntax error at column 5, "prot 80"/);
    await captures.close();
  });

  it('ends by itself after so many frames that pass', async () => {
    const { name, file } = await lab.start({ network: 'front', count: 3, filter: 'src host 192.0.2.1' });
    for (let n = 1; n <= 10; n++) lab.recorder.arrive(n % 2, datagram(n % 2, 1 - (n % 2), n));
    await waitFor('the end', () => lab.ended.length > 0);
    const { state, reason, frames } = lab.captures.find(name)!;
    assert.deepEqual([state, reason, frames], ['finished', 'the count is reached', 3]);
    assert.deepEqual(read(readFileSync(file)).map(brief), ['web in 2', 'web in 4', 'web in 6']);
    assert.equal(lab.captures.flagsOf('web', 'front'), 0);
    assert.equal(lab.ended.length, 1);
  });

  it('ends by itself after its duration, with what came until then', async () => {
    const startedAt = performance.now();
    const { name, file } = await lab.start({ network: 'front', duration: 0.15 });
    lab.recorder.arrive(0, datagram(0, 1, 1));
    await waitFor('the end', () => lab.ended.length > 0);
    assert.ok(performance.now() - startedAt >= 149);
    assert.equal(lab.captures.find(name)?.reason, 'the duration is over');
    assert.deepEqual(read(readFileSync(file)).map(brief), ['web in 1']);
  });

  it('can be followed live: its file can be read at any moment, and is never long behind', async () => {
    const { name, file } = await lab.start({ network: 'front' });
    assert.equal(read(readFileSync(file)).length, 0, 'the head is there when it has started');
    let seen = 0;
    for (let n = 1; n <= 60; n++) {
      lab.recorder.arrive(0, datagram(0, 1, n, pattern(900)));
      await new Promise((resolve) => setTimeout(resolve, 10));
      // A write of the kernel is not atomic for a reader, so the last record may be on its way.
      const frames = read(readFileSync(file), false).length;
      assert.ok(frames >= seen);
      seen = frames;
    }
    await waitFor('the last frame', () => read(readFileSync(file), false).length === 60);
    assert.equal(lab.captures.find(name)?.state, 'running');
    await lab.captures.stop(name);
  });

  it('follows an endpoint that comes, goes and moves', async () => {
    const capture = await lab.start({ endpoint: 'new' });
    const network = await lab.start({ network: 'front' });
    lab.recorder.arrive(0, datagram(0, 1, 1));
    lab.recorder.setPorts([
      ...PORTS,
      { port: 4, endpoint: 'new', network: 'front', ifname: 'eth0', mac: PORTS[0]!.mac },
    ]);
    lab.recorder.arrive(4, datagram(0, 1, 2));
    // The row of `web` goes to `new`: what web had sent stays web's.
    lab.recorder.arrive(0, datagram(0, 1, 3));
    lab.recorder.setPorts([{ port: 0, endpoint: 'new', network: 'front', ifname: 'eth0', mac: PORTS[0]!.mac }]);
    lab.recorder.arrive(0, datagram(0, 1, 4));
    lab.recorder.setPorts([]);
    lab.recorder.arrive(0, datagram(0, 1, 5));
    assert.deepEqual(await capture.frames(), ['new in 2', 'new in 4']);
    assert.deepEqual(await network.frames(), ['web in 1', 'new in 2', 'web in 3', 'new in 4']);
  });

  it('counts what a full ring lost, in its numbers and in the file, and goes on', async () => {
    const { name, file } = await lab.start({ network: 'front', filter: 'udp' });
    const sent = 2000;
    const large = datagram(0, 1, 1, pattern(1000));
    for (let n = 0; n < sent; n++) lab.recorder.arrive(0, large);
    await waitFor('the ring to be read', () => lab.captures.find(name)!.lost > 0);
    lab.recorder.arrive(0, datagram(0, 1, 9999));
    const { frames, lost } = await lab.captures.stop(name);
    assert.equal(frames + lost, sent + 1);
    assert.ok(lost > 500 && frames > 500);
    const last = read(readFileSync(file)).at(-1)!;
    assert.deepEqual([brief(last), last.lostBefore], ['web in 9999', lost]);
    const counts = linesOf('tshark', ['-r', file, '-T', 'fields', '-e', 'frame.drop_count', '-Y', 'frame.drop_count']);
    assert.deepEqual(counts, [String(lost)]);
  });

  it('starts with nothing that was lost or left over before', async () => {
    const large = datagram(0, 1, 1, pattern(1000));
    const first = await lab.start({ network: 'front' });
    for (let n = 0; n < 2000; n++) lab.recorder.arrive(0, large);
    await first.frames();
    const second = await lab.start({ network: 'front' });
    lab.recorder.arrive(0, datagram(0, 1, 1));
    assert.equal(lab.captures.find(second.name)!.lost, 0);
    assert.deepEqual(await second.frames(), ['web in 1']);
  });

  it('forgets captures that ended long ago, but none that runs', async () => {
    const running = await lab.start({ name: 'running' });
    for (let n = 0; n < 70; n++) {
      await lab.start({ name: `short-${n}`, count: 1 });
      lab.recorder.arrive(0, datagram(0, 1, n));
      await waitFor('the end', () => lab.ended.length === n + 1);
    }
    const names = lab.captures.list().map(({ name }) => name);
    assert.equal(names.length, 65);
    assert.ok(names.includes('running') && names.includes('short-69') && !names.includes('short-0'));
    assert.equal((await running.frames()).length, 70);
  });

  it('ends all captures when it is closed, each file complete', async () => {
    const file = lab.newFile();
    await lab.captures.start({ network: 'front', file });
    const stream = await lab.captures.stream({ network: 'front' });
    lab.conversation();
    await lab.captures.close();
    assert.equal(read(readFileSync(file)).length, 3);
    assert.deepEqual([stream.view.state, stream.view.reason], ['finished', 'the daemon ended']);
    await assert.rejects(lab.captures.start({ file: lab.newFile() }), /the daemon is ending/);
  });
});
