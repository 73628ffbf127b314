// Ports that cannot take a frame as it came: checksums are finished and super-frames cut. What is expected is built segment
// by segment with builders that share no code with src/.
import { strict as assert } from 'node:assert';
import {
  ACCEPTS_CHECKSUM,
  ACCEPTS_TSO_ECN,
  ACCEPTS_TSO4,
  ACCEPTS_TSO6,
  ACCEPTS_USO,
} from '../../src/datapath/program.js';
import {
  type BuiltFrame,
  ether,
  GSO_ECN,
  GSO_TCP4,
  GSO_TCP6,
  GSO_UDP,
  ipv4,
  ipv6,
  join,
  needsChecksum,
  type Packet,
  partial,
  pattern,
  raw,
  superFrame,
  type Tag,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PUSH,
  type Transport,
  tcp,
  udp,
} from '../support/frame-builders.js';
import { createLab } from '../support/lab.js';
import { arp } from '../support/network-frames.js';
import { ACCEPTS_ALL } from '../support/program-builder.js';
import { gatewayMac } from '../support/router-columns.js';
import { DB, WEB } from './stations.js';

const V4 = { from: '192.0.2.1', to: '192.0.2.2' };
const V6 = { from: '2001:db8::1', to: '2001:db8::2' };
/** No-operation, no-operation, timestamps (RFC 7323). */
const TIMESTAMPS = Uint8Array.from([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);

type TcpFields = Parameters<typeof tcp>[0];

function frame(packet: Packet, tags: readonly Tag[] = []): BuiltFrame {
  return ether({ from: WEB, to: DB, tags }, packet);
}

/** Payload of segment `n` of `count`. */
function piece(payload: Uint8Array, size: number, n: number): Uint8Array {
  return payload.slice(n * size, (n + 1) * size);
}

/** RFC 9293 and RFC 3168 by hand: each segment as its own packet. */
function tcpSegments(
  payload: Uint8Array,
  size: number,
  fields: { sequence: number; flags: number; options?: Uint8Array },
  wrap: (transport: Transport, n: number) => Packet,
  tags: readonly Tag[] = [],
): BuiltFrame[] {
  const count = Math.ceil(payload.length / size);
  return Array.from({ length: count }, (_, n) => {
    const isFirst = n === 0;
    const isLast = n === count - 1;
    const kept = fields.flags & ~(isFirst ? 0 : TCP_CWR) & ~(isLast ? 0 : TCP_FIN | TCP_PUSH);
    const sequence = (fields.sequence + n * size) % 2 ** 32;
    return frame(wrap(tcp({ ...fields, sequence, flags: kept } as TcpFields, piece(payload, size, n)), n), tags);
  });
}

const without = (accepts: number) => ({ ports: { web: {}, db: { accepts } } });
const OLD = { ports: { web: {}, db: { accepts: 0 } } };

describe('offload: checksums', () => {
  const packets: Record<string, Packet> = {
    'TCP over IPv4': ipv4(V4, tcp({ options: TIMESTAMPS }, 'some text')),
    'TCP over IPv6': ipv6(V6, tcp({}, 'odd')),
    'UDP over IPv4': ipv4(V4, udp(4000, 53, 'who?')),
    'UDP over IPv6': ipv6(V6, udp(4000, 53, '')),
    'TCP behind IPv6 extension headers': ipv6(
      { ...V6, extensions: [{ type: 0, options: Uint8Array.from([5, 2, 0, 0]) }] },
      tcp({}, 'x'),
    ),
    'TCP behind IPv4 options': ipv4({ ...V4, options: Uint8Array.from([1, 1, 1, 1]) }, tcp({}, 'x')),
  };

  for (const [name, packet] of Object.entries(packets)) {
    it(`are finished for a port that cannot: ${name}`, () => {
      const lab = createLab(OLD);
      lab.send('web', partial(frame(packet)), partial(frame(packet, [7])));
      lab.expect({ db: [frame(packet), frame(packet, [7])] });
      assert.equal(lab.total('completed'), 2);
    });
  }

  it('are left to a port that can', () => {
    const lab = createLab({ ports: { web: {}, db: { accepts: ACCEPTS_CHECKSUM } } });
    const unfinished = partial(frame(packets['TCP over IPv4']!));
    lab.send('web', unfinished);
    lab.expect({ db: [unfinished] });
    assert.equal(lab.total('completed'), 0);
  });

  it('that come out as zero are sent as all ones, because zero means "none" over UDP', () => {
    // The last word of the payload makes up for the rest, so that the sum over all is 0xffff.
    const open = ipv4(V4, udp(4000, 53, Uint8Array.from([0, 0])));
    const checksum = new DataView(open.bytes.buffer).getUint16(open.l4At + 6);
    const payload = Uint8Array.from([checksum >> 8, checksum & 0xff]);
    const packet = ipv4(V4, udp(4000, 53, payload));
    assert.equal(new DataView(packet.bytes.buffer).getUint16(packet.l4At + 6), 0xffff);
    const lab = createLab(OLD);
    lab.send('web', partial(frame(packet)));
    lab.expect({ db: [frame(packet)] });
  });

  it('are finished wherever the sender says they are, whatever the protocol', () => {
    const lab = createLab(OLD);
    const plain = frame(ipv4(V4, raw(253, pattern(40))));
    const bytes = plain.bytes.slice();
    bytes.fill(0, 34 + 10, 34 + 12);
    lab.send('web', { bytes, vnet: needsChecksum(34, 10) });
    const [sent] = lab.take('db');
    const body = sent!.bytes.subarray(34);
    const sum = body.reduce((total, byte, i) => total + (i % 2 === 0 ? byte * 256 : byte), 0);
    assert.equal(sum % 0xffff, 0, 'the words of what was summed add up to zero');
    assert.deepEqual(sent!.bytes.subarray(0, 44), bytes.subarray(0, 44));
  });

  it('are finished once in a flood, and are right at every port', () => {
    const ports = { web: {}, a: {}, b: { accepts: 0 }, c: { accepts: 0 }, d: {} };
    const lab = createLab({ ports });
    const whole = frame(packets['UDP over IPv4']!);
    lab.send('web', partial(whole));
    assert.equal(lab.total('completed'), 1);
    for (const name of ['b', 'c']) assert.deepEqual(lab.take(name), [{ bytes: whole.bytes, vnet: null }], name);
    for (const name of ['a', 'd']) {
      const [left] = lab.take(name);
      const acceptable = left!.vnet === null ? whole : partial(whole);
      assert.deepEqual(left, { bytes: acceptable.bytes, vnet: acceptable.vnet }, name);
    }
  });

  it('are not touched when they are complete', () => {
    const lab = createLab(OLD);
    const wrong = frame(packets['UDP over IPv4']!);
    wrong.bytes[wrong.l4At + 6]! ^= 0xff;
    lab.send('web', wrong);
    lab.expect({ db: [wrong] });
  });
});

describe('offload: segmentation', () => {
  const payload = pattern(4000);

  it('cuts TCP over IPv4: identification and sequence count, FIN and PSH end it, CWR begins it', () => {
    const lab = createLab(OLD);
    const fields = { sequence: 0xffff_ff00, flags: TCP_ACK | TCP_PUSH | TCP_FIN | TCP_CWR, options: TIMESTAMPS };
    const wrap = (transport: Transport, n: number) => ipv4({ ...V4, id: (0xffff + n) & 0xffff }, transport);
    const whole = frame(wrap(tcp(fields, payload), 0));
    lab.send('web', superFrame(whole, GSO_TCP4 | GSO_ECN, 1448));
    lab.expect({ db: tcpSegments(payload, 1448, fields, wrap) });
    assert.equal(lab.total('segmented'), 1);
    assert.equal(lab.total('departures'), 3);
  });

  it('cuts TCP over IPv6', () => {
    const lab = createLab(OLD);
    const fields = { sequence: 7, flags: TCP_ACK | TCP_ECE };
    const wrap = (transport: Transport) => ipv6({ ...V6, trafficClass: 0xb8, flowLabel: 0xabcde }, transport);
    lab.send('web', superFrame(frame(wrap(tcp(fields, payload))), GSO_TCP6, 1000));
    lab.expect({ db: tcpSegments(payload, 1000, fields, wrap) });
  });

  it('copies IPv4 options and IPv6 extension headers to every segment', () => {
    const lab = createLab(OLD);
    const fields = { sequence: 1, flags: TCP_ACK };
    const four = (t: Transport, n: number) => ipv4({ ...V4, id: 5 + n, options: Uint8Array.from([148, 4, 0, 0]) }, t);
    lab.send('web', superFrame(frame(four(tcp(fields, payload), 0)), GSO_TCP4, 1300));
    lab.expect({ db: tcpSegments(payload, 1300, fields, four) });
    const extensions = [
      { type: 0, options: Uint8Array.from([5, 2, 0, 0]) },
      { type: 60, options: pattern(30) },
    ];
    const six = (t: Transport) => ipv6({ ...V6, extensions }, t);
    lab.send('web', superFrame(frame(six(tcp(fields, payload))), GSO_TCP6, 1300));
    lab.expect({ db: tcpSegments(payload, 1300, fields, six) });
  });

  it('copies tags, pushes them and pops them', () => {
    const fields = { sequence: 1, flags: TCP_ACK };
    const wrap = (t: Transport, n: number) => ipv4({ ...V4, id: 5 + n }, t);
    const lab = createLab({
      ports: { web: { vlan: 10 }, router: { accepts: 0, vlan: {} }, access: { accepts: 0, vlan: 10 } },
    });
    const whole = wrap(tcp(fields, payload), 0);
    lab.send('web', superFrame(frame(whole), GSO_TCP4, 1300));
    lab.expect({
      router: tcpSegments(payload, 1300, fields, wrap, [10]),
      access: tcpSegments(payload, 1300, fields, wrap),
    });
    const trunks = createLab({ ports: { router: {}, other: { accepts: 0 }, access: { accepts: 0, vlan: 10 } } });
    trunks.send('router', superFrame(frame(whole, [10, 20]), GSO_TCP4, 1300));
    trunks.expect({
      other: tcpSegments(payload, 1300, fields, wrap, [10, 20]),
      access: tcpSegments(payload, 1300, fields, wrap, [20]),
    });
    trunks.send('router', superFrame(frame(whole, [{ vlan: 20, type: 0x88a8 }]), GSO_TCP4, 1300));
    trunks.expect({ other: tcpSegments(payload, 1300, fields, wrap, [{ vlan: 20, type: 0x88a8 }]) });
  });

  it('cuts UDP over IPv4 and IPv6 into datagrams', () => {
    for (const [wrap, name] of [
      [(t: Transport, n: number) => ipv4({ ...V4, id: 77 + n }, t), 'IPv4'],
      [(t: Transport) => ipv6(V6, t), 'IPv6'],
    ] as const) {
      const lab = createLab(OLD);
      lab.send('web', superFrame(frame(wrap(udp(4000, 53, payload), 0)), GSO_UDP, 1200));
      const datagrams = [0, 1, 2, 3].map((n) => frame(wrap(udp(4000, 53, piece(payload, 1200, n)), n)));
      lab.expect({ db: datagrams }, {});
      assert.equal(datagrams.length, 4, name);
    }
  });

  it('cuts at odd sizes and down to single bytes', () => {
    const fields = { sequence: 1, flags: TCP_ACK | TCP_PUSH };
    const wrap = (t: Transport, n: number) => ipv4({ ...V4, id: 5 + n }, t);
    for (const [length, size] of [
      [1001, 333],
      [7, 3],
      [5, 1],
      [1000, 1000],
      [10, 1000],
      [1, 1],
    ] as const) {
      const lab = createLab(OLD);
      const short = payload.slice(0, length);
      lab.send('web', superFrame(frame(wrap(tcp(fields, short), 0)), GSO_TCP4, size));
      lab.expect({ db: tcpSegments(short, size, fields, wrap) });
    }
  });

  it('cuts the largest super-frame there is', () => {
    const lab = createLab(OLD);
    const fields = { sequence: 1, flags: TCP_ACK };
    const wrap = (t: Transport, n: number) => ipv4({ ...V4, id: (60000 + n) & 0xffff }, t);
    const most = pattern(65535 - 40);
    lab.send('web', superFrame(frame(wrap(tcp(fields, most), 0)), GSO_TCP4, 1460));
    lab.expect({ db: tcpSegments(most, 1460, fields, wrap) });
  });

  it('gives ports with vnet headers but without segmentation finished segments behind empty headers', () => {
    const lab = createLab(without(ACCEPTS_CHECKSUM));
    const fields = { sequence: 1, flags: TCP_ACK };
    const wrap = (t: Transport, n: number) => ipv4({ ...V4, id: 5 + n }, t);
    lab.send('web', superFrame(frame(wrap(tcp(fields, payload), 0)), GSO_TCP4, 1448));
    lab.expect({ db: tcpSegments(payload, 1448, fields, wrap) });
  });

  it('cuts more segments than the transmit queue or its scratch memory hold', () => {
    const lab = createLab({
      ports: { web: {}, ...Object.fromEntries([1, 2, 3].map((n) => [`old ${n}`, { accepts: 0 }])) },
    });
    const fields = { sequence: 1, flags: TCP_ACK, options: pattern(40).fill(1) };
    const wrap = (t: Transport, n: number) => ipv4({ ...V4, id: n & 0xffff, options: new Uint8Array(40).fill(1) }, t);
    const most = pattern(20_000);
    lab.send('web', superFrame(frame(wrap(tcp(fields, most), 0)), GSO_TCP4, 16));
    const segments = tcpSegments(most, 16, fields, wrap);
    lab.expect({ 'old 1': segments, 'old 2': segments, 'old 3': segments });
    assert.equal(lab.total('departures'), 3 * 1250);
  });

  it('leaves frames alone that weft makes in the same turn', () => {
    const lab = createLab({ ports: { web: {}, db: { accepts: 0 } }, gateway: { addresses: ['192.0.2.254/24'] } });
    const fields = { sequence: 1, flags: TCP_ACK, options: pattern(40).fill(1) };
    const wrap = (t: Transport, n: number) => ipv4({ ...V4, id: n & 0xffff, options: new Uint8Array(40).fill(1) }, t);
    const most = pattern(16_000);
    const asked = arp({ from: WEB, ip: V4.from, target: '192.0.2.254' });
    const answer = arp({ from: gatewayMac(0), ip: '192.0.2.254', target: V4.from, to: WEB, reply: true });
    lab.send('web', superFrame(frame(wrap(tcp(fields, most), 0)), GSO_TCP4, 16), asked);
    lab.expect({ web: [answer], db: tcpSegments(most, 16, fields, wrap) });
  });

  describe('is left to a port that can', () => {
    const four = ipv4(V4, tcp({}, payload));
    const six = ipv6(V6, tcp({}, payload));
    const kinds = {
      TSO4: { frame: superFrame(frame(four), GSO_TCP4, 1400), needs: ACCEPTS_TSO4 },
      TSO6: { frame: superFrame(frame(six), GSO_TCP6, 1400), needs: ACCEPTS_TSO6 },
      'TSO4 with ECN': {
        frame: superFrame(frame(four), GSO_TCP4 | GSO_ECN, 1400),
        needs: ACCEPTS_TSO4 | ACCEPTS_TSO_ECN,
      },
      'TSO6 with ECN': {
        frame: superFrame(frame(six), GSO_TCP6 | GSO_ECN, 1400),
        needs: ACCEPTS_TSO6 | ACCEPTS_TSO_ECN,
      },
      USO: { frame: superFrame(frame(ipv4(V4, udp(1, 2, payload))), GSO_UDP, 1400), needs: ACCEPTS_USO },
    };
    for (const [name, { frame: whole, needs }] of Object.entries(kinds)) {
      it(`${name}: whole with exactly these bits, cut when any is missing`, () => {
        const lab = createLab(without(ACCEPTS_CHECKSUM | needs));
        lab.send('web', whole);
        lab.expect({ db: [whole] });
        for (let bit = 1; bit < 0x40; bit <<= 1) {
          if ((needs & bit) === 0) continue;
          const lacking = createLab(without(ACCEPTS_ALL & ~bit));
          lacking.send('web', whole);
          assert.equal(lacking.take('db').length, 3, `without bit ${bit}`);
        }
      });
    }
  });
});

describe('offload: requests that do not fit', () => {
  const whole = frame(ipv4(V4, tcp({}, pattern(3000))));
  const request = superFrame(whole, GSO_TCP4, 1400).vnet!;
  const datagram = frame(ipv4(V4, udp(4000, 53, pattern(3000))));
  const refused: Record<string, Partial<typeof request> & { dataOffset?: number }> = {
    'segmentation without a checksum to finish': { flags: 0 },
    'segments of no size': { gsoSize: 0 },
    'a type that nobody offered': { gsoType: 3 },
    'a tunnel type': { gsoType: 0x21 },
    'ECN without TCP': { gsoType: GSO_UDP | GSO_ECN, checksumOffset: 6 },
    'ECN alone': { gsoType: GSO_ECN },
    'a checksum in the Ethernet header': { checksumStart: 13 },
    'a checksum that begins behind the frame': { checksumStart: 4000 },
    'a checksum that ends behind the frame': { checksumStart: whole.bytes.length - 17, checksumOffset: 16 },
    'a checksum field far away': { checksumOffset: 0xffff },
    'a checksum field that is not that of TCP': { checksumOffset: 6 },
    'a TCP header of four bytes': { dataOffset: 1 },
    'a TCP header that begins too late to end within the frame': { checksumStart: whole.bytes.length - 18 },
    'a TCP header whose options end behind the frame': { checksumStart: whole.bytes.length - 24, dataOffset: 7 },
  };

  for (const [name, { dataOffset = 5, ...change }] of Object.entries(refused)) {
    it(`are dropped as they come: ${name}`, () => {
      const lab = createLab({ ports: ['web', 'db'] });
      const bytes = whole.bytes.slice();
      const l4At = change.checksumStart ?? whole.l4At;
      if (l4At + 12 < bytes.length) bytes[l4At + 12] = dataOffset << 4;
      lab.send('web', { bytes, vnet: { ...request, ...change } });
      lab.expect({}, { 'bad-offload': 1 });
    });
  }

  const unsegmentable: Record<string, { bytes: Uint8Array; vnet: Partial<typeof request> }> = {
    'a transport that is not where the IPv4 header ends': { bytes: whole.bytes, vnet: { checksumStart: 38 } },
    'IPv4 under an IPv6 type': { bytes: whole.bytes, vnet: { gsoType: GSO_TCP6 } },
    'UDP under a TCP type': { bytes: datagram.bytes, vnet: {} },
    'TCP under a UDP type': { bytes: whole.bytes, vnet: { gsoType: GSO_UDP, checksumOffset: 6 } },
    'no IP at all': { bytes: join(whole.bytes.slice(0, 12), [0x88, 0xb5], whole.bytes.slice(14)), vnet: {} },
    'headers and no payload': { bytes: whole.bytes.slice(0, 54), vnet: {} },
  };

  for (const [name, { bytes, vnet }] of Object.entries(unsegmentable)) {
    it(`are dropped where they would have to be cut: ${name}`, () => {
      const lab = createLab({ ports: { web: {}, old: { accepts: 0 } } });
      const patched = bytes.slice();
      if (name.startsWith('a transport') || name.startsWith('UDP')) patched[38 + 12] = patched[34 + 12] = 0x50;
      lab.send('web', { bytes: patched, vnet: { ...request, ...vnet } });
      lab.expect({}, { 'not-segmentable': 1 });
    });
  }

  it('do not let one frame become more writes than a stack would ever ask for', () => {
    const lab = createLab({ ports: { web: {}, old: { accepts: 0 } } });
    const huge = frame(ipv4(V4, tcp({}, pattern(65000))));
    lab.send('web', superFrame(huge, GSO_TCP4, 1));
    lab.expect({}, { 'not-segmentable': 1 });
    // The smallest segments that Linux sends: 48 bytes with their options, here timestamps.
    const fields = { sequence: 1, flags: TCP_ACK, options: TIMESTAMPS };
    const wrap = (t: Transport, n: number) => ipv4({ ...V4, id: n }, t);
    const most = pattern(65000);
    lab.send('web', superFrame(frame(wrap(tcp(fields, most), 0)), GSO_TCP4, 36));
    lab.expect({ old: tcpSegments(most, 36, fields, wrap) });
  });

  it('are not asked by ports without vnet headers, whatever lies in front of their frames', () => {
    const lab = createLab({ ports: { old: { accepts: 0 }, db: {} } });
    const plain = frame(ipv4(V4, tcp({}, 'plain')));
    lab.send('old', { ...plain, vnet: request });
    lab.expect({ db: [plain] });
  });
});
