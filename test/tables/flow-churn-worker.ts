// Opens and ends flows without pause until told to stop. What belongs to a flow follows from its inside port, so that whoever lists
// the table can tell a torn row (see flow-listing.test.ts).
import { parentPort, workerData } from 'node:worker_threads';
import { Nat } from '../../src/datapath/nat.js';
import { emptyProgram, ROLE_INSIDE } from '../../src/datapath/program.js';
import { Prng } from '../../src/lib/prng.js';
import { FlowMemory } from '../../src/tables/flow-memory.js';

const UDP = 17;
const NUMBERS = 20_000;
/** Far fewer than there are numbers: each row is reused all the time, or no reader would ever meet a torn one. */
const LIMIT = 100;
/** A turn has at most 256 frames; more new addresses than those can bring are refused until the next one. */
const FLOWS_PER_ROUND = 200;

const { memory, capacity, stop } = workerData as { memory: SharedArrayBuffer; capacity: number; stop: Int32Array };
const nat = new Nat(new FlowMemory(memory, capacity, new Int32Array(4), () => true), 1, 2, 0);
nat.adopt(
  {
    ...emptyProgram(),
    networkCount: 1,
    networkKey: Int32Array.of(7),
    networkRole: Uint8Array.of(ROLE_INSIDE),
    networkUplink: Int32Array.of(0),
  },
  0,
);
const network = nat.slots.slotOf(0);
const prng = new Prng(5);
const open: number[] = [];
let opened = 0;

function churn(): void {
  for (let i = 0; i < FLOWS_PER_ROUND; i++) {
    if (open.length >= LIMIT) nat.closeFlow(open.splice(prng.below(open.length), 1)[0]!);
    const number = prng.below(NUMBERS);
    const family = number & 1 ? 6 : 4;
    const address = (salt: number): number =>
      nat.internAddress(family, Int32Array.of(number * salt, family === 6 ? salt : 0, 0, family === 6 ? number : 0), 0);
    const [inside, remote, outside] = [address(1), address(3), address(5)];
    if (nat.flows.findInside(network, UDP, family, inside, number, remote, number ^ 0x5555) >= 0) continue;
    const where = [inside, number, remote, number ^ 0x5555, outside, number ^ 0x3333, -1] as const;
    open.push(nat.openFlow(network, UDP, family, ...where, number & 127, number, number));
    opened++;
  }
  nat.sweep(0, 0);
}

churn();
parentPort?.postMessage('churning');
while (Atomics.load(stop, 0) === 0) churn();
parentPort?.postMessage(opened);
