// What captures show of frames that come in encapsulated: the datagram at the port of the VTEP, as it came, and the frame inside of it on
// the overlay network.
import { strict as assert } from 'node:assert';
import { DROP_REASONS } from '../../src/datapath/drop-reasons.js';
import { ARRIVAL, type FrameTap, NOT_DROPPED } from '../../src/datapath/frame-tap.js';
import { CAPTURE_ARRIVALS, CAPTURE_DROPS } from '../../src/datapath/program.js';
import type { Slab } from '../../src/frames/slab.js';
import {
  ether,
  ipv4,
  ipv6,
  join,
  partial,
  pattern,
  referenceSum,
  TCP_ACK,
  tcp,
  udp,
  word,
} from '../support/frame-builders.js';
import { createLab, type Lab } from '../support/lab.js';
import type { VtepSettings } from '../support/tunnel-columns.js';
import { datagram, outerFrame, vxlan } from '../support/vxlan-frames.js';
import { DB, message, WEB } from './stations.js';

const THERE = '192.0.2.2';

interface Shown {
  port: number;
  reason: string | null;
  bytes: Uint8Array;
}

/** Keeps what it is shown of arrivals, with checksums finished that are left to be finished. */
function keeper(shown: Shown[]): (slab: Slab) => FrameTap {
  return ({ bytes }) => {
    const recordSplit: FrameTap['recordSplit'] = (
      headAt,
      headBytes,
      bodyAt,
      bodyBytes,
      port,
      direction,
      reason,
      ...left
    ) => {
      if (direction !== ARRIVAL) return;
      const parts = join(bytes.slice(headAt, headAt + headBytes), bytes.slice(bodyAt, bodyAt + bodyBytes));
      const [start, offset] = left;
      if (start >= 0) parts.set(word(~referenceSum(parts.subarray(start)) & 0xffff), start + offset);
      shown.push({ port, reason: reason === NOT_DROPPED ? null : DROP_REASONS[reason]!.name, bytes: parts });
    };
    return {
      setTime() {},
      record: (at, length, ...rest) => recordSplit(at, 0, at, length, ...rest),
      recordSplit,
      commit() {},
    };
  };
}

function captured(vtep: VtepSettings, capture = CAPTURE_ARRIVALS): { lab: Lab; shown: () => unknown[] } {
  const list: Shown[] = [];
  const lab = createLab({
    vteps: { v: { ...vtep, capture } },
    ports: ['web'],
    overlay: { vtep: 'v', vni: 5000, capture },
    captureSnaplen: 262_144,
    tap: keeper(list),
  });
  const names = new Map(['v', 'tunnel/blue'].map((name) => [lab.index(name), name]));
  return { lab, shown: () => list.splice(0).map(({ port, reason, bytes }) => [names.get(port), reason, bytes]) };
}

/** The datagram as a capture of a socket shows it: nobody knows its MACs or its TTL. */
function asSeen(packet: ReturnType<typeof ipv4>): Uint8Array {
  return ether({ from: '00:00:00:00:00:00', to: '00:00:00:00:00:00' }, packet).bytes;
}

describe('captures of what comes in encapsulated', () => {
  it('show the datagram from a socket with headers, and the frame in it', () => {
    const { lab, shown } = captured({ kind: 'socket', address: '192.0.2.1' });
    const inner = message(DB, WEB, 'hello');
    const payload = vxlan(5000, inner.bytes);
    lab.send('v', datagram({ address: THERE, port: 50_001, trafficClass: 0x28 }, payload));
    lab.ignoreDepartures();
    const outer = ipv4({ from: THERE, to: '192.0.2.1', id: 0, flags: 0, tos: 0x28 }, udp(50_001, 4789, payload));
    assert.deepEqual(shown(), [
      ['v', null, asSeen(outer)],
      ['tunnel/blue', null, inner.bytes],
    ]);
  });

  it('do so over IPv6', () => {
    const { lab, shown } = captured({ kind: 'socket', address: '2001:db8::1' });
    const inner = message(DB, WEB, 'hello');
    const payload = vxlan(5000, inner.bytes);
    lab.send('v', datagram({ address: '2001:db8::2', port: 50_001, trafficClass: 0x28 }, payload));
    lab.ignoreDepartures();
    const packet = ipv6({ from: '2001:db8::2', to: '2001:db8::1', trafficClass: 0x28 }, udp(50_001, 4789, payload));
    assert.deepEqual(shown(), [
      ['v', null, asSeen(packet)],
      ['tunnel/blue', null, inner.bytes],
    ]);
  });

  it('show an inner checksum finished that a kernel left to hardware which was not there, and the outer one that goes with it', () => {
    const { lab, shown } = captured({ kind: 'socket', address: '192.0.2.1' });
    const inner = message(DB, WEB, 'hello');
    lab.send('v', datagram({ address: THERE, port: 50_001, trafficClass: 0 }, vxlan(5000, partial(inner).bytes)));
    lab.expect({ web: [partial(inner)] });
    const transport = udp(50_001, 4789, vxlan(5000, inner.bytes));
    const outer = ipv4({ from: THERE, to: '192.0.2.1', id: 0, flags: 0 }, transport);
    assert.deepEqual(shown()[0], ['v', null, asSeen(outer)]);
  });

  it('show each of joined datagrams as it was, and the super-frame that was made of them', () => {
    const { lab, shown } = captured({ kind: 'socket', address: '192.0.2.1' });
    const payloads = [0, 1, 2].map((n) => {
      const transport = tcp({ sequence: n * 500, flags: TCP_ACK }, pattern(500, n));
      return vxlan(
        5000,
        ether({ from: DB, to: WEB }, ipv4({ from: '10.0.0.1', to: '10.0.0.2', id: n }, transport)).bytes,
      );
    });
    lab.send('v', datagram(THERE, ...payloads));
    lab.ignoreDepartures();
    const seen = shown() as [string, null, Uint8Array][];
    assert.deepEqual(
      seen.map(([port, , bytes]) => [port, bytes.length]),
      [
        ['v', 42 + 562],
        ['v', 42 + 562],
        ['v', 42 + 562],
        ['tunnel/blue', 54 + 1500],
      ],
    );
    assert.deepEqual(
      seen.slice(0, 3).map(([, , bytes]) => bytes.slice(42)),
      payloads,
    );
  });

  it('show the frame of a TAP before the path is heard of in it', () => {
    const { lab, shown } = captured({ kind: 'tap', address: '192.0.2.1' });
    const packet = (tos: number) => ipv4({ from: '10.0.0.1', to: '10.0.0.2', tos }, udp(1, 2, 'x'));
    const inner = ether({ from: DB, to: WEB }, packet(2));
    const outer = outerFrame({ from: THERE, to: '192.0.2.1', tos: 3 }, vxlan(5000, inner.bytes));
    lab.send('v', outer);
    lab.ignoreDepartures();
    assert.deepEqual(shown(), [
      ['v', null, outer.bytes],
      ['tunnel/blue', null, ether({ from: DB, to: WEB }, packet(3)).bytes],
    ]);
  });

  it('show what is dropped, with the reason, where drops are wanted', () => {
    for (const vtep of [
      { kind: 'socket', address: '192.0.2.1' },
      { kind: 'tap', address: '192.0.2.1' },
    ] as const) {
      const { lab, shown } = captured(vtep, CAPTURE_DROPS);
      const good = vxlan(5000, message(DB, WEB, 'hello').bytes);
      const bad = vxlan(5001, message(DB, WEB, 'hello').bytes);
      const as = (payload: Uint8Array) =>
        vtep.kind === 'tap' ? outerFrame({ from: THERE, to: vtep.address }, payload) : datagram(THERE, payload);
      lab.send('v', as(good), as(bad));
      lab.ignoreDepartures();
      lab.takeDrops();
      assert.deepEqual(
        (shown() as [string, string, Uint8Array][]).map(([port, reason, bytes]) => [port, reason, bytes.length]),
        [['v', 'vxlan-unknown-vni', 42 + bad.length]],
      );
    }
  });
});
