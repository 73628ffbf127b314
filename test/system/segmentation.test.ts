/**
 * Segmentation and checksums against the kernel itself, byte by byte.
 *
 * The same frame goes two ways. One is a TAP with vnet headers in a namespace whose bridge joins it to a second TAP without
 * offloads: the kernel has to cut the frame and finish its checksums before a program can read it there. The other is weft's
 * datapath with a port that accepts nothing. What comes out must be the same, for some hundred random frames of each kind.
 * Another WEFT_TEST_SEED in the environment gives other frames.
 */
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { Prng } from '../../src/lib/prng.js';
import {
  errorName,
  native,
  OFFLOAD_CHECKSUM,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
  PORT_TAP,
  TAP_EXCLUSIVE,
  TAP_VNET_HEADER,
} from '../../src/native/index.js';
import { type BoundBurst, bind } from '../native/forwarder.js';
import { ip, Lab as NativeLab, needsRoot, ok } from '../native/lab.js';
import {
  ether,
  ipv4,
  join,
  partial,
  superFrame,
  type TestFrame,
  tcp,
  udp,
  VNET_BYTES,
  vnetBytes,
} from '../support/frame-builders.js';
import { printFrame } from '../support/frame-printer.js';
import { createLab, type Lab } from '../support/lab.js';
import { randomPartial, randomSuperFrame, type SuperFrameKind } from '../support/random-frames.js';

const SEED = Number(process.env.WEFT_TEST_SEED ?? 20261);
const CASES = 200;
const SLAB_BYTES = 1 << 22;
const ROWS = 2048;
const BODY_AT = 256;
const WRITER = 0;
const READER = 1;
const LARGEST_MTU = 65521;
/** How long the kernel may take for a frame, and how long it is listened to for one too many. */
const PATIENCE_MICROS = 100_000;
const SILENCE_MICROS = 300;
/** No router solicitations between the frames, and no netfilter that judges what it bridges. */
const QUIET = `
  for scope in all default; do echo 1 > /proc/sys/net/ipv6/conf/$scope/disable_ipv6; done
  for file in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e "$file" ] || echo 0 > "$file"; done`;
const ADDRESSES = { from: '02:00:5e:00:00:01', to: '02:00:5e:00:00:02' };

/** The kernel's way: two TAPs on a bridge. */
class KernelPath {
  readonly hasUso: boolean;
  private readonly burst: BoundBurst;

  constructor(lab: NativeLab) {
    const ns = lab.namespace();
    execFileSync('ip', ['netns', 'exec', ns.name, 'sh', '-c', QUIET]);
    ip(ns.name, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
    this.burst = bind(ROWS, SLAB_BYTES);
    const writer = this.addTap(lab, ns, WRITER, 'whole', TAP_VNET_HEADER);
    this.addTap(lab, ns, READER, 'cut', 0);
    ip(ns.name, 'link', 'set', 'br0', 'up');
    const wanted = OFFLOAD_CHECKSUM | OFFLOAD_USO4 | OFFLOAD_USO6;
    this.hasUso = ok(native.probeTapOffloads(writer, wanted)) === wanted;
  }

  private addTap(lab: NativeLab, ns: { name: string; fd: number }, port: number, name: string, flags: number): number {
    const fd = lab.tap(ns.fd, name, flags | TAP_EXCLUSIVE);
    ip(ns.name, 'link', 'set', name, 'mtu', `${LARGEST_MTU}`, 'txqueuelen', '10000', 'master', 'br0', 'up');
    lab.port(port, fd, PORT_TAP, flags === 0 ? 0 : VNET_BYTES);
    return fd;
  }

  /** Writes a frame into the one TAP and reads what comes out of the other: `expected` frames, or as many as there are. */
  pass(frame: TestFrame, expected: number): Uint8Array[] {
    const { burst } = this;
    const bytes = join(vnetBytes(frame.vnet), frame.bytes);
    burst.slab.set(bytes, BODY_AT);
    burst.txPort[0] = WRITER;
    burst.txHeadBytes[0] = 0;
    burst.txBodyAt[0] = BODY_AT;
    burst.txBodyBytes[0] = bytes.length;
    native.transmitBurst(0, 1);
    if (burst.txResult[0] !== 0) assert.fail(`${errorName(burst.txResult[0]!)} for ${printFrame(frame)}`);
    const frames: Uint8Array[] = [];
    while (ok(native.wait(frames.length < expected ? PATIENCE_MICROS : SILENCE_MICROS)) > 0) {
      const count = ok(native.receiveBurst(READER, 0, ROWS, 0, SLAB_BYTES), 'receiveBurst');
      for (let row = 0; row < count; row++) {
        const start = burst.rxStart[row]!;
        frames.push(burst.slab.slice(start, start + burst.rxLength[row]!));
      }
    }
    return frames;
  }
}

describe('segmentation and checksums, against the kernel', function () {
  this.timeout(120_000);
  let nativeLab: NativeLab;
  let kernel: KernelPath;
  let weft: Lab;

  before(function () {
    needsRoot.call(this);
    nativeLab = new NativeLab();
    try {
      kernel = new KernelPath(nativeLab);
    } catch (error) {
      nativeLab.close();
      throw error;
    }
  });
  after(() => nativeLab?.close());
  beforeEach(() => {
    weft = createLab({ mtu: LARGEST_MTU, ports: { whole: {}, cut: { accepts: 0 } } });
  });

  /** Sends a frame both ways; returns how many frames came out of each. */
  function compare(frame: TestFrame, what: string): number {
    weft.send('whole', frame);
    const mine = weft.take('cut').map(({ bytes }) => printFrame({ bytes, vnet: null }));
    const theirs = kernel.pass(frame, mine.length).map((bytes) => printFrame({ bytes, vnet: null }));
    const at = mine.findIndex((line, n) => line !== theirs[n]);
    const different = at < 0 ? theirs.length : at;
    assert.deepEqual(
      [mine.length, mine[different]],
      [theirs.length, theirs[different]],
      `${what}: piece ${different} of ${printFrame(frame)}`,
    );
    return mine.length;
  }

  const kinds: readonly SuperFrameKind[] = ['TCP over IPv4', 'TCP over IPv6', 'UDP over IPv4', 'UDP over IPv6'];
  for (const kind of kinds) {
    it(`cuts ${kind} as the kernel does: ${CASES} random super-frames`, function () {
      if (kind.startsWith('UDP') && !kernel.hasUso) this.skip(); // before Linux 6.2
      const prng = new Prng(SEED + kind.charCodeAt(0) + kind.charCodeAt(kind.length - 1));
      let pieces = 0;
      for (let n = 0; n < CASES; n++) {
        pieces += compare(randomSuperFrame(prng, kind, ADDRESSES), `seed ${SEED}, ${kind}, case ${n}`);
      }
      assert.ok(pieces > 5 * CASES, `${pieces} pieces`);
      assert.ok(weft.total('segmented') === CASES, 'weft cut every one of them');
    });
  }

  it(`finishes checksums as the kernel does: ${2 * CASES} random frames`, () => {
    const prng = new Prng(SEED);
    for (let n = 0; n < 2 * CASES; n++) {
      assert.equal(compare(randomPartial(prng, ADDRESSES), `seed ${SEED}, case ${n}`), 1);
    }
    assert.equal(weft.total('completed'), 2 * CASES);
  });

  it('sends the same form of a checksum that comes out as zero, whole and cut, over TCP and UDP', () => {
    const addresses = { from: '192.0.2.1', to: '192.0.2.2' };
    for (const [transport, gsoType] of [
      [(data: Uint8Array) => udp(4000, 53, data), 5],
      [(data: Uint8Array) => tcp({}, data), 1],
    ] as const) {
      if (gsoType === 5 && !kernel.hasUso) continue;
      // The last two payload bytes of a piece are the checksum over the rest of it, so that the sum over all is zero.
      const size = 100;
      const open = ipv4(addresses, transport(new Uint8Array(size)));
      const field = open.l4At + open.checksumOffset;
      const sum = (open.bytes[field]! << 8) | open.bytes[field + 1]!;
      const piece = new Uint8Array(size);
      piece.set([sum >> 8, sum & 0xff], size - 2);
      const single = ether(ADDRESSES, ipv4(addresses, transport(piece)));
      const checksum = single.bytes.subarray(single.l4At + single.checksumOffset).subarray(0, 2);
      assert.ok([0, 0xffff].includes((checksum[0]! << 8) | checksum[1]!), 'the sum is zero in one of its forms');
      compare(partial(single), `a whole frame of GSO type ${gsoType}`);
      const double = ether(ADDRESSES, ipv4(addresses, transport(join(piece, piece))));
      compare(superFrame(double, gsoType, size), `a super-frame of GSO type ${gsoType}`);
    }
  });
});
