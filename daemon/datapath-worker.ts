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
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { CaptureRing } from '../src/capture/capture-ring.js';
import { PuntRing } from '../src/capture/punt-ring.js';
import { Counters } from '../src/datapath/counters.js';
import { Datapath } from '../src/datapath/datapath.js';
import { Nat } from '../src/datapath/nat.js';
import {
  type FromWorker,
  MAX_LOCATIONS,
  MAX_NETWORKS,
  type ToWorker,
  type WorkerStart,
} from '../src/datapath/program.js';
import { Punts } from '../src/datapath/punts.js';
import { FrameVector } from '../src/frames/frame-vector.js';
import { createSlab } from '../src/frames/slab.js';
import { TransmitQueue } from '../src/frames/transmit-queue.js';
import { openFlowMemory } from '../src/ports/flow-file.js';
import { InjectRingReader } from '../src/ports/inject-ring.js';
import { createNativeIo, type NativePortIo } from '../src/ports/native-io.js';
import { OutboundRingReader } from '../src/ports/outbound-ring.js';
import { MacTable } from '../src/tables/mac-table.js';
import { RemoteTable } from '../src/tables/remote-table.js';
import { createMonotonicClock, createWallClock } from './worker-clocks.js';
import { fail } from './worker-fault.js';

const MAX_SLEEP_MICROS = 100_000;
const SPIN_MS = 0.05;

function main(control: MessagePort, data: WorkerStart): void {
  const nowMs = createMonotonicClock();
  const slab = createSlab();
  const frames = new FrameVector(slab);
  const queue = new TransmitQueue(slab);
  const io = createNativeIo(slab, frames, queue, data.wakeFd);
  const macs = new MacTable(data.tables.macs, MAX_LOCATIONS, MAX_NETWORKS, data.seed);
  const nat = new Nat(openFlowMemory(data.flowFile), data.natKey[0], data.natKey[1], nowMs() | 0);
  const datapath = new Datapath({
    slab,
    frames,
    queue,
    io,
    injector: new InjectRingReader(data.tables.inject, slab, frames),
    outlet: new OutboundRingReader(data.tables.outbound, slab, frames),
    punts: new Punts(new PuntRing(data.tables.punts, slab.bytes, io.sum)),
    macs,
    remotes: new RemoteTable(data.tables.remotes, data.seed),
    nat,
    counters: new Counters(data.tables.counters),
    tap: new CaptureRing(data.tables.capture, slab.bytes, io.sum),
    nowMs,
    seed: data.seed,
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
      if (!obey(control, io, datapath, macs, nat)) return;
      datapath.meter.paused(nowMs());
    }
  }
}

/** Does what the control thread asked for; false when it asked to stop. */
function obey(control: MessagePort, io: NativePortIo, datapath: Datapath, macs: MacTable, nat: Nat): boolean {
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
      case 'bindings':
        datapath.applyBindings(message.bindings);
        break;
      case 'delete-flows':
        nat.deleteFlows(message.flows);
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
const control = parentPort;
// Never returns before it is told to stop: all further messages are read in obey().
control.once('message', (start: WorkerStart) => main(control, start));
