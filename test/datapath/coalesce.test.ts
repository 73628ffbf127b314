// TCP segments and UDP datagrams that come out of a tunnel one by one and leave as super-frames: which are joined, and that nothing of them is lost.
import { strict as assert } from 'node:assert';
import { ACCEPTS_USO } from '../../src/datapath/program.js';
import { Prng } from '../../src/lib/prng.js';
import {
  type BuiltFrame,
  ether,
  GSO_TCP4,
  GSO_TCP6,
  GSO_UDP,
  ipv4,
  ipv6,
  join,
  pattern,
  superFrame,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PUSH,
  TCP_SYN,
  type TestFrame,
  tcp,
  udp,
  word,
} from '../support/frame-builders.js';
import { createLab, type Lab } from '../support/lab.js';
import { ACCEPTS_ALL } from '../support/program-builder.js';
import { datagram, outerFrame, vxlan } from '../support/vxlan-frames.js';
import { DB, WEB } from './stations.js';

const HERE = '192.0.2.1';
const THERE = '192.0.2.2';
const V4 = { from: '10.0.0.1', to: '10.0.0.2' };
const V6 = { from: 'fd00::1', to: 'fd00::2' };
const START = 0xffff_f000;

type IpFields = Partial<Parameters<typeof ipv4>[0]>;
type TcpFields = Parameters<typeof tcp>[0];

/** Segment `n` of a stream with 1000 bytes in each. */
function segment(n: number, payload = pattern(1000, n), ip: IpFields = {}, fields: TcpFields = {}): BuiltFrame {
  const transport = tcp({ sequence: (START + n * 1000) >>> 0, flags: TCP_ACK, ...fields }, payload);
  return ether({ from: DB, to: WEB }, ipv4({ ...V4, id: (0xfffe + n) & 0xffff, ...ip }, transport));
}

function segment6(n: number, payload = pattern(1000, n), ip: Partial<Parameters<typeof ipv6>[0]> = {}): BuiltFrame {
  const transport = tcp({ sequence: (START + n * 1000) >>> 0, flags: TCP_ACK }, payload);
  return ether({ from: DB, to: WEB }, ipv6({ ...V6, flowLabel: 0x12345, ...ip }, transport));
}

/** The super-frame that so many segments make. */
function joined(count: number, last = 1000, flags = TCP_ACK): BuiltFrame {
  const parts = Array.from({ length: count }, (_, n) => pattern(n === count - 1 ? last : 1000, n));
  const transport = tcp({ sequence: START, flags }, join(...parts));
  return superFrame(ether({ from: DB, to: WEB }, ipv4({ ...V4, id: 0xfffe }, transport)), GSO_TCP4, 1000);
}

function lab(accepts?: number): Lab {
  const web = accepts === undefined ? {} : { accepts };
  return createLab({
    vteps: { v: { kind: 'socket', address: HERE } },
    ports: { web },
    overlay: { vtep: 'v', vni: 5000 },
  });
}

const payloads = (frames: readonly TestFrame[]): Uint8Array[] => frames.map(({ bytes }) => vxlan(5000, bytes));

/** All in one message, as the kernel joins them. Only the last may be shorter. */
function sendJoined(to: Lab, ...frames: readonly TestFrame[]): void {
  to.send('v', datagram(THERE, ...payloads(frames)));
}

/** A message for each. */
function sendSingly(to: Lab, ...frames: readonly TestFrame[]): void {
  to.send('v', ...payloads(frames).map((payload) => datagram(THERE, payload)));
}

/** What arrived, without the hint about header bytes. */
function taken(from: Lab): TestFrame[] {
  return from.take('web').map(({ bytes, vnet }) => ({ bytes, vnet: vnet && { ...vnet, headerLength: 0 } }));
}

function plain(frames: readonly TestFrame[]): TestFrame[] {
  return frames.map(({ bytes, vnet }) => ({ bytes, vnet }));
}

describe('coalescing', () => {
  for (const [way, send] of [
    ['one message', sendJoined],
    ['messages of their own', sendSingly],
  ] as const) {
    it(`makes one super-frame of the segments of a stream that come in ${way}`, () => {
      const to = lab();
      send(to, segment(0), segment(1), segment(2), segment(3, pattern(700, 3)));
      assert.deepEqual(taken(to), plain([joined(4, 700)]));
    });
  }

  it('does the same over IPv6', () => {
    const to = lab();
    sendJoined(to, segment6(0), segment6(1), segment6(2));
    const transport = tcp(
      { sequence: START, flags: TCP_ACK },
      join(pattern(1000, 0), pattern(1000, 1), pattern(1000, 2)),
    );
    const whole = ether({ from: DB, to: WEB }, ipv6({ ...V6, flowLabel: 0x12345 }, transport));
    assert.deepEqual(taken(to), plain([superFrame(whole, GSO_TCP6, 1000)]));
  });

  it('does the same with what comes from a TAP', () => {
    const vtep = { kind: 'tap', address: HERE } as const;
    const to = createLab({ vteps: { v: vtep }, ports: ['web'], overlay: { vtep: 'v', vni: 5000 } });
    const outers = payloads([segment(0), segment(1), segment(2)]);
    to.send('v', ...outers.map((payload) => outerFrame({ from: THERE, to: HERE, checksum: false }, payload)));
    assert.deepEqual(taken(to), plain([joined(3)]));
  });

  it('leaves whole what is no datagram for the tunnel and comes from the TAP between two segments', () => {
    const vtep = { kind: 'tap', address: HERE } as const;
    const to = createLab({ vteps: { v: vtep }, ports: ['web'], overlay: { vtep: 'v', vni: 5000 } });
    const between = outerFrame({ from: THERE, to: HERE, toPort: 4790 }, Uint8Array.of(1, 2, 3));
    to.send('v', between);
    const refusal = to.take('v');
    const [first, second] = payloads([segment(0), segment(1)]).map((payload) =>
      outerFrame({ from: THERE, to: HERE, checksum: false }, payload),
    );
    to.send('v', first!, between, second!);
    to.expect({ v: refusal, web: [segment(0), segment(1)] }, { 'no-service': 2 });
    assert.equal(refusal.length, 1);
  });

  it('gives the segments as they were to a port that takes no super-frames', () => {
    const to = lab(0);
    const sent = [segment(0), segment(1), segment(2), segment(3, pattern(1, 3))];
    sendJoined(to, ...sent);
    to.expect({ web: sent });
  });

  it('joins what has options, as long as they are the same', () => {
    const stamp = (value: number) => ({ options: Uint8Array.of(1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 9) });
    const to = lab(0);
    const sent = [0, 1, 2, 3].map((n) => segment(n, pattern(1000, n), {}, stamp(n < 2 ? 1 : 2)));
    sendJoined(to, ...sent);
    to.expect({ web: sent });
    const other = lab();
    sendJoined(other, ...sent);
    assert.deepEqual(
      taken(other).map(({ vnet }) => vnet?.gsoSize),
      [1000, 1000],
    );
  });

  it('ends a run with PSH, which is on the last segment then', () => {
    const to = lab();
    sendSingly(to, segment(0), segment(1, pattern(1000, 1), {}, { flags: TCP_ACK | TCP_PUSH }), segment(2), segment(3));
    const [first, second] = taken(to);
    assert.deepEqual(plain([first!]), plain([joined(2, 1000, TCP_ACK | TCP_PUSH)]));
    assert.equal(second?.bytes.length, 54 + 2000);
  });

  it('joins segments of an identification that stays, where they must not be fragmented', () => {
    const same = [0, 1, 2].map((n) => segment(n, pattern(1000, n), { id: 7 }));
    const to = lab();
    sendJoined(to, ...same);
    assert.equal(taken(to).length, 1);
    const fragmentable = [0, 1, 2].map((n) => segment(n, pattern(1000, n), { id: 7, flags: 0 }));
    const other = lab();
    sendJoined(other, ...fragmentable);
    other.expect({ web: fragmentable });
  });

  /** Pairs that must not be joined: all else is as in a stream. */
  const APART: Record<string, [BuiltFrame, BuiltFrame]> = {
    'a hole between them': [segment(0), segment(2, pattern(1000, 1), { id: 0xffff })],
    'the second is a repetition': [segment(0), segment(0, pattern(1000, 0), { id: 0xffff })],
    'the second is longer': [
      segment(0, pattern(500)),
      segment(0, pattern(600), { id: 0xffff }, { sequence: START + 500 }),
    ],
    'another window': [segment(0), segment(1, pattern(1000), {}, { window: 9 })],
    'another acknowledgement': [segment(0), segment(1, pattern(1000), {}, { acknowledgement: 9 })],
    'another source port': [segment(0), segment(1, pattern(1000), {}, { from: 9 })],
    'another TTL': [segment(0), segment(1, pattern(1000), { ttl: 9 })],
    'another TOS': [segment(0), segment(1, pattern(1000), { tos: 1 })],
    'another source': [segment(0), segment(1, pattern(1000), { from: '10.0.0.9' })],
    'an identification that jumps': [segment(0), segment(1, pattern(1000), { id: 5 })],
    'IP options': [segment(0, pattern(900), { options: Uint8Array.of(1, 1, 1, 1) }), segment(1)],
    'a fragment': [segment(0, pattern(1000), { flags: 0x2000 }), segment(1, pattern(1000), { flags: 0x2000 })],
    'the first ends with PSH': [segment(0, pattern(1000), {}, { flags: TCP_ACK | TCP_PUSH }), segment(1)],
    'the second has SYN': [segment(0), segment(1, pattern(1000), {}, { flags: TCP_ACK | TCP_SYN })],
    'the second has FIN': [segment(0), segment(1, pattern(1000), {}, { flags: TCP_ACK | TCP_FIN })],
    'the second has CWR': [segment(0), segment(1, pattern(1000), {}, { flags: TCP_ACK | TCP_CWR })],
    'the second has ECE': [segment(0), segment(1, pattern(1000), {}, { flags: TCP_ACK | TCP_ECE })],
    'no payload': [segment(0), segment(1, new Uint8Array(0))],
    'another protocol': [
      segment(0),
      ether({ from: DB, to: WEB }, ipv4({ ...V4, id: 0xffff }, udp(1, 2, pattern(1000)))),
    ],
    'another flow label': [segment6(0), segment6(1, pattern(1000), { flowLabel: 1 })],
    'another hop limit': [segment6(0), segment6(1, pattern(1000), { hopLimit: 9 })],
    'an extension header': [
      segment6(0),
      segment6(1, pattern(1000), { extensions: [{ type: 60, options: new Uint8Array(0) }] }),
    ],
  };
  for (const [why, pair] of Object.entries(APART)) {
    it(`leaves two segments apart: ${why}`, () => {
      const to = lab();
      sendSingly(to, ...pair);
      to.expect({ web: pair });
    });
  }

  it('leaves apart what has another sender or receiver on the link', () => {
    const transport = tcp({ sequence: START + 1000, flags: TCP_ACK }, pattern(1000, 1));
    const other = ether({ from: '02:00:5e:00:00:77', to: WEB }, ipv4({ ...V4, id: 0xffff }, transport));
    const to = lab();
    sendSingly(to, segment(0), other);
    to.expect({ web: [segment(0), other] });
  });

  it('leaves apart what came from different VTEPs, or for different tenants', () => {
    const to = createLab({
      vteps: { v: { kind: 'socket', address: HERE } },
      ports: { web: {}, other: { network: 'red' } },
      overlay: { vtep: 'v', vni: 5000 },
      networks: { red: { overlay: { vtep: 'v', vni: 6000 } } },
    });
    to.send('v', datagram(THERE, vxlan(5000, segment(0).bytes)), datagram('192.0.2.3', vxlan(5000, segment(1).bytes)));
    to.expect({ web: [segment(0), segment(1)] });
    to.send('v', datagram(THERE, vxlan(5000, segment(0).bytes), vxlan(6000, segment(1).bytes)));
    to.expect({ web: [segment(0)], other: [segment(1)] });
  });

  it('joins nothing that is damaged, and leaves the damage as it is', () => {
    for (const damagedAt of [0, 1, 2]) {
      const sent = [segment(0), segment(1), segment(2)];
      const bytes = sent[damagedAt]!.bytes.slice();
      bytes[200]! ^= 1;
      sent[damagedAt] = { ...sent[damagedAt]!, bytes };
      const to = lab(0);
      sendSingly(to, ...sent);
      to.expect({ web: sent });
    }
    const header = segment(1);
    header.bytes.set(word(0x1111), 24);
    const to = lab();
    sendSingly(to, segment(0), header);
    to.expect({ web: [segment(0), header] });
  });

  it('makes no packet longer than IP can say', () => {
    const to = lab();
    const sent = Array.from({ length: 100 }, (_, n) => segment(n));
    sendSingly(to, ...sent);
    const lengths = taken(to).map(({ bytes }) => bytes.length);
    assert.ok(lengths.every((length) => length <= 14 + 65535));
    assert.equal(
      lengths.reduce((sum, length) => sum + length - 54, 0),
      100_000,
    );
    assert.ok(lengths.length <= 3, `${lengths.length} super-frames`);
  });

  it('delivers every byte of every stream, however segments are mixed, damaged and joined (seed 11)', () => {
    const prng = new Prng(11);
    for (let round = 0; round < 20; round++) {
      const to = lab(0);
      const sent: BuiltFrame[] = [];
      const messages: TestFrame[] = [];
      for (let n = 0; n < 40; n++) {
        const size = [1, 2, 99, 1000][prng.below(4)]!;
        const count = 1 + prng.below(12);
        const frames = Array.from({ length: count }, (_, i) => {
          const length = i === count - 1 ? 1 + prng.below(size) : size;
          const made = randomFrame(prng, n, i, size, length);
          if (prng.below(15) === 0) made.bytes[14 + prng.below(made.bytes.length - 14)]! ^= 1 << prng.below(8);
          return made;
        });
        const uneven = frames.some(({ bytes }, i) => i < count - 1 && bytes.length !== frames[0]!.bytes.length);
        const isLastLonger = frames[count - 1]!.bytes.length > frames[0]!.bytes.length;
        sent.push(...frames);
        if (uneven || isLastLonger || prng.below(3) === 0) {
          messages.push(...payloads(frames).map((payload) => datagram(THERE, payload)));
        } else {
          messages.push(datagram(THERE, ...payloads(frames)));
        }
      }
      to.send('v', ...messages);
      to.expect({ web: sent });
    }
  });
});

describe('coalescing of UDP', () => {
  const datagramOf = (n: number, bytes = 100, ip: IpFields = {}, from = 1000): BuiltFrame =>
    ether({ from: DB, to: WEB }, ipv4({ ...V4, id: 7, ...ip }, udp(from, 53, pattern(bytes, n))));
  const datagram6 = (n: number, bytes = 100): BuiltFrame =>
    ether({ from: DB, to: WEB }, ipv6(V6, udp(1000, 53, pattern(bytes, n))));
  const whole = (count: number, last = 100): Uint8Array =>
    join(...Array.from({ length: count }, (_, n) => pattern(n === count - 1 ? last : 100, n)));

  it('makes one super-frame of datagrams of one size and flow, the last one shorter, in both families', () => {
    const to = lab();
    sendJoined(to, datagramOf(0), datagramOf(1), datagramOf(2, 30));
    const four = ether({ from: DB, to: WEB }, ipv4({ ...V4, id: 7 }, udp(1000, 53, whole(3, 30))));
    assert.deepEqual(taken(to), plain([superFrame(four, GSO_UDP, 100)]));
    sendSingly(to, datagram6(0), datagram6(1));
    const six = ether({ from: DB, to: WEB }, ipv6(V6, udp(1000, 53, whole(2))));
    assert.deepEqual(taken(to), plain([superFrame(six, GSO_UDP, 100)]));
  });

  it('gives them as they were to a port that takes no super-frames of UDP', () => {
    const sent = [0, 1, 2, 3].map((n) => datagramOf(n, 100, { id: 0xfffe + n - (n > 1 ? 0x10000 : 0) }));
    for (const accepts of [0, ACCEPTS_ALL & ~ACCEPTS_USO]) {
      const to = lab(accepts);
      sendSingly(to, ...sent);
      to.expect({ web: sent });
    }
    const both = createLab({
      vteps: { v: { kind: 'socket', address: HERE } },
      ports: { web: {}, old: { accepts: 0 } },
      overlay: { vtep: 'v', vni: 5000 },
    });
    const shouted = sent.map(({ bytes }) => Uint8Array.from([...new Array(6).fill(255), ...bytes.slice(6)]));
    both.send('v', ...shouted.map((bytes) => datagram(THERE, vxlan(5000, bytes))));
    assert.equal(both.take('web').length, 1);
    assert.deepEqual(
      both.take('old').map(({ bytes }) => bytes),
      shouted,
    );
  });

  it('joins at most 64', () => {
    const to = lab();
    sendSingly(to, ...Array.from({ length: 150 }, (_, n) => datagramOf(n)));
    assert.deepEqual(
      taken(to).map(({ bytes }) => (bytes.length - 42) / 100),
      [64, 64, 22],
    );
  });

  const unchecked = (frame: BuiltFrame): BuiltFrame => {
    frame.bytes.set([0, 0], 40);
    return frame;
  };
  const longer = datagramOf(1, 101);
  const padded = datagramOf(1);
  padded.bytes.set(word(90), 38);
  const APART: Record<string, [BuiltFrame, BuiltFrame]> = {
    'the second is longer': [datagramOf(0), longer],
    'another port': [datagramOf(0), datagramOf(1, 100, {}, 1001)],
    'another TTL': [datagramOf(0), datagramOf(1, 100, { ttl: 9 })],
    'another TOS': [datagramOf(0), datagramOf(1, 100, { tos: 1 })],
    'another destination': [datagramOf(0), datagramOf(1, 100, { to: '10.0.0.9' })],
    'an identification that stays in packets that may be fragmented': [
      datagramOf(0, 100, { flags: 0 }),
      datagramOf(1, 100, { flags: 0 }),
    ],
    'the first has no checksum': [unchecked(datagramOf(0)), datagramOf(1)],
    'the second has no checksum': [datagramOf(0), unchecked(datagramOf(1))],
    'a length that leaves something over': [datagramOf(0), padded],
    'no payload': [datagramOf(0, 0), datagramOf(1, 0)],
    'a fragment': [datagramOf(0, 100, { flags: 0x2000 }), datagramOf(1, 100, { flags: 0x2000 })],
  };
  for (const [why, pair] of Object.entries(APART)) {
    it(`leaves two datagrams apart: ${why}`, () => {
      const to = lab();
      sendSingly(to, ...pair);
      to.expect({ web: pair });
    });
  }

  it('joins nothing that is damaged', () => {
    for (const damagedAt of [0, 1]) {
      const pair = [datagramOf(0), datagramOf(1)];
      pair[damagedAt]!.bytes[60]! ^= 1;
      const to = lab();
      sendSingly(to, ...pair);
      to.expect({ web: pair });
    }
  });

  it('joins nothing while something is captured, which is to see datagrams as they were sent', () => {
    const to = createLab({
      vteps: { v: { kind: 'socket', address: HERE } },
      ports: ['web'],
      overlay: { vtep: 'v', vni: 5000 },
      captureSnaplen: 65535,
    });
    const sent = [datagramOf(0), datagramOf(1)];
    sendJoined(to, ...sent);
    to.expect({ web: sent });
  });
});

/** Segment `i` of stream `n` with other things between. */
function randomFrame(prng: Prng, n: number, i: number, size: number, length: number): BuiltFrame {
  const sequence = (START + i * size) >>> 0;
  const flags = prng.below(10) === 0 ? TCP_ACK | TCP_PUSH : TCP_ACK;
  const transport = tcp({ from: 1000 + (n % 3), sequence, flags }, pattern(length, n + i));
  if (prng.below(20) === 0)
    return ether({ from: DB, to: WEB }, ipv4({ ...V4, id: i }, udp(1, 2, pattern(length + 12))));
  if (n % 2 === 0) return ether({ from: DB, to: WEB }, ipv6(V6, transport));
  return ether({ from: DB, to: WEB }, ipv4({ ...V4, id: (n + i) & 0xffff }, transport));
}
