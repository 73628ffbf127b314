// Child process of flow-file.test.ts: fills the flow file argv[2], which is on a disk that is soon full, starts over, and prints what
// became of it. A process of its own, because a mapping keeps its disk busy until it is collected.
import { Nat } from '../../src/datapath/nat.js';
import { emptyProgram, ROLE_INSIDE } from '../../src/datapath/program.js';
import { openFlowMemory } from '../../src/ports/flow-file.js';
import { checkNat } from '../support/nat-check.js';

const UDP = 17;
const OUTSIDE = 0x64400001;
const PROGRAM = {
  ...emptyProgram(),
  networkCount: 1,
  networkKey: Int32Array.of(7),
  networkRole: Uint8Array.of(ROLE_INSIDE),
  networkUplink: Int32Array.of(0),
};

/** A flow from inside port `number`, without a mapping; -1 when there is no room. */
function open(nat: Nat, number: number): number {
  const network = nat.slots.slotOf(0);
  const port = number & 0xffff;
  return nat.openFlow(network, UDP, 4, 0x0a000002, port, number, 53, OUTSIDE, port, -1, 0, 9999, 0);
}

function start(path: string): Nat {
  const nat = new Nat(openFlowMemory(path), 1, 2, 0);
  nat.adopt(PROGRAM, 0);
  return nat;
}

const [path = ''] = process.argv.slice(2);
const first = start(path);
let opened = 0;
while (open(first, opened) >= 0) opened++;
checkNat(first);
const second = start(path);
const kept = second.flows.count;
const surplus = open(second, opened);
second.closeFlow(100);
const reused = open(second, opened);
checkNat(second);
process.stdout.write(JSON.stringify({ opened, kept, surplus, reused }));
