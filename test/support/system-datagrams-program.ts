/**
 * One end of a row of UDP super-frames: messages that one call hands over and the kernel is to cut into datagrams of one size
 * (UDP_SEGMENT), as QUIC stacks do. A program of its own, so that it can run inside a compartment.
 *
 *   node system-datagrams-program.js receive
 *   node system-datagrams-program.js send HOST PORT SEGMENT-BYTES:MESSAGE-BYTES[:AT:HEX] ...
 *
 * The receiver prints its port and ends never. It answers each message by what it has got of it, as JSON: number and sizes of the
 * datagrams, and a hash of all bytes. The sender waits for that answer before it sends on, so that no queue overflows; it prints how many
 * messages arrived, and ends with status 1 at the first that did not arrive as it was sent.
 *
 * A datagram begins with the number of its message, its own, that of datagrams in the message, and the port for the answer; the rest
 * differs from datagram to datagram. HEX stands at byte AT of the message.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { errorName, NO_NAMESPACE, native, PEER_BYTES, PEER_IPV4, PEER_IPV6, PORT_UDP } from '../../src/native/index.js';

const SLAB_BYTES = 1 << 18;
const BODY_AT = 256;
/** Of a row of peers, in words of two bytes: the size of segments. */
const SEGMENT_WORD = 12;
const PATIENCE_MS = 10_000;

interface Answer {
  message: number;
  sizes: number[];
  sha256: string;
}

function check(answer: number, call: string): number {
  if (answer >= 0) return answer;
  process.stderr.write(`${call}: ${errorName(answer)}\n`);
  process.exit(1);
}

function receive(): void {
  const socket = createSocket('udp6');
  const parts = new Map<number, Buffer[]>();
  socket.on('message', (bytes, peer) => {
    const [message, , count, port] = [0, 4, 8, 12].map((at) => bytes.readUInt32BE(at)) as [number, ...number[]];
    const got = parts.get(message) ?? [];
    parts.set(message, got);
    got.push(bytes);
    if (got.length < count!) return;
    parts.delete(message);
    const answer: Answer = { message, sizes: got.map((part) => part.length), sha256: hash(Buffer.concat(got)) };
    socket.send(JSON.stringify(answer), port!, peer.address);
  });
  socket.bind(0, '::', () => process.stdout.write(`${socket.address().port}\n`));
}

async function send(host: string, port: number, shapes: readonly string[]): Promise<void> {
  const answers = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  answers.bind(0);
  await once(answers, 'listening');
  const transmit = openSender(host, port);
  for (const [message, shape] of shapes.entries()) {
    const [segmentBytes, messageBytes] = shape.split(':').map(Number) as [number, number];
    const bytes = build(message, shape, answers.address().port);
    const [text] = await Promise.all([heard(answers, message), transmit(bytes, segmentBytes)]);
    const sizes: number[] = [];
    for (let at = 0; at < messageBytes; at += segmentBytes) sizes.push(Math.min(segmentBytes, messageBytes - at));
    const expected: Answer = { message, sizes, sha256: hash(bytes) };
    if (text === JSON.stringify(expected)) continue;
    process.stderr.write(`expected ${JSON.stringify(expected)}, but: ${text}\n`);
    process.exit(1);
  }
  process.stdout.write(`${shapes.length}\n`);
  process.exit(0);
}

async function heard(socket: ReturnType<typeof createSocket>, message: number): Promise<string> {
  try {
    const [bytes] = (await once(socket, 'message', { signal: AbortSignal.timeout(PATIENCE_MS) })) as [Buffer];
    return bytes.toString();
  } catch {
    return `no answer to message ${message}`;
  }
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function build(message: number, shape: string, port: number): Buffer {
  const [segmentBytes, messageBytes, hexAt, hex] = shape.split(':');
  const bytes = Buffer.alloc(Number(messageBytes));
  for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 7 + (at >> 8) * 13 + message * 31) & 0xff;
  const count = Math.ceil(bytes.length / Number(segmentBytes));
  for (let part = 0; part < count; part++) {
    for (const [i, value] of [message, part, count, port].entries()) {
      bytes.writeUInt32BE(value, part * Number(segmentBytes) + 4 * i);
    }
  }
  if (hex !== undefined) bytes.write(hex, Number(hexAt), 'hex');
  return bytes;
}

/** What sends one message by UDP_SEGMENT. */
function openSender(host: string, port: number): (bytes: Buffer, segmentBytes: number) => void {
  const slab = new ArrayBuffer(SLAB_BYTES);
  const columns = {
    rxStart: new Int32Array(1),
    rxLength: new Int32Array(1),
    txPort: new Int32Array(1),
    txHeadAt: new Int32Array(1),
    txHeadBytes: new Int32Array(1),
    txBodyAt: new Int32Array(1).fill(BODY_AT),
    txBodyBytes: new Int32Array(1),
    txResult: new Int32Array(1),
    ready: new Int32Array(8),
    rxPeer: new Uint8Array(PEER_BYTES),
    txPeer: new Uint8Array(PEER_BYTES),
  };
  const family = isIPv6(host) ? PEER_IPV6 : PEER_IPV4;
  const socket = check(native.openUdp(NO_NAMESPACE, family === PEER_IPV6 ? '::' : '0.0.0.0', 0, 0), 'openUdp');
  check(native.bindBurst(slab, columns), 'bindBurst');
  check(native.addPort(0, socket, PORT_UDP, 0), 'addPort');
  const peer = new Uint16Array(columns.txPeer.buffer);
  [peer[0], peer[1]] = [family, port];
  columns.txPeer.set(addressBytes(host), 8);
  return (bytes, segmentBytes) => {
    peer[SEGMENT_WORD] = segmentBytes;
    new Uint8Array(slab).set(bytes, BODY_AT);
    columns.txBodyBytes[0] = bytes.length;
    native.transmitBurst(0, 1);
    check(columns.txResult[0]!, 'send');
  };
}

/** In network order; of IPv6 with one `::`. */
function addressBytes(text: string): number[] {
  if (!isIPv6(text)) return text.split('.').map(Number);
  const [front, back] = text.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const zeros = new Array<string>(8 - front!.length - back!.length).fill('0');
  return [...front!, ...zeros, ...back!].map((group) => Number.parseInt(group, 16)).flatMap((n) => [n >> 8, n & 255]);
}

const [mode, host, port, ...shapes] = process.argv.slice(2);
if (mode === 'receive') receive();
else await send(String(host), Number(port), shapes);
