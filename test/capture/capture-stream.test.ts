// Captures that go to a client: at once, in order, and never at the cost of anybody else.
import { strict as assert } from 'node:assert';
import type { CaptureStream } from '../../src/control/controller/captures.js';
import { pattern } from '../support/frame-builders.js';
import { brief, type CaptureLab, datagram, read, useCaptureLab, waitFor } from './capture-lab.js';

describe('capture streams', function streams() {
  this.timeout(120_000);
  const useLab = useCaptureLab();
  let lab: CaptureLab;

  beforeEach(() => {
    lab = useLab();
  });

  async function collect(stream: CaptureStream, enough: (bytes: number) => boolean = () => false): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of stream.chunks) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (enough(bytes)) break;
    }
    return Buffer.concat(chunks);
  }

  it('begin at once, and end with the numbers when they are stopped', async () => {
    const stream = await lab.captures.stream({ endpoint: 'web' });
    assert.deepEqual([stream.view.file, stream.view.state], [null, 'running']);
    const collected = collect(stream);
    lab.conversation();
    await waitFor('frames', () => lab.captures.find(stream.view.name)!.frames === 3);
    await lab.captures.stop(stream.view.name);
    assert.deepEqual(read(await collected).map(brief), ['web in 1', 'web out 2', 'web out 3']);
    assert.deepEqual([stream.view.state, stream.view.frames], ['finished', 3]);
    assert.equal(lab.captures.find(stream.view.name), null);
  });

  it('deliver a frame within moments', async () => {
    const stream = await lab.captures.stream({ network: 'front' });
    const iterator = stream.chunks[Symbol.asyncIterator]();
    await iterator.next();
    const times: number[] = [];
    for (let n = 0; n < 20; n++) {
      const sentAt = performance.now();
      lab.recorder.arrive(0, datagram(0, 1, n));
      await iterator.next();
      times.push(performance.now() - sentAt);
    }
    stream.stop();
    // A quarter of them: the machine that runs the tests may have other things to do.
    times.sort((a, b) => a - b);
    assert.ok(times[5]! < 50, `${times.map((time) => time.toFixed(0))} ms`);
  });

  it('end by themselves after a count, and can be pcap', async () => {
    const stream = await lab.captures.stream({ network: 'front', count: 2, format: 'pcap' });
    const collected = collect(stream);
    lab.conversation();
    const frames = read(await collected);
    assert.deepEqual(
      frames.map(({ seconds, nanoseconds, interfaceName }) => [seconds, nanoseconds, interfaceName]),
      [
        [1_700_000_000, 5, null],
        [1_700_000_001, 5, null],
      ],
    );
  });

  it('end when their reader goes away', async () => {
    const stream = await lab.captures.stream({ network: 'front' });
    await collect(stream, (bytes) => bytes > 0);
    await waitFor('the end', () => lab.ended.length > 0);
    assert.equal(lab.captures.list().length, 0);
    assert.equal(lab.captures.flagsOf('web', 'front'), 0);
    stream.stop();
    stream.stop();
  });

  it('to a reader that does not read lose frames and count them, with bounded memory', async () => {
    const stream = await lab.captures.stream({ network: 'front' });
    const file = await lab.start({ network: 'front' });
    const large = datagram(0, 1, 1, pattern(1400));
    let sent = 0;
    while (stream.view.lost === 0 && sent < 100_000) {
      for (let n = 0; n < 400; n++, sent++) lab.recorder.arrive(0, large);
      const read = sent;
      await waitFor('the ring to be read', () => lab.captures.find(file.name)!.frames === read);
    }
    const kept = stream.view.bytes;
    assert.ok(kept > 1 << 20 && kept < 20 << 20, `${kept} bytes wait`);
    stream.stop();
    const bytes = await collect(stream);
    const frames = read(bytes).length;
    assert.deepEqual([frames, frames + stream.view.lost], [stream.view.frames, sent]);
    assert.equal((await lab.captures.stop(file.name)).lost, 0, 'nobody else loses anything');
  });
});
