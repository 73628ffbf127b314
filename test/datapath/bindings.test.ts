// Stations behind other VTEPs that the control plane told of: where frames for them go, who may send, what is forgotten when.
import { strict as assert } from 'node:assert';
import { BINDING_CLUSTER, BINDING_INTS, BINDING_STATIC, MAX_PORTS, MAX_REMOTES } from '../../src/datapath/program.js';
import { Prng } from '../../src/lib/prng.js';
import { FIXED } from '../../src/tables/neighbour-table.js';
import { listRemotes } from '../../src/tables/remote-table.js';
import { formatMac } from '../../src/wire/addresses.js';
import { bindingRows, type TestBinding } from '../support/binding-rows.js';
import { numberedMac } from '../support/frame-builders.js';
import { createLab, type Lab, type LabSettings } from '../support/lab.js';
import { addressRow, addressText, type OverlaySettings } from '../support/tunnel-columns.js';
import { datagram, vxlan } from '../support/vxlan-frames.js';
import { CACHE, DB, message, STRANGER, WEB } from './stations.js';

const HERE = '192.0.2.1';
const THERE = '192.0.2.2';
const ELSEWHERE = '192.0.2.3';

const settings = (more: Partial<LabSettings> = {}, overlay: Partial<OverlaySettings> = {}): LabSettings => ({
  vteps: { v: { kind: 'socket', address: HERE } },
  ports: { web: {} },
  overlay: { vtep: 'v', vni: 5000, ...overlay },
  gateway: { addresses: ['10.0.0.1/24', 'fd00::1/64'], suppress: true },
  ...more,
});

function tell(lab: Lab, ...bindings: readonly TestBinding[]): void {
  lab.datapath.applyBindings(bindingRows(...bindings));
}

/** Where a datagram of `web` to a MAC goes: addresses of VTEPs. */
function wayTo(lab: Lab, mac: string): (string | undefined)[] {
  lab.send('web', message(WEB, mac, 'where are you?'));
  lab.takeDrops();
  return [...lab.take('v/0'), ...lab.take('v/1')].map(({ peer }) => peer?.address);
}

/** MAC and VTEP (or port) of a fixed neighbour, as text; null when there is none. */
function neighbour(lab: Lab, ip: string): string | null {
  const { neighbours } = (lab.datapath as unknown as Inside).router.state;
  const [family, ...words] = addressRow(ip) as [number, ...number[]];
  const row = neighbours.find(0, family, Int32Array.from(words), 0);
  if (row < 0 || neighbours.state[row] !== FIXED) return null;
  const location = neighbours.port[row]!;
  const place = location < MAX_PORTS ? `port ${location}` : lab.remoteName(location - MAX_PORTS);
  return `${formatMac(neighbours.macHigh[row]!, neighbours.macLow[row]!)} ${place}`;
}

interface Inside {
  router: { state: { neighbours: import('../../src/tables/neighbour-table.js').NeighbourTable } };
  bindings: { count: number };
}

function remotes(lab: Lab): string[] {
  return listRemotes(lab.remoteMemory)
    .map(({ address, family, isPinned }) => `${addressText(address, family)}${isPinned ? ' pinned' : ''}`)
    .sort();
}

describe('bindings', () => {
  it('say where a station is, without anything having come from there', () => {
    const lab = createLab(settings());
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.7' }, { mac: DB, vtep: THERE, ip: 'fd00::7' });
    assert.deepEqual(wayTo(lab, DB), [THERE]);
    assert.deepEqual(lab.macTable(), [`0 ${WEB} web`, `0 ${DB} ${THERE} static`]);
    assert.deepEqual([neighbour(lab, '10.0.0.7'), neighbour(lab, 'fd00::7')], [`${DB} ${THERE}`, `${DB} ${THERE}`]);
    assert.deepEqual(remotes(lab), [`${THERE} pinned`]);
  });

  it('follow a station to another VTEP, with all of its addresses', () => {
    const lab = createLab(settings());
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.7' }, { mac: DB, vtep: THERE, ip: 'fd00::7' });
    tell(lab, { mac: DB, vtep: ELSEWHERE, ip: '10.0.0.7' });
    assert.deepEqual(wayTo(lab, DB), [ELSEWHERE]);
    assert.equal(neighbour(lab, '10.0.0.7'), `${DB} ${ELSEWHERE}`);
    assert.deepEqual(remotes(lab), [THERE, `${ELSEWHERE} pinned`]);
  });

  it('are taken back one address at a time, or the whole station', () => {
    const lab = createLab(settings());
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.7' }, { mac: DB, vtep: THERE, ip: '10.0.0.8' });
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.8', isGone: true });
    assert.deepEqual([neighbour(lab, '10.0.0.7'), neighbour(lab, '10.0.0.8')], [`${DB} ${THERE}`, null]);
    assert.deepEqual(wayTo(lab, DB), [THERE]);
    tell(lab, { mac: DB, vtep: THERE, isGone: true });
    assert.deepEqual([wayTo(lab, DB), neighbour(lab, '10.0.0.7')], [[], null]);
    assert.deepEqual(remotes(lab), [THERE]);
  });

  it('of the state file win over those of the cluster, whichever came first', () => {
    const fixed = { mac: DB, vtep: THERE, ip: '10.0.0.7', origin: BINDING_STATIC };
    const shared = { mac: DB, vtep: ELSEWHERE, ip: '10.0.0.7', origin: BINDING_CLUSTER };
    for (const order of [
      [fixed, shared],
      [shared, fixed],
    ]) {
      const lab = createLab(settings());
      tell(lab, ...order);
      assert.deepEqual([wayTo(lab, DB), neighbour(lab, '10.0.0.7')], [[THERE], `${DB} ${THERE}`]);
      tell(lab, { ...fixed, isGone: true });
      assert.deepEqual([wayTo(lab, DB), neighbour(lab, '10.0.0.7')], [[ELSEWHERE], `${DB} ${ELSEWHERE}`]);
    }
  });

  it('give an address to the station that claimed it last', () => {
    const lab = createLab(settings());
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.7' });
    tell(lab, { mac: CACHE, vtep: ELSEWHERE, ip: '10.0.0.7' });
    assert.equal(neighbour(lab, '10.0.0.7'), `${CACHE} ${ELSEWHERE}`);
    tell(lab, { mac: DB, vtep: THERE, isGone: true });
    assert.equal(neighbour(lab, '10.0.0.7'), `${CACHE} ${ELSEWHERE}`);
  });

  it('are overruled by a station of this host for as long as the program knows it', () => {
    const port = { web: {}, db: { statics: [DB] } };
    const gateway = {
      addresses: ['10.0.0.1/24'],
      suppress: true,
      neighbours: [{ address: '10.0.0.7', mac: DB, port: 'db' }],
    };
    const lab = createLab(settings({ ports: port, gateway }));
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.7' });
    assert.deepEqual([wayTo(lab, DB), neighbour(lab, '10.0.0.7')], [[], `${DB} port ${lab.index('db')}`]);
    lab.ignoreDepartures();
    lab.change(settings());
    assert.deepEqual([wayTo(lab, DB), neighbour(lab, '10.0.0.7')], [[THERE], `${DB} ${THERE}`]);
    lab.change(settings({ ports: port, gateway }));
    assert.deepEqual([wayTo(lab, DB), neighbour(lab, '10.0.0.7')], [[], `${DB} port ${lab.index('db')}`]);
    lab.ignoreDepartures();
  });

  it('outlive a change of the program, and go with their network', () => {
    const lab = createLab(settings());
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.7' });
    lab.change(settings({ ports: { web: {}, other: {} } }));
    assert.deepEqual([wayTo(lab, DB), neighbour(lab, '10.0.0.7')], [[THERE], `${DB} ${THERE}`]);
    lab.ignoreDepartures();
    const { program } = lab.datapath;
    lab.datapath.adopt({ ...program, networkKey: program.networkKey.map((key) => key + 1) });
    assert.deepEqual([wayTo(lab, DB), neighbour(lab, '10.0.0.7')], [[], null]);
    assert.equal((lab.datapath as unknown as Inside).bindings.count, 0);
    assert.deepEqual(remotes(lab), [THERE]);
    lab.ignoreDepartures();
  });

  it('wait for the tunnel of their network, and move with it to another VTEP of this host', () => {
    const { overlay: _overlay, vteps: _vteps, ...without } = settings();
    const lab = createLab(without);
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.7' });
    assert.deepEqual([lab.macTable(), remotes(lab)], [[], []]);
    lab.change(settings());
    assert.deepEqual([wayTo(lab, DB), neighbour(lab, '10.0.0.7')], [[THERE], `${DB} ${THERE}`]);
    const vteps = { w: { kind: 'socket', address: '198.51.100.1' } } as const;
    lab.change(settings({ vteps }, { vtep: 'w' }));
    lab.send('web', message(WEB, DB, 'again'));
    assert.deepEqual(
      [...lab.take('w/0'), ...lab.take('w/1')].map(({ peer }) => peer?.address),
      [THERE],
    );
    assert.deepEqual(remotes(lab), [THERE, `${THERE} pinned`], 'a remote is one of a VTEP');
  });

  it('let their VTEPs send where peers are closed, for as long as they hold', () => {
    const lab = createLab(settings({}, { closed: true }));
    const hello = message(STRANGER, WEB, 'hello');
    tell(lab, { mac: DB, vtep: THERE });
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes)));
    lab.expect({ web: [hello] });
    lab.change(settings({}, { closed: true }));
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes)));
    lab.expect({ web: [hello] });
    tell(lab, { mac: DB, vtep: THERE, isGone: true });
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes)));
    lab.expect({}, { 'vxlan-unknown-vtep': 1 });
  });

  it('are not overruled by what somebody sends', () => {
    const lab = createLab(settings());
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.7' });
    lab.send('v', datagram(ELSEWHERE, vxlan(5000, message(DB, WEB, 'I am here').bytes)));
    lab.ignoreDepartures();
    assert.deepEqual(wayTo(lab, DB), [THERE]);
  });

  it('hold, as flood lists do, however many addresses somebody has forged before', () => {
    const lab = createLab(settings());
    const payload = vxlan(5000, message(STRANGER, WEB, 'who am I?').bytes);
    for (let n = 0; n < MAX_REMOTES + 10; n++) lab.send('v', datagram(`10.9.${n >> 8}.${n & 255}`, payload));
    assert.ok(lab.takeDrops()['remotes-full']! > 0);
    lab.ignoreDepartures();
    tell(lab, { mac: DB, vtep: THERE, ip: '10.0.0.7' });
    lab.change(settings({}, { floods: [ELSEWHERE] }));
    assert.deepEqual([wayTo(lab, DB), wayTo(lab, CACHE)], [[THERE], [ELSEWHERE]]);
  });

  it('of networks that the program has not, and of impossible rows, are left out', () => {
    const lab = createLab(settings());
    tell(lab, { mac: DB, vtep: THERE, network: 99 }, { mac: DB, vtep: THERE, network: -1 });
    lab.datapath.applyBindings(bindingRows({ mac: DB, vtep: THERE }).subarray(0, 9));
    assert.deepEqual([lab.macTable(), remotes(lab)], [[], []]);
  });

  it('are as good as a Map over random changes (seed 5)', () => {
    const prng = new Prng(5);
    const lab = createLab(settings());
    const vteps = [THERE, ELSEWHERE, '192.0.2.4'];
    /** By origin and station: VTEP and addresses, in the order in which they came. */
    const model = new Map<string, { vtep: string; ips: Set<string> }>();
    for (let n = 0; n < 2000; n++) {
      const mac = numberedMac(prng.below(12));
      // An address belongs to one station here; who gets it otherwise is another test.
      const ip = prng.below(4) === 0 ? null : `10.0.0.${16 + 3 * Number.parseInt(mac.slice(-2), 16) + prng.below(3)}`;
      const origin = 1 + prng.below(2);
      const vtep = vteps[prng.below(3)]!;
      const isGone = prng.below(3) === 0;
      tell(lab, { mac, vtep, ip, origin, isGone });
      const key = `${origin} ${mac}`;
      const known = model.get(key);
      if (!isGone) model.set(key, { vtep, ips: (known?.ips ?? new Set()).add(ip ?? '') });
      else if (ip === null) model.delete(key);
      else if (known?.ips.delete(ip) && known.ips.size === 0) model.delete(key);
      if (n % 100 === 0) lab.change(settings({ ports: { web: {}, ...(n % 200 === 0 ? {} : { db: {} }) } }));
      if (n % 40 !== 0) continue;
      const table = lab.macTable();
      for (let station = 0; station < 12; station++) {
        const text = numberedMac(station);
        const best = model.get(`1 ${text}`) ?? model.get(`2 ${text}`);
        const entry = table.find((line) => line.includes(text));
        assert.equal(entry ?? null, best === undefined ? null : `0 ${text} ${best.vtep} static`);
        for (let i = 0; i < 3; i++) {
          const address = `10.0.0.${16 + 3 * station + i}`;
          const owner = [1, 2].map((o) => model.get(`${o} ${text}`)).find((each) => each?.ips.has(address));
          assert.equal(neighbour(lab, address), owner === undefined ? null : `${text} ${owner.vtep}`);
        }
      }
    }
    const pinned = remotes(lab).filter((line) => line.endsWith('pinned'));
    assert.deepEqual(pinned, [...new Set([...model.values()].map(({ vtep }) => `${vtep} pinned`))].sort());
  });

  it('of a hundred thousand stations are taken over, and taken back, without a trace', function () {
    this.timeout(120_000);
    const lab = createLab(settings());
    const rows = new Int32Array(100_000 * BINDING_INTS);
    for (let n = 0; n < 100_000; n++) {
      const vtep = [4, 0xc6330000 + (n % 250) * 256 + 1, 0, 0, 0];
      rows.set([1, 0, 0, 0x0200, n, ...vtep, BINDING_CLUSTER, 4, 0x0a000000 + n, 0, 0, 0], n * BINDING_INTS);
    }
    lab.datapath.applyBindings(rows);
    assert.deepEqual([lab.macs.count, lab.remotes.count], [100_000, 250]);
    assert.deepEqual(wayTo(lab, numberedMac(77_777)), [`198.51.${77_777 % 250}.1`]);
    for (let n = 0; n < 100_000; n++) rows[n * BINDING_INTS] = 0;
    lab.datapath.applyBindings(rows);
    assert.equal(lab.macs.count, 1);
    assert.equal((lab.datapath as unknown as Inside).bindings.count, 0);
    assert.equal(neighbour(lab, '10.0.0.7'), null);
  });
});
