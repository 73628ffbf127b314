/**
 * Sends the frames that stand on standard input, one per line in hexadecimal, from an interface in a namespace, and prints
 * how many it sent:
 *
 *   node system-frames-program.js /run/netns/NAME IFNAME
 *
 * A program of its own because the addon has one burst state per environment, which other tests of the same mocha use.
 */
import { readFileSync } from 'node:fs';
import { errorName, native, PEER_BYTES, PORT_PACKET } from '../../src/native/index.js';

const SLAB_BYTES = 1 << 17;
const BODY_AT = 256;
const PORT = 0;
const SEND_ATTEMPTS = 1000;

function check(answer: number, call: string): number {
  if (answer < 0) {
    process.stderr.write(`${call}: ${errorName(answer)}\n`);
    process.exit(1);
  }
  return answer;
}

const [path, ifname] = process.argv.slice(2);
const slab = new ArrayBuffer(SLAB_BYTES);
const columns = {
  rxStart: new Int32Array(1),
  rxLength: new Int32Array(1),
  txPort: new Int32Array(1).fill(PORT),
  txHeadAt: new Int32Array(1),
  txHeadBytes: new Int32Array(1),
  txBodyAt: new Int32Array(1).fill(BODY_AT),
  txBodyBytes: new Int32Array(1),
  txResult: new Int32Array(1),
  ready: new Int32Array(8),
  rxPeer: new Uint8Array(PEER_BYTES),
  txPeer: new Uint8Array(PEER_BYTES),
};
const namespace = check(native.openNamespace(String(path)), `openNamespace ${path}`);
const socket = check(native.openPacket(namespace, String(ifname), 0), `openPacket ${ifname}`);
check(native.bindBurst(slab, columns), 'bindBurst');
check(native.addPort(PORT, socket, PORT_PACKET, 0), 'addPort');

let sent = 0;
for (const line of readFileSync(0, 'latin1')
  .split('\n')
  .filter((text) => text !== '')) {
  const bytes = Buffer.from(line, 'hex');
  new Uint8Array(slab).set(bytes, BODY_AT);
  columns.txBodyBytes[0] = bytes.length;
  for (let attempt = 0; attempt < SEND_ATTEMPTS; attempt++) {
    native.transmitBurst(0, 1);
    if (columns.txResult[0] !== -11) break; // EAGAIN: the queue of the socket is full
    native.wait(1000);
  }
  check(columns.txResult[0] ?? 0, `frame ${sent}`);
  sent++;
}
process.stdout.write(`${sent}\n`);
process.exit(0);
