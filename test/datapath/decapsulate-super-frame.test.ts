// UDP super-frames of stations behind a kernel's VXLAN device, which sockets get with a piece size as if they were joined datagrams.
import {
  type BuiltFrame,
  ether,
  GSO_UDP,
  ipv4,
  ipv6,
  join,
  type Packet,
  partial,
  pattern,
  superFrame,
  type Tag,
  type TestFrame,
  type Transport,
  tcp,
  udp,
  word,
} from '../support/frame-builders.js';
import { createLab } from '../support/lab.js';
import type { OverlaySettings } from '../support/tunnel-columns.js';
import { datagram, vxlan } from '../support/vxlan-frames.js';
import { CACHE, DB, message, WEB } from './stations.js';

const THERE = '192.0.2.2';
const SEGMENT = 1000;
const DATA = pattern(3100, 7);

const packets: Record<string, (transport: Transport) => Packet> = {
  IPv4: (transport) => ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, transport),
  'IPv4 with options': (transport) => ipv4({ from: '10.0.0.1', to: '10.0.0.2', options: pattern(12) }, transport),
  IPv6: (transport) => ipv6({ from: 'fd00::1', to: 'fd00::2' }, transport),
};

/** Two tenants on one VTEP `v`: `web` on VNI 5000, `other` on VNI 6000. */
function tenants(more: Partial<OverlaySettings> = {}) {
  return createLab({
    vteps: { v: { kind: 'socket', address: '192.0.2.1' } },
    ports: { web: {}, other: { network: 'red' } },
    overlay: { vtep: 'v', vni: 5000, ...more },
    networks: { red: { overlay: { vtep: 'v', vni: 6000, ...more } } },
  });
}

function stream(packet: Packet, tags: readonly Tag[] = []): BuiltFrame {
  return partial(ether({ from: DB, to: WEB, tags }, packet));
}

function cutInto(frame: BuiltFrame, segmentBytes: number): TestFrame {
  const { bytes, vnet } = superFrame(frame, GSO_UDP, segmentBytes);
  return { bytes, vnet: { ...vnet!, headerLength: frame.l4At + 8 } };
}

/** The message that a socket gets of a payload whose segments, or pieces, the kernel says are of `segmentBytes`. */
function told(payload: Uint8Array, segmentBytes: number, trafficClass = 0): TestFrame {
  return { ...datagram(THERE, payload), peer: { address: THERE, port: 50_000, segmentBytes, trafficClass } };
}

/** `data` with `piece` wherever a message that begins with `headBytes` of headers would have another piece. */
function feigned(data: Uint8Array, headBytes: number, piece: Uint8Array, pieces: readonly number[]): Uint8Array {
  const result = data.slice();
  for (const n of pieces) result.set(piece, n * SEGMENT - headBytes);
  return result;
}

describe('decapsulation of UDP super-frames', () => {
  for (const [name, packet] of Object.entries(packets)) {
    it(`leaves one over ${name} whole, with the segments that the kernel told of`, () => {
      const lab = tenants({ keepVlans: true });
      for (const tags of [[], [5], [5, 6]]) {
        const frame = stream(packet(udp(4000, 443, DATA)), tags);
        lab.send('v', told(vxlan(5000, frame.bytes), SEGMENT));
        lab.expect({ web: [cutInto(frame, SEGMENT)] });
      }
    });
  }

  it('takes segments of every size, also of more than a VTEP ever joins', () => {
    const lab = tenants();
    const frame = stream(packets.IPv4!(udp(4000, 443, pattern(128))));
    for (const size of [1, 8, 21, 22, 64, 127]) {
      lab.send('v', told(vxlan(5000, frame.bytes), size));
      lab.expect({ web: [cutInto(frame, size)] });
    }
  });

  it('marks congestion in it', () => {
    const lab = tenants();
    const marked = (tos: number) => stream(ipv4({ from: '10.0.0.1', to: '10.0.0.2', tos }, udp(4000, 443, DATA)));
    lab.send('v', told(vxlan(5000, marked(2).bytes), SEGMENT, 3));
    lab.expect({ web: [cutInto(marked(3), SEGMENT)] });
  });

  it('judges it like any datagram', () => {
    const lab = tenants();
    const frame = stream(packets.IPv4!(udp(4000, 443, DATA)));
    lab.send('v', told(vxlan(7000, frame.bytes), SEGMENT), told(vxlan(5000, frame.bytes, { flags: 0 }), SEGMENT));
    lab.expect({}, { 'vxlan-unknown-vni': 1, 'vxlan-flags': 1 });
  });

  it('gives what stands in its data to nobody else, whatever it looks like', () => {
    const lab = tenants();
    const piece = vxlan(6000, message(CACHE, WEB, 'into another network').bytes);
    for (const [name, headBytes] of [
      ['IPv4', 50],
      ['IPv6', 70],
    ] as const) {
      const frameOf = (pieces: readonly number[]) =>
        stream(packets[name]!(udp(4000, 443, feigned(DATA, headBytes, piece, pieces))));
      for (const pieces of [[1], [1, 2], [2, 3]]) {
        lab.send('v', told(vxlan(5000, frameOf(pieces).bytes), SEGMENT));
        lab.expect({ web: [cutInto(frameOf(pieces), SEGMENT)] });
      }
      // Could be joined datagrams just as well.
      lab.send('v', told(vxlan(5000, frameOf([1, 2, 3]).bytes), SEGMENT));
      lab.expect({}, { 'vxlan-malformed': 1 });
    }
  });

  it('drops what fills the message as no kernel makes it', () => {
    const lab = tenants({ keepVlans: true });
    const strange = [
      ether({ from: DB, to: WEB }, packets.IPv4!(udp(4000, 443, DATA))), // its checksum is finished
      stream(packets.IPv4!(tcp({}, DATA))),
      stream(
        ipv6({ from: 'fd00::1', to: 'fd00::2', extensions: [{ type: 60, options: pattern(6) }] }, udp(1, 2, DATA)),
      ),
      stream(ipv4({ from: '10.0.0.1', to: '10.0.0.2', flags: 0x2000 }, udp(4000, 443, DATA)), [5]),
    ];
    const short = stream(packets.IPv6!(udp(4000, 443, DATA)));
    short.bytes.set(word(1008), short.l4At + 4);
    for (const { bytes } of [...strange, short]) {
      lab.send('v', told(vxlan(5000, bytes), SEGMENT));
      lab.expect({}, { 'vxlan-malformed': 1 });
    }
  });
});

describe('decapsulation of joined datagrams', () => {
  it('gives none to the station that sent the first, whatever length its packet claims', () => {
    const lab = tenants();
    const secret = vxlan(6000, message(CACHE, WEB, 'for another network').bytes);
    for (const packet of Object.values(packets)) {
      // As long as a datagram of the other tenant, but for what it says; the checksum is that of what it says.
      const headBytes = stream(packet(udp(4000, 443, ''))).bytes.length;
      const whole = stream(packet(udp(4000, 443, new Uint8Array(2 * (secret.length + 20) - 8 - headBytes))));
      const first = vxlan(5000, whole.bytes).subarray(0, secret.length + 20);
      const second = join(secret, new Uint8Array(20));
      lab.send('v', datagram(THERE, first, second));
      lab.expect({}, { 'vxlan-malformed': 1 });
      // One that claims anything else does not matter to those behind it.
      lab.send('v', datagram(THERE, first, second, second));
      lab.expect({
        web: [{ bytes: first.slice(8), vnet: null }],
        other: [
          { bytes: second.slice(8), vnet: null },
          { bytes: second.slice(8), vnet: null },
        ],
      });
    }
  });

  it('takes a group policy of the VTEP for no data', () => {
    const lab = tenants();
    const whole = stream(packets.IPv4!(udp(4000, 443, new Uint8Array(2 * 100 - 50))));
    const first = vxlan(5000, whole.bytes).subarray(0, 100);
    const second = vxlan(6000, new Uint8Array(92), { flags: 0x88, reserved: [0x48_12_34, 0] });
    lab.send('v', datagram(THERE, first, second));
    lab.expect({}, { 'vxlan-malformed': 1 });
  });

  it('takes them apart when the first holds a UDP packet that is not finished', () => {
    const lab = tenants();
    const one = stream(packets.IPv4!(udp(4000, 443, pattern(500))));
    const two = message(DB, WEB, 'short');
    lab.send('v', datagram(THERE, vxlan(5000, one.bytes), vxlan(5000, one.bytes), vxlan(5000, two.bytes)));
    lab.expect({ web: [one, one, two] });
  });
});
