// Buckets for what weft says by itself: bursts pass, floods do not, and one port does not silence the others.
import { strict as assert } from 'node:assert';
import { PORT_DEPTH, PORT_RATE, RateLimiter, TOTAL_DEPTH, TOTAL_RATE } from '../../src/tables/rate-limiter.js';

function taken(limiter: RateLimiter, port: number, asked: number, now: number): number {
  let count = 0;
  for (let n = 0; n < asked; n++) if (limiter.take(port, now)) count++;
  return count;
}

describe('RateLimiter', () => {
  it('lets a burst through and then so many per second', () => {
    const limiter = new RateLimiter(4);
    assert.equal(taken(limiter, 0, 1000, 0), PORT_DEPTH);
    assert.equal(taken(limiter, 0, 1000, 100), PORT_RATE / 10);
    assert.equal(taken(limiter, 0, 1000, 60_000), PORT_DEPTH);
  });

  it('has a bucket for each port, and one for all', () => {
    const limiter = new RateLimiter(64);
    assert.equal(taken(limiter, 0, 1000, 0), PORT_DEPTH);
    assert.equal(taken(limiter, 1, 1000, 0), PORT_DEPTH);
    let all = 2 * PORT_DEPTH;
    for (let port = 2; port < 64; port++) all += taken(limiter, port, 1000, 0);
    assert.equal(all, TOTAL_DEPTH);
    for (let port = 0; port < 64; port++) all += taken(limiter, port, 1000, 100);
    assert.equal(all, TOTAL_DEPTH + TOTAL_RATE / 10);
  });

  it('bears a clock that wraps, and one that nobody looked at for a month', () => {
    const limiter = new RateLimiter(1);
    assert.equal(taken(limiter, 0, 1000, 0x7fffffff), PORT_DEPTH);
    assert.equal(taken(limiter, 0, 1000, (0x7fffffff + 500) | 0), PORT_RATE / 2);
    assert.equal(taken(limiter, 0, 1000, 0), PORT_DEPTH);
  });
});
