/**
 * The flow table of a fake datapath: memory that the controller reads, and a real Nat that writes it, deletions included. Flows are
 * put in by hand.
 */
import { strict as assert } from 'node:assert';
import { Counters, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { Nat } from '../../src/datapath/nat.js';
import { FlowMemory, flowMemoryBytes } from '../../src/tables/flow-memory.js';
import { MAPPING_OWNS_PORT } from '../../src/tables/mapping-table.js';
import type { ControlLab } from './control-lab.js';

export interface TestFlow {
  /** `10.0.0.2:5000`, IPv6 in brackets. */
  inside: string;
  remote: string;
  protocol?: number;
  state?: number;
}

export class FlowLab {
  readonly nat: Nat;
  now = 1_000_000;
  private readonly control: ControlLab;

  constructor(control: ControlLab, capacity = 4096) {
    const buffer = new ArrayBuffer(flowMemoryBytes(capacity));
    this.control = control;
    this.nat = new Nat(new FlowMemory(buffer, capacity, new Int32Array(4), () => true), 1, 2, this.now);
    const { datapath } = control;
    datapath.flows = new Int32Array(buffer);
    datapath.onDeleteFlows = (flows) => this.nat.deleteFlows(flows);
    this.tick(0);
  }

  /** Lets time pass. */
  tick(ms: number): void {
    this.now += ms;
    new Counters(this.control.datapath.tables.counters).values[totalAt(TOTAL.nowMs)] = this.now | 0;
  }

  /** Takes over which networks there are, as the worker does with every program. */
  adopt(): void {
    this.nat.adopt(this.control.datapath.program, this.now);
  }

  /** Opens a flow of the network in row `row` of the program; it ends in 100 s. */
  open(row: number, { inside, remote, protocol = 6, state = 3 }: TestFlow): number {
    const { nat } = this;
    const network = nat.slots.slotOf(row);
    assert.ok(network >= 0, 'the network has a NAT');
    const [insideWords, insidePort, family] = place(inside);
    const [remoteWords, remotePort] = place(remote);
    const [outsideWords] = place(family === 4 ? '100.64.0.1:0' : '[2001:db8::1]:0');
    const insideId = nat.internAddress(family, insideWords, 0);
    const remoteId = nat.internAddress(family, remoteWords, 0);
    const outsideId = nat.internAddress(family, outsideWords, 0);
    let mapping = nat.mappings.findInside(network, protocol, family, insideId, insidePort, 0, 0);
    if (mapping < 0) {
      const port = nat.ports.take(network, protocol, family, outsideId, insidePort, 1024, 65535);
      const flags = MAPPING_OWNS_PORT;
      mapping = nat.openMapping(
        network,
        protocol,
        family,
        insideId,
        insidePort,
        0,
        0,
        outsideId,
        port,
        flags,
        this.now,
      );
    }
    const outsidePort = nat.mappings.outsidePort(mapping);
    const ends = this.now + 100_000;
    const where = [insideId, insidePort, remoteId, remotePort, outsideId, outsidePort, mapping] as const;
    const flow = nat.openFlow(network, protocol, family, ...where, state, ends, this.now);
    assert.ok(flow >= 0);
    return flow;
  }
}

/** Words, port and family of `ADDRESS:PORT`. */
function place(text: string): [Int32Array, number, 4 | 6] {
  const [, v6, v4, port] = /^(?:\[(.+)\]|([\d.]+)):(\d+)$/.exec(text) ?? [];
  const words = new Int32Array(4);
  if (v4 !== undefined) {
    for (const byte of v4.split('.')) words[0] = (words[0]! << 8) | Number(byte);
    return [words, Number(port), 4];
  }
  const [head = '', tail] = v6!.split('::');
  const front = head.split(':').filter((group) => group !== '');
  const back = (tail ?? '').split(':').filter((group) => group !== '');
  const groups = [...front, ...Array(8 - front.length - back.length).fill('0'), ...back].map((group) =>
    Number(`0x${group}`),
  );
  for (let i = 0; i < 8; i++) words[i >> 1] = (words[i >> 1]! << 16) | groups[i]!;
  return [words, Number(port), 6];
}
