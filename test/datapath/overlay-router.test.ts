// The router of an overlay network, which is on every host at once: its MACs, questions that do not flood, routes to other hosts.
import { strict as assert } from 'node:assert';
import { bindingRows } from '../support/binding-rows.js';
import { ether, ipv4, ipv6, type Packet, udp } from '../support/frame-builders.js';
import { printFrame } from '../support/frame-printer.js';
import { seconds } from '../support/lab.js';
import {
  advertisement,
  arp,
  icmpError,
  linkLocal,
  ping,
  routerSolicitation,
  solicitation,
  solicitedNode,
} from '../support/network-frames.js';
import { gatewayMac } from '../support/router-columns.js';
import { VTEP_HOST_MAC, VTEP_OWN_MAC } from '../support/tunnel-columns.js';
import {
  arrive,
  FAR,
  fromWeb,
  GATEWAY,
  MAIL,
  NEAR,
  NEIGHBOURS,
  OWN,
  overlaid,
  ROUTER,
  told,
  toWeb,
  tunnelled,
} from './overlaid.js';
import { DB, STRANGER, WEB } from './stations.js';

/** The router of the host behind NEAR. */
const NEAR_ROUTER = '02:77:00:00:00:02';
const ALL_NODES = { mac: '33:33:00:00:00:01', ip: 'ff02::1' };

describe('the gateway of an overlay network', () => {
  it('answers its stations itself: nothing of that goes to other hosts', () => {
    const lab = overlaid();
    lab.send('web', arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.1' }));
    lab.expect({ web: [arp({ from: GATEWAY, ip: '10.0.0.1', target: '10.0.0.2', to: WEB, reply: true })] });
    const group = solicitedNode('fd00:a::1');
    const question = { from: 'fd00:a::2', to: group.ip, hopLimit: 255 };
    lab.send('web', fromWeb(group.mac, ipv6(question, solicitation('fd00:a::1', WEB))));
    const answer = advertisement('fd00:a::1', GATEWAY, { router: true, solicited: true, override: true });
    lab.expect({ web: [toWeb(ipv6({ from: 'fd00:a::1', to: 'fd00:a::2', hopLimit: 255 }, answer))] });
    lab.send('web', fromWeb(GATEWAY, ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, ping(1, 1))));
    lab.expect({ web: [toWeb(ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, ping(1, 1, 'ping', true)))] });
  });

  it('answers stations behind foreign VTEPs through the tunnel, to the VTEP that asked', () => {
    const lab = overlaid();
    arrive(lab, NEAR, arp({ from: MAIL, ip: '10.0.0.9', target: '10.0.0.1' }));
    const answer = arp({ from: GATEWAY, ip: '10.0.0.1', target: '10.0.0.9', to: MAIL, reply: true });
    assert.deepEqual(tunnelled(lab), [told(NEAR, answer)]);
    arrive(lab, NEAR, ether({ from: MAIL, to: GATEWAY }, ipv4({ from: '10.0.0.9', to: '10.0.0.1' }, ping(7, 7))));
    const pong = ether(
      { from: GATEWAY, to: MAIL },
      ipv4({ from: '10.0.0.1', to: '10.0.0.9' }, ping(7, 7, 'ping', true)),
    );
    assert.deepEqual(tunnelled(lab), [told(NEAR, pong)]);
  });

  it('is not learned when other hosts speak with its MAC, nor when somebody claims the MAC of this host', () => {
    const lab = overlaid();
    const packet = ipv4({ from: '10.0.9.9', to: '10.0.0.2' }, udp(1, 2, 'routed there'));
    for (const from of [GATEWAY, ROUTER]) {
      const frame = ether({ from, to: WEB }, packet);
      arrive(lab, NEAR, frame);
      lab.expect({ web: [frame], db: [frame] });
    }
    assert.deepEqual(lab.macTable(), []);
  });

  it('routes between subnets to a station behind a VTEP, with the MAC of this host as sender', () => {
    const neighbours = [...NEIGHBOURS, { address: '10.0.1.9', mac: MAIL }];
    const lab = overlaid({ addresses: ['10.0.0.1/24', '10.0.1.1/24'], neighbours });
    arrive(lab, NEAR, arp({ from: MAIL, ip: '10.0.1.9', target: '10.0.1.9' }));
    lab.ignoreDepartures();
    const packet = (ttl: number) => ipv4({ from: '10.0.0.2', to: '10.0.1.9', ttl }, udp(1, 2, 'far'));
    lab.send('web', fromWeb(GATEWAY, packet(64)));
    assert.deepEqual(tunnelled(lab), [told(NEAR, ether({ from: ROUTER, to: MAIL }, packet(63)))]);
  });

  it('routes to a station that the control plane told of, without asking', () => {
    const lab = overlaid({ addresses: ['10.0.0.1/24', '10.0.1.1/24'] });
    lab.datapath.applyBindings(bindingRows({ mac: MAIL, vtep: FAR, ip: '10.0.1.9' }));
    const packet = (ttl: number) => ipv4({ from: '10.0.0.2', to: '10.0.1.9', ttl }, udp(1, 2, 'far'));
    lab.send('web', fromWeb(GATEWAY, packet(64)));
    assert.deepEqual(tunnelled(lab), [told(FAR, ether({ from: ROUTER, to: MAIL }, packet(63)))]);
  });

  it('routes what comes out of the tunnel, to stations of this host and back into it', () => {
    const neighbours = [...NEIGHBOURS, { address: '10.0.1.9', mac: MAIL }];
    const lab = overlaid({ addresses: ['10.0.0.1/24', '10.0.1.1/24'], neighbours });
    arrive(lab, NEAR, arp({ from: MAIL, ip: '10.0.1.9', target: '10.0.1.9' }));
    lab.ignoreDepartures();
    const toStation = (ttl: number) => ipv4({ from: '10.0.1.9', to: '10.0.0.2', ttl }, udp(1, 2, 'in'));
    arrive(lab, NEAR, ether({ from: MAIL, to: GATEWAY }, toStation(64)));
    lab.expect({ web: [toWeb(toStation(63))] });
    const through = (ttl: number) => ipv4({ from: '10.0.0.7', to: '10.0.1.9', ttl }, udp(1, 2, 'through'));
    arrive(lab, FAR, ether({ from: STRANGER, to: GATEWAY }, through(64)));
    assert.deepEqual(tunnelled(lab), [told(NEAR, ether({ from: ROUTER, to: MAIL }, through(63)))]);
  });

  it('tells a station behind a VTEP of its errors through the tunnel', () => {
    const lab = overlaid();
    const packet = ipv4({ from: '10.0.0.9', to: '198.51.100.7' }, udp(1, 2, 'nowhere'));
    arrive(lab, NEAR, ether({ from: MAIL, to: GATEWAY }, packet));
    const error = ipv4({ from: '10.0.0.1', to: '10.0.0.9', id: 0, flags: 0 }, icmpError(3, 0, packet));
    assert.deepEqual(tunnelled(lab), [told(NEAR, ether({ from: GATEWAY, to: MAIL }, error))]);
    lab.expect({}, { 'no-route': 1 });
  });

  it('asks for a station that nobody knows without telling the address of the gateway, so that no answer goes astray', () => {
    const lab = overlaid({ addresses: ['10.0.0.1/24', '10.0.1.1/24'] });
    const packet = (ttl: number) => ipv4({ from: '10.0.0.2', to: '10.0.1.9', ttl }, udp(1, 2, 'who?'));
    lab.send('web', fromWeb(GATEWAY, packet(64)));
    const question = arp({ from: ROUTER, ip: '0.0.0.0', target: '10.0.1.9' });
    assert.deepEqual(tunnelled(lab), [told(NEAR, question), told(FAR, question)]);
    lab.expect({ web: [question], db: [question] });
    arrive(lab, FAR, arp({ from: MAIL, ip: '10.0.1.9', target: '0.0.0.0', to: ROUTER, reply: true }));
    assert.deepEqual(tunnelled(lab), [told(FAR, ether({ from: ROUTER, to: MAIL }, packet(63)))]);
  });

  it('tells who sent a packet, through the tunnel, that nobody answered for its destination', () => {
    const lab = overlaid({ addresses: ['10.0.0.1/24', '10.0.1.1/24'] });
    const packet = ipv4({ from: '10.0.0.9', to: '10.0.1.77' }, udp(1, 2, 'held'));
    arrive(lab, NEAR, ether({ from: MAIL, to: GATEWAY }, packet));
    for (let again = 0; again < 2; again++) {
      lab.advance(seconds(1));
      lab.run();
    }
    lab.ignoreDepartures();
    lab.advance(seconds(1));
    lab.run();
    const error = ipv4({ from: '10.0.0.1', to: '10.0.0.9', id: 0, flags: 0 }, icmpError(3, 1, packet));
    assert.deepEqual(tunnelled(lab), [told(NEAR, ether({ from: GATEWAY, to: MAIL }, error))]);
    lab.expect({}, { 'no-neighbour': 1 });
  });

  it('asks over IPv6 from the link-local address of this host', () => {
    const lab = overlaid({ addresses: ['fd00:a::1/64', 'fd00:b::1/64'] });
    const packet = (hopLimit: number) => ipv6({ from: 'fd00:a::2', to: 'fd00:b::9', hopLimit }, udp(1, 2, 'who?'));
    lab.send('web', fromWeb(GATEWAY, packet(64)));
    const group = solicitedNode('fd00:b::9');
    const addresses = { from: linkLocal(ROUTER), to: group.ip, hopLimit: 255 };
    const question = ether({ from: ROUTER, to: group.mac }, ipv6(addresses, solicitation('fd00:b::9', ROUTER)));
    assert.deepEqual(tunnelled(lab), [told(NEAR, question), told(FAR, question)]);
    lab.expect({ web: [question], db: [question] });
    const answer = advertisement('fd00:b::9', MAIL, { solicited: true, override: true });
    const back = { from: 'fd00:b::9', to: linkLocal(ROUTER), hopLimit: 255 };
    arrive(lab, FAR, ether({ from: MAIL, to: ROUTER }, ipv6(back, answer)));
    assert.deepEqual(tunnelled(lab), [told(FAR, ether({ from: ROUTER, to: MAIL }, packet(63)))]);
  });

  it('says where the link-local address of this host is, with the MAC of this host', () => {
    const lab = overlaid();
    const target = linkLocal(ROUTER);
    const group = solicitedNode(target);
    const question = ipv6({ from: 'fd00:a::9', to: group.ip, hopLimit: 255 }, solicitation(target, MAIL));
    arrive(lab, NEAR, ether({ from: MAIL, to: group.mac }, question));
    const answer = advertisement(target, ROUTER, { router: true, solicited: true, override: true });
    const addresses = { from: target, to: 'fd00:a::9', hopLimit: 255 };
    assert.deepEqual(tunnelled(lab), [told(NEAR, ether({ from: ROUTER, to: MAIL }, ipv6(addresses, answer)))]);
  });

  it('is asked for advertisements by the stations of its host only, where they are', () => {
    const lab = overlaid({ advertise: true });
    lab.advance(seconds(1));
    lab.run();
    lab.ignoreDepartures();
    const group = { mac: '33:33:00:00:00:02', ip: 'ff02::2' };
    const question = ipv6({ from: 'fd00:a::2', to: group.ip, hopLimit: 255 }, routerSolicitation(WEB));
    lab.send('web', fromWeb(group.mac, question));
    assert.equal(lab.take('web').length, 1);
    assert.deepEqual([tunnelled(lab), lab.take('db')], [[], []]);
  });

  it('does not serve DHCP to stations of other hosts', () => {
    const lab = overlaid({ dhcp: true });
    const packet = ipv4({ from: '0.0.0.0', to: '255.255.255.255' }, udp(68, 67, 'discover'));
    const request = ether({ from: MAIL, to: 'ff:ff:ff:ff:ff:ff' }, packet);
    arrive(lab, NEAR, request);
    lab.expect({ web: [request], db: [request] });
    assert.deepEqual(lab.takePunted(), []);
  });
});

describe('questions for known stations of an overlay network', () => {
  /** MAIL is known to be behind NEAR. */
  const knowing = (gateway: object = {}, settings: Parameters<typeof overlaid>[1] = {}) => {
    const lab = overlaid(gateway, settings);
    const station = { mac: MAIL, vtep: NEAR };
    lab.datapath.applyBindings(bindingRows({ ...station, ip: '10.0.0.9' }, { ...station, ip: 'fd00:a::9' }));
    return lab;
  };
  const question6 = (target: string, from = 'fd00:a::2', link: string | null = WEB) => {
    const group = solicitedNode(target);
    return fromWeb(group.mac, ipv6({ from, to: group.ip, hopLimit: 255 }, solicitation(target, link)));
  };

  it('are answered for stations of other hosts', () => {
    const lab = knowing();
    lab.send('web', arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.9' }));
    lab.expect({ web: [arp({ from: MAIL, ip: '10.0.0.9', target: '10.0.0.2', to: WEB, reply: true })] });
    lab.send('web', question6('fd00:a::9'));
    const answer = advertisement('fd00:a::9', MAIL, { solicited: true, override: true });
    const packet = ipv6({ from: 'fd00:a::9', to: 'fd00:a::2', hopLimit: 255 }, answer);
    lab.expect({ web: [ether({ from: MAIL, to: WEB }, packet)] });
    assert.deepEqual([lab.total('consumed'), tunnelled(lab)], [2, []]);
  });

  it('go to the station alone when it is on this host', () => {
    const lab = knowing();
    const question = arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.3' });
    lab.send('web', question, question6('fd00:a::3'));
    lab.expect({ db: [question, question6('fd00:a::3')] });
  });

  it('flood when nobody knows the station, and where the network does not suppress', () => {
    for (const [settings, target] of [
      [{}, '10.0.0.77'],
      [{ suppress: false }, '10.0.0.9'],
    ] as const) {
      const lab = knowing(settings);
      const question = arp({ from: WEB, ip: '10.0.0.2', target });
      lab.send('web', question);
      assert.deepEqual(tunnelled(lab), [told(NEAR, question), told(FAR, question)]);
      lab.expect({ db: [question] });
    }
  });

  it('flood when a station asks for its own address, or says where it is (RFC 5227, RFC 4862)', () => {
    const lab = knowing();
    const frames = [
      arp({ from: WEB, ip: '0.0.0.0', target: '10.0.0.2' }),
      arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.2' }),
      arp({ from: WEB, ip: '10.0.0.9', target: '10.0.0.9' }),
      question6('fd00:a::2', '::', null),
    ];
    for (const frame of frames) {
      lab.send('web', frame);
      assert.deepEqual(tunnelled(lab), [told(NEAR, frame), told(FAR, frame)]);
      lab.expect({ db: [frame] });
    }
  });

  it('are answered when somebody tests whether it may have the address of another', () => {
    const lab = knowing();
    lab.send('web', arp({ from: WEB, ip: '0.0.0.0', target: '10.0.0.9' }));
    lab.expect({ web: [arp({ from: MAIL, ip: '10.0.0.9', target: '0.0.0.0', to: WEB, reply: true })] });
    lab.send('web', question6('fd00:a::9', '::', null));
    const answer = advertisement('fd00:a::9', MAIL, { override: true });
    const packet = ipv6({ from: 'fd00:a::9', to: ALL_NODES.ip, hopLimit: 255 }, answer);
    lab.expect({ web: [ether({ from: MAIL, to: ALL_NODES.mac }, packet)] });
  });

  it('of other hosts are left to the station: only its own host has suppressed what could be', () => {
    const lab = knowing();
    const question = arp({ from: STRANGER, ip: '10.0.0.8', target: '10.0.0.9' });
    arrive(lab, FAR, question);
    lab.expect({ web: [question], db: [question] });
  });

  it('are not believed over a router, and damaged ones flood', () => {
    const lab = knowing();
    const group = solicitedNode('fd00:a::9');
    const addresses = { from: 'fd00:a::2', to: group.ip, hopLimit: 254 };
    const far = fromWeb(group.mac, ipv6(addresses, solicitation('fd00:a::9', WEB)));
    // RFC 4861 section 7.1.1: nothing counts whose checksum is wrong.
    const damaged = question6('fd00:a::9');
    damaged.bytes[damaged.bytes.length - 1]! ^= 1;
    for (const question of [far, damaged]) {
      lab.send('web', question);
      assert.deepEqual(tunnelled(lab), [told(NEAR, question), told(FAR, question)]);
      lab.expect({ db: [question] });
    }
  });

  it('do not lead isolated stations to each other', () => {
    const ports = { web: { isolated: true }, db: { isolated: true } };
    const lab = knowing({}, { ports });
    const question = arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.3' });
    lab.send('web', question);
    assert.deepEqual(tunnelled(lab), [told(NEAR, question), told(FAR, question)]);
    lab.expect({});
  });
});

describe('a remote subnet route', () => {
  const routes = [
    { to: '10.7.0.0/16', network: 'blue', remote: { vtep: NEAR, mac: NEAR_ROUTER, vni: 7000 } },
    { to: '10.8.0.0/16', network: 'blue', remote: { vtep: '192.0.2.77', mac: NEAR_ROUTER, vni: -1 } },
  ];

  it('leads to the router of another host with its VNI, and the MAC of this host as sender', () => {
    const lab = overlaid({ routes });
    for (const [to, vtep, vni] of [
      ['10.7.1.2', NEAR, 7000],
      ['10.8.1.2', '192.0.2.77', 5000],
    ] as const) {
      const packet = (ttl: number) => ipv4({ from: '10.0.0.2', to, ttl }, udp(1, 2, 'there'));
      lab.send('web', fromWeb(GATEWAY, packet(64)), fromWeb(GATEWAY, packet(64)));
      const frame = ether({ from: ROUTER, to: NEAR_ROUTER }, packet(63));
      assert.deepEqual(tunnelled(lab), [told(vtep, frame, vni), told(vtep, frame, vni)]);
    }
  });

  it('is how the other host reaches the stations of this one: by the MAC of this host', () => {
    const lab = overlaid({ routes });
    const packet = (ttl: number) => ipv4({ from: '10.7.1.2', to: '10.0.0.3', ttl }, udp(1, 2, 'back'));
    arrive(lab, NEAR, ether({ from: NEAR_ROUTER, to: ROUTER }, packet(64)));
    lab.expect({ db: [ether({ from: GATEWAY, to: DB }, packet(63))] });
  });

  it('does not circle between two hosts for ever: a packet has a time to live', () => {
    const lab = overlaid({ routes });
    const packet = ipv4({ from: '10.8.0.9', to: '10.7.1.2', ttl: 1 }, udp(1, 2, 'round'));
    arrive(lab, NEAR, ether({ from: NEAR_ROUTER, to: ROUTER }, packet));
    const error = ipv4({ from: '10.0.0.1', to: '10.8.0.9', id: 0, flags: 0 }, icmpError(11, 0, packet));
    assert.deepEqual(tunnelled(lab), [told(NEAR, ether({ from: GATEWAY, to: NEAR_ROUTER }, error))]);
    lab.expect({}, { 'ttl-expired': 1 });
  });
});

describe('the uplink of an overlay network', () => {
  const REMOTE = '203.0.113.7';
  const HOP = '02:00:5e:00:00:71';
  const UPLINK = gatewayMac(1);
  const uplinked = () => {
    const out = {
      addresses: ['198.51.100.2/24'],
      uplinkOf: 'blue',
      nextHops: ['198.51.100.1'],
      neighbours: [{ address: '198.51.100.1', mac: HOP, port: 'world' }],
    };
    const ports = { web: {}, db: {}, world: { network: 'out' } };
    return overlaid({ nat: {} }, { ports, networks: { out: { gateway: out } } });
  };

  it('translates for stations behind other VTEPs too, and finds the way back into the tunnel', () => {
    const lab = uplinked();
    const packet = ipv4({ from: '10.0.0.9', to: REMOTE }, udp(4000, 53, 'question'));
    arrive(lab, NEAR, ether({ from: MAIL, to: GATEWAY }, packet));
    const [left] = lab.take('world');
    const port = new DataView(left!.bytes.buffer).getUint16(34);
    const outside = ipv4({ from: '198.51.100.2', to: REMOTE, ttl: 63 }, udp(port, 53, 'question'));
    assert.equal(printFrame(left!), printFrame(ether({ from: UPLINK, to: HOP }, outside)));
    lab.datapath.applyBindings(bindingRows({ mac: MAIL, vtep: NEAR, ip: '10.0.0.9' }));
    const answer = udp(53, port, 'answer');
    lab.send('world', ether({ from: HOP, to: UPLINK }, ipv4({ from: REMOTE, to: '198.51.100.2' }, answer)));
    const back = ipv4({ from: REMOTE, to: '10.0.0.9', ttl: 63 }, udp(53, 4000, 'answer'));
    assert.deepEqual(tunnelled(lab), [told(NEAR, ether({ from: ROUTER, to: MAIL }, back))]);
  });

  it('lets nobody in who was not asked', () => {
    const lab = uplinked();
    const packet = ipv4({ from: REMOTE, to: '10.0.0.2' }, udp(53, 4000, 'in?'));
    lab.send('world', ether({ from: HOP, to: UPLINK }, packet));
    assert.equal(lab.take('world').length, 1, 'an error');
    lab.expect({}, { 'no-route': 1 });
  });
});

describe('the segment of a VTEP on a TAP', () => {
  const lab = () => overlaid({}, { vteps: { v: { kind: 'tap', address: OWN } } });
  const fromHost = (packet: Packet) => ether({ from: VTEP_HOST_MAC, to: VTEP_OWN_MAC }, packet);
  const toHost = (packet: Packet) => ether({ from: VTEP_OWN_MAC, to: VTEP_HOST_MAC }, packet);
  const HOST = '198.51.100.9';

  it('has one station, which answers ARP and pings for the address of the VTEP', () => {
    const own = lab();
    own.send('v', arp({ from: VTEP_HOST_MAC, ip: HOST, target: OWN }));
    own.expect({ v: [arp({ from: VTEP_OWN_MAC, ip: OWN, target: HOST, to: VTEP_HOST_MAC, reply: true })] });
    own.send('v', fromHost(ipv4({ from: HOST, to: OWN }, ping(1, 1))));
    own.expect({ v: [toHost(ipv4({ from: OWN, to: HOST }, ping(1, 1, 'ping', true)))] });
  });

  it('leads nowhere else: weft routes nothing from there, and refuses what is not for the tunnel', () => {
    const own = lab();
    const through = ipv4({ from: HOST, to: '10.0.0.2' }, udp(1, 2, 'in?'));
    own.send('v', fromHost(through));
    const about = (code: number, packet: Packet) =>
      toHost(ipv4({ from: OWN, to: HOST, id: 0, flags: 0 }, icmpError(3, code, packet)));
    own.expect({ v: [about(0, through)] }, { 'no-route': 1 });
    const other = ipv4({ from: HOST, to: OWN }, udp(1, 53, 'dns?'));
    own.send('v', fromHost(other));
    own.expect({ v: [about(3, other)] }, { 'no-service': 1 });
  });
});
