// The outbound ring: what a service of the control thread writes leaves through its port, as a frame of weft's own making.
import { strict as assert } from 'node:assert';
import { FORWARDED, FrameVector } from '../../src/frames/frame-vector.js';
import { MAX_ORIGINATED_BYTES, NO_PORT, originate } from '../../src/frames/originate.js';
import { createSlab, ORIGINATED_FRAMES } from '../../src/frames/slab.js';
import { createInjectMemory, InjectRingWriter } from '../../src/ports/inject-ring.js';
import { MAX_OUTBOUND_BYTES, OutboundRingReader } from '../../src/ports/outbound-ring.js';
import { pattern } from '../support/frame-builders.js';

/** Of ports 0 to 2. */
const SERIALS = Int32Array.of(11, 12, 13);
const NETWORKS = Int32Array.of(5, 6, 5);
const ARRIVALS = 3;

interface Sent {
  port: number;
  network: number;
  bytes: Uint8Array;
}

function openRing() {
  const memory = createInjectMemory(1 << 18);
  const slab = createSlab();
  const frames = new FrameVector(slab);
  const reader = new OutboundRingReader(memory, slab, frames);
  /** One turn with three arrivals, in which `others` frames are made before. */
  const turn = (others = 0): Sent[] => {
    frames.count = ARRIVALS;
    frames.originated = 0;
    for (let i = 0; i < others; i++) assert.ok(originate(frames, slab, 60) >= 0);
    reader.take(SERIALS.length, SERIALS, NETWORKS);
    const sent: Sent[] = [];
    for (let row = ARRIVALS + others; row < ARRIVALS + frames.originated; row++) {
      assert.equal(frames.verdict[row], FORWARDED);
      assert.equal(frames.ingressPort[row], NO_PORT);
      assert.equal(frames.vlan[row], 0);
      const at = frames.start[row]!;
      const bytes = slab.bytes.slice(at, at + frames.length[row]!);
      sent.push({ port: frames.egressPort[row]!, network: frames.network[row]!, bytes });
    }
    return sent;
  };
  return { writer: new InjectRingWriter(memory), turn };
}

describe('the outbound ring', () => {
  it('sends frames of every length behind the arrivals, in order, each through its port', () => {
    const { writer, turn } = openRing();
    assert.deepEqual(turn(), []);
    const lengths = [60, 61, 342, MAX_OUTBOUND_BYTES];
    for (const [i, length] of lengths.entries()) {
      assert.ok(writer.write(i % 3, SERIALS[i % 3]!, pattern(length, i), null));
    }
    const expected = lengths.map((length, i) => ({
      port: i % 3,
      network: NETWORKS[i % 3]!,
      bytes: pattern(length, i),
    }));
    assert.deepEqual(turn(1), expected);
    assert.deepEqual(turn(), []);
    assert.equal(writer.isEmpty, true);
    assert.ok(MAX_OUTBOUND_BYTES <= MAX_ORIGINATED_BYTES);
  });

  it('sends nothing through a port that is not the same any more', () => {
    const { writer, turn } = openRing();
    writer.write(1, 99, pattern(60), null);
    writer.write(4000, 12, pattern(60), null);
    writer.write(1, 12, pattern(61), null);
    assert.deepEqual(
      turn().map(({ bytes }) => bytes.length),
      [61],
    );
    assert.deepEqual([writer.stale(1), writer.stale(4000)], [1, 1]);
  });

  it('keeps what finds no room in a turn, and loses nothing, over many rounds of the ring', () => {
    const { writer, turn } = openRing();
    assert.ok(writer.write(0, 11, pattern(100, 1), null));
    assert.deepEqual(turn(ORIGINATED_FRAMES), []);
    assert.equal(turn().length, 1);
    let written = 0;
    let taken = 0;
    for (let round = 0; round < 300; round++) {
      while (writer.write(round % 3, SERIALS[round % 3]!, pattern(60 + (written % 900), written), null)) written++;
      for (const { bytes } of turn()) {
        assert.deepEqual(bytes, pattern(60 + (taken % 900), taken));
        taken++;
      }
    }
    for (let sent = turn(); sent.length > 0; sent = turn()) taken += sent.length;
    assert.equal(taken, written);
    assert.ok(written > 4000, `${written} frames`);
  });
});
