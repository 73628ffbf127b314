// The flow table of a real worker thread: taken over from a process before, deleted from on request, kept when the worker dies.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { startDatapath } from '../../src/control/worker/datapath-client.js';
import type { DatapathHost } from '../../src/control/worker/datapath-host.js';
import { Counters, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { Nat } from '../../src/datapath/nat.js';
import { emptyProgram, NAT_POLICY_INTS, type Program, ROLE_INSIDE, ROLE_UPLINK } from '../../src/datapath/program.js';
import { openFlowMemory } from '../../src/ports/flow-file.js';
import { FlowListing } from '../../src/tables/flow-listing.js';

const WORKER = new URL('../../daemon/datapath-worker.js', import.meta.url);
const KEY = 0x1234567;
const UDP = 17;
const FLOWS = 300;
const OUTSIDE = 0x64400001;

/** An inside network and its uplink. */
const PROGRAM: Program = {
  ...emptyProgram(),
  version: 1,
  networkCount: 2,
  networkMtu: new Int32Array(2).fill(1500),
  networkAgeingMs: new Int32Array(2),
  networkFlags: new Uint8Array(2),
  networkMacLimit: new Int32Array(2),
  networkStormBroadcast: new Int32Array(2),
  networkStormMulticast: new Int32Array(2),
  networkStormUnknown: new Int32Array(2),
  memberFirst: new Int32Array(2),
  memberCount: new Int32Array(2),
  networkRole: Uint8Array.of(ROLE_INSIDE, ROLE_UPLINK),
  networkKey: Int32Array.of(KEY, ~KEY),
  gatewayMacHigh: new Int32Array(2),
  gatewayMacLow: new Int32Array(2),
  networkServicePort: new Int32Array(2).fill(-1),
  networkUplink: Int32Array.of(1, 0),
  routeFirst: new Int32Array(2),
  routeCount: new Int32Array(2),
  natPolicy: new Int32Array(2 * NAT_POLICY_INTS),
};

describe('flows of a worker', function () {
  this.timeout(120_000);
  let datapath: DatapathHost;
  let directory: string;
  const restarts: string[] = [];

  beforeEach(async () => {
    restarts.length = 0;
    directory = mkdtempSync(join(tmpdir(), 'weft-flows-'));
    const flowFile = join(directory, 'flows.bin');
    leaveFlows(flowFile);
    datapath = await startDatapath({ workerUrl: WORKER, flowFile, log: { warn() {}, error() {} } });
    datapath.onRestart((reason) => restarts.push(reason));
    await datapath.publish(PROGRAM);
  });
  afterEach(async () => {
    await datapath.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Numbers of the flows that are listed. */
  function listed(): number[] {
    const listing = new FlowListing(datapath.flows);
    const flows = Array.from({ length: listing.rows }, (_, row) => listing.read(row));
    return flows.filter((flow) => flow !== null).map((flow) => flow.insidePort);
  }

  /** Resolves when the worker has counted so many flows. */
  async function counted(flows: number): Promise<void> {
    const { values } = new Counters(datapath.tables.counters);
    for (let i = 0; values[totalAt(TOTAL.flows)] !== flows; i++) {
      assert.ok(i < 500, `${values[totalAt(TOTAL.flows)]} flows are counted, ${flows} expected`);
      datapath.wake();
      await wait(20);
    }
  }

  /** Ends the flows with these numbers. */
  async function end(numbers: readonly number[]): Promise<void> {
    const listing = new FlowListing(datapath.flows);
    const pairs: number[] = [];
    for (let row = 0; row < listing.rows; row++) {
      const flow = listing.read(row);
      if (flow !== null && numbers.includes(flow.insidePort)) pairs.push(row, flow.generation);
    }
    assert.equal(pairs.length, 2 * numbers.length);
    await datapath.deleteFlows(Int32Array.from(pairs));
  }

  const numbers = Array.from({ length: FLOWS }, (_, i) => 1000 + i);

  it('are those that the process before left behind', async () => {
    await counted(FLOWS);
    assert.deepEqual(listed(), numbers);
  });

  it('end when they are asked to, at once', async () => {
    await end([1003, 1299]);
    assert.deepEqual(
      listed(),
      numbers.filter((number) => number !== 1003 && number !== 1299),
    );
    await counted(FLOWS - 2);
  });

  for (const how of ['throw', 'exit', 'hang'] as const) {
    it(`outlive a worker that dies ("${how}"), and what was asked of it is done by the next one`, async () => {
      await end([1000]);
      datapath.injectFault(how);
      await end([1001, 1002]);
      while (restarts.length === 0) await wait(20);
      await counted(FLOWS - 3);
      assert.deepEqual(listed(), numbers.slice(3));
    });
  }
});

/** What a daemon leaves behind that was killed. */
function leaveFlows(path: string): void {
  const now = Number(process.hrtime.bigint() / 1_000_000n) | 0;
  const nat = new Nat(openFlowMemory(path), 1, 2, now);
  nat.adopt(PROGRAM, now);
  const network = nat.slots.slotOf(0);
  for (let i = 0; i < FLOWS; i++) {
    const where = [0x0a000002, 1000 + i, 0x08080808, 53, OUTSIDE, 1000 + i, -1] as const;
    assert.ok(nat.openFlow(network, UDP, 4, ...where, 0, (now + 300_000) | 0, now) >= 0);
  }
}
