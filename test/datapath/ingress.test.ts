// What a port may send into its network: sizes, control frames, storms. And what passes because a switch is transparent.
import { strict as assert } from 'node:assert';
import {
  BROADCAST,
  EXPERIMENTAL,
  ether,
  GSO_TCP4,
  GSO_UDP,
  ipv4,
  partial,
  pattern,
  superFrame,
  type Tag,
  tcp,
  udp,
} from '../support/frame-builders.js';
import { createLab, seconds } from '../support/lab.js';
import { CACHE, DB, GROUP, message, STRANGER, WEB } from './stations.js';

const V4 = { from: '192.0.2.1', to: '192.0.2.2' };

describe('ingress: MTU', () => {
  const sized = (l3Bytes: number, tags: readonly Tag[] = []) => ether({ from: WEB, to: DB, tags }, pattern(l3Bytes));

  it('counts L3 bytes: 1500 pass, 1501 do not', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    lab.send('web', sized(1500), sized(1501));
    lab.expect({ db: [sized(1500)] }, { 'exceeds-mtu': 1 });
  });

  it('does not count one tag or two, of either kind, but takes a third for payload', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const service: Tag = { vlan: 5, type: 0x88a8 };
    const full = [sized(1500, [5]), sized(1500, [5, 6]), sized(1500, [service]), sized(1500, [service, 6])];
    lab.send('web', ...full);
    lab.expect({ db: full });
    lab.send('web', sized(1496, [5, 6, 7]), sized(1497, [5, 6, 7]));
    lab.expect({ db: [sized(1496, [5, 6, 7])] }, { 'exceeds-mtu': 1 });
    lab.send('web', sized(1501, [5]), sized(1501, [service, 6]));
    lab.expect({}, { 'exceeds-mtu': 2 });
  });

  it('is what the network says', () => {
    for (const mtu of [68, 576, 9000, 65521]) {
      const lab = createLab({ mtu, ports: ['web', 'db'] });
      lab.send('web', sized(mtu), sized(mtu + 1));
      lab.expect({ db: [sized(mtu)] }, { 'exceeds-mtu': 1 });
    }
  });

  it('holds for the segments of a super-frame, not for the super-frame', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const options = Uint8Array.from([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    const wrap = ipv4(V4, tcp({ options }, pattern(20_000)));
    for (const tags of [[], [5]] as const) {
      const whole = ether({ from: WEB, to: DB, tags }, wrap);
      lab.send('web', superFrame(whole, GSO_TCP4, 1448), superFrame(whole, GSO_TCP4, 1449));
      lab.expect({ db: [superFrame(whole, GSO_TCP4, 1448)] }, { 'exceeds-mtu': 1 });
    }
    const datagrams = ether({ from: WEB, to: DB }, ipv4(V4, udp(1, 2, pattern(20_000))));
    lab.send('web', superFrame(datagrams, GSO_UDP, 1472), superFrame(datagrams, GSO_UDP, 1473));
    lab.expect({ db: [superFrame(datagrams, GSO_UDP, 1472)] }, { 'exceeds-mtu': 1 });
  });

  it('takes a small frame that asks for large segments for what it is', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const small = superFrame(ether({ from: WEB, to: DB }, ipv4(V4, tcp({}, pattern(100)))), GSO_TCP4, 60_000);
    lab.send('web', small);
    lab.expect({ db: [small] });
  });

  it('leaves frames without IP, and without anything, alone', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const empty = { bytes: ether({ from: WEB, to: DB }).bytes, vnet: null };
    assert.equal(empty.bytes.length, 14);
    lab.send('web', empty);
    lab.expect({ db: [empty] });
  });
});

describe('ingress: control frames', () => {
  const stp = ether({ from: WEB, to: '01:80:c2:00:00:00' }, pattern(35));
  const lldp = ether({ from: WEB, to: '01:80:c2:00:00:0e', type: 0x88cc }, pattern(50));
  const lacp = ether({ from: WEB, to: '01:80:c2:00:00:02', type: 0x8809 }, pattern(110));
  const last = ether({ from: WEB, to: '01:80:c2:00:00:0f' }, pattern(46));

  it('pass like any multicast', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    lab.send('web', stp, lldp, lacp, last);
    lab.expect({ db: [stp, lldp, lacp, last], cache: [stp, lldp, lacp, last] });
  });

  it('are stopped where the network filters them, and only they', () => {
    const lab = createLab({ filterControl: true, ports: ['web', 'db'] });
    const others = ['01:80:c2:00:00:10', '01:80:c2:00:00:20', GROUP, BROADCAST].map((to) => message(WEB, to, to));
    lab.send('web', stp, lldp, lacp, last, ...others);
    lab.expect({ db: others }, { 'control-filtered': 4 });
  });

  it('are stopped behind a tag too', () => {
    const lab = createLab({ filterControl: true, ports: ['web', 'db'] });
    lab.send('web', ether({ from: WEB, to: '01:80:c2:00:00:0e', tags: [5], type: 0x88cc }, pattern(50)));
    lab.expect({}, { 'control-filtered': 1 });
  });

  it('are filtered per network', () => {
    const lab = createLab({
      ports: { web: {}, db: {}, r1: { network: 'red' }, r2: { network: 'red' } },
      networks: { red: { filterControl: true } },
    });
    lab.send('web', lldp);
    lab.send('r1', lldp);
    lab.expect({ db: [lldp] }, { 'control-filtered': 1 });
  });
});

describe('ingress: transparency', () => {
  it('passes whatever lies behind the Ethernet header, byte for byte', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const frames = [
      ether({ from: WEB, to: DB, type: 0x0800 }, pattern(3)),
      ether({ from: WEB, to: DB, type: 0x0800 }, pattern(40).fill(0xff)),
      ether({ from: WEB, to: DB, type: 0x86dd }, pattern(10)),
      ether({ from: WEB, to: DB, type: 0x0806 }, pattern(28)),
      ether({ from: WEB, to: DB, type: 0x0026 }, pattern(38)),
      ether({ from: WEB, to: DB, type: EXPERIMENTAL }, new Uint8Array(0)),
      ether({ from: WEB, to: DB, type: 0xffff }, pattern(1500)),
    ];
    lab.send('web', ...frames);
    lab.expect({ db: frames });
  });

  it('emits nothing unasked', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    for (let i = 0; i < 1000; i++) {
      lab.advance(seconds(1));
      lab.datapath.turn(0);
    }
    lab.expect({});
    assert.equal(lab.total('departures'), 0);
  });
});

describe('ingress: storm control', () => {
  const flood = (to: string, count: number) => Array.from({ length: count }, (_, i) => message(WEB, to, `${i}`));

  it('lets a burst pass and then as many frames per second as it is told', () => {
    const lab = createLab({ storm: { broadcast: 100 }, ports: ['web', 'db'] });
    const frames = flood(BROADCAST, 50);
    lab.send('web', ...frames);
    lab.expect({ db: frames.slice(0, 10) }, { storm: 40 });
    lab.advance(seconds(0.05));
    lab.send('web', ...frames);
    lab.expect({ db: frames.slice(0, 5) }, { storm: 45 });
  });

  it('has a limit of its own for each kind', () => {
    const lab = createLab({ storm: { broadcast: 80, multicast: 160, unknownUnicast: 320 }, ports: ['web', 'db'] });
    for (const [to, passed] of [
      [BROADCAST, 8],
      [GROUP, 16],
      [STRANGER, 32],
    ] as const) {
      const frames = flood(to, 40);
      lab.send('web', ...frames);
      lab.expect({ db: frames.slice(0, passed) }, { storm: 40 - passed });
    }
  });

  it('never holds up known stations', () => {
    const lab = createLab({ storm: { broadcast: 1, multicast: 1, unknownUnicast: 1 }, ports: ['web', 'db'] });
    lab.send('db', message(DB, BROADCAST, 'here'));
    lab.take('web');
    const frames = flood(DB, 500);
    lab.send('web', ...frames);
    lab.expect({ db: frames });
  });

  it('does not punish other ports', () => {
    const lab = createLab({ storm: { broadcast: 100 }, ports: ['web', 'db', 'cache'] });
    lab.send('web', ...flood(BROADCAST, 100));
    lab.ignoreDepartures();
    lab.takeDrops();
    const arp = message(CACHE, BROADCAST, 'who has?');
    lab.send('cache', arp);
    lab.expect({ web: [arp], db: [arp] });
  });

  it('starts afresh when the port goes to another endpoint', () => {
    const lab = createLab({ storm: { broadcast: 100 }, ports: ['web', 'db'] });
    lab.send('web', ...flood(BROADCAST, 100));
    lab.take('db');
    lab.takeDrops();
    lab.change({ storm: { broadcast: 100 }, ports: ['db'] });
    lab.change({ storm: { broadcast: 100 }, ports: ['db', 'next'] });
    assert.equal(lab.index('next'), 0, 'the row is reused');
    const frames = flood(BROADCAST, 10);
    lab.send('next', ...frames);
    lab.expect({ db: frames });
  });

  it('does not stop partial checksums from being right', () => {
    const lab = createLab({ storm: { broadcast: 80 }, ports: { web: {}, old: { accepts: 0 } } });
    const whole = message(WEB, BROADCAST, 'x');
    lab.send('web', ...Array.from({ length: 20 }, () => partial(whole)));
    lab.expect({ old: Array.from({ length: 8 }, () => ({ ...whole, vnet: null })) }, { storm: 12 });
  });
});
