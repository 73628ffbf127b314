// struct virtio_net_hdr_mrg_rxbuf, little-endian, byte by byte.
import { strict as assert } from 'node:assert';
import * as vnet from '../../src/wire/vnet-header.js';
import { hex } from '../support/hex.js';

const bytesOf = (view: DataView): string => Buffer.from(view.buffer).toString('hex');

describe('wire/vnet-header', () => {
  // NEEDS_CSUM, TCPv4 with ECN, header 66, segments of 1448, checksum at 34 + 16, 1 buffer.
  const view = hex('01 81 4200 a805 2200 1000 0100');

  it('reads its fields', () => {
    assert.equal(vnet.flags(view, 0), vnet.FLAG_NEEDS_CHECKSUM);
    assert.equal(vnet.gsoType(view, 0), vnet.GSO_TCP4 | vnet.GSO_ECN);
    assert.equal(vnet.gsoSize(view, 0), 1448);
    assert.equal(vnet.checksumStart(view, 0), 34);
    assert.equal(vnet.checksumOffset(view, 0), 16);
  });

  it('writes a header that asks for nothing', () => {
    const target = hex('ff'.repeat(14));
    vnet.writePlain(target, 1);
    assert.equal(bytesOf(target), `ff${'00'.repeat(12)}ff`);
  });

  it('tells a header that asks for nothing from one that does', () => {
    assert.equal(vnet.isPlain(hex('00'.repeat(12)), 0), true);
    assert.equal(vnet.isPlain(view, 0), false);
    for (const [at, name] of [
      [0, 'flags'],
      [1, 'GSO type'],
    ] as const) {
      const asking = hex('00'.repeat(12));
      asking.setUint8(at, 1);
      assert.equal(vnet.isPlain(asking, 0), false, `a header with ${name}`);
    }
  });

  it('moves what counts from the start of the frame when a tag comes or goes', () => {
    const moved = hex('01 81 4200 a805 2200 1000 0100');
    vnet.shiftChecksumStart(moved, 0, 4);
    assert.equal(bytesOf(moved), '01814600a805260010000100');
    vnet.shiftChecksumStart(moved, 0, -4);
    assert.equal(bytesOf(moved), bytesOf(view));
  });

  it('leaves a header length of zero alone: it means "not told"', () => {
    const none = hex('01 00 0000 0000 2600 1000 0000');
    vnet.shiftChecksumStart(none, 0, -4);
    assert.equal(bytesOf(none), '010000000000220010000000');
    vnet.shiftChecksumStart(none, 0, 4);
    assert.equal(bytesOf(none), '010000000000260010000000');
  });
});
