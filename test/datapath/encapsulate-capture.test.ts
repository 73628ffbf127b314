// What captures see of frames that leave by a tunnel: the inner frame once at the port of the tunnel, the outer ones at the ports of
// the VTEP, whole and with right checksums, whoever writes their heads.
import { strict as assert } from 'node:assert';
import { constants } from 'node:os';
import { DROP } from '../../src/datapath/drop-reasons.js';
import { DEPARTURE, ENTRY, type FrameTap, NOT_DROPPED } from '../../src/datapath/frame-tap.js';
import { CAPTURE_ARRIVALS, CAPTURE_DEPARTURES, CAPTURE_DROPS } from '../../src/datapath/program.js';
import type { Slab } from '../../src/frames/slab.js';
import { ether, ipv4, partial, pattern, udp } from '../support/frame-builders.js';
import { createLab, type LabSettings } from '../support/lab.js';
import { onTheWire, readOuter } from '../support/outer-frames.js';
import { tunnelOf, type VtepSettings } from '../support/tunnel-columns.js';
import { DB, message, WEB } from './stations.js';
import {
  bytesOf,
  frame,
  HERE,
  HERE6,
  inners,
  segments,
  socket,
  superTcp,
  THERE,
  THERE6,
  tap,
  V4,
} from './tunnelled.js';

const EVERYTHING = CAPTURE_ARRIVALS | CAPTURE_DEPARTURES | CAPTURE_DROPS;

interface Seen {
  port: number;
  direction: number;
  reason: number;
  /** With its checksum finished. */
  bytes: Uint8Array;
}

/** Keeps every frame as a capture does. */
class Recorder implements FrameTap {
  readonly seen: Seen[] = [];
  private readonly slab: Slab;

  constructor(slab: Slab) {
    this.slab = slab;
  }

  setTime(): void {}

  record(at: number, length: number, port: number, direction: number, reason: number, start: number, offset: number) {
    this.recordSplit(0, 0, at, length, port, direction, reason, start, offset);
  }

  recordSplit(
    headAt: number,
    headBytes: number,
    bodyAt: number,
    bodyBytes: number,
    port: number,
    direction: number,
    reason: number,
    checksumStart: number,
    checksumOffset: number,
  ): void {
    const { bytes: all } = this.slab;
    const parts = [all.slice(headAt, headAt + headBytes), all.slice(bodyAt, bodyAt + bodyBytes)];
    const bytes = Uint8Array.from(Buffer.concat(parts));
    const rest = { headerLength: 0, gsoSize: 0, gsoType: 0, flags: 1, checksumStart, checksumOffset };
    const [finished] = onTheWire({ bytes, vnet: checksumStart < 0 ? null : rest });
    this.seen.push({ port, direction, reason, bytes: finished! });
  }

  commit(): void {}
}

function capturing(vtep: VtepSettings, overlay: Partial<NonNullable<LabSettings['overlay']>> = {}, ports = {}) {
  let recorder: Recorder | undefined;
  const lab = createLab({
    ports: { web: {}, ...ports },
    vteps: { v: { ...vtep, capture: vtep.capture ?? EVERYTHING } },
    overlay: { vtep: 'v', vni: 5000, floods: [vtep.address === HERE ? THERE : THERE6], capture: 0, ...overlay },
    captureSnaplen: 65535,
    tap: (slab) => {
      recorder = new Recorder(slab);
      return recorder;
    },
  });
  return { lab, tap: recorder! };
}

describe('captures of encapsulated frames', () => {
  for (const address of [HERE, HERE6]) {
    for (const kind of ['tap', 'socket'] as const) {
      it(`see outer frames at the VTEP, over ${kind === 'tap' ? 'a TAP' : 'sockets'} from ${address}`, () => {
        const vtep = kind === 'tap' ? tap({ address, checksum: true }) : socket({ address, senders: 1 });
        const { lab, tap: recorder } = capturing(vtep);
        const whole = frame(ipv4({ ...V4, tos: 0xb9 }, udp(1000, 53, 'x')));
        lab.send('web', partial(whole), superTcp(pattern(3000), 1400));
        lab.ignoreDepartures();
        const port = lab.index(kind === 'tap' ? 'v' : 'v/0');
        const facts = recorder.seen.map((seen) => [seen.port, seen.direction, seen.reason]);
        assert.deepEqual(facts, Array(4).fill([port, ENTRY, NOT_DROPPED]));
        const read = recorder.seen.map(({ bytes }) => readOuter(bytes));
        assert.deepEqual(inners(read), bytesOf([whole, ...segments(pattern(3000), 1400)]));
        assert.deepEqual([read[0]!.from, read[0]!.to], [address, address === HERE ? THERE : THERE6]);
        assert.deepEqual([read[0]!.trafficClass, read[0]!.destinationPort, read[0]!.hasChecksum], [0xb9, 4789, true]);
      });
    }
  }

  for (const checksum of [false, true]) {
    it(`see joined datagrams of a TAP one by one, ${checksum ? 'with' : 'without'} checksums, and also when they are refused joined`, () => {
      for (const errno of [0, constants.errno.EINVAL]) {
        const { lab, tap: recorder } = capturing(tap({ checksum }));
        lab.io.port(lab.index('v')).joinErrno = errno;
        const sent = [0, 1, 2].map((n) => frame(ipv4({ ...V4, id: n }, udp(1000, 53, pattern(n === 2 ? 9 : 20, n)))));
        lab.send('web', ...sent);
        lab.ignoreDepartures();
        const read = recorder.seen.map(({ bytes }) => readOuter(bytes));
        assert.deepEqual(inners(read), bytesOf(sent));
        assert.ok(read.every((outer) => outer.hasChecksum === checksum));
      }
    });
  }

  it('see inner frames at the tunnel, once however many peers get them, as they are in the tunnel', () => {
    const { lab, tap: recorder } = capturing(
      socket({ senders: 1, capture: 0 }),
      { capture: CAPTURE_DEPARTURES, floods: [THERE, '192.0.2.3'], keepVlans: true },
      { web: { vlan: 7 } },
    );
    const packet = ipv4(V4, udp(1000, 53, 'x'));
    lab.send('web', partial(frame(packet)));
    lab.ignoreDepartures();
    const tagged = ether({ from: WEB, to: DB, tags: [7] }, packet);
    const port = lab.index(tunnelOf('blue'));
    assert.deepEqual(recorder.seen, [{ port, direction: DEPARTURE, reason: NOT_DROPPED, bytes: tagged.bytes }]);
  });

  it('see what the tunnel drops and what the underlay refuses', () => {
    const { lab, tap: recorder } = capturing(socket({ senders: 1, mtu: 1500 }), { capture: CAPTURE_DROPS });
    lab.io.port(lab.index('v/0')).transmitErrno = constants.errno.EMSGSIZE;
    const large = frame(ipv4(V4, udp(1, 2, pattern(1450))));
    const hello = message(WEB, DB, 'hello');
    lab.send('web', large, hello);
    assert.deepEqual(
      recorder.seen.map(({ port, reason }) => [port, reason]),
      [
        [lab.index(tunnelOf('blue')), DROP.exceedsUnderlay],
        [lab.index('v/0'), DROP.exceedsUnderlay],
      ],
    );
    assert.deepEqual(recorder.seen[0]!.bytes, large.bytes);
    assert.deepEqual(readOuter(recorder.seen[1]!.bytes).inner, hello.bytes);
    lab.expect({}, { 'exceeds-underlay': 2 });
  });

  it('see datagrams that were refused joined only once', () => {
    const { lab, tap: recorder } = capturing(socket({ senders: 1 }));
    lab.io.port(lab.index('v/0')).joinErrno = constants.errno.EIO;
    lab.send('web', superTcp(pattern(3000), 1400), message(WEB, DB, 'behind'));
    lab.ignoreDepartures();
    const seen = recorder.seen.map(({ bytes }) => String(readOuter(bytes).inner));
    const expected = [...segments(pattern(3000), 1400), message(WEB, DB, 'behind')];
    assert.deepEqual(seen.sort(), bytesOf(expected).map(String).sort());
  });
});
