// VLANs: access ports, trunks with and without a native VLAN, priority tags, stacked and service tags, and what happens to
// offload requests when a tag comes or goes.
import { strict as assert } from 'node:assert';
import {
  BROADCAST,
  EXPERIMENTAL,
  ether,
  GSO_TCP4,
  ipv4,
  needsChecksum,
  partial,
  pattern,
  superFrame,
  type Tag,
  TPID_SERVICE,
  tcp,
  udp,
} from '../support/frame-builders.js';
import { createLab } from '../support/lab.js';
import { CACHE, DB, GROUP, message, WEB } from './stations.js';

describe('VLAN: access ports', () => {
  const ports = { web: { vlan: 10 }, db: { vlan: 10 }, other: { vlan: 20 }, none: {} };

  it('reach only ports of their VLAN, without tags', () => {
    const lab = createLab({ ports: { ...ports, none: { vlan: { allowed: [] } } } });
    const hello = message(WEB, BROADCAST, 'ten');
    lab.send('web', hello);
    lab.expect({ db: [hello] });
  });

  it('refuse tagged frames, also with their own VLAN', () => {
    const lab = createLab({ ports });
    lab.send('web', message(WEB, BROADCAST, 'x', [10]), message(WEB, BROADCAST, 'x', [20]));
    lab.expect({}, { 'vlan-not-allowed': 2 });
  });

  it('take priority tags for no tag', () => {
    const lab = createLab({ ports });
    const urgent = message(WEB, BROADCAST, 'urgent', [{ vlan: 0, priority: 6 }]);
    lab.send('web', urgent);
    lab.expect({ db: [urgent], none: [message(WEB, BROADCAST, 'urgent', [{ vlan: 10, priority: 6 }])] });
  });

  it('know the same station in two VLANs as two', () => {
    const lab = createLab({ ports: { a: { vlan: 10 }, b: { vlan: 20 }, c: { vlan: 10 }, d: { vlan: 20 } } });
    const hello = message(WEB, BROADCAST, 'here');
    lab.send('a', hello);
    lab.send('b', hello);
    lab.expect({ c: [hello], d: [hello] });
    const answer = message(DB, WEB, 'there');
    lab.send('c', answer);
    lab.expect({ a: [answer] });
    lab.send('d', answer);
    lab.expect({ b: [answer] });
    assert.deepEqual(lab.macTable(), [`10 ${WEB} a`, `10 ${DB} c`, `20 ${WEB} b`, `20 ${DB} d`]);
  });
});

describe('VLAN: trunks', () => {
  it('carry every VLAN with its tag and the untagged domain without, unless told otherwise', () => {
    const lab = createLab({ ports: { router: {}, other: {}, web: { vlan: 10 } } });
    const plain = message(CACHE, BROADCAST, 'plain');
    const ten = message(CACHE, BROADCAST, 'ten', [10]);
    const last = message(CACHE, BROADCAST, 'last', [4094]);
    lab.send('router', plain, ten, last);
    lab.expect({ other: [plain, ten, last], web: [message(CACHE, BROADCAST, 'ten')] });
  });

  it('carry only the VLANs of their list', () => {
    const lab = createLab({
      ports: { router: {}, some: { vlan: { allowed: [10, 31, 32, 4094] } }, none: { vlan: { allowed: [] } } },
    });
    const frames = [10, 11, 31, 32, 33, 4093, 4094].map((id) => message(CACHE, BROADCAST, `${id}`, [id]));
    lab.send('router', ...frames);
    lab.expect({ some: [0, 2, 3, 6].map((i) => frames[i]!) }, { 'no-destination': 3 });
    lab.send('some', message(WEB, BROADCAST, 'x', [11]), message(WEB, BROADCAST, 'y', [4093]));
    lab.send('none', message(WEB, BROADCAST, 'z', [10]));
    lab.expect({}, { 'vlan-not-allowed': 3 });
  });

  it('give a native VLAN to untagged frames, and take its tag off', () => {
    const lab = createLab({
      ports: { router: { vlan: { native: 10 } }, other: { vlan: { native: 20 } }, web: { vlan: 10 }, plain: {} },
    });
    const untagged = message(CACHE, BROADCAST, 'native');
    const tagged = message(CACHE, BROADCAST, 'native', [10]);
    lab.send('router', untagged);
    lab.expect({ other: [tagged], web: [untagged], plain: [tagged] });
    lab.send('other', tagged);
    lab.expect({ router: [untagged], web: [untagged], plain: [tagged] });
  });

  it('do not mix the untagged domain with a native VLAN', () => {
    const lab = createLab({ ports: { plain: {}, router: { vlan: { native: 10 } }, other: {} } });
    const hello = message(WEB, BROADCAST, 'untagged');
    lab.send('plain', hello);
    lab.expect({ other: [hello] });
  });

  it('keep priority and drop-eligible bits when a priority tag gets its VLAN', () => {
    const lab = createLab({ ports: { router: { vlan: { native: 10 } }, other: {}, web: { vlan: 10 } } });
    const priority: Tag = { vlan: 0, priority: 5, dropEligible: true };
    lab.send('router', message(CACHE, BROADCAST, 'urgent', [priority]));
    lab.expect({
      other: [message(CACHE, BROADCAST, 'urgent', [{ ...priority, vlan: 10 }])],
      web: [message(CACHE, BROADCAST, 'urgent', [priority])],
    });
  });

  it('pass the bits of a tag as they are', () => {
    const lab = createLab({ ports: ['router', 'other'] });
    const frame = message(CACHE, BROADCAST, 'x', [{ vlan: 99, priority: 7, dropEligible: true }]);
    lab.send('router', frame);
    lab.expect({ other: [frame] });
  });

  it('do not get a known station of a VLAN that their port no longer carries', () => {
    const lab = createLab({ ports: { router: {}, web: { vlan: { allowed: [10] } } } });
    const hello = message(WEB, BROADCAST, 'here', [10]);
    lab.send('web', hello);
    lab.expect({ router: [hello] });
    lab.change({ ports: { router: {}, web: { vlan: { allowed: [20] } } } });
    lab.send('router', message(CACHE, WEB, 'lost', [10]));
    lab.expect({}, { 'vlan-not-carried': 1 });
  });
});

describe('VLAN: stacked and service tags', () => {
  const service = (vlan: number): Tag => ({ vlan, type: TPID_SERVICE });

  it('pass a second tag through untouched', () => {
    const lab = createLab({ ports: ['router', 'other'] });
    const stacked = message(CACHE, BROADCAST, 'q-in-q', [10, 20]);
    const deep = message(CACHE, BROADCAST, 'deep', [10, 20, 30, 40]);
    lab.send('router', stacked, deep);
    lab.expect({ other: [stacked, deep] });
  });

  it('push and pop only the outer customer tag', () => {
    const lab = createLab({ ports: { trunk: { vlan: { allowed: [10] } }, customer: { vlan: 10 } } });
    lab.send('trunk', message(CACHE, BROADCAST, 'x', [10, 20]));
    lab.expect({ customer: [message(CACHE, BROADCAST, 'x', [20])] });
  });

  it('take a service tag for payload: it says nothing about the VLAN here', () => {
    const lab = createLab({ ports: { provider: {}, other: {}, access: { vlan: 10 }, peer: { vlan: 10 } } });
    const frame = message(CACHE, BROADCAST, 'x', [service(300), 20]);
    lab.send('provider', frame);
    lab.expect({ other: [frame] });
    lab.send('access', frame);
    const pushed = message(CACHE, BROADCAST, 'x', [10, service(300), 20]);
    lab.expect({ peer: [frame], provider: [pushed], other: [pushed] });
    lab.send('provider', pushed);
    lab.expect({ access: [frame], peer: [frame], other: [pushed] });
  });

  it('take a frame that ends within its tag for an untagged one', () => {
    const lab = createLab({ ports: { web: { vlan: 10 }, router: {} } });
    for (const length of [14, 15, 17]) {
      const bytes = message(WEB, GROUP, '', [99]).bytes.slice(0, length);
      lab.send('web', { bytes, vnet: null });
      const [pushed] = lab.take('router');
      const expected = [...bytes.slice(0, 12), 0x81, 0x00, 0x00, 0x0a, ...bytes.slice(12)];
      assert.deepEqual([...pushed!.bytes], expected);
    }
  });
});

describe('VLAN: offload requests', () => {
  const packet = ipv4({ from: '192.0.2.1', to: '192.0.2.2' }, tcp({}, pattern(5000)));
  const datagram = ipv4({ from: '192.0.2.1', to: '192.0.2.2' }, udp(4000, 53, 'partial'));
  const frame = (tags: Tag[], what = packet) => ether({ from: WEB, to: BROADCAST, tags }, what);

  it('keep naming the same bytes when a tag is pushed', () => {
    const lab = createLab({ ports: { web: { vlan: 10 }, router: {} } });
    lab.send('web', superFrame(frame([]), GSO_TCP4, 1400), partial(frame([], datagram)));
    lab.expect({ router: [superFrame(frame([10]), GSO_TCP4, 1400), partial(frame([10], datagram))] });
  });

  it('keep naming the same bytes when a tag is popped', () => {
    const lab = createLab({ ports: { web: { vlan: 10 }, router: { vlan: { allowed: [10] } } } });
    lab.send('router', superFrame(frame([10]), GSO_TCP4, 1400), partial(frame([10, 20], datagram)));
    lab.expect({ web: [superFrame(frame([]), GSO_TCP4, 1400), partial(frame([20], datagram))] });
  });

  it('keep naming the same bytes when a priority tag gets a VLAN', () => {
    const lab = createLab({ ports: { web: { vlan: 10 }, router: {} } });
    lab.send('web', partial(frame([{ vlan: 0, priority: 3 }], datagram)));
    lab.expect({ router: [partial(frame([{ vlan: 10, priority: 3 }], datagram))] });
  });

  it('take the header length along', () => {
    const lab = createLab({ ports: { web: { vlan: 10 }, router: {} } });
    const sent = superFrame(frame([]), GSO_TCP4, 1400);
    const wanted = superFrame(frame([10]), GSO_TCP4, 1400);
    lab.send('web', { ...sent, vnet: { ...sent.vnet!, headerLength: 54 } });
    lab.expect({ router: [{ ...wanted, vnet: { ...wanted.vnet!, headerLength: 58 } }] });
  });

  it('stay right for every port of a flood, whoever takes them and whoever does not', () => {
    const ports = {
      web: { vlan: 10 },
      trunk: {},
      access: { vlan: 10 },
      'old trunk': { accepts: 0 },
      'old access': { vlan: 10, accepts: 0 },
      'last trunk': {},
    };
    for (const order of [Object.keys(ports), Object.keys(ports).reverse()]) {
      const lab = createLab({
        ports: Object.fromEntries(order.map((name) => [name, ports[name as keyof typeof ports]])),
      });
      lab.send('web', partial(frame([], datagram)));
      const left = Object.fromEntries(order.filter((name) => name !== 'web').map((name) => [name, lab.take(name)]));
      for (const [name, frames] of Object.entries(left)) {
        assert.equal(frames.length, 1, name);
        const whole = frame(name.includes('trunk') ? [10] : [], datagram);
        const acceptable = frames[0]!.vnet === null ? whole : partial(whole);
        assert.deepEqual(Buffer.from(frames[0]!.bytes), Buffer.from(acceptable.bytes), `${name} of ${order}`);
        assert.deepEqual(frames[0]!.vnet, acceptable.vnet, name);
        if (name.startsWith('old')) assert.equal(frames[0]!.vnet, null);
      }
    }
  });

  it('name bytes behind the tags, or the frame is dropped', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const bytes = ether({ from: WEB, to: DB, tags: [10], type: EXPERIMENTAL }, pattern(100)).bytes;
    for (const start of [0, 12, 13, 14, 17]) lab.send('web', { bytes, vnet: needsChecksum(start, 2) });
    lab.expect({}, { 'bad-offload': 5 });
  });
});
