// What comes in encapsulated, byte by byte: which frames reach which network, which are dropped and by what name.
import { strict as assert } from 'node:assert';
import { ACCEPTS_USO } from '../../src/datapath/program.js';
import { listRemotes } from '../../src/tables/remote-table.js';
import {
  ether,
  GSO_TCP4,
  ipv4,
  ipv6,
  join,
  partial,
  pattern,
  raw,
  superFrame,
  TCP_ACK,
  tcp,
  udp,
  word,
} from '../support/frame-builders.js';
import { createLab, type Lab, type LabSettings, minutes } from '../support/lab.js';
import { ACCEPTS_ALL } from '../support/program-builder.js';
import { addressText, type OverlaySettings, type VtepSettings } from '../support/tunnel-columns.js';
import { datagram, outerFrame, vxlan } from '../support/vxlan-frames.js';
import { DB, message, STRANGER, WEB } from './stations.js';

const HERE = '192.0.2.1';
const THERE = '192.0.2.2';
const HERE6 = '2001:db8::1';
const THERE6 = '2001:db8::2';

const SOCKET: VtepSettings = { kind: 'socket', address: HERE };
const TAP: VtepSettings = { kind: 'tap', address: HERE, headerBytes: 24 };
const TAP6: VtepSettings = { kind: 'tap', address: HERE6 };

/** Two tenants on one VTEP `v`: `web` on VNI 5000, `other` on VNI 6000. */
function tenants(
  vtep: VtepSettings = SOCKET,
  more: Partial<OverlaySettings> = {},
  settings: Partial<LabSettings> = {},
) {
  return createLab({
    vteps: { v: vtep },
    ports: { web: {}, other: { network: 'red' } },
    overlay: { vtep: 'v', vni: 5000, ...more },
    networks: { red: { overlay: { vtep: 'v', vni: 6000, ...more } } },
    ...settings,
  });
}

const hello = message(DB, WEB, 'hello');
/** For those who talk about datagrams, not about what is put together from them. */
const NO_SUPER_DATAGRAMS: Partial<LabSettings> = {
  ports: { web: { accepts: ACCEPTS_ALL & ~ACCEPTS_USO }, other: { network: 'red' } },
};

describe('decapsulation of datagrams', () => {
  it('gives the frame to the network of its VNI and to no other', () => {
    const lab = tenants();
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes)));
    lab.expect({ web: [hello] });
    lab.send('v', datagram(THERE, vxlan(6000, hello.bytes)));
    lab.expect({ other: [hello] });
    lab.send('v', datagram(THERE, vxlan(5001, hello.bytes)));
    lab.expect({}, { 'vxlan-unknown-vni': 1 });
  });

  it('knows every VNI from 0 to 2^24 - 1', () => {
    for (const vni of [0, 1, 4095, 4096, 0xff_ffff]) {
      const lab = createLab({ vteps: { v: SOCKET }, ports: ['web'], overlay: { vtep: 'v', vni } });
      lab.send('v', datagram(THERE, vxlan(vni, hello.bytes)), datagram(THERE, vxlan(vni ^ 1, hello.bytes)));
      lab.expect({ web: [hello] }, { 'vxlan-unknown-vni': 1 });
    }
  });

  it('ignores what is reserved, and takes nothing without a valid VNI', () => {
    const lab = tenants();
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes, { flags: 0xff, reserved: [0xffffff, 0xff] })));
    lab.expect({ web: [hello] });
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes, { flags: 0xf7 })));
    lab.expect({}, { 'vxlan-flags': 1 });
  });

  it('drops what is too short for a header with a frame', () => {
    const lab = tenants();
    const whole = vxlan(5000, hello.bytes);
    for (let length = 0; length < 22; length++) lab.send('v', datagram(THERE, whole.subarray(0, length)));
    lab.expect({}, { 'vxlan-malformed': 22 });
    const shortest = { bytes: hello.bytes.slice(0, 14), vnet: null };
    lab.send('v', datagram(THERE, vxlan(5000, shortest.bytes)));
    lab.expect({ web: [shortest] });
  });

  it('drops what claims to come from this VTEP itself', () => {
    const lab = tenants();
    lab.send('v', datagram(HERE, vxlan(5000, hello.bytes)));
    lab.expect({}, { 'vxlan-own-address': 1 });
  });

  it('learns which VTEP a station is behind, and sends there', () => {
    const lab = tenants();
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes)));
    lab.expect({ web: [hello] });
    assert.deepEqual(lab.macTable(), [`0 ${DB} ${THERE}`]);
    const answer = message(WEB, DB, 'you too');
    lab.send('web', answer);
    const sent = [...lab.take('v/0'), ...lab.take('v/1')];
    assert.deepEqual(
      sent.map(({ bytes, peer }) => [peer?.address, peer?.port, bytes]),
      [[THERE, 4789, vxlan(5000, answer.bytes)]],
    );
  });

  it('sees at once that a station has moved to another VTEP, or to this host', () => {
    const lab = tenants(SOCKET, {}, { ports: { web: {}, db: {}, other: { network: 'red' } } });
    lab.send('v', datagram(THERE, vxlan(5000, message(DB, STRANGER, 'here').bytes)));
    assert.deepEqual(lab.macTable(), [`0 ${DB} ${THERE}`]);
    lab.send('v', datagram('192.0.2.3', vxlan(5000, message(DB, STRANGER, 'here').bytes)));
    assert.deepEqual(lab.macTable(), [`0 ${DB} 192.0.2.3`]);
    lab.send('db', message(DB, STRANGER, 'here'));
    assert.deepEqual(lab.macTable(), [`0 ${DB} db`]);
    lab.ignoreDepartures();
    lab.takeDrops();
  });

  it('learns the way of each of several frames of one turn', () => {
    const lab = tenants();
    const moved = vxlan(5000, message(DB, WEB, 'moved').bytes);
    lab.send('v', datagram(THERE, moved), datagram('192.0.2.3', moved), datagram('192.0.2.3', moved));
    assert.deepEqual(lab.macTable(), [`0 ${DB} 192.0.2.3`]);
    lab.ignoreDepartures();
  });

  it('learns nothing where learning is off', () => {
    const lab = tenants(SOCKET, { learns: false });
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes)));
    lab.expect({ web: [hello] });
    assert.deepEqual(lab.macTable(), []);
  });

  it('sends nothing from one VTEP to another', () => {
    const lab = tenants(SOCKET, { floods: [THERE, '192.0.2.3'] });
    lab.send('v', datagram(THERE, vxlan(5000, message(DB, WEB, 'here').bytes)));
    lab.ignoreDepartures();
    lab.send('v', datagram('192.0.2.3', vxlan(5000, message(STRANGER, DB, 'to the other').bytes)));
    lab.expect({}, { 'split-horizon': 1 });
    const toAll = message(STRANGER, 'ff:ff:ff:ff:ff:ff', 'to all');
    lab.send('v', datagram('192.0.2.3', vxlan(5000, toAll.bytes)));
    lab.expect({ web: [toAll] });
  });

  it('takes tagged frames only where the tunnel carries them', () => {
    const tagged = message(DB, WEB, 'tagged', [7]);
    const strict = tenants();
    strict.send('v', datagram(THERE, vxlan(5000, tagged.bytes)));
    strict.expect({}, { 'vlan-not-allowed': 1 });
    const open = tenants(SOCKET, { keepVlans: true });
    open.send('v', datagram(THERE, vxlan(5000, tagged.bytes)));
    open.expect({ web: [tagged] });
  });

  it('takes frames of unknown VTEPs where peers are open, and of listed ones only where they are closed', () => {
    const lab = tenants(SOCKET, { closed: true, floods: [THERE] });
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes)), datagram('192.0.2.3', vxlan(5000, hello.bytes)));
    lab.expect({ web: [hello] }, { 'vxlan-unknown-vtep': 1 });
    lab.send('v', datagram('192.0.2.3', vxlan(5000, hello.bytes)));
    lab.expect({}, { 'vxlan-unknown-vtep': 1 });
    assert.deepEqual(remotesOf(lab), [`${THERE} pinned`], 'nobody is remembered who may not send');
  });

  it('does not take a peer of one tenant for a peer of another', () => {
    const lab = createLab({
      vteps: { v: SOCKET },
      ports: { web: {}, other: { network: 'red' } },
      overlay: { vtep: 'v', vni: 5000, closed: true, floods: [THERE] },
      networks: { red: { overlay: { vtep: 'v', vni: 6000, closed: true, floods: ['192.0.2.3'] } } },
    });
    lab.send('v', datagram(THERE, vxlan(6000, hello.bytes)), datagram('192.0.2.3', vxlan(5000, hello.bytes)));
    lab.expect({}, { 'vxlan-unknown-vtep': 2 });
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes)), datagram('192.0.2.3', vxlan(6000, hello.bytes)));
    lab.expect({ web: [hello], other: [hello] });
  });

  it('forgets a VTEP that nobody listed a while after the last of its stations', () => {
    const lab = tenants(SOCKET, { floods: ['192.0.2.9'] });
    lab.send('v', datagram(THERE, vxlan(5000, hello.bytes)));
    lab.ignoreDepartures();
    assert.deepEqual(remotesOf(lab), ['192.0.2.9 pinned', THERE]);
    // The MAC ages out after five minutes; whole tables are looked through by and by.
    for (let n = 0; n < 2000; n++) {
      lab.advance(minutes(10) / 2000);
      lab.run();
    }
    assert.deepEqual([lab.macTable(), remotesOf(lab)], [[], ['192.0.2.9 pinned']]);
  });

  it('counts datagrams and bytes by VTEP', () => {
    const lab = tenants();
    const one = vxlan(5000, hello.bytes);
    lab.send('v', datagram(THERE, one, one, one.subarray(0, 40)), datagram('192.0.2.3', one));
    lab.ignoreDepartures();
    const counts = listRemotes(lab.remoteMemory).map(({ address, family, rxFrames, rxBytes }) => {
      return [addressText(address, family), rxFrames, rxBytes];
    });
    assert.deepEqual(counts, [
      [THERE, 3, 2 * hello.bytes.length + 32],
      ['192.0.2.3', 1, hello.bytes.length],
    ]);
  });

  it('reads a whole burst of full messages without losing a datagram', () => {
    const lab = tenants(SOCKET, {}, NO_SUPER_DATAGRAMS);
    const payloads = Array.from({ length: 64 }, (_, n) => vxlan(5000, message(DB, WEB, `datagram ${n % 10}`).bytes));
    const messages = Array.from({ length: 40 }, () => datagram(THERE, ...payloads));
    lab.send('v', ...messages);
    const expected = messages.flatMap(() => payloads.map((payload) => ({ bytes: payload.slice(8), vnet: null })));
    lab.expect({ web: expected });
    assert.deepEqual([lab.total('consumed'), lab.total('forwarded')], [2560, 2560]);
  });

  it('drops a message of more datagrams than a VTEP ever joins', () => {
    const lab = tenants();
    const one = vxlan(5000, hello.bytes.slice(0, 14));
    lab.send('v', datagram(THERE, ...new Array<Uint8Array>(65).fill(one)));
    lab.expect({}, { 'vxlan-malformed': 65 });
  });

  it('takes a message apart whose datagrams belong to different tenants', () => {
    const lab = tenants();
    const [one, two] = [vxlan(5000, hello.bytes), vxlan(6000, hello.bytes)];
    const bad = vxlan(7000, hello.bytes);
    lab.send('v', datagram(THERE, one, two, bad, one, two.subarray(0, 12)));
    lab.expect({ web: [hello, hello], other: [hello] }, { 'vxlan-unknown-vni': 1, 'vxlan-malformed': 1 });
  });
});

describe('decapsulation and congestion (RFC 6040)', () => {
  const [NOT_ECT, ECT_1, ECT_0, CE] = [0, 1, 2, 3];
  /** What the inner bits become, by those of the outer header; null: dropped. */
  const FIGURE_4 = [
    { inner: NOT_ECT, becomes: [NOT_ECT, NOT_ECT, NOT_ECT, null] },
    { inner: ECT_1, becomes: [ECT_1, ECT_1, ECT_1, CE] },
    { inner: ECT_0, becomes: [ECT_0, ECT_1, ECT_0, CE] },
    { inner: CE, becomes: [CE, CE, CE, CE] },
  ];
  const packets = {
    IPv4: (bits: number) => ipv4({ from: '10.0.0.1', to: '10.0.0.2', tos: 0xb8 | bits }, udp(1, 2, 'x')),
    IPv6: (bits: number) => ipv6({ from: 'fd00::1', to: 'fd00::2', trafficClass: 0xb8 | bits }, udp(1, 2, 'x')),
  };

  for (const [family, packet] of Object.entries(packets)) {
    for (const { inner, becomes } of FIGURE_4) {
      it(`combines every outer mark with inner bits ${inner} over ${family}`, () => {
        for (const [outer, bits] of becomes.entries()) {
          const lab = tenants();
          const sent = ether({ from: DB, to: WEB }, packet(inner!));
          const peer = { address: THERE, port: 50_000, trafficClass: 0x20 | outer };
          lab.send('v', datagram(peer, vxlan(5000, sent.bytes)));
          if (bits === null) lab.expect({}, { 'vxlan-congestion': 1 });
          else lab.expect({ web: [ether({ from: DB, to: WEB }, packet(bits!))] });
        }
      });
    }
  }

  it('marks what stands behind VLAN tags, and leaves what is no IP packet', () => {
    const lab = tenants(SOCKET, { keepVlans: true });
    const peer = { address: THERE, port: 50_000, trafficClass: CE! };
    const framed = (bits: number) => ether({ from: DB, to: WEB, tags: [5, 6] }, packets.IPv4(bits));
    const plain = ether({ from: DB, to: WEB }, 'no packet');
    lab.send('v', datagram(peer, vxlan(5000, framed(ECT_0!).bytes)), datagram(peer, vxlan(5000, plain.bytes)));
    lab.expect({ web: [framed(CE!), plain] });
  });
});

describe('decapsulation of frames from a TAP', () => {
  for (const [name, vtep, there] of [
    ['IPv4', TAP, THERE],
    ['IPv6', TAP6, THERE6],
  ] as const) {
    it(`gives the frame to the network of its VNI, over ${name}, whatever the outer checksum is`, () => {
      const lab = tenants(vtep);
      for (const checksum of [true, false, 'partial'] as const) {
        lab.send('v', outerFrame({ from: there, to: vtep.address, checksum }, vxlan(5000, hello.bytes)));
        lab.expect({ web: [hello] });
      }
      assert.deepEqual(lab.macTable(), [`0 ${DB} ${there}`]);
    });

    it(`drops a datagram whose outer checksum is wrong, over ${name}`, () => {
      const lab = tenants(vtep);
      const damaged = outerFrame({ from: there, to: vtep.address }, vxlan(5000, hello.bytes));
      damaged.bytes[damaged.bytes.length - 1]! ^= 1;
      lab.send('v', damaged);
      lab.expect({}, { 'vxlan-checksum': 1 });
    });
  }

  it('reads the frame, not what pads it', () => {
    const lab = tenants(TAP);
    const outer = outerFrame({ from: THERE, to: HERE }, vxlan(5000, hello.bytes));
    lab.send('v', { ...outer, bytes: join(outer.bytes, new Uint8Array(9)) });
    lab.expect({ web: [hello] });
  });

  it('drops fragments of datagrams by name, the first and the later ones', () => {
    const lab = tenants(TAP);
    const payload = vxlan(5000, hello.bytes);
    lab.send('v', outerFrame({ from: THERE, to: HERE, flags: 0x2000 }, payload));
    lab.send('v', outerFrame({ from: THERE, to: HERE, flags: 0x0010 }, payload));
    lab.expect({}, { 'vxlan-fragment': 2 });
  });

  it('keeps a super-frame whole that came whole', () => {
    const lab = tenants(TAP);
    const stream = tcp({ from: 80, to: 4000, flags: TCP_ACK }, pattern(9000));
    const inner = superFrame(
      ether({ from: DB, to: WEB }, ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, stream)),
      GSO_TCP4,
      1400,
    );
    const outer = outerFrame({ from: THERE, to: HERE, checksum: false }, vxlan(5000, inner.bytes));
    const vnet = {
      flags: 1,
      gsoType: GSO_TCP4 | 0x20,
      headerLength: 0,
      gsoSize: 1400,
      checksumStart: inner.vnet!.checksumStart + 50,
      checksumOffset: 16,
      outerTransport: 34,
      innerNetwork: 64,
    };
    lab.send('v', { bytes: outer.bytes, vnet });
    lab.expect({ web: [inner] });
  });

  it('leaves an inner checksum partial that came so, and reckons with it in the outer one', () => {
    const lab = tenants(TAP);
    const inner = ether({ from: DB, to: WEB }, ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, udp(1, 2, 'partial')));
    const complete = outerFrame({ from: THERE, to: HERE }, vxlan(5000, inner.bytes));
    const unfinished = partial(inner);
    // Local checksum offload: the outer checksum is that of the finished packet.
    const bytes = complete.bytes.slice();
    bytes.set(unfinished.bytes, 50);
    const vnet = { ...unfinished.vnet!, checksumStart: unfinished.vnet!.checksumStart + 50 };
    lab.send('v', { bytes, vnet });
    lab.expect({ web: [unfinished] });
    bytes.set(word(0x1234), 40);
    lab.send('v', { bytes, vnet });
    lab.expect({}, { 'vxlan-checksum': 1 });
  });

  it('drops super-frames whose offsets cannot be', () => {
    const lab = tenants(TAP);
    const outer = outerFrame({ from: THERE, to: HERE, checksum: false }, vxlan(5000, hello.bytes));
    const vnet = { flags: 1, gsoType: GSO_TCP4, headerLength: 0, gsoSize: 1400, checksumStart: 84, checksumOffset: 16 };
    lab.send('v', { bytes: outer.bytes, vnet });
    lab.expect({}, { 'vxlan-malformed': 1 });
    lab.send('v', { bytes: outer.bytes, vnet: { ...vnet, gsoType: GSO_TCP4 | 0x20, checksumStart: 45 } });
    lab.expect({}, { 'vxlan-malformed': 1 });
    lab.send('v', { bytes: outer.bytes, vnet: { ...vnet, gsoType: GSO_TCP4 | 0x20, checksumStart: 900 } });
    lab.expect({}, { 'bad-offload': 1 });
  });

  it('takes joined datagrams of a GSO frame apart', () => {
    const lab = tenants(TAP, {}, NO_SUPER_DATAGRAMS);
    const one = vxlan(5000, hello.bytes);
    const outer = outerFrame({ from: THERE, to: HERE, checksum: 'partial' }, join(one, one, one));
    lab.send('v', { ...outer, vnet: { ...outer.vnet!, gsoType: 5, gsoSize: one.length } });
    lab.expect({ web: [hello, hello, hello] });
  });

  it('has room for as many joined datagrams as a peer joins, frame after frame, whatever header the TAP has', () => {
    const one = vxlan(5000, hello.bytes);
    for (const headerBytes of [12, 24]) {
      const lab = tenants({ ...TAP, headerBytes }, {}, NO_SUPER_DATAGRAMS);
      const outer = outerFrame(
        { from: THERE, to: HERE, checksum: 'partial' },
        join(...new Array<Uint8Array>(64).fill(one)),
      );
      const joined = { ...outer, vnet: { ...outer.vnet!, gsoType: 5, gsoSize: one.length } };
      lab.send('v', ...new Array<typeof joined>(9).fill(joined));
      lab.expect({ web: new Array<typeof hello>(9 * 64).fill(hello) });
    }
  });

  it('leaves to others what is not for the UDP port of the VTEP', () => {
    const lab = tenants(TAP);
    const payload = vxlan(5000, hello.bytes);
    lab.send('v', outerFrame({ from: THERE, to: HERE, toPort: 4790 }, payload));
    lab.send('v', outerFrame({ from: THERE, to: '192.0.2.7' }, payload));
    lab.send('v', ether({ from: STRANGER, to: WEB }, ipv4({ from: THERE, to: HERE }, raw(47, 'gre'))));
    assert.deepEqual([lab.take('web'), lab.take('other')], [[], []]);
    assert.deepEqual(lab.total('arrivals'), 3);
    lab.ignoreDepartures();
    lab.takeDrops();
  });

  it('drops what comes from an address that no VTEP has', () => {
    const lab = tenants(TAP);
    for (const from of ['224.0.0.5', '0.0.0.0'])
      lab.send('v', outerFrame({ from, to: HERE }, vxlan(5000, hello.bytes)));
    lab.expect({}, { 'vxlan-malformed': 2 });
  });
});

function remotesOf(lab: Lab): string[] {
  return listRemotes(lab.remoteMemory)
    .map(({ address, family, isPinned }) => `${addressText(address, family)}${isPinned ? ' pinned' : ''}`)
    .sort((a, b) => (a.length !== b.length ? b.length - a.length : a < b ? -1 : 1));
}
