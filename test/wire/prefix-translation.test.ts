// RFC 6296 on addresses: the examples of the RFC, the way back, and that no checksum notices.
import { strict as assert } from 'node:assert';
import ipaddr from 'ipaddr.js';
import { Prng } from '../../src/lib/prng.js';
import { translatePrefix } from '../../src/wire/prefix-translation.js';
import { referenceSum } from '../support/frame-builders.js';
import { wordsOf } from '../support/nat-lab.js';

function translate(address: string, length: number, prefix: string): string | null {
  const to = new Int32Array(4);
  const done = translatePrefix(
    Int32Array.from(wordsOf(address)),
    0,
    length,
    Int32Array.from(wordsOf(prefix)),
    0,
    to,
    0,
  );
  return done ? textOf(to) : null;
}

function bytesOf(words: Int32Array): Uint8Array {
  return Uint8Array.from(
    [...words].flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]),
  );
}

function textOf(words: Int32Array): string {
  return ipaddr.fromByteArray([...bytesOf(words)]).toString();
}

describe('prefix translation (RFC 6296)', () => {
  it('gives what the RFC gives in appendix B', () => {
    assert.equal(translate('fd01:203:405:1::1234', 48, '2001:db8:1::'), '2001:db8:1:d550::1234');
    assert.equal(translate('2001:db8:1:d550::1234', 48, 'fd01:203:405::'), 'fd01:203:405:1::1234');
  });

  it('has no address for the subnet ffff, and for interface identifiers of zero or all ones behind long prefixes', () => {
    assert.equal(translate('fd01:203:405:ffff::1', 48, '2001:db8:1::'), null);
    assert.equal(translate('fd01:203:405:1::', 64, '2001:db8:1:2::'), null);
    assert.equal(translate('fd01:203:405:1:ffff:ffff:ffff:ffff', 64, '2001:db8:1:2::'), null);
  });

  for (const length of [16, 32, 44, 48, 49, 56, 60, 64]) {
    it(`is undone by itself and changes no checksum, for /${length}`, () => {
      const random = new Prng(length);
      const word = () => random.next() | 0;
      for (let n = 0; n < 5000; n++) {
        const inside = Int32Array.of(word(), word(), word(), word());
        const outside = Int32Array.of(word(), word(), 0, 0);
        const there = new Int32Array(4);
        const back = new Int32Array(4);
        // A word of ffff in the place that is adjusted comes back as 0000, which is the same number.
        if (!translatePrefix(inside, 0, length, outside, 0, there, 0)) continue;
        assert.equal(fold(bytesOf(there)), fold(bytesOf(inside)));
        assert.ok(translatePrefix(there, 0, length, inside, 0, back, 0));
        assert.equal(textOf(back), textOf(inside), `${textOf(inside)} > ${textOf(there)}`);
      }
    });
  }
});

/** The sum, with 0000 and ffff as one number. */
function fold(bytes: Uint8Array): number {
  return referenceSum(bytes) % 0xffff;
}
