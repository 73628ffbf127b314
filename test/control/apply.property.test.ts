/** Any lab file after any other: applying is idempotent, exporting is its inverse, and nothing leaks on the way. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { LabFile } from '../../src/control/controller/lab-objects.js';
import { RequestError } from '../../src/model/problems.js';
import { makeStateDirectory, startLab } from '../support/control-lab.js';

const NETWORKS = ['n0', 'n1', 'n2'];
const COMPARTMENTS = ['c0', 'c1', 'c2'];

const plain = (index: number) =>
  fc.record({
    type: fc.constantFrom('private' as const, 'internal' as const),
    subnets: fc.subarray([`10.${index}.0.0/28`, `10.${index}.1.0/24`, `fd00:${index}::/64`]),
    mtu: fc.constantFrom(1500, 9000),
    controlFrames: fc.constantFrom('pass' as const, 'filter' as const),
  });

const nat = (index: number) =>
  fc.record(
    {
      type: fc.constant('nat' as const),
      subnets: fc.subarray([`10.${index}.0.0/28`, `10.${index}.1.0/24`, `fd00:${index}::/64`], { minLength: 1 }),
      uplink: fc.constantFrom('host', 'host', 'none'),
      masquerade: fc.constant(false),
      routesTo: fc.subarray(NETWORKS.filter((_, other) => other !== index)),
      nat: fc.record(
        {
          filtering: fc.constantFrom('endpoint-independent' as const, 'address-dependent' as const),
          ipv6: fc.constantFrom('routed' as const, 'nat66' as const),
          timers: fc.record({ udp: fc.constantFrom(60, 300) }),
          exceptions: fc.subarray(['198.51.100.0/24', '203.0.113.0/24']),
        },
        { requiredKeys: [] },
      ),
      dhcp: fc.boolean(),
      dns: fc.boolean(),
    },
    { requiredKeys: ['type', 'subnets'] },
  );

const UNDERLAY = '/run/netns/underlay';

/** Two of them share a VTEP when they have the same underlay. */
const overlay = (index: number) =>
  fc
    .record(
      {
        type: fc.constant('overlay' as const),
        underlay: fc.constantFrom('socket' as const, 'tap' as const),
        subnets: fc.subarray([`10.${index}.0.0/28`, `10.${index}.1.0/24`, `fd00:${index}::/64`], { minLength: 1 }),
        uplink: fc.constantFrom('host', 'none'),
        peers: fc.subarray(['192.0.2.2', '192.0.2.3']),
        peersClosed: fc.boolean(),
        learning: fc.boolean(),
        dscp: fc.constantFrom(0, 46, null),
        hostVnic: fc.boolean(),
        innerVlan: fc.constantFrom('strip' as const, 'keep' as const),
        dhcp: fc.boolean(),
        mtu: fc.constantFrom(1400, 1446),
      },
      { requiredKeys: ['type', 'underlay', 'subnets'] },
    )
    .map((body) => ({
      ...body,
      ...{ vni: index, vtep: body.underlay === 'tap' ? '192.0.2.7' : '192.0.2.1', underlayNetns: UNDERLAY },
      ...(body.uplink === 'host' ? { masquerade: false } : {}),
    }));

const network = (index: number) => fc.oneof(plain(index), nat(index), overlay(index));

const endpoint = fc.record(
  {
    network: fc.constantFrom(...NETWORKS),
    compartment: fc.constantFrom(...COMPARTMENTS),
    isolated: fc.boolean(),
    defaultRoute: fc.boolean(),
    offload: fc.boolean(),
    mac: fc.integer({ min: 1, max: 9 }).map((last) => `02:00:00:00:00:0${last}`),
    ifname: fc.constantFrom('eth0', 'eth1', 'lan0', 'lan1', 'lan2'),
    publish: fc.uniqueArray(fc.constantFrom('80:80/tcp', '81:80/tcp', '0.0.0.0:82:82/udp', '90-99:90/tcp'), {
      maxLength: 2,
    }),
    configure: fc.boolean(),
    aliases: fc.subarray(['www', 'cdn']),
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
    leaveOutWhatIsRefused(named, placed);
    return {
      weft: 1 as const,
      networks: Object.fromEntries(named),
      compartments: Object.fromEntries(compartments.map((name) => [name, {}])),
      endpoints: Object.fromEntries(placed),
    };
  });

/** Routes to networks without a gateway, and ports that cannot be published or that another endpoint of the file has. */
function leaveOutWhatIsRefused(
  networks: (readonly [string, { type: string; routesTo?: string[]; uplink?: string }])[],
  endpoints: (readonly [string, { network: string; publish?: string[] }])[],
): void {
  const byName = new Map(networks);
  const hasGateway = (name: string) => ['internal', 'nat', 'overlay'].includes(byName.get(name)?.type ?? '');
  for (const [, body] of networks) if (body.routesTo) body.routesTo = body.routesTo.filter(hasGateway);
  const taken = new Set<string>();
  for (const [, body] of endpoints) {
    const { type, uplink = type === 'nat' ? 'host' : 'none' } = byName.get(body.network) ?? { type: 'none' };
    if (!['nat', 'overlay'].includes(type) || uplink === 'none') delete body.publish;
    body.publish = (body.publish ?? []).filter((port) => !taken.has(port));
    for (const port of body.publish) taken.add(port);
  }
}

describe('apply, whatever the files', function applyProperty() {
  this.timeout(120_000);

  it('reaches every file from every other one, or refuses and changes nothing', async () => {
    let applied = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(labFile, { minLength: 2, maxLength: 4 }), async (files) => {
        const { directory, remove } = await makeStateDirectory();
        const lab = await startLab(directory);
        const underlay = lab.machine.addNamespace(UNDERLAY);
        lab.machine.addInterface(underlay, 'nic').addresses.push('192.0.2.1/24');
        underlay.foreignRoutes.push({ destination: '192.0.2.0/24', gateway: null, metric: 0, device: 'nic' });
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
