// Every reason in the list, brought about once: a reason that nothing produces is a lie in the documentation.
import { strict as assert } from 'node:assert';
import { constants } from 'node:os';
import { DROP, DROP_COUNT, DROP_REASONS, type DropName } from '../../src/datapath/drop-reasons.js';
import {
  BROADCAST,
  ether,
  GSO_TCP4,
  ipv4,
  needsChecksum,
  pattern,
  superFrame,
  udp,
} from '../support/frame-builders.js';
import { createLab, type Lab } from '../support/lab.js';
import { sourceFiles } from '../support/source-tree.js';
import { NAT_CASES, ROUTER_CASES } from './router-drops.js';
import { DB, message, STRANGER, WEB } from './stations.js';
import { DECAPSULATION_CASES, ENCAPSULATION_CASES } from './tunnel-drops.js';

const hello = message(WEB, BROADCAST, 'hello');
const toDb = message(WEB, DB, 'to db');
const dbIsHere = message(DB, STRANGER, 'here');

/** For each reason a lab in which exactly one frame or departure is dropped, for this reason. */
const CASES: Record<DropName, () => Lab> = {
  ...ROUTER_CASES,
  ...NAT_CASES,
  ...DECAPSULATION_CASES,
  ...ENCAPSULATION_CASES,
  truncated: () => sent(createLab({ ports: ['web', 'db'] }), { bytes: hello.bytes.slice(0, 13), vnet: null }),
  'bad-offload': () => sent(createLab({ ports: ['web', 'db'] }), { ...hello, vnet: needsChecksum(1000, 6) }),
  'invalid-source': () => sent(createLab({ ports: ['web', 'db'] }), message(BROADCAST, DB, 'x')),
  'unknown-port': () => {
    const lab = createLab({ ports: ['db', 'web'] });
    const gone = lab.io.port(lab.index('web'));
    lab.change({ ports: ['db'] });
    gone.arrivals.push(hello);
    lab.run();
    return lab;
  },
  'exceeds-mtu': () => sent(createLab({ ports: ['web', 'db'] }), ether({ from: WEB, to: DB }, pattern(1501))),
  'vlan-not-allowed': () => sent(createLab({ ports: { web: { vlan: 5 }, db: {} } }), message(WEB, DB, 'x', [6])),
  'control-filtered': () =>
    sent(createLab({ filterControl: true, ports: ['web', 'db'] }), message(WEB, '01:80:c2:00:00:0e', 'x')),
  storm: () => {
    const lab = createLab({ storm: { broadcast: 1 }, ports: ['web', 'db'] });
    return sent(lab, ...Array.from({ length: 9 }, () => hello));
  },
  'same-port': () => sent(createLab({ ports: ['web', 'db'] }), dbIsHere, toDb),
  isolated: () => {
    const lab = createLab({ ports: { web: { isolated: true }, db: { isolated: true }, router: {} } });
    lab.send('db', dbIsHere);
    return sent(lab, toDb);
  },
  'no-destination': () => sent(createLab({ ports: ['web'] }), hello),
  'vlan-not-carried': () => {
    const lab = createLab({ ports: { web: {}, db: {} } });
    lab.send('db', dbIsHere);
    lab.change({ ports: { web: {}, db: { vlan: 5 } } });
    return sent(lab, toDb);
  },
  'port-down': () => failing(constants.errno.EIO),
  'port-gone': () => failing(constants.errno.ENODEV),
  'queue-full': () => failing(constants.errno.EAGAIN),
  refused: () => failing(constants.errno.EINVAL),
  'service-limit': () => {
    const lab = createLab({ ports: ['web'], gateway: { addresses: ['10.0.0.1/24'], dhcp: true } });
    const request = ipv4({ from: '0.0.0.0', to: '255.255.255.255' }, udp(68, 67));
    sent(lab, ...Array.from({ length: 9 }, () => ether({ from: WEB, to: BROADCAST }, request)));
    lab.takePunted();
    return lab;
  },
  'not-segmentable': () => {
    const datagram = ether({ from: WEB, to: DB }, ipv4({ from: '192.0.2.1', to: '192.0.2.2' }, udp(1, 2, pattern(99))));
    const vnet = { ...superFrame(datagram, GSO_TCP4, 40).vnet!, checksumOffset: 16 };
    const bytes = datagram.bytes.slice();
    bytes[datagram.l4At + 12] = 0x50;
    return sent(createLab({ ports: { web: {}, db: { accepts: 0 } } }), { bytes, vnet });
  },
};

function sent(lab: Lab, ...frames: Parameters<Lab['send']>[1][]): Lab {
  lab.send('web', ...frames);
  return lab;
}

function failing(errno: number): Lab {
  const lab = createLab({ ports: ['web', 'db'] });
  lab.io.port(lab.index('db')).transmitErrno = errno;
  return sent(lab, toDb);
}

describe('drop reasons', () => {
  for (const { name, scope } of DROP_REASONS) {
    it(`drops for "${name}"`, () => {
      const lab = CASES[name]();
      assert.deepEqual(lab.takeDrops(), { [name]: 1 });
      const [frames, departures] = scope === 'frame' ? [1, 0] : [0, 1];
      assert.deepEqual([lab.total('dropped'), lab.total('transmitDropped')], [frames, departures]);
      lab.ignoreDepartures();
    });
  }

  it('have codes that are their positions in the list', () => {
    const codes = DROP_REASONS.map(({ name }) => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()));
    assert.deepEqual(
      Object.entries(DROP),
      codes.map((name, code) => [name, code]),
    );
    assert.equal(DROP_COUNT, DROP_REASONS.length);
  });

  it('name the stage that drops for them', () => {
    const files = sourceFiles('src/datapath').filter(({ path }) => !path.endsWith('/drop-reasons.ts'));
    for (const [code, { name, stage }] of DROP_REASONS.entries()) {
      const constant = Object.keys(DROP)[code]!;
      const drops = files.filter(({ text }) => new RegExp(`DROP\\.${constant}\\b`).test(text));
      assert.ok(drops.length > 0, `${name} is used`);
      const isStage = files.some(({ path }) => path === `src/datapath/stages/${stage}.ts`);
      const path = isStage ? `src/datapath/stages/${stage}.ts` : `src/datapath/${stage}.ts`;
      const helpers = drops.filter(({ path: user }) => !user.startsWith('src/datapath/stages/'));
      assert.ok(
        files.some((file) => file.path === path) && (helpers.length > 0 || drops.some((file) => file.path === path)),
        `${name} is dropped for by ${stage}, or by what the stages share`,
      );
    }
  });

  it('have names for programs and sentences for people', () => {
    assert.equal(new Set(DROP_REASONS.map(({ name }) => name)).size, DROP_COUNT);
    for (const { name, sentence, hint } of DROP_REASONS) {
      assert.match(name, /^[a-z]+(-[a-z]+)*$/);
      assert.match(sentence, /^[A-Z].*[.]$/, name);
      assert.match(hint, /^[A-Z].*[.]$/, name);
    }
  });
});
