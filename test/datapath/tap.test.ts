// What the datapath shows to a capture: marked ports only, each frame once, with its fate, and never with a checksum that is
// neither finished nor said to be unfinished.
import { strict as assert } from 'node:assert';
import { constants } from 'node:os';
import { DROP } from '../../src/datapath/drop-reasons.js';
import { ARRIVAL, DEPARTURE, ENTRY, type FrameTap, NOT_DROPPED } from '../../src/datapath/frame-tap.js';
import { CAPTURE_ARRIVALS, CAPTURE_DEPARTURES, CAPTURE_DROPS } from '../../src/datapath/program.js';
import type { Slab } from '../../src/frames/slab.js';
import { BROADCAST, ether, GSO_TCP4, ipv4, partial, pattern, superFrame, tcp } from '../support/frame-builders.js';
import { createLab, type LabSettings } from '../support/lab.js';
import { arp } from '../support/network-frames.js';
import { gatewayMac } from '../support/router-columns.js';
import { DB, message, WEB } from './stations.js';

const SNAPLEN = 256;
const EVERYTHING = CAPTURE_ARRIVALS | CAPTURE_DEPARTURES | CAPTURE_DROPS;

interface Seen {
  port: number;
  direction: number;
  reason: number;
  bytes: Uint8Array;
  checksumStart: number;
  checksumOffset: number;
}

/** Copies every frame as it is when it is shown. */
class CopyingTap implements FrameTap {
  readonly seen: Seen[] = [];
  readonly stamps: [number, number][] = [];
  commits = 0;
  private readonly slab: Slab;

  constructor(slab: Slab) {
    this.slab = slab;
  }

  setTime(seconds: number, nanoseconds: number): void {
    this.stamps.push([seconds, nanoseconds]);
  }

  record(
    at: number,
    length: number,
    ...rest: Parameters<FrameTap['record']> extends [number, number, ...infer R] ? R : never
  ) {
    this.recordSplit(0, 0, at, length, ...rest);
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
    snaplen: number,
  ): void {
    assert.equal(snaplen, SNAPLEN);
    const { bytes } = this.slab;
    const head = bytes.slice(headAt, headAt + headBytes);
    const body = bytes.slice(bodyAt, bodyAt + bodyBytes);
    this.seen.push({ port, direction, reason, bytes: Buffer.concat([head, body]), checksumStart, checksumOffset });
  }

  commit(): void {
    this.commits++;
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function capturing(ports: LabSettings['ports'], gateway?: LabSettings['gateway']) {
  let tap: CopyingTap | undefined;
  const lab = createLab({
    ports,
    ...(gateway === undefined ? {} : { gateway }),
    captureSnaplen: SNAPLEN,
    tap: (slab) => {
      tap = new CopyingTap(slab);
      return tap;
    },
  });
  return { lab, tap: tap! };
}

describe('tap', () => {
  it('sees what arrives and departs at marked ports, and nothing of others', () => {
    const { lab, tap } = capturing({
      web: { capture: CAPTURE_ARRIVALS },
      db: {},
      cache: { capture: CAPTURE_DEPARTURES },
    });
    const hello = message(WEB, BROADCAST, 'x');
    lab.send('web', hello);
    lab.expect({ db: [hello], cache: [hello] });
    const facts = tap.seen.map(({ port, direction, reason }) => ({ port, direction, reason }));
    assert.deepEqual(facts, [
      { port: lab.index('web'), direction: ARRIVAL, reason: NOT_DROPPED },
      { port: lab.index('cache'), direction: DEPARTURE, reason: NOT_DROPPED },
    ]);
    for (const { bytes } of tap.seen) assert.deepEqual(Buffer.from(bytes), Buffer.from(hello.bytes));
    assert.equal(tap.commits, 1);
  });

  it('sees nothing when no port is marked', () => {
    const { lab, tap } = capturing(['web', 'db']);
    lab.send('web', message(WEB, DB, 'x'));
    lab.take('db');
    assert.deepEqual(tap.seen, []);
  });

  it('sees why an arrival was dropped, and with the drop mark nothing else', () => {
    const { lab, tap } = capturing({ web: { capture: CAPTURE_DROPS }, db: {} });
    lab.send('web', message(BROADCAST, DB, 'bad'), message(WEB, DB, 'good'));
    lab.take('db');
    lab.expect({}, { 'invalid-source': 1 });
    const [only, ...rest] = tap.seen;
    assert.deepEqual(rest, []);
    assert.deepEqual([only!.direction, only!.reason], [ARRIVAL, DROP.invalidSource]);
  });

  it('sees why a departure was lost', () => {
    const { lab, tap } = capturing({ web: {}, db: { capture: EVERYTHING } });
    lab.io.port(lab.index('db')).transmitErrno = constants.errno.EIO;
    lab.send('web', message(WEB, DB, 'x'));
    lab.expect({}, { 'port-down': 1 });
    assert.deepEqual(
      tap.seen.map(({ direction, reason }) => [direction, reason]),
      [[DEPARTURE, DROP.portDown]],
    );
  });

  it('sees tags as they are on each port', () => {
    const { lab, tap } = capturing({ web: { vlan: 7, capture: EVERYTHING }, router: { capture: EVERYTHING } });
    lab.send('web', message(WEB, BROADCAST, 'x'));
    lab.take('router');
    const seen = new Map(tap.seen.map(({ direction, bytes }) => [direction, Buffer.from(bytes)]));
    assert.deepEqual(seen.get(ARRIVAL), Buffer.from(message(WEB, BROADCAST, 'x').bytes));
    assert.deepEqual(seen.get(DEPARTURE), Buffer.from(message(WEB, BROADCAST, 'x', [7]).bytes));
  });

  it('is told of every unfinished checksum, and of none that was finished meanwhile', () => {
    const marked = { capture: EVERYTHING };
    const { lab, tap } = capturing({
      web: marked,
      first: marked,
      trunk: { ...marked, vlan: { native: 9 } },
      old: { ...marked, accepts: 0 },
      last: marked,
    });
    const whole = message(WEB, BROADCAST, 'partial');
    lab.send('web', partial(whole));
    lab.ignoreDepartures();
    assert.equal(tap.seen.length, 4, 'trunk carries VLAN 9 and not the untagged domain');
    for (const { bytes, checksumStart, checksumOffset, port } of tap.seen) {
      const isFinished = checksumStart === -1;
      const expected = isFinished ? whole : partial(whole);
      assert.deepEqual(Buffer.from(bytes), Buffer.from(expected.bytes), `port ${port}`);
      if (!isFinished) assert.deepEqual([checksumStart, checksumOffset], [whole.l4At, whole.checksumOffset]);
    }
  });

  it('sees the segments of a super-frame where it was cut, and the super-frame where it was not', () => {
    const { lab, tap } = capturing({ web: { capture: EVERYTHING }, old: { capture: EVERYTHING, accepts: 0 } });
    const packet = ipv4({ from: '192.0.2.1', to: '192.0.2.2' }, tcp({}, pattern(2000)));
    const whole = superFrame(ether({ from: WEB, to: DB }, packet), GSO_TCP4, 1000);
    lab.send('web', whole);
    lab.take('old');
    assert.deepEqual(
      tap.seen.map(({ direction, bytes, checksumStart }) => [direction, bytes.length, checksumStart]),
      [
        [ARRIVAL, 2054, 34],
        [DEPARTURE, 1054, -1],
        [DEPARTURE, 1054, -1],
      ],
    );
  });

  it('sees, where only arrivals are wanted, what the router sends into the network, once', () => {
    const marked = { capture: CAPTURE_ARRIVALS };
    const { lab, tap } = capturing({ web: marked, db: marked }, { addresses: ['10.0.0.1/24'] });
    const question = arp({ from: WEB, ip: '10.0.0.2', target: '10.0.0.1' });
    const answer = arp({ from: gatewayMac(0), ip: '10.0.0.1', target: '10.0.0.2', to: WEB, reply: true });
    lab.send('web', question, message(WEB, BROADCAST, 'x'));
    lab.ignoreDepartures();
    assert.deepEqual(
      tap.seen.map(({ port, direction, bytes }) => [port, direction, hex(bytes)]),
      [
        [lab.index('web'), ARRIVAL, hex(question.bytes)],
        [lab.index('web'), ARRIVAL, hex(message(WEB, BROADCAST, 'x').bytes)],
        [lab.index('web'), ENTRY, hex(answer.bytes)],
      ],
    );
  });

  it('gets the time of each turn with frames', () => {
    const { lab, tap } = capturing({ web: { capture: EVERYTHING }, db: {} });
    lab.advance(1_700_000_000_123.5);
    lab.send('web', message(WEB, DB, 'x'));
    lab.take('db');
    assert.deepEqual(tap.stamps, [[1_700_000_000, 123_500_000]]);
  });
});
