/**
 * What a turn costs that takes frames into a tunnel, and one that takes the same datagrams out of it at the other end, in ns per frame of
 * a station and in ns per datagram. The whole datapath over memory, with the checksums of the addon; no system calls.
 *
 *   node dist/test/perf/bench-tunnels.js [--json]
 *
 * The fastest of RUNS runs counts, because everything that disturbs a run makes it slower.
 */
import { TOTAL, totalAt } from '../../src/datapath/counters.js';
import { PEER_CONTINUES } from '../../src/frames/peer-rows.js';
import type { TransmitQueue } from '../../src/frames/transmit-queue.js';
import { native } from '../../src/native/index.js';
import { createNativeIo } from '../../src/ports/native-io.js';
import { createRig, type Rig, type RigOptions } from '../support/rig.js';
import { introduce, WORKLOADS, type Workload } from '../support/workloads.js';

const RUNS = 5;
const RUN_MS = 300;
/** Messages of the first end that the second one gets, again and again. */
const MESSAGES = 256;
/** Row of the port that VTEPs receive by; the station has the first one. */
const VTEP_PORT = 1;
const PEER = Int32Array.of((198 << 24) | (18 << 16), 0, 0, 0);

interface Message {
  /** With the vnet header, if the port has one. */
  bytes: Uint8Array;
  headerBytes: number;
  segmentBytes: number;
}

interface Result {
  workload: string;
  direction: 'in' | 'out';
  nsPerFrame: number;
  nsPerDatagram: number;
}

const wakeFd = native.createWake();

function rigOf(options: RigOptions): Rig {
  const rig = createRig(options);
  rig.io.sum = createNativeIo(rig.slab, rig.frames, rig.queue, wakeFd).sum;
  return rig;
}

/** What the first end writes, messages of joined datagrams in one piece. */
function record(workload: Workload): { messages: Message[]; datagramsPerFrame: number } {
  const messages: Message[] = [];
  let datagrams = 0;
  const sink = (queue: TransmitQueue, row: number, slab: Rig['slab']): number => {
    const head = slab.bytes.subarray(queue.headAt[row]!, queue.headAt[row]! + queue.headBytes[row]!);
    const body = slab.bytes.subarray(queue.bodyAt[row]!, queue.bodyAt[row]! + queue.bodyBytes[row]!);
    const bytes = Uint8Array.from(Buffer.concat([head, body]));
    const headerBytes = queue.overheadBytes[row]!;
    datagrams++;
    if (headerBytes === 0 && (queue.txPeer.flags(row) & PEER_CONTINUES) !== 0) {
      const message = messages.at(-1)!;
      message.bytes = Uint8Array.from(Buffer.concat([message.bytes, bytes]));
    } else {
      const segmentBytes = headerBytes === 0 ? queue.txPeer.segmentBytes(row) : 0;
      messages.push({ bytes: headerBytes === 0 ? bytes : mirrored(bytes, headerBytes), headerBytes, segmentBytes });
    }
    return 0;
  };
  const rig = rigOf({ program: workload.program, senders: workload.senders, source: workload.source, sink });
  introduce(rig.macs, workload);
  let frames = 0;
  while (messages.length < MESSAGES) frames += rig.datapath.turn(0);
  return { messages, datagramsPerFrame: datagrams / frames };
}

/** From the other end: MAC and IPv4 addresses have changed places, which leaves every checksum as it is. */
function mirrored(bytes: Uint8Array, headerBytes: number): Uint8Array {
  const turned = bytes.slice();
  for (const [at, size] of [
    [headerBytes, 6],
    [headerBytes + 14 + 12, 4],
  ] as const) {
    turned.set(bytes.subarray(at, at + size), at + size);
    turned.set(bytes.subarray(at + size, at + 2 * size), at);
  }
  return turned;
}

function receiver({ program }: Workload, messages: readonly Message[]): Rig {
  const isSocket = messages[0]!.headerBytes === 0;
  let next = 0;
  let last = messages[0]!;
  return rigOf({
    program,
    senders: [VTEP_PORT],
    source: (_port, slab, at) => {
      last = messages[next]!;
      next = (next + 1) % messages.length;
      slab.bytes.set(last.bytes, at - last.headerBytes);
      return last.bytes.length - last.headerBytes;
    },
    ...(isSocket
      ? {
          sockets: {
            ports: [VTEP_PORT],
            writePeer: (peers, row) => peers.write(row, 4, 50_000, 0, PEER, 0, last.segmentBytes, 0, 0),
          },
        }
      : {}),
  });
}

/** ns per frame that comes in: of a station, or of what the tunnel holds. */
function measure(rig: Rig): number {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run <= RUNS; run++) {
    let frames = 0;
    const start = performance.now();
    for (const end = start + RUN_MS; performance.now() < end; ) frames += rig.datapath.turn(0);
    // The first run is for the compiler.
    if (run > 0) best = Math.min(best, ((performance.now() - start) * 1e6) / frames);
  }
  return best;
}

function benchmark(workload: Workload): Result[] {
  const { messages, datagramsPerFrame } = record(workload);
  const sender = rigOf({ program: workload.program, senders: workload.senders, source: workload.source });
  introduce(sender.macs, workload);
  const result = (direction: Result['direction'], nsPerFrame: number): Result => {
    return { workload: workload.name, direction, nsPerFrame, nsPerDatagram: nsPerFrame / datagramsPerFrame };
  };
  const into = result('in', measure(sender));
  // What a frame for many is to each of them is what one for one is.
  if (workload.name.includes('peers')) return [into];
  const end = receiver(workload, messages);
  const out = result('out', measure(end));
  const dropped = end.counters.values[totalAt(TOTAL.dropped)]!;
  if (dropped > 0) throw new Error(`${dropped} frames of "${workload.name}" were dropped on their way out`);
  return [into, out];
}

function table(results: readonly Result[]): string {
  const number = (value: number): string => value.toFixed(value < 100 ? 1 : 0).padStart(14);
  const header = [
    'workload'.padEnd(42),
    ...['in or out', 'per frame', 'per datagram'].map((name) => name.padStart(14)),
  ];
  const rows = results.map((each) =>
    [each.workload.padEnd(42), each.direction.padStart(14), number(each.nsPerFrame), number(each.nsPerDatagram)].join(
      '',
    ),
  );
  return [header.join(''), ...rows, '', 'ns'].join('\n');
}

const results = WORKLOADS.filter(({ name }) => name.startsWith('into a tunnel')).flatMap(benchmark);
native.unbindBurst();
native.closeFd(wakeFd);
process.stdout.write(`${process.argv.includes('--json') ? JSON.stringify(results, null, 2) : table(results)}\n`);
