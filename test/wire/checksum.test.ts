// RFC 1071 against its own example, a slow reference and its algebra.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import * as checksum from '../../src/wire/checksum.js';
import { referenceSum } from '../support/frame-builders.js';
import { hex, hexBytes } from '../support/hex.js';

describe('wire/checksum', () => {
  it('gives the sum of the example in RFC 1071 section 3', () => {
    assert.equal(checksum.sum(hex('0001 f203 f4f5 f6f7'), 0, 8, 0), 0xddf2);
  });

  it('finishes an IPv4 header', () => {
    // The checksum field of this header is 0xb861, here zero.
    const header = hex('4500 0073 0000 4000 4011 0000 c0a8 0001 c0a8 00c7');
    assert.equal(checksum.finish(checksum.sum(header, 0, 20, 0)), 0xb861);
  });

  it('agrees with a slow reference for any length and content, even and odd', () => {
    const prng = new Prng(3);
    for (let trial = 0; trial < 500; trial++) {
      const bytes = Uint8Array.from({ length: 2 + prng.below(200) }, () => prng.below(256));
      const at = prng.below(2);
      const sum = checksum.sum(new DataView(bytes.buffer), at, bytes.length - at, 0);
      assert.equal(sum, referenceSum(bytes.subarray(at)));
    }
  });

  it('does not overflow on the longest frame of the largest words', () => {
    const bytes = new Uint8Array(65600).fill(0xff);
    assert.equal(checksum.sum(new DataView(bytes.buffer), 0, bytes.length, 0xffff), 0xffff);
  });

  it('adds up in pieces', () => {
    const bytes = hexBytes('0102 0304 0506 0708 09');
    const view = new DataView(bytes.buffer);
    const head = checksum.sum(view, 0, 4, 0);
    assert.equal(checksum.sum(view, 4, 5, head), referenceSum(bytes));
  });

  it('is zero for nothing', () => {
    assert.equal(checksum.sum(hex('ff'), 0, 0, 0), 0);
  });

  it('never sends the zero that means "none" over UDP', () => {
    assert.equal(checksum.finish(0xffff), 0);
    assert.equal(checksum.finishUdp(0xffff), 0xffff);
    assert.equal(checksum.finishUdp(0x1234), 0xedcb);
  });
});
