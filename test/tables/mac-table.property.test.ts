// The MAC table against a plain Map, over random operations: the same answers, and sound chains and lists after each run.
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { createMacMemory, listMacs, MAC_CAPACITY, MacTable } from '../../src/tables/mac-table.js';
import { checkMacTable } from '../support/mac-table-check.js';

const PORTS = 6;
const NETWORKS = 3;
const STATIONS = 12;
const AGEING_MS = Int32Array.from([5_000, 60_000, 300_000]);
const HIGH = 0x0200;

type Operation =
  | { kind: 'learn' | 'static'; network: number; vlan: number; station: number; port: number }
  | { kind: 'advance'; ms: number }
  | { kind: 'removePort'; port: number }
  | { kind: 'flush'; network: number }
  | { kind: 'removeStatic' | 'sweep' };

interface Known {
  port: number;
  seenMs: number;
  isStatic: boolean;
}

const station = {
  network: fc.nat(NETWORKS - 1),
  vlan: fc.constantFrom(0, 1, 4094),
  station: fc.nat(STATIONS - 1),
  port: fc.nat(PORTS - 1),
};
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('learn' as const), ...station }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('static' as const), ...station }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(20_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('removePort' as const), port: station.port }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('flush' as const), network: fc.integer({ min: -1, max: 2 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('removeStatic' as const, 'sweep' as const) }) },
);

/** What a MAC table is, without hashing, lists, refresh intervals or shared memory. */
class Model {
  readonly known = new Map<string, Known>();
  nowMs = 0;

  apply(op: Operation): void {
    switch (op.kind) {
      case 'learn': {
        const key = keyOf(op);
        const before = this.known.get(key);
        if (before?.isStatic) return;
        // A refresh within a second of the last one is not written down.
        const isFresh = before !== undefined && before.port === op.port && this.nowMs - before.seenMs < 1000;
        if (!isFresh) this.known.set(key, { port: op.port, seenMs: this.nowMs, isStatic: false });
        return;
      }
      case 'static':
        this.known.set(keyOf(op), { port: op.port, seenMs: this.nowMs, isStatic: true });
        return;
      case 'advance':
        this.nowMs += op.ms;
        return;
      case 'removePort':
        this.forget((_, entry) => entry.port === op.port && !entry.isStatic);
        return;
      case 'flush':
        this.forget((key, entry) => !entry.isStatic && (op.network === -1 || key.startsWith(`${op.network}/`)));
        return;
      case 'removeStatic':
        this.forget((_, entry) => entry.isStatic);
        return;
      case 'sweep':
        this.forget((key, entry) => this.hasAged(Number(key[0]), entry));
    }
  }

  find(network: number, vlan: number, number: number): number {
    const entry = this.known.get(keyOf({ network, vlan, station: number }));
    return entry === undefined || this.hasAged(network, entry) ? -1 : entry.port;
  }

  private hasAged(network: number, entry: Known): boolean {
    return !entry.isStatic && this.nowMs - entry.seenMs >= AGEING_MS[network]!;
  }

  private forget(matches: (key: string, entry: Known) => boolean): void {
    for (const [key, entry] of [...this.known]) if (matches(key, entry)) this.known.delete(key);
  }
}

function keyOf(op: { network: number; vlan: number; station: number }): string {
  return `${op.network}/${op.vlan}/${op.station}`;
}

function apply(table: MacTable, op: Operation, nowMs: number, limit: number): void {
  switch (op.kind) {
    case 'learn':
      table.learn(op.network, op.vlan, HIGH, op.station, op.port, nowMs, limit);
      return;
    case 'static':
      table.insertStatic(op.network, op.vlan, HIGH, op.station, op.port, nowMs);
      return;
    case 'removePort':
      table.removePort(op.port);
      return;
    case 'flush':
      table.flush(op.network);
      return;
    case 'removeStatic':
      table.removeStatic();
      return;
    case 'sweep':
      table.sweep(MAC_CAPACITY, nowMs, AGEING_MS);
  }
}

describe('mac table, over random operations', function () {
  this.timeout(120_000);

  it('answers like a Map that forgets', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), fc.integer(), (operations, seed) => {
        const memory = createMacMemory();
        const table = new MacTable(memory, PORTS, NETWORKS, seed);
        const model = new Model();
        for (const op of operations) {
          apply(table, op, model.nowMs, MAC_CAPACITY);
          model.apply(op);
          for (let network = 0; network < NETWORKS; network++) {
            for (const vlan of [0, 1, 4094]) {
              for (let number = 0; number < STATIONS; number++) {
                const found = table.find(network, vlan, HIGH, number, model.nowMs, AGEING_MS[network]!);
                assert.equal(found, model.find(network, vlan, number), `${network}/${vlan}/${number} after ${op.kind}`);
              }
            }
          }
        }
        checkMacTable(table, memory);
        const rows = listMacs(memory).map(({ network, vlan, macLow, port, lastSeenMs, isStatic }) => [
          keyOf({ network, vlan, station: macLow }),
          { port, seenMs: lastSeenMs, isStatic },
        ]);
        assert.deepEqual(new Map(rows as [string, Known][]), model.known);
      }),
      { numRuns: 100 },
    );
  });

  it('takes an entry only from a port that has at least as many as the one that learns, and never passes the limit', () => {
    const learning = fc.record({ kind: fc.constant('learn' as const), ...station, network: fc.constant(0) });
    const limits = fc.integer({ min: 1, max: 20 });
    fc.assert(
      fc.property(fc.array(learning, { maxLength: 300 }), limits, fc.integer(), (operations, limit, seed) => {
        const memory = createMacMemory();
        const table = new MacTable(memory, PORTS, NETWORKS, seed);
        for (const [nowMs, op] of operations.entries()) {
          const before = Array.from({ length: PORTS }, (_, port) => table.entriesOfPort(port));
          const isKnown = table.find(0, op.vlan, HIGH, op.station, nowMs, 1e6) >= 0;
          apply(table, op, nowMs, limit);
          assert.ok(table.count <= limit);
          assert.equal(table.find(0, op.vlan, HIGH, op.station, nowMs, 1e6), op.port, 'what was just heard is known');
          if (isKnown) continue;
          for (let port = 0; port < PORTS; port++) {
            const lost = before[port]! - table.entriesOfPort(port);
            if (lost > 0)
              assert.ok(before[port]! >= before[op.port]!, `port ${port} lost to a greedier port ${op.port}`);
          }
        }
        checkMacTable(table, memory);
      }),
      { numRuns: 200 },
    );
  });
});
