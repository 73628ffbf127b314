/** Changes of a shared network that fail on this host after the cluster has heard of them: all hosts are as if nobody had asked. */
import assert from 'node:assert/strict';
import { ClusterNetworks } from '../../src/control/cluster/cluster-networks.js';
import { ClusterKeys } from '../../src/control/cluster/keys.js';
import { Replica } from '../../src/control/cluster/replica.js';
import { sharedTextOf } from '../../src/control/cluster/shared-network.js';
import type { Context } from '../../src/control/context.js';
import type { MutationQueue } from '../../src/control/mutation-queue.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';
import {
  bindings,
  eventsOf,
  floods,
  type Host,
  networkNames,
  OVERLAY,
  until,
  untilAsked,
  useTwoHosts,
} from '../support/cluster-lab.js';
import type { EtcdServer } from '../support/etcd-server.js';
import { MemoryEtcd } from '../support/memory-etcd.js';

/** Longer than any machine stands still: nobody is to be gone in between. */
const LEASE_SECONDS = 600;

describe('a change of a shared network that fails', function undo() {
  this.timeout(120_000);

  it('is taken out of the cluster again, also when nothing was heard of it yet', async () => {
    const keys = new ClusterKeys('/weft');
    const specOf = (more: object) => {
      const parsed = parseNetworkRequest({ ...OVERLAY, ...more, overlay: { vni: 5000, shared: true } });
      assert.ok(parsed.ok);
      return parsed.value;
    };
    const [former, changed] = [specOf({}), specOf({ ageingSeconds: 60 })];
    const etcd = new MemoryEtcd();
    etcd.put(keys.network('ov'), sharedTextOf(former));
    const replica = new Replica(keys);
    replica.load([...etcd.rows.values()], 1, () => false);
    const networks = new ClusterNetworks({
      ...{ keys, replica, defaults: {}, owner: 'a one', reenter: assert.fail },
      ...{ context: {} as Context, queue: {} as MutationQueue },
      ask: (question) => question(etcd.session),
      onDeltas: (deltas) => replica.apply(deltas, replica.revision, () => false),
    });
    await networks.change(changed);
    assert.equal(etcd.value(keys.network('ov')), sharedTextOf(changed));
    await networks.change(former);
    assert.equal(etcd.value(keys.network('ov')), sharedTextOf(former));
  });

  describe('with an etcd', () => {
    let etcd: EtcdServer;
    let a: Host;
    let b: Host;
    useTwoHosts((made) => {
      ({ etcd, a, b } = made);
    }, LEASE_SECONDS);

    it('was to delete it: this host has its VTEP, its stations and their addresses in the cluster as before', async () => {
      await a.lab.controller.createCompartment({ name: 'web' });
      const { ip } = await a.lab.controller.createEndpoint({ name: 'web', network: 'ov', compartment: 'web' });
      await a.lab.controller.createEndpoint({ name: 'spare', network: 'ov' });
      await until('b knows the station', () => bindings(b).length === 1 && floods(b).length === 1);
      const keys = async () => (await etcd.keys('/weft/')).join(' ');
      const before = await keys();
      a.lab.saveFailure = 'no space left on device';
      await assert.rejects(a.lab.controller.deleteNetwork('ov', true), /could not be saved/);
      a.lab.saveFailure = null;
      await untilAsked('everything is in etcd again', async () => (await keys()) === before);
      await until('b knows the station again', () => bindings(b).length === 1 && floods(b).length === 1);
      assert.deepEqual(a.lab.controller.getEndpoint('web').ip, ip);
      await assert.rejects(
        b.lab.controller.createEndpoint({ name: 'thief', network: 'ov', ip }),
        /(is an address of|belongs to) host a/,
      );
    });

    it('was to delete it while nothing was on it: this host keeps what it has of its own there', async () => {
      const own = { vni: 6000, hostVnic: true, peers: ['192.0.2.77'] };
      const made = { name: 'own', type: 'overlay' as const, subnets: ['10.91.0.0/24'], overlay: own };
      await a.lab.controller.createNetwork(made);
      await until('b has it', () => networkNames(b).includes('own'));
      const ownOf = ({ lab: { controller } }: Host) => {
        const { overlay, hostInterface } = controller.getNetwork('own');
        return { overlay, hostInterface };
      };
      const before = ownOf(a);
      assert.deepEqual(before.overlay?.peers, ['192.0.2.77']);
      for (let n = 0; n < 10; n++) {
        a.lab.saveFailure = 'no space left on device';
        await assert.rejects(a.lab.controller.deleteNetwork('own', false), /could not be saved/);
        a.lab.saveFailure = null;
        // Behind whatever the cluster has made of it on this host.
        await a.lab.controller.createEndpoint({ name: `e${n}`, network: 'own' });
        await a.lab.controller.deleteEndpoint(`e${n}`);
      }
      assert.deepEqual(ownOf(a), before);
      assert.deepEqual(eventsOf(a, 'network-deleted'), []);
    });

    it('was to replace an endpoint on it: the former one has never given anything away', async () => {
      const file = (more: object) => ({
        weft: 1 as const,
        networks: {},
        compartments: { web: {} },
        endpoints: { web: { network: 'ov', compartment: 'web', ...more } },
      });
      await a.lab.controller.apply(file({ ip: '10.90.0.7' }), false);
      await until('b knows the station', () => bindings(b).length === 1);
      const keys = async () => (await etcd.keys('/weft/')).join(' ');
      const before = await keys();
      const told = b.lab.datapath.bindings.length;
      a.lab.saveFailure = 'no space left on device';
      await assert.rejects(a.lab.controller.apply(file({ ip: '10.90.0.8' }), false), /could not be saved/);
      a.lab.saveFailure = null;
      assert.equal(await keys(), before);
      // Whatever b was to hear has come when it hears of this.
      await a.lab.controller.createEndpoint({ name: 'last', network: 'ov', compartment: 'web' });
      await until('b knows the last one', () => bindings(b).length === 2);
      assert.equal(b.lab.datapath.bindings.length, told + 1, 'b has heard of nothing else');
    });
  });
});
