// How the router comes by the MACs of next hops: it asks, lets packets wait, believes, doubts, forgets.
import { strict as assert } from 'node:assert';
import { ether, GSO_TCP4, ipv4, ipv6, pattern, superFrame, tcp, udp } from '../support/frame-builders.js';
import { type Lab, seconds } from '../support/lab.js';
import { advertisement, arp, icmpError, solicitation, solicitedNode } from '../support/network-frames.js';
import { fromDb, fromWeb, RED, routedLab, toDb, toWeb, V4, V4_ERROR, V6 } from './routed.js';
import { CACHE, DB } from './stations.js';

describe('neighbours of the router', () => {
  /** Nobody knows db. */
  function strangerLab(): Lab {
    return routedLab({ gateway: { addresses: ['10.0.1.1/24', 'fd00:b::1/64'], routesTo: ['blue'] } });
  }
  const question4 = arp({ from: RED, ip: '10.0.1.1', target: '10.0.1.2' });
  const group = solicitedNode(V6.to);
  const question6 = ether(
    { from: RED, to: group.mac },
    ipv6({ from: 'fd00:b::1', to: group.ip, hopLimit: 255 }, solicitation(V6.to, RED)),
  );
  const answer4 = arp({ from: DB, ip: '10.0.1.2', target: '10.0.1.1', to: RED, reply: true });
  const answer6 = fromDb(
    ipv6(
      { from: V6.to, to: 'fd00:b::1', hopLimit: 255 },
      advertisement(V6.to, DB, { solicited: true, override: true }),
    ),
  );

  it('are asked for by ARP while the packets wait, and then get them in order', () => {
    const lab = strangerLab();
    const packet = (ttl: number, text: string) => ipv4({ ...V4, ttl }, udp(1, 2, text));
    lab.send('web', fromWeb(packet(64, 'first')), fromWeb(packet(64, 'second')));
    lab.expect({ db: [question4] });
    lab.send('db', answer4);
    lab.expect({ db: [toDb(packet(63, 'first')), toDb(packet(63, 'second'))] });
    lab.send('web', fromWeb(packet(64, 'third')));
    lab.expect({ db: [toDb(packet(63, 'third'))] });
    const totals = [lab.total('arrivals'), lab.total('originated'), lab.total('forwarded'), lab.total('consumed')];
    assert.deepEqual(totals, [4, 3, 4, 3]);
  });

  it('are asked for by neighbour solicitation', () => {
    const lab = strangerLab();
    const packet = (hopLimit: number) => ipv6({ ...V6, hopLimit }, udp(1, 2, 'there'));
    lab.send('web', fromWeb(packet(64)));
    lab.expect({ db: [question6] });
    lab.send('db', answer6);
    lab.expect({ db: [toDb(packet(63))] });
  });

  it('get what waited in the turn in which other frames are put in from inside weft', () => {
    const lab = strangerLab();
    const packet = (ttl: number, text: string) => ipv4({ ...V4, ttl }, udp(1, 2, text));
    lab.send('web', fromWeb(packet(64, 'waits')), fromWeb(packet(64, 'too')));
    lab.expect({ db: [question4] });
    lab.queue('db', answer4);
    lab.datapath.turn(0);
    lab.inject('web', fromWeb(packet(64, 'injected')));
    lab.queue('web', fromWeb(packet(64, 'arrives')));
    lab.datapath.turn(0);
    lab.expect({ db: ['injected', 'waits', 'too', 'arrives'].map((text) => toDb(packet(63, text))) });
    assert.deepEqual([lab.total('arrivals'), lab.total('originated')], [5, 3]);
  });

  it('keep super-frames waiting as they are', () => {
    const lab = strangerLab();
    const packet = (ttl: number) => ipv4({ ...V4, ttl }, tcp({}, pattern(60_000)));
    lab.send('web', superFrame(fromWeb(packet(64)), GSO_TCP4, 1400));
    lab.expect({ db: [question4] });
    lab.send('db', answer4);
    lab.expect({ db: [superFrame(toDb(packet(63)), GSO_TCP4, 1400)] });
  });

  it('are asked for three times, and then their senders are told', () => {
    const lab = strangerLab();
    const packet = ipv4(V4, udp(1, 2, 'anybody?'));
    lab.send('web', fromWeb(packet));
    for (let n = 0; n < 3; n++) {
      lab.expect({ db: [question4] });
      lab.advance(seconds(1));
      lab.run();
    }
    lab.expect({ web: [toWeb(ipv4(V4_ERROR, icmpError(3, 1, packet)))] }, { 'no-neighbour': 1 });
    lab.send('web', fromWeb(packet));
    lab.expect({ web: [toWeb(ipv4(V4_ERROR, icmpError(3, 1, packet)))] }, { 'no-neighbour': 1 });
    lab.advance(seconds(2));
    lab.run();
    lab.send('web', fromWeb(packet));
    lab.expect({ db: [question4] });
    lab.send('db', answer4);
    lab.ignoreDepartures();
  });

  it('are believed while they are heard, asked again otherwise, and forgotten when they are silent', () => {
    const lab = strangerLab();
    const packet = (ttl: number) => ipv4({ ...V4, ttl }, udp(1, 2, 'x'));
    lab.send('db', arp({ from: DB, ip: '10.0.1.2', target: '10.0.1.1' }));
    lab.ignoreDepartures();
    lab.advance(seconds(31));
    lab.send('db', ether({ from: DB, to: CACHE }, 'busy'));
    lab.expect({}, { 'no-destination': 1 });
    lab.send('web', fromWeb(packet(64)));
    lab.expect({ db: [toDb(packet(63))] });
    lab.advance(seconds(31));
    const probe = arp({ from: RED, ip: '10.0.1.1', target: '10.0.1.2', to: DB });
    lab.send('web', fromWeb(packet(64)));
    lab.expect({ db: [toDb(packet(63)), probe] });
    for (let n = 0; n < 2; n++) {
      lab.advance(seconds(1));
      lab.run();
      lab.expect({ db: [probe] });
    }
    lab.advance(seconds(1));
    lab.run();
    lab.send('web', fromWeb(packet(64)));
    lab.expect({ db: [question4] });
    lab.send('db', answer4);
    lab.ignoreDepartures();
  });

  it('change their MAC when they say so, unless weft knows better', () => {
    const lab = strangerLab();
    const packet = (ttl: number) => ipv4({ ...V4, ttl }, udp(1, 2, 'x'));
    lab.send('db', arp({ from: DB, ip: '10.0.1.2', target: '10.0.1.1' }));
    lab.send('db', arp({ from: CACHE, ip: '10.0.1.2', target: '10.0.1.2' }));
    lab.ignoreDepartures();
    lab.send('web', fromWeb(packet(64)));
    lab.expect({ db: [ether({ from: RED, to: CACHE }, packet(63))] });
    const known = routedLab();
    known.send('db', arp({ from: CACHE, ip: '10.0.1.2', target: '10.0.1.1' }));
    known.ignoreDepartures();
    known.send('web', fromWeb(packet(64)));
    known.expect({ db: [toDb(packet(63))] });
  });

  it('keep their MAC when an advertisement may not override it', () => {
    const lab = strangerLab();
    const packet = (hopLimit: number) => ipv6({ ...V6, hopLimit }, udp(1, 2, 'x'));
    lab.send('web', fromWeb(packet(64)));
    lab.send('db', answer6);
    lab.ignoreDepartures();
    const told = (override: boolean) => {
      const addresses = { from: V6.to, to: 'ff02::1', hopLimit: 255 };
      const message = advertisement(V6.to, CACHE, { override });
      return ether({ from: CACHE, to: '33:33:00:00:00:01' }, ipv6(addresses, message));
    };
    lab.send('db', told(false));
    lab.send('web', fromWeb(packet(64)));
    lab.expect({ db: [toDb(packet(63))] });
    lab.send('db', told(true));
    lab.send('web', fromWeb(packet(64)));
    lab.expect({ db: [ether({ from: RED, to: CACHE }, packet(63))] });
  });

  it('are not made up by who speaks of addresses that are elsewhere', () => {
    const lab = strangerLab();
    lab.send(
      'db',
      arp({ from: DB, ip: '192.0.2.9', target: '10.0.1.1' }),
      arp({ from: DB, ip: '10.0.1.9', target: '10.0.1.9' }),
    );
    lab.expect({ db: [arp({ from: RED, ip: '10.0.1.1', target: '192.0.2.9', to: DB, reply: true })] });
    lab.send('web', fromWeb(ipv4({ ...V4, to: '10.0.1.9' }, udp(1, 2, 'x'))));
    lab.expect({ db: [arp({ from: RED, ip: '10.0.1.1', target: '10.0.1.9' })] });
    lab.advance(seconds(10));
    for (let n = 0; n < 4; n++) {
      lab.run();
      lab.advance(seconds(1));
    }
    lab.ignoreDepartures();
    lab.takeDrops();
  });

  it('let only so many packets wait, of one and of all', () => {
    const lab = strangerLab();
    const packet = fromWeb(ipv4(V4, udp(1, 2, pattern(1400))));
    lab.send('web', ...Array.from({ length: 40 }, () => packet));
    lab.expect({ db: [question4] }, { 'neighbour-queue-full': 8 });
    lab.send('db', answer4);
    assert.equal(lab.take('db').length, 32);
    const scan = Array.from({ length: 2000 }, (_, n) =>
      fromWeb(ipv6({ from: V6.from, to: `fd00:b::1:${n.toString(16)}` }, udp(1, 2, 'x'))),
    );
    lab.send('web', ...scan);
    lab.ignoreDepartures();
    const { 'neighbour-queue-full': refused } = lab.takeDrops();
    assert.ok(refused !== undefined && refused >= 1700 && refused < 1800, `${refused} refused`);
    lab.send('web', fromWeb(ipv4(V4, udp(1, 2, 'still'))));
    lab.expect({ db: [toDb(ipv4({ ...V4, ttl: 63 }, udp(1, 2, 'still')))] });
    for (let n = 0; n < 8; n++) {
      lab.advance(seconds(1));
      lab.run();
    }
    lab.ignoreDepartures();
    lab.takeDrops();
  });

  it('forget what waited for a port that is gone', () => {
    const lab = strangerLab();
    lab.send('web', fromWeb(ipv4(V4, udp(1, 2, 'x'))));
    lab.expect({ db: [question4] });
    lab.change({ ports: { db: { network: 'red' } }, gateway: { addresses: ['10.0.0.1/24'] }, networks: { red: {} } });
    lab.run();
    lab.expect({}, { 'unknown-port': 1 });
  });
});
