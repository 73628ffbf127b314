/**
 * The datapath worker: builds the datapath over the kernel and runs turns until it is told to stop. Nothing else runs in
 * this thread: no timer, no promise, no log.
 *
 * How long a turn may sleep: not at all while frames come in and for SPIN_MS afterwards, because the next frame of a
 * conversation is usually that near, and to be put to sleep and woken costs more than to forward it (measured with a ping-pong
 * over two TAPs on two cores: 14 us one way instead of 19, and no less TCP throughput). Otherwise until a port has frames or
 * the control thread rings, at most MAX_SLEEP_MICROS: ageing goes on, and terminate() cannot interrupt a longer native wait.
 *
 * An exception in here is a bug: it ends the worker, and the control thread starts another with the same ports and program.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { CaptureRing } from '../src/capture/capture-ring.js';
import { Counters } from '../src/datapath/counters.js';
import { Datapath } from '../src/datapath/datapath.js';
import {
  type FromWorker,
  MAX_NETWORKS,
  MAX_PORTS,
  type SharedTables,
  type ToWorker,
  type WorkerFault,
} from '../src/datapath/program.js';
import { FrameVector } from '../src/frames/frame-vector.js';
import { createSlab } from '../src/frames/slab.js';
import { TransmitQueue } from '../src/frames/transmit-queue.js';
import { InjectRingReader } from '../src/ports/inject-ring.js';
import { createNativeIo, type NativePortIo } from '../src/ports/native-io.js';
import { MacTable } from '../src/tables/mac-table.js';

const MAX_SLEEP_MICROS = 100_000;
const SPIN_MS = 0.05;

export interface WorkerData {
  tables: SharedTables;
  wakeFd: number;
  /** Seed of the MAC table's hash. */
  seed: number;
}

function main(control: MessagePort, data: WorkerData): void {
  const slab = createSlab();
  const frames = new FrameVector(slab);
  const queue = new TransmitQueue(slab);
  const io = createNativeIo(slab, frames, queue, data.wakeFd);
  const macs = new MacTable(data.tables.macs, MAX_PORTS, MAX_NETWORKS, data.seed);
  const datapath = new Datapath({
    slab,
    frames,
    queue,
    io,
    injector: new InjectRingReader(data.tables.inject, slab, frames),
    macs,
    counters: new Counters(data.tables.counters),
    tap: new CaptureRing(data.tables.capture, slab.bytes, io.sum),
    nowMs: () => performance.now(),
    wallMs: createWallClock(),
  });
  post(control, { kind: 'ready' });
  let sleepMicros = MAX_SLEEP_MICROS;
  let busyAt = 0;
  for (;;) {
    if (datapath.turn(sleepMicros) > 0) {
      sleepMicros = 0;
      busyAt = datapath.meter.lastMs;
    } else if (sleepMicros === 0 && datapath.meter.lastMs - busyAt > SPIN_MS) {
      sleepMicros = MAX_SLEEP_MICROS;
    }
    if (datapath.faults.length > 0) reportFaults(control, io, datapath);
    if (datapath.isWoken) {
      datapath.isWoken = false;
      if (!obey(control, io, datapath, macs)) return;
      datapath.meter.paused(performance.now());
    }
  }
}

/**
 * Wall clock with fractions of a millisecond. The monotonic clock has them but knows no steps of the wall clock, so the
 * distance between the two is taken anew whenever it is off by more than Date can tell.
 */
function createWallClock(): () => number {
  let offsetMs = Date.now() - performance.now();
  return () => {
    const wall = performance.now() + offsetMs;
    const error = Date.now() - wall;
    if (error > -2 && error < 2) return wall;
    offsetMs += error;
    return wall + error;
  };
}

/** Does what the control thread asked for; false when it asked to stop. */
function obey(control: MessagePort, io: NativePortIo, datapath: Datapath, macs: MacTable): boolean {
  for (;;) {
    const received = receiveMessageOnPort(control);
    if (received === undefined) return true;
    const message = received.message as ToWorker;
    const { sequence } = message;
    let errno = 0;
    switch (message.kind) {
      case 'attach':
        errno = -io.attach(message.port, message.fd, message.portKind, message.headerBytes);
        datapath.portsChanged();
        break;
      case 'detach':
        errno = -io.detach(message.port);
        datapath.portsChanged();
        break;
      case 'program':
        datapath.adopt(message.program);
        break;
      case 'flush-macs':
        macs.flush(message.network);
        break;
      case 'stop':
        post(control, { kind: 'ack', sequence, errno });
        return false;
      case 'fail':
        fail(message.how);
    }
    post(control, { kind: 'ack', sequence, errno: Math.max(0, errno) });
  }
}

/** What `weftd --worker-fault` asks for. */
function fail(how: WorkerFault): never {
  if (how === 'throw') throw new Error('a fault was injected: throw');
  if (how === 'exit') process.exit(1);
  for (;;) {
    // Until the control thread loses patience.
  }
}

/** Takes ports out of service that the kernel reports broken; a level-triggered wait would report them for ever. */
function reportFaults(control: MessagePort, io: NativePortIo, datapath: Datapath): void {
  for (let i = 0; i < datapath.faults.length; i += 2) {
    const port = datapath.faults[i]!;
    io.detach(port);
    post(control, { kind: 'fault', port, errno: datapath.faults[i + 1]! });
  }
  datapath.faults.length = 0;
}

function post(control: MessagePort, message: FromWorker): void {
  control.postMessage(message);
}

if (parentPort === null) throw new Error('datapath-worker runs in a worker thread only');
main(parentPort, workerData as WorkerData);
