// Which subnet lies between the machine and weft: the same one every time, and never one that leads elsewhere.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chooseTransit, transitOf } from '../../src/control/uplinks/transit-subnet.js';
import { type IpRange, overlaps, parseSubnet } from '../../src/model/ip.js';

const INSTANCE = 'be2cdd29-6079-4c98-b8fc-916454dcfe41';

function subnet(text: string) {
  const read = parseSubnet(text);
  assert.ok(read.ok, text);
  return read.value;
}

describe('a transit subnet', () => {
  it('is the same for the same network of the same daemon, and another one for another network or daemon', () => {
    const [first, again] = [chooseTransit(4, INSTANCE, 'front', []), chooseTransit(4, INSTANCE, 'front', [])];
    assert.deepEqual(first, again);
    assert.notDeepEqual(chooseTransit(4, INSTANCE, 'back', []), first);
    assert.notDeepEqual(chooseTransit(4, 'another', 'front', []), first);
  });

  it('gives the first address to the machine and the second one to weft', () => {
    assert.deepEqual(transitOf(subnet('100.64.1.4/30')), {
      subnet: subnet('100.64.1.4/30'),
      machine: '100.64.1.5',
      weft: '100.64.1.6',
    });
    const { machine, weft } = transitOf(subnet('fd00::10/126'));
    assert.deepEqual([machine, weft], ['fd00::11', 'fd00::12']);
  });

  it('lies in the shared address space, or in a unique local prefix of the daemon', () => {
    const shared = subnet('100.64.0.0/10');
    const local = subnet('fd00::/8');
    const four = chooseTransit(4, INSTANCE, 'front', []);
    const six = chooseTransit(6, INSTANCE, 'front', []);
    assert.ok(four && overlaps(shared, four.subnet) && four.subnet.prefix === 30);
    assert.ok(six && overlaps(local, six.subnet) && six.subnet.prefix === 126);
    assert.match(six.machine, /^fd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}:ffff::/);
  });

  it('overlaps nothing that is taken, whatever is', () => {
    const taken = fc.array(
      fc.record({ at: fc.integer({ min: 0, max: (1 << 22) - 1 }), size: fc.integer({ min: 0, max: 1 << 21 }) }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(fc.string(), taken, (network, parts) => {
        const base = subnet('100.64.0.0/10').first;
        const ranges: IpRange[] = parts.map(({ at, size }) => {
          const first = base + BigInt(at);
          return { family: 4, first, last: first + BigInt(size) };
        });
        const chosen = chooseTransit(4, INSTANCE, network, ranges);
        if (chosen !== null) {
          assert.ok(!ranges.some((range) => overlaps(range, chosen.subnet)));
          return;
        }
        // Nothing is left only when every candidate is hit.
        for (let i = 0; i < 1 << 20; i += 4099) {
          const candidate: IpRange = { family: 4, first: base + BigInt(i * 4), last: base + BigInt(i * 4 + 3) };
          assert.ok(ranges.some((range) => overlaps(range, candidate)));
        }
      }),
    );
  });

  it('is none when all of 100.64.0.0/10 is taken, and is found among what a large route leaves', () => {
    assert.equal(chooseTransit(4, INSTANCE, 'front', [subnet('100.64.0.0/10')]), null);
    const all = subnet('100.64.0.0/10');
    const hole = { family: 4 as const, first: all.first, last: all.last - 4n };
    assert.equal(chooseTransit(4, INSTANCE, 'front', [hole])?.subnet.text, '100.127.255.252/30');
  });
});
