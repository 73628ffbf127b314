/** What must hold of a Nat whatever happened to it: every index agrees with the rows, nothing is counted twice or lost. */
import { strict as assert } from 'node:assert';
import type { Nat } from '../../src/datapath/nat.js';
import { MAPPING_OWNS_PORT, MAPPING_PERMANENT } from '../../src/tables/mapping-table.js';

export function checkNat(nat: Nat): void {
  const { flows, mappings, subscribers, ports } = nat;
  const sessions = new Map<number, number>();
  const flowsOf = new Map<string, number>();
  const mappingsOf = new Map<string, number>();
  const portsOf = new Map<string, number>();
  const ids = new Set<number>();
  let used = 0;
  for (let row = 0; row < flows.usedRows(); row++) {
    if (!flows.isUsed(row)) continue;
    used++;
    const where = [flows.network(row), flows.protocol(row), flows.family(row)] as const;
    const inside = [flows.insideAddress(row), flows.insidePort(row)] as const;
    const remote = [flows.remoteAddress(row), flows.remotePort(row)] as const;
    const outside = [flows.outsideAddress(row), flows.outsidePort(row)] as const;
    assert.equal(flows.findInside(...where, ...inside, ...remote), row);
    assert.equal(flows.findOutside(...where, ...remote, ...outside), row);
    if (where[2] === 6) for (const id of [inside[0], remote[0], outside[0]]) ids.add(id);
    raise(flowsOf, `${where[0]} ${where[2]} ${inside[0]}`);
    const mapping = flows.mapping(row);
    if (mapping < 0) continue;
    assert.ok(mappings.isUsed(mapping) && flows.hasRemote(mapping, remote[0]));
    sessions.set(mapping, (sessions.get(mapping) ?? 0) + 1);
  }
  assert.equal(flows.count, used, 'sessions in use');
  let usedMappings = 0;
  for (let row = 0; row < mappings.usedRows(); row++) {
    if (!mappings.isUsed(row)) continue;
    usedMappings++;
    const where = [mappings.network(row), mappings.protocol(row), mappings.family(row)] as const;
    const outside = [mappings.outsideAddress(row), mappings.outsidePort(row)] as const;
    const remote = [mappings.remoteAddress(row), mappings.remotePort(row)] as const;
    assert.equal(mappings.findOutside(...where, ...outside), row);
    assert.equal(mappings.findInside(...where, mappings.insideAddress(row), mappings.insidePort(row), ...remote), row);
    assert.equal(mappings.sessions(row), sessions.get(row) ?? 0);
    assert.ok(mappings.sessions(row) > 0 || (mappings.flags(row) & MAPPING_PERMANENT) !== 0, 'nobody uses the mapping');
    if (where[2] === 6) for (const id of [mappings.insideAddress(row), outside[0]]) ids.add(id);
    raise(mappingsOf, `${where[0]} ${where[2]} ${mappings.insideAddress(row)}`);
    if ((mappings.flags(row) & MAPPING_OWNS_PORT) === 0) continue;
    assert.ok(ports.isTaken(...where, ...outside));
    raise(portsOf, `${where.join(' ')} ${outside[0]}`);
  }
  assert.equal(mappings.count, usedMappings, 'mappings in use');
  for (const [key, count] of portsOf) {
    const [network, protocol, family, address] = key.split(' ').map(Number) as [number, number, number, number];
    assert.equal(ports.taken(network, protocol, family, address), count, 'ports taken');
  }
  const known = new Set([...flowsOf.keys(), ...mappingsOf.keys()]);
  assert.equal(subscribers.count, known.size, 'subscribers');
  for (const key of known) {
    const [network, family, address] = key.split(' ').map(Number) as [number, number, number];
    const row = subscribers.find(network, family, address);
    assert.ok(row >= 0);
    assert.equal(subscribers.flows(row), flowsOf.get(key) ?? 0);
    assert.equal(subscribers.mappings(row), mappingsOf.get(key) ?? 0);
  }
  nat.addresses.collect();
  assert.ok(nat.addresses.count >= ids.size);
}

function raise(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
