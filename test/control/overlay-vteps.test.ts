/** VTEPs of overlay networks over a fake kernel: what is made for them, who shares them, and what becomes of them. */
import assert from 'node:assert/strict';
import type { NetworkRequest } from '../../src/control/controller/lab-objects.js';
import { KernelError } from '../../src/control/kernel/kernel.js';
import {
  BINDING_INTS,
  FLOOD_INTS,
  ROLE_UNDERLAY,
  TUNNEL,
  TUNNEL_INTS,
  VTEP,
  VTEP_INTS,
} from '../../src/datapath/program.js';
import { RequestError } from '../../src/model/problems.js';
import * as checksum from '../../src/wire/checksum.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

const UNDERLAY = '/run/netns/underlay';
const EBADFD = 77;
const MAC = '02:00:00:00:00:09';
/** RFC 5227 section 3: a broadcast request of 10.7.0.5 for itself. */
const GRATUITOUS_ARP = 'ffffffffffff02000000000908060001080006040001' + '0200000000090a070005' + '0000000000000a070005';

describe('the VTEP of an overlay network', function overlayVtep() {
  this.timeout(120_000);
  let lab: ControlLab;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
    addUnderlay();
  });

  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  const addUnderlay = (mtu = 1500) => {
    const underlay = lab.machine.addNamespace(UNDERLAY);
    const nic = lab.machine.addInterface(underlay, 'nic');
    nic.addresses.push('192.0.2.1/24', '2001:db8::1/64');
    nic.mtu = mtu;
    underlay.foreignRoutes.push({ destination: '192.0.2.0/24', gateway: null, metric: 0, device: 'nic' });
    underlay.foreignRoutes.push({ destination: '2001:db8::/64', gateway: null, metric: 0, device: 'nic' });
    underlay.foreignRoutes.push({ destination: '0.0.0.0/0', gateway: '192.0.2.254', metric: 0, device: 'nic' });
    return underlay;
  };
  const create = (name: string, vni: number, overlay: object = {}, more: Partial<NetworkRequest> = {}) =>
    lab.controller.createNetwork({
      name,
      type: 'overlay',
      overlay: { vni, underlayNetns: UNDERLAY, ...overlay },
      ...more,
    });
  const onTap = { underlay: 'tap' as const, vtep: '192.0.2.7', peers: ['192.0.2.8'] };
  const underlay = () => lab.machine.namespaces.get(UNDERLAY)!;
  const sockets = () => lab.kernel.openDescriptors.filter((name) => name.startsWith('udp '));
  const taps = () => [...underlay().interfaces.values()].filter(({ alias }) => alias.includes(':vtep.'));
  const told = (type: string) =>
    lab.controller.eventsSince(lab.formerEvents).flatMap((event) => (event.type === type ? [event.message] : []));
  const tunnelOf = (name: string) => lab.controller.getNetwork(name).tunnel;
  /** Of the only VTEP of the program. */
  const column = (at: number) => lab.datapath.program.vteps[at];
  const eventually = async (is: () => boolean) => {
    for (let n = 0; n < 600 && !is(); n++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.ok(is());
  };

  it('over sockets: one that receives, 16 that send, on the address towards the peers', async () => {
    const { tunnel, mtu } = await create('blue', 5000, { peers: ['192.0.2.8'] });
    assert.deepEqual([tunnel, mtu], [{ state: 'ready', vtep: '192.0.2.1', floods: ['192.0.2.8'] }, 1450]);
    assert.equal(sockets().length, 17);
    assert.deepEqual([column(VTEP.senderCount), column(VTEP.udpPort), column(VTEP.mtu)], [16, 4789, 1500]);
    const { program } = lab.datapath;
    assert.equal(program.networkRole[column(VTEP.network)!], ROLE_UNDERLAY);
    assert.deepEqual([program.tunnels.length, program.tunnels[TUNNEL.vni]], [TUNNEL_INTS, 5000]);
    assert.deepEqual([...program.floods], [4, 0xc0000208 | 0, 0, 0, 0]);
  });

  it('is shared by networks, and goes with the last one without a trace', async () => {
    const before = lab.snapshot();
    await create('blue', 1);
    await create('red', 2, { peers: ['192.0.2.9'] });
    assert.equal(sockets().length, 17);
    assert.equal(lab.datapath.program.vteps.length, VTEP_INTS);
    await lab.controller.deleteNetwork('blue', false);
    assert.equal(sockets().length, 17);
    assert.equal(tunnelOf('red')?.state, 'ready');
    await lab.controller.deleteNetwork('red', false);
    assert.deepEqual(lab.snapshot(), before);
    assert.equal(lab.datapath.program.vteps.length, 0);
  });

  it('on a TAP: a route to its address, somebody who answers for it on the segment, and forwarding', async () => {
    const before = lab.snapshot();
    await create('blue', 5000, onTap);
    const [tap] = taps();
    assert.deepEqual(tap?.routes, [{ destination: '192.0.2.7/32', gateway: null, metric: 0 }]);
    assert.deepEqual(underlay().routing, {
      ...{ ipv4: true, ipv6: false, rules: null, taps: [] },
      proxies: [{ address: '192.0.2.7', ifname: 'nic' }],
    });
    await create('six', 6, { underlay: 'tap', vtep: '2001:db8::7' });
    const { ipv4, ipv6, proxies } = underlay().routing!;
    assert.deepEqual([ipv4, ipv6, proxies.length, taps().length], [true, true, 2, 2]);
    for (const name of ['blue', 'six']) await lab.controller.deleteNetwork(name, false);
    assert.deepEqual(lab.snapshot(), before);
    assert.equal(underlay().routing, null);
  });

  it('needs nobody to answer for an address that is routed to the host', async () => {
    await create('blue', 1, { underlay: 'tap', vtep: '198.51.100.7' });
    assert.deepEqual(underlay().routing?.proxies, []);
  });

  it('says what its network can carry: the MTU of the way to the peers less the headers', async () => {
    const wide = lab.machine.addInterface(underlay(), 'wide');
    wide.mtu = 9000;
    wide.addresses.push('198.51.100.1/24');
    underlay().foreignRoutes.push({ destination: '198.51.100.0/24', gateway: null, metric: 0, device: 'wide' });
    assert.equal((await create('wide', 1, { peers: ['198.51.100.2'] })).mtu, 8950);
    assert.equal((await create('both', 2, { peers: ['198.51.100.2', '192.0.2.2'] })).mtu, 1450);
    assert.equal((await create('kept', 3, { innerVlan: 'keep' })).mtu, 1446);
    assert.equal((await create('six', 4, { vtep: '2001:db8::1' })).mtu, 1430);
    assert.equal((await create('mine', 5, {}, { mtu: 1400 })).mtu, 1400);
  });

  it('keeps the MTU that its network was made with when a lab file that names none is applied again', async () => {
    const file = {
      weft: 1 as const,
      networks: { blue: { type: 'overlay' as const, vni: 1, underlayNetns: UNDERLAY } },
    };
    assert.equal((await lab.controller.apply(file, false)).changed, true);
    underlay().interfaces.get('nic')!.mtu = 1400;
    assert.equal((await lab.controller.apply(file, false)).changed, false);
    assert.equal(lab.controller.getNetwork('blue').mtu, 1450);
  });

  it('is refused in words', async () => {
    const refused = (overlay: object, message: RegExp) =>
      assert.rejects(
        create('blue', 1, overlay),
        (error) => error instanceof RequestError && message.test(error.message),
      );
    await refused({ vtep: '192.0.2.99' }, /no interface in \/run\/netns\/underlay has the address 192\.0\.2\.99/);
    await refused(
      { ...onTap, vtep: '192.0.2.1' },
      /192\.0\.2\.1 is an address of interface nic in \/run\/netns\/underlay/,
    );
    await refused({ underlayNetns: '/run/netns/nobody' }, /there is no \/run\/netns\/nobody/);
    await create('red', 2, { ...onTap, port: 4790 });
    await refused(onTap, /192\.0\.2\.7 is a VTEP of UDP port 4790 already/);
    await lab.controller.deleteNetwork('red', false);
    lab.kernel.failNext('createTap', 'EADDRINUSE');
    await refused({}, /UDP port 4789 of 192\.0\.2\.1 is taken by another program in \/run\/netns\/underlay/);
    assert.deepEqual(lab.kernel.openDescriptors, ['host namespace']);
  });

  it('warns of a firewall that drops what the namespace forwards', async () => {
    underlay().droppingChains.push('ip filter FORWARD');
    await create('blue', 1, onTap);
    assert.match(told('warning').join(), /\/run\/netns\/underlay drops .*chain ip filter FORWARD.*out of weft-vtep-/);
  });

  it('warns of an MTU that does not fit through the underlay, and says which one does', async () => {
    await create('fits', 1, { peers: ['192.0.2.8'] }, { mtu: 1450 });
    assert.deepEqual(told('warning'), []);
    await create('blue', 2, { peers: ['192.0.2.8'] }, { mtu: 1500 });
    const warning = (mtu: number) =>
      `network blue: its MTU is ${mtu}, but packets of more than 1450 bytes do not fit through the underlay, whose MTU is 1500; ` +
      'lower it with: weft network set blue --mtu 1450';
    assert.deepEqual(told('warning'), [warning(1500)]);
    await lab.controller.patchNetwork('blue', { mtu: 1451 });
    await lab.controller.patchNetwork('blue', { mtu: 1450 });
    assert.deepEqual(told('warning'), [warning(1500), warning(1451)]);
  });

  it('carries what the underlay carries when the MTU of a network is set, also to the same', async () => {
    const nic = () => underlay().interfaces.get('nic')!;
    for (const [name, overlay] of [
      ['blue', { peers: ['192.0.2.8'] }],
      ['red', { ...onTap, peers: [] }],
    ] as const) {
      nic().mtu = 1500;
      await create(name, 1, overlay);
      for (const [underlayMtu, mtu] of [
        [9000, 8950],
        [9100, 8950],
        [1500, 1450],
      ] as const) {
        nic().mtu = underlayMtu;
        await lab.controller.patchNetwork(name, { mtu });
        assert.deepEqual([column(VTEP.mtu), told('warning')], [underlayMtu, []], name);
        const [tap] = taps();
        assert.equal(tap?.mtu, name === 'red' ? underlayMtu : undefined);
      }
      await lab.controller.deleteNetwork(name, false);
    }
  });

  it('says which interface is missing that a multicast group could be joined on, and leaves nothing', async () => {
    const before = lab.snapshot();
    const refused = async (group: object, message: RegExp) => {
      const createTap = lab.kernel.createTap.bind(lab.kernel);
      lab.kernel.createTap = async (namespace, request) => {
        if (request.udp?.group)
          throw new KernelError('IP_ADD_MEMBERSHIP', request.ifname, 'ENODEV', 'no such interface');
        return createTap(namespace, request);
      };
      const isRefusal = (error: unknown) =>
        error instanceof RequestError && /--group 239\.1\.1\.1%IN/.test(error.remedy);
      await assert.rejects(create('blue', 1, group), (error: Error) => isRefusal(error) && message.test(error.message));
      lab.kernel.createTap = createTap;
    };
    await refused({ group: '239.1.1.1' }, /^no route of .* leads to group 239\.1\.1\.1$/);
    await refused(
      { group: '239.1.1.1', groupInterface: 'nix' },
      /^there is no interface nix in the namespace of the VTEP/,
    );
    assert.deepEqual(lab.snapshot(), before);
  });

  it('hears a multicast group by a socket of its own, which networks share', async () => {
    const group = { group: '239.1.1.1', groupInterface: 'nic' };
    await create('blue', 1, group);
    await create('red', 2, group);
    assert.equal(sockets().filter((name) => name.includes('239.1.1.1')).length, 1);
    assert.deepEqual(tunnelOf('blue')?.floods, ['239.1.1.1']);
    await lab.controller.deleteNetwork('blue', false);
    assert.equal(sockets().filter((name) => name.includes('239.1.1.1')).length, 1);
    assert.ok(lab.kernel.calls.includes('setGroupInterface sender 15 of VTEP 192.0.2.1 nic'));
    const elsewhere = create('green', 3, { group: '239.1.1.2' });
    await assert.rejects(elsewhere, /VTEP 192\.0\.2\.1 sends to groups over nic/);
    await lab.controller.deleteNetwork('red', false);
    assert.deepEqual(sockets(), []);
  });

  it('on a TAP has its segment answer for it again and again, as the kernel forgets that', async () => {
    await create('blue', 1, onTap);
    const count = (call: string) => lab.kernel.calls.filter((each) => each === call).length;
    const [renewals, settings] = [`renewProxies ${UNDERLAY}`, `setRouting ${UNDERLAY}`];
    await eventually(() => count(renewals) >= 2);
    assert.equal(count(settings), 1);
    const nic = underlay().interfaces.get('nic')!;
    lab.machine.addInterface(underlay(), 'nic').addresses.push(...nic.addresses);
    await eventually(() => count(settings) === 2);
    const renewed = count(renewals);
    await eventually(() => count(renewals) > renewed);
    assert.equal(count(settings), 2, 'one that was made anew is prepared once');
    await lab.controller.deleteNetwork('blue', false);
    assert.equal(underlay().routing, null);
  });

  it('on a TAP finds its segment when that comes up after it', async () => {
    const { foreignRoutes } = underlay();
    const own = foreignRoutes.splice(0);
    await create('blue', 1, onTap);
    assert.deepEqual(underlay().routing?.proxies, []);
    foreignRoutes.push(...own);
    await eventually(() => underlay().routing?.proxies.length === 1);
    assert.deepEqual(underlay().routing?.proxies, [{ address: '192.0.2.7', ifname: 'nic' }]);
  });

  it('joins its groups again when their interface was made anew', async () => {
    await create('blue', 1, { group: '239.1.1.1', groupInterface: 'nic' });
    await create('red', 2, { port: 4790, group: '239.1.1.2' });
    const nic = underlay().interfaces.get('nic')!;
    // While it is away, it may come back as it was.
    underlay().interfaces.delete('nic');
    const looks = () => lab.kernel.calls.filter((call) => call === 'findInterface nic').length;
    const looked = looks();
    await eventually(() => looks() >= looked + 2);
    assert.deepEqual(told('vtep-lost'), []);
    lab.machine.addInterface(underlay(), 'nic').addresses.push(...nic.addresses);
    await eventually(() => told('vtep-restored').length === 2);
    const why = 'the interface of its multicast groups was made anew; weft goes on trying';
    assert.deepEqual(told('vtep-lost').sort(), [`network blue has no VTEP: ${why}`, `network red has no VTEP: ${why}`]);
    assert.deepEqual([tunnelOf('blue')?.state, tunnelOf('red')?.state, sockets().length], ['ready', 'ready', 36]);
    const groups = () => lab.kernel.calls.filter((call) => /^createTap group /.test(call)).length;
    const seen = looks();
    await eventually(() => looks() >= seen + 4);
    assert.equal(groups(), 4, 'once for each, and once again');
  });

  it('changes its peers while it lives', async () => {
    await create('blue', 1, { peers: ['192.0.2.8'] });
    await lab.controller.patchNetwork('blue', { overlay: { peers: ['192.0.2.8', '192.0.2.9'] } });
    assert.equal(lab.datapath.program.floods.length, 2 * FLOOD_INTS);
  });

  it('is opened again, or adopted, by the next daemon', async () => {
    await create('blue', 1);
    await create('red', 2, onTap);
    const [before, key] = [taps()[0]?.index, column(VTEP.key)];
    for (const next of [() => lab.restart(), () => lab.crash()]) {
      underlay().routing = null;
      lab = await next();
      assert.deepEqual([taps()[0]?.index, sockets().length, column(VTEP.key)], [before, 17, key]);
      assert.notEqual(underlay().routing, null);
      for (const name of ['blue', 'red']) assert.equal(tunnelOf(name)?.state, 'ready');
    }
  });

  it('leaves nothing in a namespace when the state does not know it', async () => {
    await create('blue', 1, onTap);
    const elsewhere = lab.machine.addNamespace('/run/netns/elsewhere');
    const alias = `${lab.store.state.aliasPrefix}vtep.0123456789abcdef`;
    lab.machine.addInterface(elsewhere, 'weft-vtep-00000').alias = alias;
    elsewhere.routing = { ipv4: true, ipv6: false, rules: null, taps: [], proxies: [] };
    lab = await lab.crash();
    assert.deepEqual([elsewhere.routing, elsewhere.interfaces.size], [null, 0]);
    assert.deepEqual([underlay().routing?.ipv4, taps().length], [true, 1]);
  });

  it('comes back by itself after another program removed its interface', async () => {
    await create('blue', 1, onTap);
    underlay().interfaces.delete(taps()[0]!.ifname);
    lab.datapath.reportFault(column(VTEP.port)!, EBADFD);
    await eventually(() => told('vtep-lost').length > 0);
    assert.match(told('vtep-lost')[0] ?? '', /network blue has no VTEP: its interface weft-vtep-\w+ was removed/);
    assert.equal(tunnelOf('blue')?.state, 'lost');
    assert.equal(lab.datapath.program.tunnels.length, 0);
    await eventually(() => told('vtep-restored').length > 0);
    assert.deepEqual([told('vtep-restored'), tunnelOf('blue')?.state], [['the VTEP of network blue is back'], 'ready']);
    assert.equal(taps().length, 1);
  });

  it('comes back when its namespace, which ended, is made again', async () => {
    await create('blue', 1);
    lab.machine.endNamespace(UNDERLAY);
    await eventually(() => tunnelOf('blue')?.state === 'lost');
    assert.ok(!lab.kernel.openDescriptors.includes(`namespace ${UNDERLAY}`));
    addUnderlay();
    await eventually(() => tunnelOf('blue')?.state === 'ready');
  });

  it('is waited for when its namespace is not there at the start', async () => {
    await create('blue', 1);
    lab.machine.namespaces.delete(UNDERLAY);
    lab = await lab.crash();
    assert.equal(tunnelOf('blue')?.state, 'lost');
    assert.match(told('vtep-lost')[0] ?? '', /there is no \/run\/netns\/underlay/);
    addUnderlay();
    await eventually(() => tunnelOf('blue')?.state === 'ready');
  });

  it('is given up with its network while it is lost', async () => {
    await create('blue', 1);
    lab.machine.endNamespace(UNDERLAY);
    await eventually(() => tunnelOf('blue')?.state === 'lost');
    await lab.controller.deleteNetwork('blue', false);
    assert.deepEqual(lab.kernel.openDescriptors, ['host namespace']);
  });

  describe('and stations of other hosts', () => {
    const remote = { network: 'blue', vtep: '192.0.2.8', mac: '02:00:00:00:00:08', ip: ['10.9.0.8'] };
    const rows = () =>
      lab.datapath.bindings.splice(0).map(([operation, , vlan, , low, , vtep]) => [operation, vlan, low, vtep]);
    const BEHIND = 0xc0000208 | 0;

    beforeEach(() => create('blue', 1, {}, { subnets: ['10.9.0.0/24'] }));

    it('tells the datapath of them, and takes it back', async () => {
      await lab.controller.createEndpoint({ name: 'far', ...remote });
      assert.deepEqual(rows(), [[1, 0, 8, BEHIND]]);
      await lab.controller.deleteEndpoint('far');
      assert.deepEqual(rows(), [[0, 0, 8, BEHIND]]);
      lab.saveFailure = 'EIO';
      await assert.rejects(lab.controller.createEndpoint({ name: 'far', ...remote }));
      lab.saveFailure = null;
      assert.deepEqual(rows(), [
        [1, 0, 8, BEHIND],
        [0, 0, 8, BEHIND],
      ]);
    });

    it('tells it again after a restart, and what changes while the VTEP is away', async () => {
      await lab.controller.createEndpoint({ name: 'far', ...remote });
      lab = await lab.crash();
      assert.deepEqual(rows(), [[1, 0, 8, BEHIND]]);
      lab.machine.endNamespace(UNDERLAY);
      await eventually(() => tunnelOf('blue')?.state === 'lost');
      await lab.controller.deleteEndpoint('far');
      addUnderlay();
      await eventually(() => told('vtep-restored').length > 0);
      assert.deepEqual(rows(), [[0, 0, 8, BEHIND]]);
    });

    it('announces those of its own when they are attached, in IPv4 and IPv6', async () => {
      await create('both', 2, {}, { subnets: ['10.7.0.0/24', 'fd07::/64'] });
      await lab.controller.createCompartment({ name: 'web' });
      const ip = ['10.7.0.5', 'fd07::5'];
      await lab.controller.createEndpoint({ name: 'near', network: 'both', compartment: 'web', mac: MAC, ip });
      const [arp, advertisement] = lab.datapath.injected.map(({ bytes }) => bytes) as [Uint8Array, Uint8Array];
      assert.equal(Buffer.from(arp).toString('hex', 0, 42), GRATUITOUS_ARP);
      assert.equal(Buffer.from(advertisement).toString('hex', 0, 14), '33330000000102000000000986dd');
      const view = new DataView(advertisement.buffer, advertisement.byteOffset, advertisement.length);
      assert.deepEqual([view.getUint8(14 + 7), view.getUint8(54), view.getUint8(58)], [255, 136, 0x20]);
      const pseudo = checksum.pseudoSum(view, 14, 6, 58, advertisement.length - 54);
      assert.equal(checksum.sum(view, 54, advertisement.length - 54, pseudo), 0xffff);
    });

    it('one row of a binding has as many ints as the datapath reads', async () => {
      await lab.controller.createEndpoint({ name: 'far', ...remote });
      assert.equal(lab.datapath.bindings[0]?.length, BINDING_INTS);
    });
  });
});
