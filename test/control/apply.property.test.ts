/** Any lab file after any other: applying is idempotent, exporting is its inverse, and nothing leaks on the way. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { LabFile } from '../../src/control/controller.js';
import { RequestError } from '../../src/model/problems.js';
import { makeStateDirectory, startLab } from '../support/control-lab.js';

const NETWORKS = ['n0', 'n1', 'n2'];
const COMPARTMENTS = ['c0', 'c1', 'c2'];

const network = (index: number) =>
  fc.record({
    type: fc.constantFrom('private' as const, 'internal' as const),
    subnets: fc.subarray([`10.${index}.0.0/28`, `10.${index}.1.0/24`, `fd00:${index}::/64`]),
    mtu: fc.constantFrom(1500, 9000),
    controlFrames: fc.constantFrom('pass' as const, 'filter' as const),
  });

const endpoint = fc.record(
  {
    network: fc.constantFrom(...NETWORKS),
    compartment: fc.constantFrom(...COMPARTMENTS),
    isolated: fc.boolean(),
    defaultRoute: fc.boolean(),
    offload: fc.boolean(),
    mac: fc.integer({ min: 1, max: 9 }).map((last) => `02:00:00:00:00:0${last}`),
    ifname: fc.constantFrom('eth0', 'eth1', 'lan0', 'lan1', 'lan2'),
  },
  { requiredKeys: ['network'] },
);

const labFile: fc.Arbitrary<LabFile> = fc
  .record({
    networks: fc.tuple(...NETWORKS.map((_, index) => fc.option(network(index), { freq: 4 }))),
    compartments: fc.subarray(COMPARTMENTS, { minLength: 1 }),
    endpoints: fc.dictionary(fc.constantFrom('e0', 'e1', 'e2', 'e3', 'e4'), endpoint, { noNullPrototype: true }),
  })
  .map(({ networks, compartments, endpoints }) => {
    const named = NETWORKS.flatMap((name, index) => (networks[index] ? [[name, networks[index]] as const] : []));
    // Most files name only what they have; a few refer to what may be there or not.
    const placed = Object.entries(endpoints).map(([name, body], index) => {
      const isLoose = index === 4 || named.length === 0;
      const network = isLoose ? body.network : named[Number(body.network.slice(1)) % named.length]![0];
      const { compartment } = body;
      if (compartment === undefined) return [name, { ...body, network }] as const;
      const present = compartments[Number(compartment.slice(1)) % compartments.length]!;
      return [name, { ...body, network, compartment: isLoose ? compartment : present }] as const;
    });
    return {
      weft: 1 as const,
      networks: Object.fromEntries(named),
      compartments: Object.fromEntries(compartments.map((name) => [name, {}])),
      endpoints: Object.fromEntries(placed),
    };
  });

describe('apply, whatever the files', function applyProperty() {
  this.timeout(60_000);

  it('reaches every file from every other one, or refuses and changes nothing', async () => {
    let applied = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(labFile, { minLength: 2, maxLength: 4 }), async (files) => {
        const { directory, remove } = await makeStateDirectory();
        const lab = await startLab(directory);
        try {
          for (const file of files) {
            const before = lab.snapshot();
            try {
              await lab.controller.apply(file, false);
            } catch (error) {
              assert.ok(error instanceof RequestError, String(error));
              assert.deepEqual(lab.snapshot(), before);
              continue;
            }
            applied++;
            lab.check();
            const names = lab.controller.listEndpoints().map(({ name }) => name);
            assert.deepEqual(names, Object.keys(file.endpoints ?? {}).sort());
            assert.deepEqual((await lab.controller.apply(file, false)).steps, []);
            assert.deepEqual((await lab.controller.apply(lab.controller.exportLab(), true)).steps, []);
          }
        } finally {
          await lab.close();
          await remove();
        }
      }),
      { numRuns: 60, endOnFailure: true },
    );
    assert.ok(applied > 50, `only ${applied} files could be applied: the test sees too little`);
  });
});
