/** The two clocks of the datapath worker. */

/**
 * CLOCK_MONOTONIC in milliseconds with fractions: the same in every process since the boot, so that what a flow table says outlives
 * the daemon. performance.now() is that clock less the start of the thread, and cheaper to read.
 */
export function createMonotonicClock(): () => number {
  const offsetMs = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();
  return () => performance.now() + offsetMs;
}

/**
 * Wall clock with fractions of a millisecond. The monotonic clock has them but knows no steps of the wall clock, so the
 * distance between the two is taken anew whenever it is off by more than Date can tell.
 */
export function createWallClock(): () => number {
  let offsetMs = Date.now() - performance.now();
  return () => {
    const wall = performance.now() + offsetMs;
    const error = Date.now() - wall;
    if (error > -2 && error < 2) return wall;
    offsetMs += error;
    return wall + error;
  };
}
