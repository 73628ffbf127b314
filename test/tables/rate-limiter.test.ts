// Buckets for what weft says by itself: bursts pass, floods do not, and one network does not silence the others.
import { strict as assert } from 'node:assert';
import { NETWORK_DEPTH, NETWORK_RATE, RateLimiter, TOTAL_DEPTH, TOTAL_RATE } from '../../src/tables/rate-limiter.js';

function taken(limiter: RateLimiter, network: number, asked: number, now: number): number {
  let count = 0;
  for (let n = 0; n < asked; n++) if (limiter.take(network, now)) count++;
  return count;
}

describe('RateLimiter', () => {
  it('lets a burst through and then so many per second', () => {
    const limiter = new RateLimiter(4);
    assert.equal(taken(limiter, 0, 1000, 0), NETWORK_DEPTH);
    assert.equal(taken(limiter, 0, 1000, 100), NETWORK_RATE / 10);
    assert.equal(taken(limiter, 0, 1000, 60_000), NETWORK_DEPTH);
  });

  it('has a bucket for each network, and one for all', () => {
    const limiter = new RateLimiter(64);
    assert.equal(taken(limiter, 0, 1000, 0), NETWORK_DEPTH);
    assert.equal(taken(limiter, 1, 1000, 0), NETWORK_DEPTH);
    let all = 2 * NETWORK_DEPTH;
    for (let network = 2; network < 64; network++) all += taken(limiter, network, 1000, 0);
    assert.equal(all, TOTAL_DEPTH);
    for (let network = 0; network < 64; network++) all += taken(limiter, network, 1000, 100);
    assert.equal(all, TOTAL_DEPTH + TOTAL_RATE / 10);
  });

  it('bears a clock that wraps, and one that nobody looked at for a month', () => {
    const limiter = new RateLimiter(1);
    assert.equal(taken(limiter, 0, 1000, 0x7fffffff), NETWORK_DEPTH);
    assert.equal(taken(limiter, 0, 1000, (0x7fffffff + 500) | 0), NETWORK_RATE / 2);
    assert.equal(taken(limiter, 0, 1000, 0), NETWORK_DEPTH);
  });
});
