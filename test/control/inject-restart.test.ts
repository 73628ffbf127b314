// Injection into a real worker thread that dies and is replaced: nothing is damaged or stuck, and no more than one turn is lost.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDatapath } from '../../src/control/worker/datapath-client.js';
import type { DatapathHost } from '../../src/control/worker/datapath-host.js';
import { Counters, PORT, portAt, TOTAL, totalAt } from '../../src/datapath/counters.js';
import type { WorkerFault } from '../../src/datapath/program.js';
import { InjectRingWriter } from '../../src/ports/inject-ring.js';
import { checkConservation } from '../support/conservation.js';
import { ether, numberedMac } from '../support/frame-builders.js';
import { buildProgram, DEFAULT_NETWORK } from '../support/program-builder.js';

const WORKER = new URL('../../daemon/datapath-worker.js', import.meta.url);
const FRAMES = 30_000;
/** What the ring may give to one turn. */
const TURN_FRAMES = 64;
const SERIAL = 7;

describe('injection into a worker that dies', function restart() {
  this.timeout(120_000);
  let datapath: DatapathHost;
  let directory: string;
  const restarts: string[] = [];

  beforeEach(async () => {
    restarts.length = 0;
    directory = mkdtempSync(join(tmpdir(), 'weft-inject-'));
    const flowFile = join(directory, 'flows.bin');
    datapath = await startDatapath({ workerUrl: WORKER, flowFile, log: { warn() {}, error() {} } });
    datapath.onRestart((reason) => restarts.push(reason));
    await datapath.publish(buildProgram(1, new Map([[DEFAULT_NETWORK, {}]]), [{ index: 0, serial: SERIAL }]));
  });
  afterEach(async () => {
    await datapath.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  for (const how of ['throw', 'exit', 'hang'] satisfies WorkerFault[]) {
    it(`goes on with the next one after "${how}"`, async () => {
      const ring = new InjectRingWriter(datapath.tables.inject);
      const counters = new Counters(datapath.tables.counters);
      const frame = ether({ from: numberedMac(1), to: numberedMac(2) }, 'again').bytes;
      const deadline = Date.now() + 30_000;
      const moment = async (): Promise<void> => {
        assert.ok(Date.now() < deadline, 'a worker takes frames in time');
        datapath.wake();
        await new Promise((resolve) => setImmediate(resolve));
      };
      for (let written = 0; written < FRAMES; written++) {
        while (!ring.write(0, SERIAL, frame, null)) await moment();
        if (written === FRAMES / 2) datapath.injectFault(how);
      }
      while (!ring.isEmpty || restarts.length === 0) await moment();
      const turns = counters.values[totalAt(TOTAL.turns)]!;
      while (counters.values[totalAt(TOTAL.turns)] === turns) await moment();

      const arrived = counters.values[portAt(0, PORT.rxFrames)]!;
      assert.ok(arrived <= FRAMES && arrived >= FRAMES - TURN_FRAMES, `${arrived} of ${FRAMES} arrived`);
      assert.deepEqual([restarts.length, ring.stale(0)], [1, 0]);
      checkConservation(counters.values);
    });
  }
});
