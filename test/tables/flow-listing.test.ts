// Operators list flows from another thread while the datapath rewrites them: every row they get was true at some moment, and nothing
// is ever half one flow and half another.
import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { FlowListing, type FlowRow } from '../../src/tables/flow-listing.js';
import { flowMemoryBytes } from '../../src/tables/flow-memory.js';
import { NatRig } from '../support/nat-rig.js';

const CAPACITY = 1024;
const LISTINGS = 600;
/** Where a row has its version (the layout in flow-table.ts). */
const VERSION_WORD = 15;
const HEADER_WORDS = 16_384;

describe('flows, listed from another thread', function () {
  this.timeout(120_000);

  it('are left out while they are written', () => {
    const rig = new NatRig();
    const row = rig.flow(0, 4, 1, 5000, 1, 53);
    const words = new Int32Array(rig.buffer);
    const listing = new FlowListing(words);
    assert.equal(listing.read(row)?.insidePort, 5000);
    words[HEADER_WORDS + row * 16 + VERSION_WORD]! += 1;
    assert.equal(listing.read(row), null);
    assert.equal(listing.read(-1), null);
    assert.equal(listing.read(row + 1), null);
  });

  it('are sorted out by network, protocol and state before they are read', () => {
    const rig = new NatRig();
    const [one, other] = [rig.flow(0, 4, 1, 5000, 1, 53), rig.flow(1, 6, 1, 5000, 1, 53)];
    const listing = new FlowListing(new Int32Array(rig.buffer));
    const [first, second] = [listing.slotsOf(11), listing.slotsOf(22)];
    assert.deepEqual([listing.isCandidate(one, first, 17, 1), listing.isCandidate(other, first, 17, 1)], [true, false]);
    assert.deepEqual(
      [listing.isCandidate(one, second, 17, 1), listing.isCandidate(other, second, -1, -1)],
      [false, true],
    );
    assert.deepEqual([listing.isCandidate(one, null, 6, -1), listing.isCandidate(one, null, -1, 2)], [false, false]);
    assert.equal(listing.isCandidate(other, listing.slotsOf(33), -1, -1), false);
  });

  it('fit together while they come and go', async () => {
    const memory = new SharedArrayBuffer(flowMemoryBytes(CAPACITY));
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL('./flow-churn-worker.js', import.meta.url), {
      workerData: { memory, capacity: CAPACITY, stop },
    });
    await once(worker, 'message');
    const listing = new FlowListing(new Int32Array(memory));
    let seen = 0;
    const numbers = new Set<number>();
    try {
      for (let i = 0; i < LISTINGS; i++) {
        for (let row = 0; row < listing.rows; row++) {
          const flow = listing.read(row);
          if (flow === null) continue;
          assert.deepEqual(flow, expected(flow));
          numbers.add(flow.insidePort);
          seen++;
        }
      }
    } finally {
      Atomics.store(stop, 0, 1);
      await once(worker, 'message');
      await worker.terminate();
    }
    assert.ok(seen > 10_000 && numbers.size > 1000, `${seen} rows of ${numbers.size} flows were seen`);
  });
});

/** What the worker writes for this inside port. */
function expected(flow: FlowRow): FlowRow {
  const number = flow.insidePort;
  const family = number & 1 ? 6 : 4;
  const address = (salt: number): number[] => [number * salt, ...(family === 6 ? [salt, 0, number] : [0, 0, 0])];
  return {
    ...flow,
    ...{ networkKey: 7, protocol: 17, family, inside: address(1), remote: address(3), outside: address(5) },
    ...{ remotePort: number ^ 0x5555, outsidePort: number ^ 0x3333, state: number & 127, flags: 0, hasMapping: false },
    ...{ createdMs: number, expiresMs: number, framesOut: 0, framesIn: 0, bytesOut: 0, bytesIn: 0 },
  };
}
