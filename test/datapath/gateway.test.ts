// The gateway as a station of its networks: ARP, neighbour discovery, ping, router advertisements, and the way to its services.
import { strict as assert } from 'node:assert';
import { CAPTURE_ARRIVALS } from '../../src/datapath/program.js';
import {
  BROADCAST,
  type BuiltFrame,
  ether,
  ipv4,
  ipv6,
  type Packet,
  pattern,
  raw,
  type Tag,
  TPID_SERVICE,
  tcp,
  udp,
} from '../support/frame-builders.js';
import { createLab, type Lab, type LabSettings, seconds } from '../support/lab.js';
import {
  advertisement,
  arp,
  icmpError,
  icmpv6Error,
  linkLocal,
  ping,
  ping6,
  routerAdvertisement,
  routerSolicitation,
  solicitation,
  solicitedNode,
} from '../support/network-frames.js';
import { gatewayMac } from '../support/router-columns.js';
import { DB, WEB } from './stations.js';

const GATEWAY = gatewayMac(0);
const ALL_NODES = { mac: '33:33:00:00:00:01', ip: 'ff02::1' };
const ALL_ROUTERS = { mac: '33:33:00:00:00:02', ip: 'ff02::2' };

function gatewayLab(settings: Partial<LabSettings['gateway']> = {}, ports: LabSettings['ports'] = ['web', 'db']): Lab {
  return createLab({ ports, gateway: { addresses: ['10.0.0.1/24', 'fd00::1/64'], ...settings } });
}

const fromWeb = (to: string, packet: Parameters<typeof ether>[1]): BuiltFrame => ether({ from: WEB, to }, packet);
const toWeb = (packet: Parameters<typeof ether>[1]): BuiltFrame => ether({ from: GATEWAY, to: WEB }, packet);

describe('gateway', () => {
  it('answers ARP for its address, to who asks, and nobody else hears the question', () => {
    const lab = gatewayLab();
    lab.send('web', arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.1' }));
    lab.expect({ web: [arp({ from: GATEWAY, ip: '10.0.0.1', target: '10.0.0.2', to: WEB, reply: true })] });
    assert.deepEqual([lab.total('arrivals'), lab.total('consumed'), lab.total('originated')], [1, 1, 1]);
    assert.deepEqual(lab.macTable(), [`0 ${WEB} web`]);
  });

  it('leaves ARP for other addresses to the other stations', () => {
    const lab = gatewayLab();
    const question = arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.3' });
    lab.send('web', question);
    lab.expect({ db: [question] });
  });

  it('answers a probe for its address, so that nobody else takes it (RFC 5227)', () => {
    const lab = gatewayLab();
    lab.send('web', arp({ from: WEB, ip: '0.0.0.0', target: '10.0.0.1' }));
    lab.expect({ web: [arp({ from: GATEWAY, ip: '10.0.0.1', target: '0.0.0.0', to: WEB, reply: true })] });
  });

  it('answers neighbour solicitations, for its link-local address too', () => {
    const lab = gatewayLab();
    for (const target of ['fd00::1', linkLocal(GATEWAY)]) {
      const group = solicitedNode(target);
      const addresses = { from: 'fd00::2', to: group.ip, hopLimit: 255 };
      lab.send('web', fromWeb(group.mac, ipv6(addresses, solicitation(target, WEB))));
      const answer = advertisement(target, GATEWAY, { router: true, solicited: true, override: true });
      lab.expect({ web: [toWeb(ipv6({ from: target, to: 'fd00::2', hopLimit: 255 }, answer))] });
    }
  });

  it('tells all who test whether they may have its address (RFC 4862)', () => {
    const lab = gatewayLab();
    const group = solicitedNode('fd00::1');
    lab.send(
      'web',
      fromWeb(group.mac, ipv6({ from: '::', to: group.ip, hopLimit: 255 }, solicitation('fd00::1', null))),
    );
    const answer = advertisement('fd00::1', GATEWAY, { router: true, override: true });
    const told = ether(
      { from: GATEWAY, to: ALL_NODES.mac },
      ipv6({ from: 'fd00::1', to: ALL_NODES.ip, hopLimit: 255 }, answer),
    );
    lab.expect({ web: [told], db: [told] });
  });

  it('does not believe neighbour discovery that came over a router', () => {
    const lab = gatewayLab();
    const group = solicitedNode('fd00::1');
    const question = fromWeb(
      group.mac,
      ipv6({ from: 'fd00::2', to: group.ip, hopLimit: 254 }, solicitation('fd00::1', WEB)),
    );
    lab.send('web', question);
    lab.expect({ db: [question] });
  });

  it('does not believe damaged neighbour discovery (RFC 4861 section 7.1.1)', () => {
    const lab = gatewayLab();
    const group = solicitedNode('fd00::1');
    const addresses = { from: 'fd00::2', to: group.ip, hopLimit: 255 };
    const question = fromWeb(group.mac, ipv6(addresses, solicitation('fd00::1', WEB)));
    question.bytes[question.bytes.length - 1]! ^= 1;
    lab.send('web', question);
    lab.expect({ db: [question] });
  });

  it('answers pings of any size in both families', () => {
    const lab = gatewayLab();
    for (const text of ['', 'a', pattern(1400)]) {
      lab.send('web', fromWeb(GATEWAY, ipv4({ from: '10.0.0.2', to: '10.0.0.1', ttl: 3 }, ping(7, 1, text))));
      lab.expect({ web: [toWeb(ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, ping(7, 1, text, true)))] });
      lab.send('web', fromWeb(GATEWAY, ipv6({ from: 'fd00::2', to: 'fd00::1', hopLimit: 9 }, ping6(7, 1, text))));
      lab.expect({ web: [toWeb(ipv6({ from: 'fd00::1', to: 'fd00::2' }, ping6(7, 1, text, true)))] });
    }
    assert.deepEqual([lab.total('forwarded'), lab.total('originated')], [6, 0]);
  });

  it('answers large pings, which come in fragments, by fragments', () => {
    const lab = gatewayLab();
    const whole = (isReply: boolean) => ping(7, 1, pattern(3000), isReply).bytes;
    const part = (isReply: boolean, at: number, end: number) => {
      const addresses = isReply ? { from: '10.0.0.1', to: '10.0.0.2' } : { from: '10.0.0.2', to: '10.0.0.1' };
      const flags = (end < 3008 ? 0x2000 : 0) | (at >> 3);
      return ipv4({ ...addresses, flags }, raw(1, whole(isReply).slice(at, end)));
    };
    const parts = [
      [0, 1480],
      [1480, 2960],
      [2960, 3008],
    ] as const;
    lab.send('web', ...parts.map(([at, end]) => fromWeb(GATEWAY, part(false, at, end))));
    lab.expect({ web: parts.map(([at, end]) => toWeb(part(true, at, end))) });
  });

  it('refuses what it does not serve, with the error that the RFCs want', () => {
    const lab = gatewayLab();
    const v4 = { from: '10.0.0.2', to: '10.0.0.1' };
    const v6 = { from: 'fd00::2', to: 'fd00::1' };
    const back4 = { from: v4.to, to: v4.from, id: 0, flags: 0 };
    const back6 = { from: v6.to, to: v6.from };
    const datagram = ipv4(v4, udp(4000, 7000, 'hello'));
    lab.send('web', fromWeb(GATEWAY, datagram));
    lab.expect({ web: [toWeb(ipv4(back4, icmpError(3, 3, datagram)))] }, { 'no-service': 1 });
    const segment = ipv6(v6, tcp({ to: 22 }));
    lab.send('web', fromWeb(GATEWAY, segment));
    lab.expect({ web: [toWeb(ipv6(back6, icmpv6Error(1, 4, segment)))] }, { 'no-service': 1 });
    const tunnel = ipv4(v4, raw(47, 'gre'));
    lab.send('web', fromWeb(GATEWAY, tunnel));
    lab.expect({ web: [toWeb(ipv4(back4, icmpError(3, 2, tunnel)))] }, { 'no-service': 1 });
    const strange = ipv6({ ...v6, extensions: [{ type: 60, options: new Uint8Array(4) }] }, raw(253, 'what?'));
    lab.send('web', fromWeb(GATEWAY, strange));
    lab.expect({ web: [toWeb(ipv6(back6, icmpv6Error(4, 1, strange, [0, 0, 0, 40])))] }, { 'no-service': 1 });
  });

  it('does not answer errors, later fragments, groups and senders that cannot be', () => {
    const lab = gatewayLab();
    const inner = ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, udp(1, 2, 'x'));
    lab.send('web', fromWeb(GATEWAY, ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, icmpError(3, 3, inner))));
    lab.send('web', fromWeb(GATEWAY, ipv4({ from: '10.0.0.2', to: '10.0.0.1', flags: 0x0005 }, raw(17, 'the rest'))));
    lab.expect({}, { 'no-service': 2 });
    for (const from of ['127.0.0.1', '224.0.0.1', '255.255.255.255', '0.0.0.0', '10.0.0.1']) {
      lab.send('web', fromWeb(GATEWAY, ipv4({ from, to: '10.0.0.1' }, udp(4000, 7000))));
    }
    for (const from of ['::1', 'ff02::1', '::', 'fd00::1']) {
      lab.send('web', fromWeb(GATEWAY, ipv6({ from, to: 'fd00::1' }, udp(4000, 7000))));
    }
    lab.expect({}, { 'bad-ip-source': 9 });
  });

  it('does not believe that stations of a network come over its uplink (RFC 1812 section 5.3.8)', () => {
    const lab = createLab({
      ports: { web: {}, world: { network: 'out' } },
      gateway: {
        addresses: ['10.0.0.1/24', 'fd00::1/64'],
        neighbours: [{ address: '10.0.0.2', mac: WEB, port: 'web' }],
        nat: {
          filtering: 'endpoint-independent',
          published: [{ protocol: 'udp', port: 53, inside: '10.0.0.2', insidePort: 53 }],
        },
      },
      networks: { out: { gateway: { uplinkOf: 'blue', addresses: ['203.0.113.1/24', '2001:db8::1/64'] } } },
    });
    const fromWorld = (packet: Packet) => ether({ from: DB, to: gatewayMac(1) }, packet);
    const query = (from: string, to: string, ttl: number) => ipv4({ from, to, ttl }, udp(4000, 53, 'x'));
    lab.send('world', fromWorld(query('10.0.0.3', '203.0.113.1', 64)));
    lab.send('world', fromWorld(ipv6({ from: 'fd00::3', to: 'fd00::2' }, udp(4000, 53, 'x'))));
    lab.expect({}, { 'bad-ip-source': 2 });
    lab.send('world', fromWorld(query('198.51.100.7', '203.0.113.1', 64)));
    lab.expect({ web: [toWeb(query('198.51.100.7', '10.0.0.2', 63))] });
    const uplink = linkLocal(gatewayMac(1));
    lab.send('world', fromWorld(ipv6({ from: 'fe80::9', to: uplink }, ping6(1, 1))));
    const answer = ipv6({ from: uplink, to: 'fe80::9' }, ping6(1, 1, 'ping', true));
    lab.expect({ world: [ether({ from: gatewayMac(1), to: DB }, answer)] });
  });

  it('drops damaged packets', () => {
    const lab = gatewayLab();
    const good = ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, ping(1, 1));
    const damaged = [
      [0, 0x55], // version
      [0, 0x44], // header length
      [3, 200], // total length
      [10, 1], // checksum
    ].map(([at, value]) => {
      const bytes = good.bytes.slice();
      bytes[at!] = value!;
      return fromWeb(GATEWAY, { ...good, bytes });
    });
    const short = ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, raw(6, pattern(12)));
    lab.send('web', ...damaged, fromWeb(GATEWAY, short));
    lab.expect({}, { 'bad-ip': 5 });
  });

  it('advertises itself to who asks, and to all now and then', () => {
    const lab = gatewayLab({ advertise: true, dhcp: true, addresses: ['fd00:1::1/64', 'fd00:2::1/80'] });
    const own = { from: linkLocal(GATEWAY), hopLimit: 255 };
    const prefixes = [
      { prefix: 'fd00:1::', length: 64, autonomous: true },
      { prefix: 'fd00:2::', length: 80, autonomous: false },
    ];
    const message = routerAdvertisement({ link: GATEWAY, mtu: 1500, dhcp: true, prefixes });
    const toAll = ether({ from: GATEWAY, to: ALL_NODES.mac }, ipv6({ ...own, to: ALL_NODES.ip }, message));
    lab.advance(60);
    lab.run();
    lab.expect({ web: [toAll], db: [toAll] });
    const question = (from: string) =>
      fromWeb(
        ALL_ROUTERS.mac,
        ipv6({ from, to: ALL_ROUTERS.ip, hopLimit: 255 }, routerSolicitation(from === '::' ? null : WEB)),
      );
    lab.send('web', question('fe80::2'));
    lab.expect({ web: [toWeb(ipv6({ ...own, to: 'fe80::2' }, message))], db: [question('fe80::2')] });
    lab.send('web', question('::'));
    lab.expect({ web: [toWeb(ipv6({ ...own, to: ALL_NODES.ip }, message))], db: [question('::')] });
    let count = 0;
    for (let second = 0; second < 1000; second++) {
      lab.advance(seconds(1));
      lab.run();
      count += lab.take('db').length;
    }
    lab.ignoreDepartures();
    assert.ok(count >= 6 && count <= 10, `${count} advertisements in 1000 s`);
  });

  it('lets at most 16 s pass between its first advertisements (RFC 4861 section 6.2.4)', () => {
    for (let start = 60; start < 70; start++) {
      const lab = gatewayLab({ advertise: true, addresses: ['fd00::1/64'] });
      lab.advance(start);
      lab.run();
      lab.ignoreDepartures();
      const times = [0];
      for (let ms = 100; times.length < 4 && ms < 100_000; ms += 100) {
        lab.advance(100);
        lab.run();
        if (lab.take('web').length > 0) times.push(ms);
      }
      const gaps = times.slice(1).map((time, n) => time - times[n]!);
      assert.ok(gaps.length === 3 && gaps.every((gap) => gap <= 16_100), `${gaps}`);
      lab.ignoreDepartures();
    }
  });

  it('says that it is no router any more when it does not advertise any more', () => {
    const lab = gatewayLab({ advertise: true, addresses: ['fd00::1/64'] });
    lab.advance(60);
    lab.run();
    lab.ignoreDepartures();
    lab.change({ ports: ['web', 'db'], gateway: { addresses: ['fd00::1/64'] } });
    lab.advance(60);
    lab.run();
    const [last, ...others] = lab.take('web').map(({ bytes }) => [bytes[54], bytes[60], bytes[61]]);
    assert.deepEqual([last, others], [[134, 0, 0], []]);
    lab.ignoreDepartures();
    lab.advance(seconds(300));
    lab.run();
    lab.expect({});
  });

  it('says nothing of itself where it is not asked to', () => {
    const lab = gatewayLab();
    lab.advance(seconds(300));
    lab.run();
    const question = fromWeb(
      ALL_ROUTERS.mac,
      ipv6({ from: 'fe80::2', to: ALL_ROUTERS.ip, hopLimit: 255 }, routerSolicitation(WEB)),
    );
    lab.send('web', question);
    lab.expect({ db: [question] });
  });

  it('names its resolver in advertisements where it has one', () => {
    const lab = gatewayLab({ advertise: true, addresses: ['fd00::1/64'], service: 'dns' }, ['web', 'dns']);
    lab.advance(60);
    lab.run();
    const prefixes = [{ prefix: 'fd00::', length: 64, autonomous: true }];
    const message = routerAdvertisement({ link: GATEWAY, mtu: 1500, prefixes, resolver: 'fd00::1' });
    const addresses = { from: linkLocal(GATEWAY), to: ALL_NODES.ip, hopLimit: 255 };
    const toAll = ether({ from: GATEWAY, to: ALL_NODES.mac }, ipv6(addresses, message));
    lab.expect({ web: [toAll], dns: [toAll] });
  });

  it('hands DNS to its service port as it is, and lets the service answer', () => {
    const lab = gatewayLab({ service: 'dns' }, ['web', 'dns']);
    const question = fromWeb(GATEWAY, ipv4({ from: '10.0.0.2', to: '10.0.0.1', ttl: 1 }, udp(4000, 53, 'db?')));
    const stream = fromWeb(GATEWAY, ipv6({ from: 'fd00::2', to: 'fd00::1' }, tcp({ to: 53, flags: 2 })));
    const late = fromWeb(
      GATEWAY,
      ipv4(
        { from: '10.0.0.2', to: '10.0.0.1' },
        icmpError(3, 3, ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, udp(53, 4000, 'too late'))),
      ),
    );
    lab.send('web', question, stream, late);
    lab.expect({ dns: [question, stream, late] });
    lab.send('web', arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.1' }));
    lab.ignoreDepartures();
    const answer = (ttl: number) => ipv4({ from: '10.0.0.1', to: '10.0.0.2', ttl }, udp(53, 4000, 'there'));
    lab.send('dns', ether({ from: DB, to: GATEWAY }, answer(64)));
    lab.expect({ web: [toWeb(answer(63))] });
  });

  it('hands its service port so many questions of one station only, and those of the others as well', () => {
    const lab = gatewayLab({ service: 'dns' }, ['web', 'db', 'dns']);
    const question = fromWeb(GATEWAY, ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, udp(4000, 53, 'db?')));
    for (let burst = 0; burst < 4; burst++) lab.send('web', ...Array.from({ length: 100 }, () => question));
    lab.expect({ dns: Array.from({ length: 300 }, () => question) }, { 'service-limit': 100 });
    const other = ether({ from: DB, to: GATEWAY }, ipv4({ from: '10.0.0.3', to: '10.0.0.1' }, udp(4000, 53, 'web?')));
    lab.send('db', other);
    lab.expect({ dns: [other] });
    lab.advance(1);
    lab.send('web', question, question, question, question);
    lab.expect({ dns: [question, question, question] }, { 'service-limit': 1 });
  });

  it('hands DHCP to the control thread where it serves it, and otherwise to the network', () => {
    const request = ether(
      { from: WEB, to: BROADCAST },
      ipv4({ from: '0.0.0.0', to: '255.255.255.255' }, udp(68, 67, 'x')),
    );
    const serving = gatewayLab({ dhcp: true });
    serving.send('web', request);
    serving.expect({});
    assert.equal(serving.takePunted().length, 1);
    assert.equal(serving.total('consumed'), 1);
    const other = gatewayLab();
    other.send('web', request);
    other.expect({ db: [request] });
  });

  it('learns nothing from a station that claims its MAC or its address', () => {
    const lab = gatewayLab();
    lab.send('web', ether({ from: GATEWAY, to: DB }, 'I am the gateway'));
    lab.ignoreDepartures();
    assert.deepEqual(lab.macTable(), []);
    lab.send('web', arp({ from: WEB, ip: '10.0.0.1', target: '10.0.0.1' }));
    lab.ignoreDepartures();
    lab.send('db', fromWeb(GATEWAY, ipv4({ from: '10.0.0.3', to: '10.0.0.1' }, ping(1, 1))));
    lab.expect({ db: [toWeb(ipv4({ from: '10.0.0.1', to: '10.0.0.3' }, ping(1, 1, 'ping', true)))] });
  });

  it('is on the untagged domain only', () => {
    const lab = gatewayLab({}, { web: { vlan: 10 }, db: { vlan: 10 }, trunk: {} });
    const question = arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.1' });
    lab.send('web', question);
    lab.expect({
      db: [question],
      trunk: [ether({ from: WEB, to: BROADCAST, type: 0x0806, tags: [10] }, question.bytes.slice(14))],
    });
  });

  it('is not in VLANs, not in those of a service provider either, but takes frames with a priority', () => {
    const lab = gatewayLab();
    const packet = ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, ping(1, 1));
    const tags = (...list: Tag[]) => ether({ from: WEB, to: GATEWAY, tags: list }, packet);
    const foreign = [tags({ vlan: 0, type: TPID_SERVICE }), tags(0, 7), tags(7)];
    lab.send('web', ...foreign);
    lab.expect({ db: foreign });
    lab.send('web', tags({ vlan: 0, priority: 5 }));
    const answer = ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, ping(1, 1, 'ping', true));
    lab.expect({ web: [ether({ from: GATEWAY, to: WEB, tags: [{ vlan: 0, priority: 5 }] }, answer)] });
  });

  it('shows a ping to a capture as it came', () => {
    const shown: string[] = [];
    const lab = createLab({
      ports: { web: { capture: CAPTURE_ARRIVALS } },
      gateway: { addresses: ['10.0.0.1/24'] },
      captureSnaplen: 2000,
      tap: (slab) => ({
        setTime() {},
        record: (at, length) => void shown.push(Buffer.from(slab.bytes.slice(at, at + length)).toString('hex')),
        recordSplit: (headAt, headBytes, bodyAt, bodyBytes) =>
          void shown.push(
            Buffer.concat([
              slab.bytes.slice(headAt, headAt + headBytes),
              slab.bytes.slice(bodyAt, bodyAt + bodyBytes),
            ]).toString('hex'),
          ),
        commit() {},
      }),
    });
    const request = fromWeb(GATEWAY, ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, ping(7, 1, pattern(900))));
    lab.send('web', request);
    lab.ignoreDepartures();
    assert.deepEqual(shown, [Buffer.from(request.bytes).toString('hex')]);
  });
});
