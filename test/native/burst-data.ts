// Rows of bursts in tests: content that can be told apart, peers as objects, receiving until everything is there.

import { strict as assert } from 'node:assert';
import { native, PEER_BYTES, PEER_CONTINUES, PEER_IPV4 } from '../../src/native/index.js';
import type { BoundBurst } from './forwarder.js';
import { ok } from './lab.js';

export const SLAB_BYTES = 4 << 20;
/** receiveAll puts frames behind this; what is to be sent lies before it. */
export const RECEIVE_AT = 1 << 20;

export interface Peer {
  family: number;
  port: number;
  scope: number;
  address: string;
  segmentBytes: number;
  trafficClass?: number;
  continues?: boolean;
}

export function peerOf(column: Uint8Array, row: number): Peer {
  const words = new Uint16Array(column.buffer, row * PEER_BYTES, PEER_BYTES / 2);
  const family = words[0]!;
  const bytes = column.slice(row * PEER_BYTES + 8, row * PEER_BYTES + (family === PEER_IPV4 ? 12 : 24));
  const address = Buffer.from(bytes).toString('hex');
  const peer = { family, port: words[1]!, scope: words[2]! | (words[3]! << 16), address, segmentBytes: words[12]! };
  const trafficClass = column[row * PEER_BYTES + 26]!;
  return trafficClass === 0 ? peer : { ...peer, trafficClass };
}

export function setPeer(column: Uint8Array, row: number, peer: Peer): void {
  const words = new Uint16Array(column.buffer, row * PEER_BYTES, PEER_BYTES / 2);
  words.fill(0);
  words.set([peer.family, peer.port, peer.scope & 0xffff, peer.scope >>> 16]);
  words[12] = peer.segmentBytes;
  column[row * PEER_BYTES + 26] = peer.trafficClass ?? 0;
  column[row * PEER_BYTES + 27] = peer.continues ? PEER_CONTINUES : 0;
  column.set(Buffer.from(peer.address, 'hex'), row * PEER_BYTES + 8);
}

/** Content that tells every byte of every row from the others. */
export function content(row: number, bytes: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (row * 31 + i * 7 + (i >> 8)) & 0xff));
}

/** Puts `data` into the slab and into row `row`, as head (of `headBytes`) and body. Returns the end of the data. */
export function place(
  burst: BoundBurst,
  row: number,
  port: number,
  at: number,
  data: Buffer,
  headBytes: number,
): number {
  burst.slab.set(data, at);
  burst.txPort[row] = port;
  burst.txHeadAt[row] = at;
  burst.txHeadBytes[row] = headBytes;
  burst.txBodyAt[row] = at + headBytes;
  burst.txBodyBytes[row] = data.length - headBytes;
  return at + data.length;
}

/** Receives from `port` until `wanted` frames are there or nothing comes for a second; checks how they are packed. */
export function receiveAll(burst: BoundBurst, port: number, wanted: number, endAt = SLAB_BYTES): number {
  let [frames, at] = [0, RECEIVE_AT];
  for (let turn = 0; frames < wanted && turn < 10; turn++) {
    if (native.wait(100_000) === 0) continue;
    const count = ok(native.receiveBurst(port, frames, wanted - frames, at, endAt));
    for (let row = frames; row < frames + count; row++) {
      const start = burst.rxStart[row]!;
      assert.ok(start - at >= 128, 'headroom');
      at = start + burst.rxLength[row]!;
      assert.ok(at <= endAt);
    }
    frames += count;
  }
  return frames;
}

export function received(burst: BoundBurst, row: number): Buffer {
  const start = burst.rxStart[row]!;
  return Buffer.from(burst.slab.slice(start, start + burst.rxLength[row]!));
}
