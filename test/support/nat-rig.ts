/**
 * A Nat over memory of its own that can be restarted as after a crash, and that opens flows as the stages do: one endpoint-independent
 * mapping per inside address and port.
 */
import { Nat } from '../../src/datapath/nat.js';
import { emptyProgram, type Program, ROLE_INSIDE } from '../../src/datapath/program.js';
import { FlowMemory, flowMemoryBytes } from '../../src/tables/flow-memory.js';
import { MAPPING_OWNS_PORT } from '../../src/tables/mapping-table.js';

export const CAPACITY = 64;
export const BOOT = Int32Array.of(1, 2, 3, 4);
export const UDP = 17;
export const OUTSIDE4 = Int32Array.of(0x64400001, 0, 0, 0);
const OUTSIDE6 = Int32Array.of(0x20010db8, 0, 0, 0xff);
export const TIMEOUT_MS = 10_000;
/** A program of which only these networks matter, in this order. */
function programOf(keys: readonly number[]): Program {
  return {
    ...emptyProgram(),
    networkCount: keys.length,
    networkKey: Int32Array.from(keys),
    networkRole: new Uint8Array(keys.length).fill(ROLE_INSIDE),
    networkUplink: new Int32Array(keys.length),
  };
}

export class NatRig {
  readonly buffer: ArrayBuffer;
  nat: Nat;
  now: number;
  networks: number[];
  room = true;

  constructor({ capacity = CAPACITY, now = 1000, networks = [11, 22] } = {}) {
    this.buffer = new ArrayBuffer(flowMemoryBytes(capacity));
    this.now = now;
    this.networks = networks;
    this.nat = this.open(capacity);
  }

  /** What another process does that comes after this one. */
  restart(capacity = CAPACITY, boot = BOOT): Nat {
    this.nat = this.open(capacity, boot);
    return this.nat;
  }

  publish(networks: number[]): void {
    this.networks = networks;
    this.nat.adopt(programOf(networks), this.now);
  }

  /** A turn. */
  sweep(ms: number, steps = 1000): void {
    this.now = (this.now + ms) | 0;
    this.nat.sweep(this.now, steps);
  }

  address(family: number, number: number): number {
    const words =
      family === 4 ? Int32Array.of(0x0a000000 + number, 0, 0, 0) : Int32Array.of(0xfd000000 | 0, 0, 0, number);
    return this.nat.internAddress(family, words, 0);
  }

  /** As nat-outbound does for a packet that begins a flow; -1 when there is no room. */
  flow(row: number, family: number, inside: number, insidePort: number, remote: number, remotePort: number): number {
    const { nat } = this;
    const network = nat.slots.slotOf(row);
    const insideId = this.address(family, inside);
    const remoteId = this.address(family, 1000 + remote);
    const outsideId = nat.internAddress(family, family === 4 ? OUTSIDE4 : OUTSIDE6, 0);
    if (family === 6 && (insideId < 0 || remoteId < 0 || outsideId < 0)) return -1;
    const known = nat.flows.findInside(network, UDP, family, insideId, insidePort, remoteId, remotePort);
    if (known >= 0) return known;
    let mapping = nat.mappings.findInside(network, UDP, family, insideId, insidePort, 0, 0);
    const isNew = mapping < 0;
    if (isNew) {
      const port = nat.ports.take(network, UDP, family, outsideId, insidePort, 1024, 65535);
      if (port < 0) return -1;
      mapping = nat.openMapping(
        network,
        UDP,
        family,
        insideId,
        insidePort,
        0,
        0,
        outsideId,
        port,
        MAPPING_OWNS_PORT,
        this.now,
      );
      if (mapping < 0) {
        nat.ports.release(network, UDP, family, outsideId, port);
        return -1;
      }
    }
    const outsidePort = nat.mappings.outsidePort(mapping);
    const opened = nat.openFlow(
      network,
      UDP,
      family,
      insideId,
      insidePort,
      remoteId,
      remotePort,
      outsideId,
      outsidePort,
      mapping,
      1,
      (this.now + TIMEOUT_MS) | 0,
      this.now,
    );
    if (opened < 0 && isNew) nat.closeMapping(mapping);
    return opened;
  }

  /** All sessions, as text. */
  list(): string[] {
    const { flows } = this.nat;
    const rows: string[] = [];
    for (let row = 0; row < flows.usedRows(); row++) {
      if (flows.isUsed(row)) rows.push(this.text(row));
    }
    return rows.sort();
  }

  private text(row: number): string {
    const { flows, slots, addresses } = this.nat;
    const family = flows.family(row);
    const number = (id: number): number => (family === 4 ? id & 0xffff : addresses.word(id, 3));
    const inside = `${number(flows.insideAddress(row))}:${flows.insidePort(row)}`;
    const remote = `${number(flows.remoteAddress(row)) - 1000}:${flows.remotePort(row)}`;
    const network = this.networks[slots.networkOf(flows.network(row))];
    return `${network} v${family} ${inside} > ${remote} state ${flows.state(row)} bytes ${flows.bytesOut(row)}`;
  }

  private open(capacity: number, boot = BOOT): Nat {
    const memory = new FlowMemory(this.buffer, capacity, boot, () => this.room);
    const nat = new Nat(memory, 5, 6, this.now);
    nat.adopt(programOf(this.networks), this.now);
    return nat;
  }
}
