// Rewrites a MAC table without pause until told to stop. What belongs to a station follows from its low half, so that
// whoever lists the table can tell a torn row (see mac-listing.test.ts).
import { parentPort, workerData } from 'node:worker_threads';
import { Prng } from '../../src/lib/prng.js';
import { MacTable } from '../../src/tables/mac-table.js';

const PORTS = 100;
const NETWORKS = 7;
const STATIONS = 20_000;
/** Far fewer than there are stations: each entry is reused all the time, or no reader would ever meet a torn one. */
const LIMIT = 200;
const OPERATIONS_PER_ROUND = 2_000;

const { memory, stop } = workerData as { memory: SharedArrayBuffer; stop: Int32Array };
const table = new MacTable(memory, PORTS, NETWORKS, 77);
const prng = new Prng(5);
const ageingMs = new Int32Array(NETWORKS).fill(50);
let nowMs = 0;
let operations = 0;

function churn(): void {
  for (let i = 0; i < OPERATIONS_PER_ROUND; i++) {
    const low = prng.below(STATIONS);
    const high = (low * 3) & 0xfeff;
    const port = 5 * prng.below(PORTS / 5) + (low % 5);
    if (low % 11 === 0) table.insertStatic(low % NETWORKS, low % 4095, high, low, port, nowMs);
    else table.learn(low % NETWORKS, low % 4095, high, low, port, nowMs, LIMIT);
    operations++;
  }
  nowMs++;
  table.sweep(4096, nowMs, ageingMs);
  if (nowMs % 50 === 0) table.removePort(prng.below(PORTS));
  if (nowMs % 200 === 0) table.removeStatic();
}

churn();
parentPort?.postMessage('churning');
while (Atomics.load(stop, 0) === 0) churn();
parentPort?.postMessage(operations);
