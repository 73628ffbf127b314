// The addon's purpose, end to end: two namespaces whose TAPs are joined by a loop over receiveBurst and transmitBurst
// exchange real pings and a real TCP transfer, with the loop in the main thread and in a worker.

import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import {
  native,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TSO_ECN,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
  PACKET_VNET_HEADER,
  PORT_PACKET,
  PORT_TAP,
  TAP_EXCLUSIVE,
  TAP_VNET_HEADER,
} from '../../src/native/index.js';
import { Forwarder } from './forwarder.js';
import { configure, connect, Lab, MOST_UNREAD_BYTES, needsRoot, ok, ping, transfer } from './lab.js';

const ALL_OFFLOADS = OFFLOAD_CHECKSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN | OFFLOAD_USO4 | OFFLOAD_USO6;
const TRANSFER_BYTES = 100e6;
const RECEIVED_BYTES = TRANSFER_BYTES - MOST_UNREAD_BYTES;

/** Two namespaces with a configured TAP each. */
function twoTaps(lab: Lab): { left: string; right: string; taps: [number, number] } {
  const [left, right] = [lab.namespace(), lab.namespace()];
  const taps = [left, right].map((ns, index) => {
    const fd = lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER | TAP_EXCLUSIVE);
    const accepted = ok(native.probeTapOffloads(fd, ALL_OFFLOADS));
    assert.equal(accepted & OFFLOAD_TSO4, OFFLOAD_TSO4);
    configure(ns.name, 'tap0', `192.0.2.${index + 1}/24`, `2001:db8::${index + 1}/64`);
    return fd;
  });
  return { left: left.name, right: right.name, taps: taps as [number, number] };
}

describe('native: forwarding between namespaces', function () {
  this.timeout(120_000);
  let lab: Lab;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  it('passes pings and a TCP transfer over IPv4 and IPv6 from the main thread', async () => {
    const { left, right, taps } = twoTaps(lab);
    const forwarder = new Forwarder(12);
    for (const [port, fd] of taps.entries()) lab.port(port, fd, PORT_TAP, 12);
    assert.equal(await forwarder.during(ping(lab, left, '192.0.2.2')), 3);
    assert.equal(await forwarder.during(ping(lab, right, '2001:db8::1')), 3);
    const four = await forwarder.during(transfer(lab, right, left, '192.0.2.2', TRANSFER_BYTES));
    const framesOfTransfer = forwarder.sent;
    const six = await forwarder.during(transfer(lab, left, right, '2001:db8::1', TRANSFER_BYTES));
    for (const { bytes } of [four, six]) assert.ok(bytes >= RECEIVED_BYTES, `${bytes} bytes`);
    // 100 MB in 1514-byte frames would be 69,000 frames; super-frames must have passed whole.
    assert.ok(framesOfTransfer < 40_000, `${framesOfTransfer} frames`);
    assert.equal(forwarder.failed, 0);
  });

  it('passes the same from a worker thread, over descriptors that the main thread opened', async () => {
    const { left, right, taps } = twoTaps(lab);
    const wakeFd = lab.keep(native.createWake(), 'createWake');
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL('./forward-worker.js', import.meta.url), { workerData: { taps, wakeFd, stop } });
    lab.defer(() => void worker.terminate());
    const exited = once(worker, 'exit'); // it may come in the same turn of the event loop as the last message
    const [{ results }] = await once(worker, 'message');
    assert.deepEqual(results, [0, 0, 0]);
    assert.equal(native.closeFd(taps[0]), -16, 'a descriptor that is a port of the worker cannot be closed (EBUSY)');

    assert.equal(await ping(lab, left, '192.0.2.2'), 3);
    assert.equal(await ping(lab, left, '2001:db8::2'), 3);
    const moved = await transfer(lab, right, left, '192.0.2.2', TRANSFER_BYTES);
    assert.ok(moved.bytes >= RECEIVED_BYTES, `${moved.bytes} bytes`);

    Atomics.store(stop, 0, 1);
    ok(native.wake(wakeFd));
    const [end] = await once(worker, 'message');
    assert.ok(end.sent > 1000);
    assert.equal(end.failed, 0);
    await exited;
    assert.equal(native.closeFd(taps[0]), 0, 'the end of the worker released its ports');
  });

  it('joins a TAP and an AF_PACKET port with vnet headers', async () => {
    const [left, middle, right] = [lab.namespace(), lab.namespace(), lab.namespace()];
    const tap = lab.tap(left.fd, 'tap0', TAP_VNET_HEADER | TAP_EXCLUSIVE);
    ok(native.probeTapOffloads(tap, ALL_OFFLOADS));
    configure(left.name, 'tap0', '192.0.2.1/24');
    await connect([middle.name, 'veth0'], [right.name, 'veth1', '192.0.2.2/24']);
    const socket = lab.keep(native.openPacket(middle.fd, 'veth0', PACKET_VNET_HEADER), 'openPacket');
    const headerBytes = ok(native.packetHeaderBytes(socket));
    assert.ok(headerBytes === 12 || headerBytes === 10);
    if (headerBytes === 10) return; // a kernel before 6.5: the two headers differ, which this forwarder cannot bridge
    const forwarder = new Forwarder(12);
    lab.port(0, tap, PORT_TAP, 12);
    lab.port(1, socket, PORT_PACKET, 12);
    assert.equal(await forwarder.during(ping(lab, left.name, '192.0.2.2')), 3);
    for (const [server, client, address] of [
      [right, left, '192.0.2.2'],
      [left, right, '192.0.2.1'],
    ] as const) {
      const moved = await forwarder.during(transfer(lab, server.name, client.name, address, TRANSFER_BYTES));
      assert.ok(moved.bytes >= RECEIVED_BYTES, `${moved.bytes} bytes`);
    }
    assert.equal(forwarder.failed, 0);
  });
});
