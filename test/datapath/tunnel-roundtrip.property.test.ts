// Two datapaths with a tunnel between them: whatever a stack may send on one side, its packets come out on the other side as a kernel
// would have put them on a wire, in order and to the byte, whatever each underlay offloads.
import { strict as assert } from 'node:assert';
import { ACCEPTS_TUNNEL_CSUM, ACCEPTS_TUNNEL_GSO } from '../../src/datapath/program.js';
import { Prng } from '../../src/lib/prng.js';
import { ether, type TestFrame } from '../support/frame-builders.js';
import { createLab, type Lab } from '../support/lab.js';
import { datagramsOf, onTheWire, readOuter, readVxlan } from '../support/outer-frames.js';
import { ACCEPTS_ALL } from '../support/program-builder.js';
import { pick, randomBytes, randomPartial, randomSuperFrame } from '../support/random-frames.js';
import type { VtepSettings } from '../support/tunnel-columns.js';
import { DB, WEB } from './stations.js';

const SEED = 0x5eed;
const ROUNDS = 150;
const MTU = 65_535;
const OFFLOAD = ACCEPTS_ALL | ACCEPTS_TUNNEL_GSO | ACCEPTS_TUNNEL_CSUM;
const KINDS = ['TCP over IPv4', 'TCP over IPv6', 'UDP over IPv4', 'UDP over IPv6'] as const;

type Underlay = Omit<VtepSettings, 'address'>;

const underlays: Record<string, Underlay> = {
  sockets: { kind: 'socket', senders: 2 },
  'sockets that do not join': { kind: 'socket', senders: 2, joins: false },
  'a TAP': { kind: 'tap', headerBytes: 12 },
  'a TAP without offloads and with checksums': { kind: 'tap', headerBytes: 0, accepts: 0, checksum: true },
  'a TAP with checksums': { kind: 'tap', headerBytes: 12, checksum: true },
  'a TAP with tunnel offload': { kind: 'tap', headerBytes: 24, accepts: OFFLOAD },
  'a TAP with tunnel offload and checksums': { kind: 'tap', headerBytes: 24, accepts: OFFLOAD, checksum: true },
};

function host(underlay: Underlay, address: string, peer: string): Lab {
  return createLab({
    ports: { station: { accepts: ACCEPTS_ALL }, old: { accepts: 0 } },
    mtu: MTU,
    vteps: { v: { ...underlay, address, mtu: MTU } },
    overlay: { vtep: 'v', vni: 77, floods: [peer], keepVlans: true },
  });
}

/** Takes what left one host to the other, as the kernels between them would. */
function carry(from: Lab, to: Lab, address: string, underlay: Underlay): void {
  if (underlay.kind === 'tap') {
    to.send('v', ...from.take('v').map((frame) => ({ ...frame, bytes: arriving(frame) })));
    return;
  }
  for (let n = 0; n < 2; n++) {
    for (const message of from.take(`v/${n}`)) {
      const { segmentBytes = 0, trafficClass = 0 } = message.peer!;
      const peer = { address, port: 50_000 + n, segmentBytes, trafficClass };
      to.send('v', { bytes: message.bytes, vnet: null, peer });
    }
  }
}

/** The MACs of the other host, whose router is in between. */
function arriving({ bytes }: TestFrame): Uint8Array {
  const turned = bytes.slice();
  turned.set(bytes.subarray(6, 12), 0);
  turned.set(bytes.subarray(0, 6), 6);
  return turned;
}

/** What a frame is to a wire. */
function pieces(from: Lab, underlay: Underlay): Uint8Array[] {
  if (underlay.kind === 'tap')
    return from
      .take('v')
      .flatMap(onTheWire)
      .map((bytes) => readOuter(bytes).inner);
  const messages = [0, 1].flatMap((n) => from.take(`v/${n}`));
  return messages.flatMap(datagramsOf).map((bytes) => readVxlan(bytes).inner);
}

function randomFrame(prng: Prng): TestFrame {
  const addresses = { from: WEB, to: DB };
  const choice = prng.below(6);
  if (choice < 4) return randomSuperFrame(prng, KINDS[choice]!, addresses);
  if (choice === 4) return randomPartial(prng, addresses);
  return ether(addresses, randomBytes(prng, prng.below(1400)));
}

describe('a tunnel between two hosts', function () {
  this.timeout(120_000);

  for (const [name, underlay] of Object.entries(underlays)) {
    it(`carries what stacks send, over ${name} (seed ${SEED})`, () => {
      const prng = new Prng(SEED);
      const [here, there] = pick(prng, [
        ['192.0.2.1', '192.0.2.2'],
        ['2001:db8::1', '2001:db8::2'],
      ]) as [string, string];
      const first = host(underlay, here, there);
      const second = host(underlay, there, here);
      const judge = host(underlay, here, there);
      for (let round = 0; round < ROUNDS; round++) {
        const frame = randomFrame(prng);
        // What the port without offloads gets on the first host is what the second one has to deliver to such a port.
        first.send('station', frame);
        const expected = first.take('old').map(({ bytes }) => bytes);
        assert.ok(expected.length > 0);
        carry(first, second, here, underlay);
        const arrived = second.take('old').map(({ bytes }) => bytes);
        assert.deepEqual(arrived, expected, `round ${round}`);
        second.take('station');
        judge.send('station', frame);
        judge.take('old');
        assert.deepEqual(pieces(judge, underlay), expected, `round ${round}, on the wire`);
      }
    });
  }
});
