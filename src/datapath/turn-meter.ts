/**
 * How the datapath spends its time: how many frames a turn takes, how long it takes for them, and how much of the time is
 * work. Lives in the shared counters, so that it goes on when a worker is restarted.
 *
 * All time since the first turn is split in three, without a rest:
 *   busy      from the end of the wait to the end of the turn, of turns that had frames
 *   asleep    waits that were allowed to sleep
 *   polling   everything else: looking for frames without sleeping, and what the control thread asked for
 * A clock is read once per turn and once more per turn that had frames; nothing is allocated.
 *
 * A turn of a busy machine can be long because the kernel let another program run in the middle of it. That is meant to be
 * seen: the frames waited for it.
 */
import { BURST_BUCKETS, burstAt, type Counters, TOTAL, TURN_TIME_LIMITS, totalAt, turnTimeAt } from './counters.js';

export class TurnMeter {
  private readonly values: Float64Array;
  /**
   * When the last turn with frames ended or the last wait did, on the clock of `begin`; before the first turn -Infinity,
   * which keeps the field a double from the beginning.
   */
  lastMs = Number.NEGATIVE_INFINITY;

  constructor(counters: Counters) {
    this.values = counters.values;
  }

  /** After the wait of a turn. `maySleep`: it was allowed to sleep. `ready`: entries of the ready list. */
  begin(nowMs: number, maySleep: boolean, ready: number): void {
    const { values, lastMs } = this;
    this.lastMs = nowMs;
    if (lastMs < 0) return;
    values[totalAt(maySleep ? TOTAL.asleepMs : TOTAL.pollingMs)]! += nowMs - lastMs;
    if (maySleep && ready > 0) values[totalAt(TOTAL.wakeUps)]!++;
  }

  /** At the end of a turn that had frames. */
  end(nowMs: number, frames: number): void {
    const { values } = this;
    const tookMs = nowMs - this.lastMs;
    this.lastMs = nowMs;
    values[totalAt(TOTAL.busyMs)]! += tookMs;
    values[burstAt(burstBucket(frames))]!++;
    const micros = tookMs * 1000;
    values[turnTimeAt(timeBucket(micros))]!++;
    if (micros > values[totalAt(TOTAL.longestTurnMicros)]!) values[totalAt(TOTAL.longestTurnMicros)] = micros;
  }

  /** After the control thread was served, which frames had to wait for. */
  paused(nowMs: number): void {
    const { values } = this;
    const tookMs = nowMs - this.lastMs;
    this.lastMs = nowMs;
    values[totalAt(TOTAL.pollingMs)]! += tookMs;
    const micros = tookMs * 1000;
    if (micros > values[totalAt(TOTAL.longestPauseMicros)]!) values[totalAt(TOTAL.longestPauseMicros)] = micros;
  }
}

/** Bucket b holds turns of more than 2^(b-1) and at most 2^b frames. */
function burstBucket(frames: number): number {
  return Math.min(BURST_BUCKETS - 1, 32 - Math.clz32(frames - 1));
}

function timeBucket(micros: number): number {
  let bucket = 0;
  while (bucket < TURN_TIME_LIMITS.length && micros > TURN_TIME_LIMITS[bucket]!) bucket++;
  return bucket;
}
