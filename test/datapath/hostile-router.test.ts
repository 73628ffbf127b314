// Damaged and forged packets for the gateways of networks: ARP, neighbour discovery, ICMP, fragments, super-frames, from stations and from
// outside, through the router and the NAT. Every frame is accounted for, tables stay bounded and sound, nothing outside a frame is read or
// written, memory does not grow, and afterwards the router still routes.
import { strict as assert } from 'node:assert';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { dropAt, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { DROP_REASONS } from '../../src/datapath/drop-reasons.js';
import type { Program } from '../../src/datapath/program.js';
import { MAX_FRAME_BYTES, type Slab } from '../../src/frames/slab.js';
import type { TransmitQueue } from '../../src/frames/transmit-queue.js';
import { Prng } from '../../src/lib/prng.js';
import { checkConservation } from '../support/conservation.js';
import {
  BROADCAST,
  type BuiltFrame,
  ether,
  GSO_TCP4,
  GSO_TCP6,
  GSO_UDP,
  ipv4,
  ipv6,
  type Packet,
  partial,
  pattern,
  raw,
  referenceSum,
  superFrame,
  type TestFrame,
  type Transport,
  tcp,
  udp,
  word,
} from '../support/frame-builders.js';
import { HostileFrames } from '../support/hostile-frames.js';
import { checkMacTable } from '../support/mac-table-check.js';
import { checkNat } from '../support/nat-check.js';
import {
  advertisement,
  arp,
  icmpError,
  icmpv6Error,
  ping,
  ping6,
  routerSolicitation,
  solicitation,
  solicitedNode,
} from '../support/network-frames.js';
import { buildProgram, type NetworkSettings, type PortSettings } from '../support/program-builder.js';
import { createRig, type Rig } from '../support/rig.js';
import { gatewayMac } from '../support/router-columns.js';
import { DB, STRANGER, WEB } from './stations.js';

const SEED = 815;
const FRAMES = 1_000_000;
const WARM_UP = 200_000;
const COMPARED = 60_000;
const GROWTH_BYTES = 1 << 20;
const WORLD = '02:00:5e:00:00:04';

const NETWORKS: [string, NetworkSettings][] = [
  [
    'blue',
    {
      gateway: {
        addresses: ['10.0.0.1/24', 'fd00:a::1/64'],
        routesTo: ['red'],
        advertise: true,
        dhcp: true,
        service: 'dns',
        nat: {
          udp: 1,
          tcpTransitory: 1,
          icmp: 1,
          tcpEstablished: 2,
          flowLimit: 900,
          published: [{ port: 8080, inside: '10.0.0.2', insidePort: 80 }],
          static: [{ inside: '10.0.0.9', external: '203.0.113.9' }],
        },
      },
    },
  ],
  [
    'red',
    {
      mtu: 1000,
      gateway: {
        addresses: ['10.0.1.1/24', 'fd00:b::1/64'],
        routesTo: ['blue'],
        // As on an overlay network, here without its tunnel.
        ownMac: '02:77:00:00:00:01',
        suppress: true,
        neighbours: [
          { address: '10.0.1.7', mac: STRANGER },
          { address: 'fd00:b::7', mac: STRANGER, port: 'simple' },
        ],
      },
    },
  ],
  [
    'out',
    {
      mtu: 1400,
      gateway: {
        uplinkOf: 'blue',
        addresses: ['203.0.113.1/24', '203.0.113.9/24', '2001:db8:e::1/64'],
        reserved: ['203.0.113.9'],
        nextHops: ['203.0.113.254', '2001:db8:e::fe'],
        neighbours: [
          { address: '203.0.113.254', mac: WORLD, port: 'world' },
          { address: '2001:db8:e::fe', mac: WORLD, port: 'world' },
        ],
      },
    },
  ],
];
const PORTS: PortSettings[] = [
  {},
  { accepts: 0 },
  {},
  { network: 'red' },
  { network: 'red', accepts: 1 },
  { network: 'out' },
];
const NAMES = ['web', 'plain', 'dns', 'db', 'simple', 'world'];

function routerProgram(): Program {
  const ports = PORTS.map((port, index) => ({ ...port, index, serial: index + 1, name: NAMES[index]! }));
  return buildProgram(1, new Map(NETWORKS), ports);
}

const pick = <T>(prng: Prng, list: readonly T[]): T => list[prng.below(list.length)]!;
const V4 = [
  '10.0.0.2',
  '10.0.0.9',
  '10.0.0.1',
  '10.0.1.2',
  '10.0.1.7',
  '203.0.113.1',
  '203.0.113.9',
  '198.51.100.7',
  '255.255.255.255',
];
const V6 = [
  'fd00:a::2',
  'fd00:a::1',
  'fd00:b::2',
  'fd00:b::7',
  '2001:db8:e::1',
  '2001:db8:f::7',
  'fe80::2',
  'ff02::1',
  '::',
];
const ROUTES: [from: string, router: string][] = [
  [WEB, gatewayMac(0)],
  [DB, gatewayMac(1)],
  [WORLD, gatewayMac(2)],
];

function transport(prng: Prng, isIpv6: boolean): Transport {
  const data = pattern(prng.below(8) === 0 ? 1000 + prng.below(400) : prng.below(60));
  const port = () => pick(prng, [53, 67, 547, 80, 8080, 1024 + prng.below(200)]);
  const about4 = ipv4({ from: pick(prng, V4), to: pick(prng, V4) }, udp(port(), port(), data));
  const about6 = ipv6({ from: pick(prng, V6), to: pick(prng, V6) }, tcp({ from: port(), to: port() }, data));
  switch (prng.below(8)) {
    case 0:
      return isIpv6 ? ping6(prng.below(50), 1, data) : ping(prng.below(50), 1, data);
    case 1:
      return isIpv6
        ? icmpv6Error(1 + prng.below(4), prng.below(5), about6)
        : icmpError(pick(prng, [3, 11, 12]), prng.below(16), about4);
    case 2:
      return raw(pick(prng, [0, 1, 6, 17, 43, 44, 47, 51, 58, 59, 60, 132, 253]), data);
    case 3:
    case 4:
      return tcp({ from: port(), to: port(), flags: prng.below(64) }, data);
    default:
      return udp(port(), port(), data);
  }
}

function packet(prng: Prng): Packet {
  const ttl = prng.below(10) === 0 ? prng.below(2) : 64;
  if (prng.below(2) === 0) {
    const flags = pick(prng, [0x4000, 0x4000, 0x4000, 0, 0x2000, prng.below(0x4000)]);
    const [from, to] = prng.below(2) === 0 ? ['10.0.0.2', '198.51.100.7'] : [pick(prng, V4), pick(prng, V4)];
    const fields = { from, to, ttl, flags, id: prng.below(40) };
    return ipv4(
      { ...fields, options: prng.below(8) === 0 ? pattern(12, prng.below(256)) : new Uint8Array(0) },
      transport(prng, false),
    );
  }
  const types = [0, 43, 44, 60, 51, 135].slice(prng.below(6), 6).slice(0, prng.below(4));
  const extensions = types.map((type) => ({ type, options: pattern(6, prng.below(256)) }));
  return ipv6(
    { from: pick(prng, V6), to: pick(prng, V6), hopLimit: ttl, extensions: prng.below(4) === 0 ? extensions : [] },
    transport(prng, true),
  );
}

function discovery(prng: Prng): BuiltFrame {
  const [from, router] = pick(prng, ROUTES);
  const target = pick(prng, V6);
  const fields = { from: pick(prng, V6), to: pick(prng, [target, solicitedNode(target).ip, 'ff02::2']), hopLimit: 255 };
  const to = pick(prng, [router, solicitedNode(target).mac]);
  const message = pick(prng, [
    solicitation(target, pick(prng, [from, null])),
    advertisement(target, pick(prng, [from, null]), { solicited: prng.below(2) === 0 }),
    routerSolicitation(pick(prng, [from, null])),
  ]);
  return ether({ from, to }, ipv6(fields, message));
}

function template(prng: Prng, i: number): TestFrame {
  const [from, router] = pick(prng, ROUTES);
  if (i % 10 === 0) {
    const fields = { from, ip: pick(prng, V4), target: pick(prng, V4), to: pick(prng, [router, BROADCAST]) };
    return arp({ ...fields, reply: prng.below(2) === 0 });
  }
  if (i % 10 === 1) return discovery(prng);
  const frame = ether(
    { from, to: prng.below(12) === 0 ? BROADCAST : router, tags: prng.below(20) === 0 ? [0] : [] },
    packet(prng),
  );
  if (i % 10 === 2) {
    const data = pattern(3000 + prng.below(9000));
    const [type, large] = pick(prng, [
      [GSO_TCP4, ipv4({ from: '10.0.0.2', to: pick(prng, V4) }, tcp({ to: 80 }, data))],
      [GSO_TCP6, ipv6({ from: 'fd00:a::2', to: pick(prng, V6) }, tcp({ to: 80 }, data))],
      [GSO_UDP, ipv4({ from: '10.0.0.2', to: pick(prng, V4) }, udp(9, 9, data))],
    ] as const);
    return superFrame(ether({ from, to: router }, large), type, pick(prng, [536, 900, 1348, 1448]));
  }
  const isWhole = frame.l4At >= 0 && frame.checksumOffset >= 0;
  return isWhole && prng.below(3) === 0 ? partial(frame) : frame;
}

/** Damaged frames of which three in four have a header checksum again, so that they are looked into. */
class HostilePackets {
  readonly frames: HostileFrames;
  private readonly prng: Prng;

  constructor(seed: number) {
    const prng = new Prng(seed);
    this.prng = prng;
    const templates = Array.from({ length: 900 }, (_, i) => template(prng, i));
    const addresses = [WEB, DB, WORLD, ...ROUTES.map(([, router]) => router), BROADCAST, '33:33:00:00:00:02'];
    this.frames = new HostileFrames(seed, { templates, addresses });
  }

  readonly write = (port: number, slab: Slab, at: number): number => {
    const length = this.frames.write(port, slab, at);
    const { view } = slab;
    if (length < 34 || view.getUint16(at + 12) !== 0x0800 || this.prng.below(4) === 0) return length;
    const headerBytes = (view.getUint8(at + 14) & 15) * 4;
    if (headerBytes < 20 || 14 + headerBytes > length) return length;
    // Another port, so another flow.
    if (length > 36 && this.prng.below(4) === 0) view.setUint16(at + 34, this.prng.below(65_536));
    view.setUint16(at + 24, 0);
    const sum = referenceSum(slab.bytes.slice(at + 14, at + 14 + headerBytes));
    slab.bytes.set(word(~sum & 0xffff), at + 24);
    return length;
  };
}

/** Looks at departures, and adds up what they are. */
class Witness {
  digest = 0x811c9dc5;
  count = 0;
  private readonly isDigesting: boolean;

  constructor(isDigesting: boolean) {
    this.isDigesting = isDigesting;
  }

  readonly take = (queue: TransmitQueue, row: number, slab: Slab): number => {
    this.count++;
    const headAt = queue.headAt[row]!;
    const headBytes = queue.headBytes[row]!;
    const bodyAt = queue.bodyAt[row]!;
    const bodyBytes = queue.bodyBytes[row]!;
    if (headBytes < 0 || bodyBytes < 0 || headBytes + bodyBytes > MAX_FRAME_BYTES + 64) assert.fail('an odd length');
    if (headAt + headBytes > slab.bytes.length || bodyAt + bodyBytes > slab.bytes.length)
      assert.fail('outside the slab');
    if (this.isDigesting) {
      this.add(slab, headAt, headBytes);
      this.add(slab, bodyAt, bodyBytes);
    }
    return 0;
  };

  private add(slab: Slab, at: number, length: number): void {
    for (let i = at; i < at + length; i++) this.digest = Math.imul(this.digest ^ slab.bytes[i]!, 0x01000193);
  }
}

function routerRig(seed: number, poison: number, isDigesting: boolean) {
  const source = new HostilePackets(seed);
  const witness = new Witness(isDigesting);
  let turns = 0;
  const program = routerProgram();
  const senders = PORTS.map((_, index) => index);
  const rig = createRig({ program, senders, source: source.write, sink: witness.take, poison, nowMs: () => turns });
  const run = (frames: number): void => {
    while (source.frames.count < frames) {
      turns += 3;
      rig.datapath.turn(0);
      rig.io.checkPoison();
    }
  };
  return { rig, source, witness, run };
}

function checkBooks(rig: Rig, frames: number): void {
  const { values } = rig.counters;
  assert.equal(values[totalAt(TOTAL.arrivals)], frames, 'every frame was seen');
  checkConservation(values);
  checkMacTable(rig.macs, rig.macMemory);
  checkNat(rig.nat);
  assert.deepEqual(rig.datapath.faults, []);
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe('hostile packets for the router', function () {
  this.timeout(240_000);

  it(`are accounted for, a million of them, without growing (seed ${SEED})`, () => {
    const { rig, source, run, witness } = routerRig(SEED, 0xa5, false);
    run(WARM_UP);
    const before = heapBytes();
    run(FRAMES);
    const growth = heapBytes() - before;
    checkBooks(rig, source.frames.count);
    assert.ok(growth < GROWTH_BYTES, `the heap grew by ${growth} bytes`);
    const { values } = rig.counters;
    const met = DROP_REASONS.filter(({ stage }, code) => ROUTER_STAGES.includes(stage) && values[dropAt(code)]! > 0);
    const unmet = ROUTER_REASONS.filter((name) => !met.some((reason) => reason.name === name));
    assert.deepEqual(unmet, [], 'reasons that did not occur');
    for (const total of ['forwarded', 'consumed', 'originated'] as const) {
      assert.ok(values[totalAt(TOTAL[total])]! > 1000, `${total}: ${values[totalAt(TOTAL[total])]}`);
    }
    assert.ok(values[totalAt(TOTAL.flowsOpened)]! > 100 && values[totalAt(TOTAL.flowsExpired)]! > 100);
    assert.ok(witness.count > 100_000);

    const hello = ether({ from: WEB, to: gatewayMac(0) }, ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, ping(1, 1)));
    const answers: string[] = [];
    let isSent = false;
    rig.io.source = (port, slab, at) => {
      if (port !== 0 || isSent) return -1;
      isSent = true;
      slab.bytes.fill(0, at - 12, at);
      slab.bytes.set(hello.bytes, at);
      return hello.bytes.length;
    };
    rig.io.sink = (queue, row, slab) => {
      const end = queue.bodyAt[row]! + queue.bodyBytes[row]!;
      const bytes = slab.bytes.slice(end - hello.bytes.length, end);
      if (queue.port[row] === 0) answers.push(Buffer.from(bytes).toString('hex'));
      return 0;
    };
    for (let turn = 0; turn < 10; turn++) rig.datapath.turn(0);
    const answer = ether(
      { from: gatewayMac(0), to: WEB },
      ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, ping(1, 1, 'ping', true)),
    );
    assert.ok(answers.includes(Buffer.from(answer.bytes).toString('hex')), 'the gateway answers a ping');
  });

  it('do the same whatever lies in memory around the frames: nothing outside them is read', () => {
    const runs = [0x00, 0xff, 0x81].map((poison) => {
      const { rig, source, witness, run } = routerRig(SEED + 1, poison, true);
      run(COMPARED);
      checkBooks(rig, source.frames.count);
      return { digest: witness.digest, departures: witness.count, counters: rig.counters.values };
    });
    assert.deepEqual(runs[1], runs[0]);
    assert.deepEqual(runs[2], runs[0]);
  });
});

const ROUTER_STAGES = ['network-layer', 'gateway', 'route', 'nat-inbound', 'nat-outbound'];
/** What a flood of such packets meets; the limits of tables have tests of their own. */
const ROUTER_REASONS = [
  'bad-ip',
  'bad-ip-source',
  'ttl-expired',
  'no-route',
  'no-neighbour',
  'too-big',
  'no-service',
  'nat-no-mapping',
  'nat-no-session',
  'nat-protocol',
  'nat-bad-icmp',
  'bad-fragment',
  'service-limit',
];
