/** What an overlay network may be asked for, what it means, and what is said about the rest. */
import assert from 'node:assert/strict';
import { parseEndpointPatch, parseEndpointRequest } from '../../src/model/endpoint-request.js';
import type { NetworkSpec, OverlaySpec } from '../../src/model/network.js';
import { type Parsed, parseNetworkPatch, parseNetworkRequest } from '../../src/model/network-request.js';

function value<T>(parsed: Parsed<T>): T {
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

/** `path code`, or with the message where `code` alone says little. */
function problems<T>(parsed: Parsed<T>): string[] {
  assert.ok(!parsed.ok, JSON.stringify(parsed));
  return parsed.problems.map(({ path, message }) => `${path}: ${message}`);
}

const request = (body: object) => parseNetworkRequest({ name: 'ov', type: 'overlay', ...body });
const overlayOf = (body: object): OverlaySpec => value(request(body)).overlay!;
const MAC = '02:00:5e:10:00:01';

describe('a request for an overlay network', () => {
  it('needs nothing but a VNI', () => {
    const spec = value(request({ vni: 5000 }));
    assert.deepEqual(spec.overlay, {
      vni: 5000,
      underlay: 'socket',
      vtep: null,
      port: 4789,
      underlayNetns: null,
      peers: [],
      peersClosed: false,
      group: null,
      groupInterface: null,
      learning: true,
      innerVlan: 'strip',
      dscp: null,
      checksum: false,
      suppress: true,
      remoteSubnets: [],
      hostVnic: null,
      shared: false,
    } satisfies OverlaySpec);
    assert.deepEqual(
      [spec.uplink, spec.nat, spec.dhcp, spec.dns, spec.gateway, spec.mtu],
      [null, null, null, null, [], 1450],
    );
    assert.deepEqual(problems(request({})), ['vni: an overlay network needs one: 0..16777215']);
    for (const vni of [0, 4095, 16777215]) assert.equal(overlayOf({ vni }).vni, vni);
    for (const vni of [-1, 16777216, 1.5]) assert.equal(problems(request({ vni })).length, 1, String(vni));
  });

  it('has its fields in an object or beside the type, but none in both', () => {
    const fields = { vni: 7, peers: ['192.0.2.2', '192.0.2.2'], port: 8472, dscp: 46, learning: false };
    assert.deepEqual(overlayOf({ overlay: fields }), overlayOf(fields));
    assert.deepEqual(overlayOf({ vni: 7, overlay: { port: 8472 } }), overlayOf({ vni: 7, port: 8472 }));
    assert.deepEqual(problems(request({ vni: 7, overlay: { vni: 8 } })), [
      'vni: it is given twice, here and in overlay',
    ]);
    assert.match(problems(request({ overlay: { vni: 7, mtu: 9000 } })).join(), /^overlay\.mtu: there is no such field/);
  });

  it('reads as it was written: a spec is a request for itself', () => {
    const bodies = [
      { vni: 1 },
      { vni: 2, underlay: 'tap', vtep: '2001:DB8::1', peers: ['2001:db8::2'], innerVlan: 'keep', checksum: false },
      { vni: 3, group: '239.1.1.1', groupInterface: 'eth0', peersClosed: true, suppress: false },
      {
        vni: 4,
        subnets: ['10.90.0.0/24'],
        hostVnic: ['10.90.0.9'],
        remoteSubnets: [{ prefix: '10.91.0.0/24', vtep: '192.0.2.2', mac: MAC, vni: 9 }],
        uplink: 'host',
        advertise: false,
      },
    ];
    for (const body of bodies) {
      const spec = value(request(body));
      assert.deepEqual(value(parseNetworkRequest(JSON.parse(JSON.stringify(spec)))), spec);
    }
  });

  it('has an MTU that leaves room for outer headers, and checksums over IPv6', () => {
    const both = (body: object) => {
      const spec = value(request({ vni: 1, ...body }));
      return [spec.mtu, spec.overlay?.checksum];
    };
    assert.deepEqual(both({ vtep: '192.0.2.1' }), [1450, false]);
    assert.deepEqual(both({ vtep: '2001:db8::1' }), [1430, true]);
    assert.deepEqual(both({ peers: ['2001:db8::1'] }), [1430, true]);
    assert.deepEqual(both({ innerVlan: 'keep' }), [1446, false]);
    assert.deepEqual(both({ vtep: '2001:db8::1', innerVlan: 'keep', checksum: false }), [1426, false]);
    assert.deepEqual(both({ mtu: 9000 }), [9000, false]);
  });

  it('has a gateway where it has subnets, and translates only with an uplink', () => {
    const plain = value(request({ vni: 1, subnets: ['10.90.0.0/24', 'fd90::/64'] }));
    assert.deepEqual(plain.gateway, ['10.90.0.1', 'fd90::1']);
    assert.deepEqual([plain.uplink, plain.nat, plain.dhcp?.enabled, plain.dns?.domain], [null, null, true, 'ov.weft']);
    assert.deepEqual(value(request({ vni: 1, subnets: ['10.90.0.0/24', 'fd90::/64'], uplink: 'none' })), plain);
    const outside = value(request({ vni: 1, subnets: ['10.90.0.0/24'], uplink: 'host' }));
    assert.deepEqual([outside.uplink, outside.masquerade, outside.nat?.filtering], ['host', true, 'address-dependent']);
    const needsUplink = { vni: 1, subnets: ['10.90.0.0/24'], nat: {}, masquerade: true, externalIp: ['192.0.2.9'] };
    assert.deepEqual(problems(request(needsUplink)), [
      'externalIp: the network has no uplink',
      'masquerade: the network has no uplink',
      'nat: the network has no uplink',
    ]);
    const needsSubnets = { vni: 1, dhcp: true, routesTo: ['other'], uplink: 'host', advertise: true };
    assert.deepEqual(problems(request(needsSubnets)), [
      'dhcp: an overlay network without subnets has no gateway',
      'uplink: an overlay network without subnets has no gateway',
      'routesTo: an overlay network without subnets has no gateway',
      'advertise: there is no IPv6 subnet to advertise',
    ]);
  });

  it('says of every address what is wrong with it', () => {
    const wrong = (body: object) => problems(request({ vni: 1, ...body }));
    assert.deepEqual(wrong({ vtep: 'host-a' }), ['vtep: "host-a" is no IP address']);
    for (const vtep of ['0.0.0.0', '239.1.1.1', '255.255.255.255', '::', 'fe80::1', 'ff02::1', '::ffff:192.0.2.1']) {
      assert.match(wrong({ vtep }).join(), /^vtep: .* cannot be the address of a VTEP: /, vtep);
      assert.match(wrong({ peers: [vtep] }).join(), /^peers\[0\]: .* cannot be the address of a VTEP: /, vtep);
    }
    assert.equal(overlayOf({ vni: 1, vtep: '127.0.0.1' }).vtep, '127.0.0.1');
    assert.deepEqual(wrong({ underlay: 'tap' }), [
      'vtep: underlay tap needs an address of its own for the VTEP, one that nobody else has',
    ]);
    const own = { vtep: '192.0.2.1', peers: ['192.0.2.1', '2001:db8::2'] };
    assert.deepEqual(wrong(own), [
      'peers[0]: 192.0.2.1 is the VTEP of this host itself',
      'peers[1]: 2001:db8::2 and the VTEP 192.0.2.1 are of different families',
    ]);
    assert.deepEqual(wrong({ peers: ['192.0.2.1', '2001:db8::2'] }), [
      'peers[1]: 2001:db8::2 and the peer 192.0.2.1 are of different families',
    ]);
    assert.deepEqual(wrong({ group: 'ff05::1', peers: ['192.0.2.2'] }), [
      'peers[0]: 192.0.2.2 and the group ff05::1 are of different families',
    ]);
    assert.deepEqual(wrong({ group: '192.0.2.1' }), ['group: 192.0.2.1 is no multicast group']);
    assert.deepEqual(wrong({ group: 'ff05::1', vtep: '192.0.2.1' }), [
      'group: ff05::1 and the VTEP 192.0.2.1 are of different families',
    ]);
    assert.deepEqual(wrong({ group: '239.1.1.1', vtep: '192.0.2.1', underlay: 'tap' }), [
      'group: it is only for underlay socket, not for tap',
    ]);
    assert.deepEqual(wrong({ groupInterface: 'eth0' }), ['groupInterface: there is no multicast group to join on it']);
    assert.match(wrong({ underlayNetns: 'netns' }).join(), /^underlayNetns: "netns" is no absolute path/);
  });

  it('and of every prefix behind another router', () => {
    const remote = { prefix: '10.91.0.0/24', vtep: '192.0.2.2', mac: MAC };
    const wrong = (...remoteSubnets: object[]) =>
      problems(request({ vni: 1, subnets: ['10.90.0.0/24'], remoteSubnets }));
    assert.deepEqual(overlayOf({ vni: 1, subnets: ['10.90.0.0/24'], remoteSubnets: [remote] }).remoteSubnets, [
      { ...remote, vni: null },
    ]);
    assert.deepEqual(wrong(remote, remote), ['remoteSubnets[1].prefix: 10.91.0.0/24 is named twice']);
    assert.deepEqual(wrong({ ...remote, prefix: '10.90.0.128/25' }), [
      'remoteSubnets[0].prefix: 10.90.0.128/25 lies inside 10.90.0.0/24, whose stations reach each other without a route',
    ]);
    assert.equal(
      value(request({ vni: 1, subnets: ['10.90.0.0/24'], remoteSubnets: [{ ...remote, prefix: '10.0.0.0/8' }] })).name,
      'ov',
    );
    assert.match(
      wrong({ ...remote, mac: '01:00:5e:00:00:01' }).join(),
      /^remoteSubnets\[0\]\.mac: .* is no MAC of a router/,
    );
    assert.deepEqual(wrong({}), [
      'remoteSubnets[0].prefix: it is required',
      'remoteSubnets[0].vtep: it is required',
      'remoteSubnets[0].mac: it is required',
    ]);
    assert.deepEqual(problems(request({ vni: 1, remoteSubnets: [remote] })), [
      'remoteSubnets[0].prefix: a network without subnets has no gateway that could route',
    ]);
  });

  it('may give the host a vNIC, with addresses or without', () => {
    const host = (hostVnic: unknown) =>
      overlayOf({ vni: 1, subnets: ['10.90.0.0/24', 'fd90::/64'], hostVnic }).hostVnic;
    assert.deepEqual([host(undefined), host(false), host(null), host(true), host([])], [null, null, null, [], []]);
    assert.deepEqual(host('10.90.0.9'), ['10.90.0.9']);
    assert.deepEqual(host(['FD90::9', '10.90.0.9']), ['fd90::9', '10.90.0.9']);
    const wrong = (hostVnic: unknown) => problems(request({ vni: 1, subnets: ['10.90.0.0/24'], hostVnic }));
    assert.deepEqual(wrong(['10.90.0.9', '10.90.0.8']), [
      'hostVnic[1]: the host has one address of 10.90.0.0/24, and two are named',
    ]);
    assert.deepEqual(wrong('10.91.0.9'), ['hostVnic: 10.91.0.9 lies in none of the subnets of the network']);
    assert.deepEqual(wrong('10.90.0.255'), [
      'hostVnic: 10.90.0.255 is not an address that a station of 10.90.0.0/24 can have',
    ]);
  });

  it('is the only kind of request with such fields', () => {
    for (const type of ['private', 'internal']) {
      const only = (field: string) => `${field}: it is only for networks of type overlay, not for ${type} ones`;
      assert.deepEqual(problems(parseNetworkRequest({ name: 'n', type, vni: 1, overlay: { vni: 2 } })), [
        only('overlay'),
        only('vni'),
      ]);
      assert.equal(value(parseNetworkRequest({ name: 'n', type, overlay: null, vni: null })).overlay, null);
    }
  });
});

describe('a change of an overlay network', () => {
  const current: NetworkSpec = value(
    request({ vni: 1, peers: ['192.0.2.2'], dscp: 10, subnets: ['10.90.0.0/24'], vtep: '192.0.2.1' }),
  );
  const changed = (patch: object) => value(parseNetworkPatch(patch, current));

  it('is of what no tunnel stands on, in either form', () => {
    const peers = ['192.0.2.3'];
    assert.deepEqual(changed({ peers }).overlay, { ...current.overlay, peers });
    assert.deepEqual(changed({ overlay: { peers } }), changed({ peers }));
    assert.deepEqual(changed({ overlay: { peersClosed: true }, suppress: false, learning: false }).overlay, {
      ...current.overlay,
      peersClosed: true,
      suppress: false,
      learning: false,
    });
    assert.deepEqual([changed({ dscp: 0 }).overlay?.dscp, changed({ dscp: null }).overlay?.dscp], [0, null]);
    assert.deepEqual([changed({ mtu: 1400 }).overlay, changed({ mtu: 1400 }).mtu], [current.overlay, 1400]);
  });

  it('is refused of the rest, and of what contradicts it', () => {
    const refusals = problems(parseNetworkPatch({ vni: 2, overlay: { vtep: '192.0.2.9' }, peers: ['::1'] }, current));
    assert.deepEqual(refusals, [
      'vni: vni cannot change while the network exists; delete it and create it again',
      'overlay.vtep: vtep cannot change while the network exists; delete it and create it again',
      'overlay.peers[0]: ::1 and the VTEP 192.0.2.1 are of different families',
    ]);
    const lan = value(parseNetworkRequest({ name: 'n', type: 'private' }));
    assert.deepEqual(problems(parseNetworkPatch({ peers: ['192.0.2.2'] }, lan)), [
      'peers: it is only for networks of type overlay, not for private ones',
    ]);
  });
});

describe('a request for an endpoint of another host', () => {
  it('names the VTEP behind which it is, and only such a one moves to another', () => {
    const wish = value(parseEndpointRequest({ name: 'e', network: 'ov', vtep: '2001:DB8::2', mac: MAC }));
    assert.equal(wish.vtep, '2001:db8::2');
    const spec = { ...wish, ifname: 'eth0', mac: MAC };
    assert.equal(value(parseEndpointPatch({ vtep: '2001:db8::3' }, spec)).vtep, '2001:db8::3');
    assert.equal(value(parseEndpointPatch({ aliases: ['db'] }, spec)).vtep, '2001:db8::2');
    assert.deepEqual(problems(parseEndpointPatch({ vtep: '192.0.2.2' }, { ...spec, vtep: null })), [
      'vtep: an endpoint of this host does not become a remote one; delete it and create it again',
    ]);
    assert.match(problems(parseEndpointRequest({ name: 'e', network: 'ov', vtep: 'ff02::1' })).join(), /^vtep: /);
  });
});
