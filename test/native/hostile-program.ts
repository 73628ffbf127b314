// Child process of hostile.test.ts: calls every function of the addon with arguments that nobody should pass, mixed
// with good ones so that the calls also get past the first checks. Prints "survived" and how many calls answered and
// succeeded. argv: seed, calls, a directory for files.
// It runs in network, mount and pid namespaces of its own: some of these calls succeed.

import { Worker } from 'node:worker_threads';
import { native } from '../../src/native/index.js';
import { type BoundBurst, bind } from './forwarder.js';

const [seed = 1, calls = 1000, directory = '/nonexistent'] = process.argv.slice(2) as [number, number, string];
let state = Number(seed) | 0;
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) | 0;
  return ((state >>> 8) * below) >>> 24;
}

const SLAB_BYTES = 1 << 19;
const ROWS = 32;
/** These columns a second thread changes all the time. */
const contested = bind(ROWS, SLAB_BYTES, true);
const scribbler = new Worker(
  `const { arrays } = require('node:worker_threads').workerData;
   for (let i = 0; ; i = (i + 1) | 0) {
     const array = arrays[i % arrays.length];
     array[(i >>> 3) % array.length] = i & 1 ? Math.imul(i, 0x9e3779b1) : i & 0xfff;
   }`,
  {
    eval: true,
    workerData: {
      arrays: [
        contested.txPort,
        contested.txHeadAt,
        contested.txHeadBytes,
        contested.txBodyAt,
        contested.txBodyBytes,
        contested.txPeer,
      ],
    },
  },
);
let columns: BoundBurst = contested;
const detached = new Int32Array(64);
structuredClone(detached.buffer, { transfer: [detached.buffer] });
const throwing = new Proxy([], {
  get() {
    throw new Error('hostile getter');
  },
});
const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer;

const NUMBERS = [0, 1, 2, 3, 5, 12, 16, 31, 64, 100, 1500, 4095, 4096, 65535, 65536, SLAB_BYTES, SLAB_BYTES - 1];
const HOSTILE = [
  undefined,
  null,
  true,
  '',
  'x',
  `${directory}/ns`,
  `${directory}/${'n'.repeat(300)}`,
  'a\0b',
  'lo',
  'tap%d',
  '127.0.0.1',
  '::1%lo',
  '239.1.2.3',
  'ff05::1:3',
  'y'.repeat(100_000),
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -0,
  -1,
  -2,
  0.5,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 32 - 1,
  2 ** 53,
  1e300,
  1n,
  Symbol('s'),
  {},
  [],
  [1, 2],
  ['a', 'b'],
  throwing,
  () => 1,
  new Float64Array(2),
  new Float64Array(0),
  new Uint8Array(10),
  detached,
  new DataView(new ArrayBuffer(8)),
  new ArrayBuffer(64),
  new SharedArrayBuffer(64),
  new Resizable(64, { maxByteLength: 128 }),
];

function argument(): unknown {
  const kind = random(10);
  if (kind < 5) return NUMBERS[random(NUMBERS.length)];
  if (kind < 7) return random(100); // a descriptor, with luck
  return HOSTILE[random(HOSTILE.length)];
}

/** Columns whose contents are offsets and sizes of all kinds, some of them outside the slab. */
function scramble(): void {
  if (random(50) === 0) columns = bind(ROWS, SLAB_BYTES, false);
  if (random(20) === 0 && native.bindBurst(contested.slab.buffer, contested) === 0) columns = contested;
  for (const column of [columns.txPort, columns.txHeadAt, columns.txHeadBytes, columns.txBodyAt, columns.txBodyBytes]) {
    for (let row = 0; row < ROWS; row++) {
      column[row] = random(3) === 0 ? (random(1 << 24) << 8) | random(256) : NUMBERS[random(NUMBERS.length)]!;
    }
  }
  for (let row = 0; row < ROWS; row++) columns.txPort[row] = random(6);
  for (let i = 0; i < columns.txPeer.length; i++) columns.txPeer[i] = random(4) === 0 ? random(256) : random(2) * 4;
}

function openSome(): void {
  const { openTap, openUdp, openPacket, createWake } = native;
  openPorts(openTap(-1, `fuzz${random(4)}`, random(8)), 0);
  openPorts(openUdp(-1, random(2) ? '127.0.0.1' : '::1', 0, random(32)), 2);
  openPorts(openPacket(-1, 'lo', random(4)), 1);
  native.setWake(createWake());
}

function openPorts(fd: number, kind: number): void {
  if (fd >= 0 && native.addPort(random(6), fd, kind, random(2) * 12) < 0) native.closeFd(fd);
}

const table = native as unknown as Record<string, (...args: unknown[]) => unknown>;
// The burst functions more often than the others; `wait` less: it may take 100 ms.
const names = [...Object.keys(table).filter((name) => typeof table[name] === 'function')];
const choices = [...names.filter((name) => name !== 'wait'), 'receiveBurst', 'transmitBurst', 'receiveBurst'];
let answers = 0;
let successes = 0;
for (let call = 0; call < Number(calls); call++) {
  if (call % 200 === 0) openSome();
  if (call % 7 === 0) scramble();
  const name = call % 211 === 0 ? 'wait' : choices[random(choices.length)]!;
  const args = Array.from({ length: random(8) }, argument);
  if (name === 'receiveBurst' && random(2))
    args.splice(0, 5, random(6), random(4), random(20), random(1000), SLAB_BYTES);
  if (name === 'transmitBurst' && random(2)) args.splice(0, 2, random(4), random(29));
  if (name === 'bindBurst' && random(2)) {
    const broken = { ...columns, [Object.keys(columns)[random(12)]!]: HOSTILE[random(HOSTILE.length)] };
    args.splice(0, 2, random(2) ? columns.slab.buffer : HOSTILE[random(HOSTILE.length)], broken);
  }
  const answer = table[name]!(...args);
  if (typeof answer === 'number') answers += 1;
  else if (name !== 'tapName' && name !== 'mapFile') throw new Error(`${name} answered ${String(answer)}`);
  if (Number(answer) >= 0) successes += 1;
  // Whatever the arguments, it makes one: a thousand of them would take all descriptors.
  if (name === 'makeNamespace' && Number(answer) >= 0) native.closeFd(Number(answer));
}
await scribbler.terminate();
process.stdout.write(`survived ${answers} ${successes}\n`);
