/** Nat networks and published ports over a machine without a kernel: made, changed, restored, in lab files. */
import assert from 'node:assert/strict';
import type { LabFile } from '../../src/control/controller/lab-objects.js';
import { RequestError } from '../../src/model/problems.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

const LAB: LabFile = {
  weft: 1,
  networks: {
    front: {
      type: 'nat',
      subnets: ['10.80.0.0/24', 'fd00:80::/64'],
      routesTo: ['back'],
      nat: { filtering: 'endpoint-independent', timers: { udp: 120 } },
      dns: { forwarders: ['192.0.2.53'] },
    },
    back: { type: 'nat', subnets: ['10.81.0.0/24'], uplink: 'none', routesTo: ['front'], dhcp: false },
  },
  compartments: { web: {}, db: {} },
  endpoints: {
    'web-front': {
      network: 'front',
      compartment: 'web',
      publish: ['8080:80', '192.0.2.1:53:53/udp'],
      aliases: ['www'],
    },
    'db-back': { network: 'back', compartment: 'db', configure: false },
    'db-front': { network: 'front', compartment: 'db', publish: ['5432:5432'] },
  },
};

const refused = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof RequestError && error.code === code && pattern.test(error.message);

describe('nat networks', () => {
  let lab: ControlLab;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
  });

  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  const apply = (file: LabFile, dryRun = false) => lab.controller.apply(file, dryRun);
  const summary = async (file: LabFile) =>
    (await apply(file)).steps.map(({ action, object, name, detail }) => `${action} ${object} ${name}: ${detail}`);
  const changed = (change: (file: Required<LabFile>) => void): LabFile => {
    const copy = structuredClone(LAB) as Required<LabFile>;
    change(copy);
    return copy;
  };
  const ports = () => lab.controller.listPorts().map(({ endpoint, spec }) => `${endpoint} ${spec}`);

  describe('in lab files', () => {
    it('are made in any order, however they name each other, and nothing is left to do', async () => {
      const plan = await apply(LAB, true);
      assert.deepEqual(lab.controller.listNetworks(), [], 'a dry run makes nothing');
      assert.deepEqual((await apply(LAB)).steps, plan.steps);
      assert.deepEqual(await summary(LAB), []);
      const { uplink, nat, gateway, dns } = lab.controller.getNetwork('front');
      assert.deepEqual([uplink, nat?.filtering, nat?.timers.udp], ['host', 'endpoint-independent', 120]);
      assert.deepEqual([gateway, dns?.domain], [['10.80.0.1', 'fd00:80::1'], 'front.weft']);
      assert.deepEqual(ports(), ['db-front 5432:5432/tcp', 'web-front 8080:80/tcp', 'web-front 192.0.2.1:53:53/udp']);
      lab = await lab.restart();
      assert.deepEqual(await summary(LAB), []);
      lab = await lab.crash();
      assert.deepEqual(await summary(LAB), []);
    });

    it('come out as they went in, without what weft would fill in', async () => {
      await apply(LAB);
      const exported = lab.controller.exportLab();
      assert.deepEqual(
        exported.networks,
        LAB.networks && {
          ...LAB.networks,
          back: { ...LAB.networks.back, dhcp: { enabled: false } },
        },
      );
      const { mac: _mac, ifname: _ifname, ip: _ip, ...web } = exported.endpoints!['web-front']!;
      assert.deepEqual(web, {
        network: 'front',
        compartment: 'web',
        publish: ['8080:80/tcp', '192.0.2.1:53:53/udp'],
        aliases: ['www'],
      });
      assert.equal(exported.endpoints!['db-back']!.configure, false);
      assert.deepEqual(await summary(exported), []);
      await lab.controller.apply({ weft: 1 }, false);
      await apply(exported);
      assert.deepEqual(lab.controller.exportLab(), exported);
    });

    it('come out of a network with every setting', async () => {
      const network = {
        type: 'nat' as const,
        subnets: ['10.80.0.0/24', 'fd00:80::/64'],
        externalIp: ['192.0.2.1'],
        masquerade: false,
        nat: {
          ipv6: 'nptv6' as const,
          prefix: '2001:db8::/64',
          ports: { first: 2000 },
          static: [{ inside: '10.80.0.9', external: '192.0.2.9' }],
          exceptions: ['198.51.100.0/24'],
        },
        advertise: true,
        dhcp: { routes: [{ destination: '10.9.0.0/16', via: '10.80.0.1' }] },
        dns: { domain: 'lab' },
      };
      await apply({ weft: 1, networks: { front: network } });
      assert.deepEqual(lab.controller.exportLab(), { weft: 1, networks: { front: network } });
    });

    it('say what changes, field by field, and what has to be made anew', async () => {
      await apply(LAB);
      const settings = changed(({ networks }) => {
        networks.front!.nat = { hairpin: false, exceptions: ['198.51.100.0/24'] };
        networks.front!.dns = true;
        delete networks.back!.routesTo;
      });
      assert.deepEqual(await summary(settings), [
        'update network front: nat.filtering endpoint-independent -> address-dependent, nat.timers.udp 120 -> 300, ' +
          'nat.exceptions none -> 198.51.100.0/24, nat.hairpin true -> false, dns.forwarders 192.0.2.53 -> none',
        'update network back: routesTo front -> none',
      ]);
      const moved = changed(({ networks }) => {
        networks.front = { ...networks.front!, uplink: 'none' };
      });
      const [first] = await apply(moved, true)
        .then(({ steps }) => steps)
        .catch((error: Error) => [error.message]);
      assert.match(String(first), /8080:80\/tcp cannot be published: network front has no uplink/);
      delete (moved.endpoints!['web-front'] as { publish?: string[] }).publish;
      delete (moved.endpoints!['db-front'] as { publish?: string[] }).publish;
      const { steps } = await apply(moved);
      assert.deepEqual(
        steps.filter(({ action }) => action === 'replace').map(({ name }) => name),
        ['front', 'web-front', 'db-front'],
      );
      const ipv6 = changed(({ networks }) => {
        networks.front!.nat = { ipv6: 'routed' };
      });
      assert.ok((await apply(ipv6, true)).steps.some(({ action, name }) => action === 'replace' && name === 'front'));
    });

    it('lets endpoints swap published ports', async () => {
      await apply(LAB);
      const swapped = changed(({ endpoints }) => {
        endpoints['web-front']!.publish = ['5432:80', '192.0.2.1:53:53/udp'];
        endpoints['db-front']!.publish = ['8080:5432'];
      });
      assert.deepEqual(await summary(swapped), [
        'update endpoint web-front: publish 8080:80/tcp, 192.0.2.1:53:53/udp -> 5432:80/tcp, 192.0.2.1:53:53/udp',
        'update endpoint db-front: publish 5432:5432/tcp -> 8080:5432/tcp',
      ]);
      assert.deepEqual(ports(), ['db-front 8080:5432/tcp', 'web-front 5432:80/tcp', 'web-front 192.0.2.1:53:53/udp']);
      assert.deepEqual(await summary(swapped), []);
    });

    it('are refused as a whole with routes to nowhere, or a port that two endpoints publish', async () => {
      const before = lab.snapshot();
      const lost = changed(({ networks }) => {
        networks.front!.routesTo = ['nowhere'];
      });
      await assert.rejects(apply(lost), refused('not-found', /^networks\.front: there is no network nowhere$/));
      const twice = changed(({ endpoints }) => {
        endpoints['db-front']!.publish = ['8000-8100:1'];
      });
      const taken = /^endpoints\.db-front: 8000-8100:1\/tcp is taken: endpoint web-front publishes 8080:80\/tcp$/;
      await assert.rejects(apply(twice), refused('conflict', taken));
      assert.deepEqual(lab.snapshot(), before);
    });

    it('keep routes to a network that is replaced', async () => {
      await apply(LAB);
      const other = changed(({ networks }) => {
        networks.back!.subnets = ['10.82.0.0/24'];
      });
      await apply(other);
      assert.deepEqual(lab.controller.getNetwork('front').routesTo, ['back']);
      assert.deepEqual(await summary(other), []);
    });
  });

  describe('by themselves', () => {
    const FRONT = { name: 'front', type: 'nat' as const, subnets: ['10.80.0.0/24'] };

    it('cannot have routes to networks that are not there', async () => {
      const request = { ...FRONT, routesTo: ['back'] };
      await assert.rejects(lab.controller.createNetwork(request), refused('not-found', /there is no network back/));
      await lab.controller.createNetwork({ name: 'back', type: 'internal', subnets: ['10.81.0.0/24'] });
      await lab.controller.createNetwork(request);
      await lab.controller.createNetwork({ name: 'p', type: 'private' });
      const patch = lab.controller.patchNetwork('front', { routesTo: ['back', 'p'] });
      await assert.rejects(patch, refused('conflict', /a private network without a gateway/));
      await lab.controller.deleteNetwork('back', false);
      await lab.controller.patchNetwork('front', { mtu: 1400 });
      assert.deepEqual(lab.controller.getNetwork('front').routesTo, ['back']);
    });

    it('are changed in what can change, told field by field', async () => {
      await lab.controller.createNetwork(FRONT);
      const view = await lab.controller.patchNetwork('front', { nat: { timers: { icmp: 5 } }, dhcp: false });
      assert.deepEqual([view.nat?.timers.icmp, view.nat?.timers.udp, view.dhcp?.enabled], [5, 300, false]);
      const last = lab.controller.eventsSince(0).at(-1);
      assert.equal(last?.message, 'network front changed: nat.timers.icmp 60 -> 5, dhcp.enabled true -> false');
      await assert.rejects(
        lab.controller.patchNetwork('front', { uplink: 'none' } as object),
        refused('invalid-request', /uplink: uplink cannot change while the network exists/),
      );
    });

    it('publish ports at run time, and take them back', async () => {
      await lab.controller.createNetwork(FRONT);
      await lab.controller.createEndpoint({ name: 'web', network: 'front' });
      await lab.controller.createEndpoint({ name: 'db', network: 'front' });
      assert.deepEqual(await lab.controller.publishPort({ endpoint: 'web', spec: '8000-8009:80' }), {
        endpoint: 'web',
        network: 'front',
        spec: '8000-8009:80/tcp',
        protocol: 'tcp',
        hostIp: null,
        hostFirst: 8000,
        hostLast: 8009,
        port: 80,
        addresses: ['10.80.0.2'],
      });
      await lab.controller.publishPort({ endpoint: 'web', spec: '[::1]:53:53/udp' }).then(
        () => assert.fail('the network has no IPv6'),
        (error) => assert.ok(refused('conflict', /network front has no IPv6 subnet/)(error)),
      );
      await lab.controller.publishPort({ endpoint: 'db', spec: '8080:80' });
      const REFUSED: [string, string, string, RegExp][] = [
        ['web', '8000-8009:80', 'already-exists', /^endpoint web publishes 8000-8009:80\/tcp already$/],
        ['web', '8005:80', 'invalid-request', /overlaps 8000-8009:80\/tcp of the same endpoint/],
        ['db', '8005:80', 'conflict', /^8005:80\/tcp is taken: endpoint web publishes 8000-8009:80\/tcp$/],
        ['db', '80', 'invalid-request', /^spec: "80": that is no published port; write it as/],
        ['nobody', '80:80', 'not-found', /^there is no endpoint nobody$/],
      ];
      for (const [endpoint, spec, code, reason] of REFUSED) {
        await assert.rejects(
          lab.controller.publishPort({ endpoint, spec }),
          refused(code, reason),
          `${endpoint} ${spec}`,
        );
      }
      assert.deepEqual(ports(), ['db 8080:80/tcp', 'web 8000-8009:80/tcp']);
      lab = await lab.crash();
      assert.deepEqual(ports(), ['db 8080:80/tcp', 'web 8000-8009:80/tcp']);
      const gone = await lab.controller.unpublishPorts({ spec: '8080:80' });
      assert.deepEqual(
        gone.map(({ endpoint, spec }) => [endpoint, spec]),
        [['db', '8080:80/tcp']],
      );
      await lab.controller.publishPort({ endpoint: 'web', spec: '53:53/udp' });
      await lab.controller.publishPort({ endpoint: 'web', spec: '54:53/udp' });
      await lab.controller.unpublishPorts({ endpoint: 'web', spec: '53:53/udp' });
      assert.deepEqual(ports(), ['web 8000-8009:80/tcp', 'web 54:53/udp']);
      assert.equal((await lab.controller.unpublishPorts({ endpoint: 'web' })).length, 2);
      assert.deepEqual(ports(), []);
      for (const which of [{ endpoint: 'web' }, { spec: '53:53/udp' }]) {
        await assert.rejects(lab.controller.unpublishPorts(which), refused('not-found', /./), JSON.stringify(which));
      }
      const unsaid = refused('invalid-request', /^nothing says which ports are meant$/);
      await assert.rejects(lab.controller.unpublishPorts({}), unsaid);
    });
  });
});
