/** What `weft stats` says of the services of gateways, word for word. */
import assert from 'node:assert/strict';
import type { SchemaTypes } from '../../src/api/schema/catalogue.js';
import { totalsTable } from '../../src/cli/render/stats.js';
import { idleDatapath, idleDns } from '../support/fake-stats.js';

type Stats = SchemaTypes['Stats'];

function dhcpLine(dhcp: Stats['dhcp']): string | undefined {
  const endpoint = { endpoint: 'web', network: 'n', compartment: null, state: 'detached' as const };
  const counters = { rxFrames: 0, rxBytes: 0, rxDropped: 0, txFrames: 0, txBytes: 0, txDropped: 0 };
  const stats = { time: '', endpoints: [{ ...endpoint, ...counters }], dhcp, datapath: idleDatapath(), dns: idleDns() };
  return totalsTable(stats)
    .split('\n')
    .find((line) => line.startsWith('DHCP'));
}

describe('CLI: DHCP in the counters', () => {
  const count = (network: string, what: string, number: number, isIgnored = false) => {
    return { network, what, isIgnored, count: number };
  };

  it('is summed up over the networks, the most frequent first', () => {
    const messages = [count('a', 'ack', 2), count('a', 'discover', 3), count('b', 'discover', 4)];
    assert.equal(dhcpLine(messages), 'DHCP: 7 discover, 2 ack');
    const ignored = [count('a', 'foreign-mac', 7, true), count('b', 'malformed', 1, true)];
    const line = 'DHCP: 7 discover, 2 ack; left alone: 7 foreign-mac, 1 malformed';
    assert.equal(dhcpLine([...messages, ...ignored]), line);
    assert.equal(dhcpLine(ignored.slice(1)), 'DHCP: nothing answered; left alone: 1 malformed');
  });

  it('is not mentioned where nobody has asked', () => {
    assert.equal(dhcpLine([]), undefined);
  });
});
