// Routing between networks: which routes there are, MACs and TTL of what is forwarded, MTU, and the errors that senders are told.
import { strict as assert } from 'node:assert';
import { CAPTURE_ARRIVALS, CAPTURE_DEPARTURES } from '../../src/datapath/program.js';
import {
  BROADCAST,
  type BuiltFrame,
  ether,
  GSO_TCP4,
  GSO_TCP6,
  ipv4,
  ipv6,
  partial,
  pattern,
  raw,
  superFrame,
  tcp,
  udp,
} from '../support/frame-builders.js';
import { createLab, type Lab, seconds } from '../support/lab.js';
import { arp, icmpError, icmpv6Error, linkLocal, ping, ping6 } from '../support/network-frames.js';
import { BLUE, fromDb, fromWeb, NEIGHBOURS, routedLab, toDb, toWeb, V4, V4_ERROR, V6, V6_ERROR } from './routed.js';
import { CACHE, DB, WEB } from './stations.js';

describe('router', () => {
  it('forwards between networks that have a route, with new MACs and a TTL less by one', () => {
    const lab = routedLab();
    lab.send('web', fromWeb(ipv4(V4, udp(1, 2, 'there'))), fromWeb(ipv6(V6, tcp({}, 'there'))));
    lab.expect({
      db: [toDb(ipv4({ ...V4, ttl: 63 }, udp(1, 2, 'there'))), toDb(ipv6({ ...V6, hopLimit: 63 }, tcp({}, 'there')))],
    });
    const back4 = { from: V4.to, to: V4.from };
    lab.send('db', fromDb(ipv4({ ...back4, options: pattern(8), tos: 0xb8 }, udp(2, 1, 'and back'))));
    lab.expect({ web: [toWeb(ipv4({ ...back4, options: pattern(8), tos: 0xb8, ttl: 63 }, udp(2, 1, 'and back')))] });
    assert.deepEqual([lab.total('forwarded'), lab.total('originated'), lab.total('consumed')], [3, 0, 0]);
  });

  it('forwards super-frames and partial checksums as they are', () => {
    const lab = routedLab();
    const stream = (ttl: number) => superFrame(fromWebTo(ttl), GSO_TCP4, 1448);
    const fromWebTo = (ttl: number) => ether({ from: WEB, to: BLUE }, ipv4({ ...V4, ttl }, tcp({}, pattern(20_000))));
    const routed = superFrame(toDb(ipv4({ ...V4, ttl: 63 }, tcp({}, pattern(20_000)))), GSO_TCP4, 1448);
    lab.send('web', stream(64), partial(fromWeb(ipv6(V6, udp(1, 2, 'unfinished')))));
    lab.expect({ db: [routed, partial(toDb(ipv6({ ...V6, hopLimit: 63 }, udp(1, 2, 'unfinished'))))] });
  });

  it('answers for its addresses on other networks that it routes to', () => {
    const lab = routedLab();
    lab.send('web', fromWeb(ipv4({ ...V4, to: '10.0.1.1' }, ping(1, 1))));
    lab.expect({ web: [toWeb(ipv4({ from: '10.0.1.1', to: '10.0.0.2' }, ping(1, 1, 'ping', true)))] });
    const other = ipv4({ ...V4, to: '10.0.2.1' }, ping(1, 1));
    lab.send('web', fromWeb(other));
    lab.expect({ web: [toWeb(ipv4(V4_ERROR, icmpError(3, 0, other)))] }, { 'no-route': 1 });
  });

  it('tells senders that there is no route', () => {
    const lab = routedLab();
    const lost4 = ipv4({ ...V4, to: '10.0.2.2' }, udp(1, 2, 'x'));
    const lost6 = ipv6({ ...V6, to: '2001:db8::1' }, udp(1, 2, 'x'));
    lab.send('web', fromWeb(lost4), fromWeb(lost6));
    lab.expect(
      { web: [toWeb(ipv4(V4_ERROR, icmpError(3, 0, lost4))), toWeb(ipv6(V6_ERROR, icmpv6Error(1, 0, lost6)))] },
      { 'no-route': 2 },
    );
  });

  it('tells senders that the TTL ran out, which is what traceroute asks for', () => {
    const lab = routedLab();
    for (const ttl of [0, 1]) {
      const last4 = ipv4({ ...V4, ttl }, udp(33434, 33435, 'x'));
      const last6 = ipv6({ ...V6, hopLimit: ttl }, ping6(1, 1));
      lab.send('web', fromWeb(last4), fromWeb(last6));
      lab.expect(
        { web: [toWeb(ipv4(V4_ERROR, icmpError(11, 0, last4))), toWeb(ipv6(V6_ERROR, icmpv6Error(3, 0, last6)))] },
        { 'ttl-expired': 2 },
      );
    }
  });

  it('quotes as much of a packet as fits: 576 bytes, 1280 for IPv6', () => {
    const lab = routedLab();
    const large4 = ipv4({ ...V4, ttl: 1 }, udp(1, 2, pattern(1400)));
    const large6 = ipv6({ ...V6, hopLimit: 1 }, udp(1, 2, pattern(1400)));
    lab.send('web', fromWeb(large4), fromWeb(large6));
    const [answer4, answer6] = lab.take('web');
    assert.deepEqual([answer4!.bytes.length, answer6!.bytes.length], [14 + 576, 14 + 1280]);
    lab.expect({}, { 'ttl-expired': 2 });
  });

  it('limits its errors for each port, and starts again', () => {
    const lab = routedLab();
    lab.advance(seconds(10));
    const last = fromWeb(ipv4({ ...V4, ttl: 1 }, udp(1, 2, 'x')));
    for (let n = 0; n < 40; n++) lab.send('web', ...Array.from({ length: 50 }, () => last));
    assert.equal(lab.take('web').length, 120);
    lab.advance(100);
    lab.send('web', ...Array.from({ length: 50 }, () => last));
    assert.equal(lab.take('web').length, 20);
    lab.expect({}, { 'ttl-expired': 2050 });
  });

  it('answers others of the network while a station floods it with what deserves an error', () => {
    const near = [
      { address: '10.0.0.2', mac: WEB, port: 'web' },
      { address: '10.0.0.3', mac: CACHE, port: 'cache' },
    ];
    const lab = createLab({
      ports: ['web', 'cache'],
      gateway: { addresses: ['10.0.0.1/24'], neighbours: near },
    });
    lab.advance(seconds(10));
    const lost = fromWeb(ipv4({ ...V4, to: '192.0.2.1' }, udp(1, 2, 'x')));
    for (let n = 0; n < 10; n++) lab.send('web', ...Array.from({ length: 50 }, () => lost));
    assert.equal(lab.take('web').length, 120);
    const packet = ipv4({ from: '10.0.0.3', to: '192.0.2.1' }, udp(1, 2, 'y'));
    lab.send('cache', ether({ from: CACHE, to: BLUE }, packet));
    const told = ipv4({ ...V4_ERROR, to: '10.0.0.3' }, icmpError(3, 0, packet));
    lab.expect({ cache: [ether({ from: BLUE, to: CACHE }, told)] }, { 'no-route': 501 });
  });

  it('does not forward groups, broadcasts of subnets, link-local and loopback addresses', () => {
    const lab = routedLab();
    const silent = ['224.0.0.251', '10.0.1.255', '255.255.255.255', '127.0.0.1', '169.254.1.1', '0.0.0.0'].map((to) =>
      fromWeb(ipv4({ ...V4, to }, udp(1, 2, 'x'))),
    );
    lab.send('web', ...silent);
    lab.ignoreDepartures();
    lab.expect({}, { 'no-route': 6 });
    const local = ipv6({ from: 'fe80::2', to: V6.to }, udp(1, 2, 'x'));
    lab.send('web', fromWeb(local));
    const beyond = ipv6({ from: linkLocal(BLUE), to: 'fe80::2' }, icmpv6Error(1, 2, local));
    lab.expect({ web: [toWeb(beyond)] }, { 'no-route': 1 });
  });

  it('tells nobody of packets to all stations of a subnet (RFC 1812 section 4.3.2.7)', () => {
    const lab = routedLab();
    const packets = ['10.0.1.255', '10.0.0.255', '255.255.255.255', '224.0.0.251'].map((to) =>
      fromWeb(ipv4({ ...V4, to }, udp(1, 2, 'x'))),
    );
    lab.send('web', ...packets);
    lab.expect({}, { 'no-route': 4 });
  });

  it('tells senders what fits through where a packet may not be cut', () => {
    const lab = routedLab({ mtu: 1400 });
    const large4 = ipv4(V4, udp(1, 2, pattern(1373)));
    const large6 = ipv6(V6, udp(1, 2, pattern(1353)));
    lab.send('web', fromWeb(large4), fromWeb(large6));
    const mtu = [0, 0, 1400 >> 8, 1400 & 255];
    lab.expect(
      {
        web: [
          toWeb(ipv4(V4_ERROR, icmpError(3, 4, large4, mtu))),
          toWeb(ipv6(V6_ERROR, icmpv6Error(2, 0, large6, mtu))),
        ],
      },
      { 'too-big': 2 },
    );
    const fits = (ttl: number) => ipv4({ ...V4, ttl }, udp(1, 2, pattern(1372)));
    lab.send('web', fromWeb(fits(64)));
    lab.expect({ db: [toDb(fits(63))] });
  });

  it('judges super-frames by the segments that they will become', () => {
    const lab = routedLab({ mtu: 1400 });
    const v4 = (ttl: number) => ipv4({ ...V4, ttl }, tcp({}, pattern(5000)));
    const v6 = (hopLimit: number) => ipv6({ ...V6, hopLimit }, tcp({}, pattern(5000)));
    lab.send('web', superFrame(fromWeb(v4(64)), GSO_TCP4, 1360), superFrame(fromWeb(v6(64)), GSO_TCP6, 1340));
    lab.expect({ db: [superFrame(toDb(v4(63)), GSO_TCP4, 1360), superFrame(toDb(v6(63)), GSO_TCP6, 1340)] });
    lab.send('web', superFrame(fromWeb(v4(64)), GSO_TCP4, 1361), superFrame(fromWeb(v6(64)), GSO_TCP6, 1341));
    assert.equal(lab.take('web').length, 2);
    lab.expect({}, { 'too-big': 2 });
  });

  it('cuts IPv4 packets that are too large where they may be cut', () => {
    const lab = routedLab({ mtu: 68 });
    const options = Uint8Array.of(0x94, 4, 0, 0, 7, 3, 4, 1);
    const whole = (ttl: number) => ipv4({ ...V4, ttl, flags: 0, options }, udp(1, 2, pattern(90)));
    const payload = whole(63).bytes.slice(28);
    const piece = (at: number, bytes: number, isLast: boolean) => {
      const flags = (isLast ? 0 : 0x2000) | (at >> 3);
      const kept = at === 0 ? options : options.slice(0, 4);
      return toDb(ipv4({ ...V4, ttl: 63, flags, options: kept }, raw(17, payload.slice(at, at + bytes))));
    };
    const pieces = [piece(0, 40, false), piece(40, 40, false), piece(80, 18, true)];
    lab.send('web', fromWeb(whole(64)), partial(fromWeb(whole(64))));
    lab.expect({ db: [...pieces, ...pieces] });
  });

  it('cuts fragments further', () => {
    const lab = routedLab({ mtu: 68 });
    const part = (ttl: number, flags: number, at: number, bytes: number) =>
      ipv4({ ...V4, ttl, flags: flags | (at >> 3) }, raw(17, pattern(200).slice(at, at + bytes)));
    lab.send('web', fromWeb(part(64, 0x2000, 80, 80)), fromWeb(part(64, 0, 160, 40)));
    lab.expect({
      db: [toDb(part(63, 0x2000, 80, 48)), toDb(part(63, 0x2000, 128, 32)), toDb(part(63, 0, 160, 40))],
    });
  });

  it('is no way around the isolation of ports', () => {
    const ports = { web: { isolated: true }, db: { isolated: true }, cache: {} };
    const neighbours = [
      { address: '10.0.0.3', mac: DB, port: 'db' },
      { address: '10.0.0.4', mac: CACHE, port: 'cache' },
    ];
    const lab = createLab({ ports, gateway: { addresses: ['10.0.0.1/24'], neighbours } });
    const packet = (to: string, ttl: number) => ipv4({ from: '10.0.0.2', to, ttl }, udp(1, 2, 'x'));
    lab.send('web', fromWeb(packet('10.0.0.3', 64)), fromWeb(packet('10.0.0.4', 64)));
    lab.expect({ cache: [ether({ from: BLUE, to: CACHE }, packet('10.0.0.4', 63))] }, { isolated: 1 });
  });

  it('shows captures of the sender what it sent, and of the receiver what it gets', () => {
    const shown: Record<string, string[]> = {};
    const lab = createLab({
      ports: { web: { capture: CAPTURE_ARRIVALS }, db: { network: 'red', capture: CAPTURE_DEPARTURES, accepts: 0 } },
      gateway: { addresses: ['10.0.0.1/24'], routesTo: ['red'] },
      networks: {
        red: { gateway: { addresses: ['10.0.1.1/24'], neighbours: [{ address: '10.0.1.2', mac: DB, port: 'db' }] } },
      },
      captureSnaplen: 65_535,
      tap: (slab) => {
        const note = (port: number, start: number, ...parts: readonly [number, number][]) => {
          const bytes = Buffer.concat(parts.map(([at, length]) => slab.bytes.slice(at, at + length)));
          const seen = shown[port] ?? [];
          shown[port] = seen;
          seen.push(`${start} ${bytes.toString('hex')}`);
        };
        return {
          setTime() {},
          record: (at, length, port, _direction, _reason, start) => note(port, start, [at, length]),
          recordSplit: (headAt, headBytes, bodyAt, bodyBytes, port, _direction, _reason, start) =>
            note(port, start, [headAt, headBytes], [bodyAt, bodyBytes]),
          commit() {},
        };
      },
    });
    const hex = (frame: BuiltFrame) => Buffer.from(frame.bytes).toString('hex');
    const sent = partial(fromWeb(ipv4(V4, udp(1, 2, pattern(700)))));
    const got = toDb(ipv4({ ...V4, ttl: 63 }, udp(1, 2, pattern(700))));
    lab.send('web', sent);
    lab.expect({ db: [got] });
    assert.deepEqual(shown, {
      [lab.index('web')]: [`34 ${hex(sent)}`],
      [lab.index('db')]: [`-1 ${hex(got)}`],
    });
  });
});

describe('a gateway that the host owns', () => {
  const HOST = '02:00:5e:00:00:0f';

  function sharedLab(): Lab {
    return createLab({
      ports: { web: {}, other: {}, host: {}, db: { network: 'red' } },
      gateway: {
        addresses: ['10.0.0.1/24'],
        mac: HOST,
        shared: true,
        routesTo: ['red'],
        neighbours: NEIGHBOURS.slice(0, 1),
      },
      networks: {
        red: {
          gateway: {
            addresses: ['10.0.1.1/24'],
            routesTo: ['blue'],
            neighbours: [{ address: '10.0.1.2', mac: DB, port: 'db' }],
          },
        },
      },
    });
  }

  it('gets everything but what weft routes to other networks', () => {
    const lab = sharedLab();
    lab.send('host', arp({ from: HOST, ip: '10.0.0.1', target: '10.0.0.9' }));
    lab.ignoreDepartures();
    const question = arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.1' });
    lab.send('web', question);
    lab.expect({ other: [question], host: [question] });
    const toHost = ether({ from: WEB, to: HOST }, ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, ping(1, 1)));
    const outside = ether({ from: WEB, to: HOST }, ipv4({ from: '10.0.0.2', to: '198.51.100.1' }, udp(1, 2, 'x')));
    lab.send('web', toHost, outside);
    lab.expect({ host: [toHost, outside] });
    lab.send('web', ether({ from: WEB, to: HOST }, ipv4(V4, udp(1, 2, 'x'))));
    lab.expect({ db: [toDb(ipv4({ ...V4, ttl: 63 }, udp(1, 2, 'x')))] });
    lab.send('db', fromDb(ipv4({ from: V4.to, to: V4.from }, udp(2, 1, 'back'))));
    lab.expect({
      web: [ether({ from: HOST, to: WEB }, ipv4({ from: V4.to, to: V4.from, ttl: 63 }, udp(2, 1, 'back')))],
    });
  });

  it('is spared nothing by frames that nobody can read', () => {
    const lab = sharedLab();
    lab.send('host', arp({ from: HOST, ip: '10.0.0.1', target: '10.0.0.9' }));
    lab.ignoreDepartures();
    const packet = ipv4(V4, raw(6, 'short'));
    const damaged = ether({ from: WEB, to: HOST }, packet);
    lab.send('web', damaged);
    lab.expect({ host: [damaged] });
  });

  it('answers neighbours of weft on its network, and weft hears it', () => {
    const lab = sharedLab();
    lab.send('host', arp({ from: HOST, ip: '10.0.0.1', target: '10.0.0.9' }));
    lab.ignoreDepartures();
    const packet = (ttl: number) => ipv4({ from: V4.to, to: '10.0.0.7', ttl }, udp(1, 2, 'x'));
    lab.send('db', fromDb(packet(64)));
    const question = ether(
      { from: HOST, to: BROADCAST, type: 0x0806 },
      arp({ from: HOST, ip: '10.0.0.1', target: '10.0.0.7' }).bytes.slice(14),
    );
    lab.expect({ web: [question], other: [question], host: [question] });
    const answer = arp({ from: CACHE, ip: '10.0.0.7', target: '10.0.0.1', to: HOST, reply: true });
    lab.send('other', answer);
    lab.expect({ host: [answer], other: [ether({ from: HOST, to: CACHE }, packet(63))] });
  });
});
