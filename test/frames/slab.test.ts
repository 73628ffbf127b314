// The layout promises that the receive loop and the native addon rely on.
import { strict as assert } from 'node:assert';
import * as slab from '../../src/frames/slab.js';
import { FRAME_HEADROOM, FRAME_ROOM, SPREAD_BYTES } from '../../src/native/index.js';

describe('slab', () => {
  it('has room for one more super-frame behind a full burst', () => {
    assert.ok(slab.ARRIVAL_BYTES >= slab.BURST_BYTES + slab.HEADROOM_BYTES + slab.MAX_FRAME_BYTES + 16);
    assert.ok(slab.SCRATCH_AT >= slab.ARRIVAL_BYTES);
  });

  it('agrees with the addon about headroom and the largest frame', () => {
    assert.equal(slab.HEADROOM_BYTES, FRAME_HEADROOM);
    assert.equal(slab.MAX_FRAME_BYTES, FRAME_ROOM);
    assert.equal(slab.SPREAD_BYTES, SPREAD_BYTES);
  });

  it('holds 64 KiB of IP behind Ethernet and two tags', () => {
    assert.ok(slab.MAX_FRAME_BYTES >= 65535 + 14 + 8);
  });

  it('is one fixed buffer, seen as bytes and as a view', () => {
    const { buffer, bytes, view } = slab.createSlab();
    assert.equal(bytes.length, slab.SLAB_BYTES);
    assert.ok(buffer.byteLength > slab.SLAB_BYTES);
    assert.equal(bytes.buffer, buffer);
    assert.equal(view.buffer, buffer);
    bytes[slab.SLAB_BYTES - 1] = 7;
    assert.equal(view.getUint8(slab.SLAB_BYTES - 1), 7);
  });

  it('hands out columns that overlap neither frames nor each other', () => {
    const memory = slab.createSlab();
    const first = memory.takeColumn(256).fill(-1);
    const second = memory.takeColumn(1024);
    assert.equal(first.byteOffset, slab.SLAB_BYTES);
    assert.equal(second.byteOffset, slab.SLAB_BYTES + 1024);
    assert.ok(memory.bytes.every((byte) => byte === 0) && second.every((value) => value === 0));
  });
});
