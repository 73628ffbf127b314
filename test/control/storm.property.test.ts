/**
 * Many clients at once, a kernel and a datapath that fail now and then, namespaces that die, disks that are full, daemons
 * that are killed: whatever happened, what is listed is there, nothing else is, and the next daemon knows it too.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { RequestError } from '../../src/model/problems.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

const NETWORKS = ['n0', 'n1', 'n2'];
const TYPES = ['internal', 'private', 'nat'] as const;
const COMPARTMENTS = ['c0', 'c1', 'c2'];
const ENDPOINTS = ['e0', 'e1', 'e2', 'e3', 'e4', 'e5'];

const step = fc.record({
  kind: fc.constantFrom(
    'create network',
    'delete network',
    'create compartment',
    'delete compartment',
    'create endpoint',
    'create endpoint',
    'create endpoint',
    'attach endpoint',
    'detach endpoint',
    'delete endpoint',
    'apply',
    'patch',
    'publish',
    'unpublish',
    'end namespace',
    'port fault',
    'fail kernel',
    'fail datapath',
    'fail save',
    'wait',
    'wait',
    'crash',
  ),
  network: fc.nat({ max: NETWORKS.length - 1 }),
  compartment: fc.nat({ max: COMPARTMENTS.length - 1 }),
  endpoint: fc.nat({ max: ENDPOINTS.length - 1 }),
  number: fc.integer({ min: 1, max: 12 }),
  isForced: fc.boolean(),
});
type Step = ReturnType<typeof step.generate>['value'];

/** The request of a step, or null when it is none. */
function request({ controller }: ControlLab, each: Step): Promise<unknown> | null {
  const [network, compartment] = [NETWORKS[each.network]!, COMPARTMENTS[each.compartment]!];
  const endpoint = ENDPOINTS[each.endpoint]!;
  const type = TYPES[each.network]!;
  const subnets = [`10.${each.network}.0.0/29`, `fd00:${each.network}::/64`];
  const { isForced } = each;
  const requests: Partial<Record<Step['kind'], () => Promise<unknown>>> = {
    'create network': () => controller.createNetwork({ name: network, type, subnets }),
    'delete network': () => controller.deleteNetwork(network, isForced),
    'create compartment': () => controller.createCompartment({ name: compartment }),
    'delete compartment': () => controller.deleteCompartment(compartment, isForced),
    'create endpoint': () => controller.createEndpoint({ name: endpoint, network, compartment }),
    'attach endpoint': () => controller.attachEndpoint(endpoint, compartment),
    'detach endpoint': () => controller.detachEndpoint(endpoint),
    'delete endpoint': () => controller.deleteEndpoint(endpoint),
    publish: () => controller.publishPort({ endpoint, spec: `${80 + (each.number % 3)}:80` }),
    unpublish: () => controller.unpublishPorts({ endpoint }),
    patch: () => controller.patchNetwork(network, { mtu: 1400 + each.number }),
    apply: () =>
      controller.apply(
        {
          weft: 1,
          networks: { [network]: { type, subnets } },
          compartments: { [compartment]: {} },
          endpoints: { [endpoint]: { network, compartment, isolated: isForced } },
        },
        false,
      ),
  };
  return requests[each.kind]?.() ?? null;
}

/** What happens to the machine in a step that is no request. */
function disturb({ machine, controller, kernel, datapath }: ControlLab, each: Step): void {
  const path = `/run/netns/${COMPARTMENTS[each.compartment]}`;
  if (each.kind === 'end namespace' && machine.namespaces.has(path)) machine.endNamespace(path);
  if (each.kind === 'fail kernel') kernel.failAt(each.number);
  if (each.kind === 'fail datapath') datapath.failAt(each.number);
  if (each.kind !== 'port fault') return;
  const view = controller.listEndpoints().find(({ name }) => name === ENDPOINTS[each.endpoint]);
  if (view?.port === undefined || view.port === null || !datapath.attached.has(view.port)) return;
  for (const { interfaces } of machine.all()) {
    const fd = datapath.attached.get(view.port);
    for (const [ifname, device] of interfaces) if (device.openFd === fd) interfaces.delete(ifname);
  }
  datapath.reportFault(view.port, 77);
}

function portrait({ controller }: ControlLab): unknown {
  return {
    networks: controller.listNetworks(),
    compartments: controller.listCompartments(),
    endpoints: controller.listEndpoints().map(({ port: _, reason: __, ...view }) => view),
  };
}

/** Every endpoint that says so has its interface, and no interface of weft is there without. */
function checkInterfaces(lab: ControlLab): void {
  const found = [...lab.machine.namespaces].flatMap(([path, { interfaces }]) =>
    [...interfaces.values()]
      .filter(({ alias }) => alias !== '')
      .map(({ ifname, addresses }) => ({ path, ifname, addresses })),
  );
  const key = ({ path, ifname }: { path: string; ifname: string }) => `${path} ${ifname}`;
  const wanted = lab.controller
    .listEndpoints()
    .filter(({ state }) => state === 'attached')
    .map(({ compartment, ifname, addresses }) => ({ path: `/run/netns/${compartment}`, ifname, addresses }));
  const sorted = (list: typeof found) => [...list].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  assert.deepEqual(sorted(found), sorted(wanted));
}

describe('a storm of requests and disturbances', function storm() {
  this.timeout(120_000);

  it('leaves exactly what is listed, and the next daemon lists the same', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), async (steps) => {
        const { directory, remove } = await makeStateDirectory();
        let lab = await startLab(directory);
        for (const name of COMPARTMENTS) await lab.controller.createCompartment({ name });
        for (const network of NETWORKS.keys()) await request(lab, { ...steps[0]!, kind: 'create network', network });
        for (const endpoint of ENDPOINTS.keys()) {
          const place = { network: endpoint % NETWORKS.length, compartment: endpoint % COMPARTMENTS.length };
          await request(lab, { ...steps[0]!, kind: 'create endpoint', endpoint, ...place });
        }
        let pending: Promise<void>[] = [];
        const settle = async () => {
          await Promise.all(pending);
          pending = [];
          lab.kernel.stopFailing();
          lab.datapath.stopFailing();
          lab.saveFailure = null;
          // Disturbances are changes too; when one of ours is through, those before it are. The first may bring about a
          // save that made up for a failed one, and the second waits for that.
          for (let i = 0; i < 2; i++) await lab.controller.detachEndpoint('nobody').catch(() => {});
          // A program that the datapath refused while a change was taken back is made good by the next one.
          const { name } = await lab.controller.startCapture({ all: true, file: '/dev/null' });
          await lab.controller.stopCapture(name);
        };
        try {
          for (const each of steps) {
            if (each.kind === 'fail save') lab.saveFailure = 'ENOSPC';
            disturb(lab, each);
            const sent = request(lab, each);
            if (sent !== null) {
              pending.push(
                sent.then(
                  () => void accepted++,
                  (error: unknown) => {
                    assert.ok(
                      error instanceof RequestError || /as the test wants it/.test(String(error)),
                      String(error),
                    );
                  },
                ),
              );
            }
            if (each.kind !== 'wait' && each.kind !== 'crash') continue;
            await settle();
            lab.check();
            if (each.kind === 'crash') lab = await lab.crash();
          }
          await settle();
          // What was lost while the disk was full is saved with the next change.
          await lab.controller.createNetwork({ name: 'last', type: 'private' });
          lab.check();
          lab = await lab.crash();
          checkInterfaces(lab);
          const before = portrait(lab);
          lab = await lab.restart();
          assert.deepEqual(portrait(lab), before);
          checkInterfaces(lab);
        } finally {
          await lab.close();
          await remove();
        }
      }),
      { numRuns: 40, endOnFailure: true },
    );
    assert.ok(accepted > 120, `only ${accepted} requests were accepted: the test sees too little`);
  });
});
