// Child process of flow-crash.test.ts: opens and ends flows without pause in the flow file argv[2], as the worker does, until it is
// killed. What belongs together in a flow follows from its inside port, so that whoever looks later can tell a torn one.
import { Nat } from '../../src/datapath/nat.js';
import { emptyProgram, ROLE_INSIDE } from '../../src/datapath/program.js';
import { Prng } from '../../src/lib/prng.js';
import { openFlowMemory } from '../../src/ports/flow-file.js';
import { MAPPING_OWNS_PORT } from '../../src/tables/mapping-table.js';

const UDP = 17;
const FLOWS_PER_ROUND = 500;

const [path = '', seed = '1'] = process.argv.slice(2);
const prng = new Prng(Number(seed));
const memory = openFlowMemory(path);
let now = Math.floor(process.uptime() * 1000);
const nat = new Nat(memory, prng.next(), prng.next(), now);
const program = {
  ...emptyProgram(),
  networkCount: 1,
  networkKey: Int32Array.of(7),
  networkRole: Uint8Array.of(ROLE_INSIDE),
  networkUplink: Int32Array.of(0),
};
nat.adopt(program, now);
const network = nat.slots.slotOf(0);
const outside = Int32Array.of(0x20010db8, 0, 0, 1);

function churn(): void {
  for (let i = 0; i < FLOWS_PER_ROUND; i++) {
    const number = prng.below(30_000);
    const family = number & 1 ? 6 : 4;
    const inside = nat.internAddress(
      family,
      Int32Array.of(0x0a000000, family === 6 ? 1 : 0, 0, family === 6 ? number : 0),
      0,
    );
    const remote = nat.internAddress(
      family,
      Int32Array.of(number, family === 6 ? 2 : 0, 0, family === 6 ? number : 0),
      0,
    );
    const known = nat.flows.findInside(network, UDP, family, inside, number, remote, number ^ 0x5555);
    if (known >= 0) nat.closeFlow(known);
    else open(family, number, inside, remote);
  }
  nat.sweep(++now, 64);
}

function open(family: number, number: number, inside: number, remote: number): void {
  const out = nat.internAddress(family, outside, 0);
  const port = nat.ports.take(network, UDP, family, out, number, 1024, 65535);
  const mapping = nat.openMapping(network, UDP, family, inside, number, 0, 0, out, port, MAPPING_OWNS_PORT, now);
  nat.openFlow(
    network,
    UDP,
    family,
    inside,
    number,
    remote,
    number ^ 0x5555,
    out,
    port,
    mapping,
    number & 127,
    now + 1e9,
    now,
  );
}

// Some thousand flows are there before anybody kills it, however slow the machine is.
for (let i = 0; i < 10; i++) churn();
process.stdout.write('churning\n');
for (;;) churn();
