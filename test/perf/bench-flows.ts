/**
 * What the flow table costs when it is small and when it is full: opening, looking up, counting and ending a flow in ns, the longest
 * sweep, taking over after a restart, and memory. Over the file and the tables of the daemon, without frames.
 *
 *   node --expose-gc dist/test/perf/bench-flows.js [FLOWS ...]
 *
 * Flows are looked up in random order: with a million of them every look misses the caches of the processor.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Nat } from '../../src/datapath/nat.js';
import { emptyProgram, ROLE_INSIDE } from '../../src/datapath/program.js';
import { Prng } from '../../src/lib/prng.js';
import { openFlowMemory } from '../../src/ports/flow-file.js';
import { MAPPING_OWNS_PORT } from '../../src/tables/mapping-table.js';

const UDP = 17;
const OUTSIDE = 0x64400001;
const LOOKUPS = 2_000_000;
/** Rows that a turn may end (datapath.ts). */
const STEPS_PER_TURN = 64;
const TIMEOUT_MS = 60_000;
/** An inside port has this many remote places, so that many sessions share a mapping. */
const SESSIONS_PER_MAPPING = 20;

interface Result {
  flows: number;
  openNs: number;
  findOutNs: number;
  findInNs: number;
  endNs: number;
  longestSweepMicros: number;
  takeOverMs: number;
  bytesPerFlow: number;
}

const program = {
  ...emptyProgram(),
  networkCount: 1,
  networkKey: Int32Array.of(7),
  networkRole: Uint8Array.of(ROLE_INSIDE),
  networkUplink: Int32Array.of(0),
};

function inside(flow: number): number {
  return 0x0a000000 + ((flow / SESSIONS_PER_MAPPING / 50_000) | 0);
}

function insidePort(flow: number): number {
  return 10_000 + (((flow / SESSIONS_PER_MAPPING) | 0) % 50_000);
}

function remote(flow: number): number {
  return 0x08000000 + (flow % SESSIONS_PER_MAPPING);
}

function open(nat: Nat, network: number, flow: number, now: number): void {
  const address = inside(flow);
  const port = insidePort(flow);
  let mapping = nat.mappings.findInside(network, UDP, 4, address, port, 0, 0);
  if (mapping < 0) {
    const outsidePort = nat.ports.take(network, UDP, 4, OUTSIDE + (address & 255), port, 1024, 65535);
    const outside = OUTSIDE + (address & 255);
    mapping = nat.openMapping(network, UDP, 4, address, port, 0, 0, outside, outsidePort, MAPPING_OWNS_PORT, now);
  }
  const { mappings } = nat;
  const outside = mappings.outsideAddress(mapping);
  const port2 = mappings.outsidePort(mapping);
  const ends = now + TIMEOUT_MS;
  const row = nat.openFlow(network, UDP, 4, address, port, remote(flow), 443, outside, port2, mapping, 1, ends, now);
  if (row < 0) throw new Error(`no room for flow ${flow}`);
}

function measure(flows: number, directory: string): Result {
  const path = join(directory, `flows-${flows}.bin`);
  const before = memoryBytes();
  let nat = new Nat(openFlowMemory(path), 1, 2, 0);
  nat.adopt(program, 0);
  const network = nat.slots.slotOf(0);
  const t0 = performance.now();
  for (let flow = 0; flow < flows; flow++) open(nat, network, flow, 0);
  const t1 = performance.now();
  const bytesPerFlow = (memoryBytes() - before) / flows;
  const findOutNs = findOut(nat, network, flows);
  const findInNs = findIn(nat, network, flows);
  const t2 = performance.now();
  nat = new Nat(openFlowMemory(path), 1, 2, 0);
  nat.adopt(program, 0);
  const t3 = performance.now();
  if (nat.flows.count !== flows) throw new Error(`${nat.flows.count} of ${flows} flows were taken over`);
  const { ns: endNs, longestSweepMicros } = end(nat, flows);
  return {
    ...{ flows, openNs: ((t1 - t0) * 1e6) / flows, findOutNs, findInNs, endNs, longestSweepMicros },
    ...{ takeOverMs: t3 - t2, bytesPerFlow },
  };
}

function findOut(nat: Nat, network: number, flows: number): number {
  const prng = new Prng(1);
  const start = performance.now();
  for (let i = 0; i < LOOKUPS; i++) {
    const flow = prng.below(flows);
    const row = nat.flows.findInside(network, UDP, 4, inside(flow), insidePort(flow), remote(flow), 443);
    nat.flows.countOut(row, 1500);
    nat.flows.setExpiry(row, TIMEOUT_MS + 1);
  }
  return ((performance.now() - start) * 1e6) / LOOKUPS;
}

function findIn(nat: Nat, network: number, flows: number): number {
  const places = new Int32Array(flows * 2);
  for (let row = 0; row < flows; row++) {
    places[2 * row] = nat.flows.outsideAddress(row);
    places[2 * row + 1] = nat.flows.outsidePort(row);
  }
  const prng = new Prng(2);
  const start = performance.now();
  for (let i = 0; i < LOOKUPS; i++) {
    const flow = prng.below(flows);
    const row = nat.flows.findOutside(network, UDP, 4, remote(flow), 443, places[2 * flow]!, places[2 * flow + 1]!);
    nat.flows.countIn(row, 1500);
    nat.flows.setExpiry(row, TIMEOUT_MS + 2);
  }
  return ((performance.now() - start) * 1e6) / LOOKUPS;
}

/** All at once, a turn's part at a time. */
function end(nat: Nat, flows: number): { ns: number; longestSweepMicros: number } {
  let longest = 0;
  const start = performance.now();
  while (nat.flows.count > 0) {
    const before = performance.now();
    nat.sweep(TIMEOUT_MS * 2, STEPS_PER_TURN);
    longest = Math.max(longest, performance.now() - before);
  }
  return { ns: ((performance.now() - start) * 1e6) / flows, longestSweepMicros: longest * 1000 };
}

/** Resident memory of this process, mapped files included. */
function memoryBytes(): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
  return Number(kib) * 1024;
}

const directory = mkdtempSync(join(tmpdir(), 'weft-bench-flows-'));
try {
  const sizes = process.argv.slice(2).map(Number);
  // The first one is for the compiler.
  measure(50_000, directory);
  rmSync(join(directory, 'flows-50000.bin'));
  for (const flows of sizes.length > 0 ? sizes : [1, 10_000, 1_000_000]) {
    const result = measure(flows, directory);
    const fields = Object.entries(result).map(([name, value]) => `${name} ${Math.round(value)}`);
    process.stdout.write(`${fields.join('  ')}\n`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
