// A worker that forwards between two TAPs that the main thread opened, until it is woken with the stop flag set.

import { parentPort, workerData } from 'node:worker_threads';
import { native, PORT_TAP } from '../../src/native/index.js';
import { Forwarder } from './forwarder.js';

const { taps, wakeFd, stop } = workerData as { taps: [number, number]; wakeFd: number; stop: Int32Array };

const forwarder = new Forwarder(12);
const results = [
  native.addPort(0, taps[0], PORT_TAP, 12),
  native.addPort(1, taps[1], PORT_TAP, 12),
  native.setWake(wakeFd),
];
parentPort?.postMessage({ results });
while (Atomics.load(stop, 0) === 0) forwarder.turn(50_000);
parentPort?.postMessage({ sent: forwarder.sent, failed: forwarder.failed });
