// Resident memory of the daemon over time, and whether it drifts.
import { readdirSync, readFileSync } from 'node:fs';

/** Caches fill, code is compiled, heaps find their size. */
export const WARM_UP_SECONDS = 60;
/** Below this there is too little after the warm-up to say anything. */
export const SHORTEST_JUDGED_SECONDS = 240;
export const MOST_DRIFT_BYTES = 5 * 1024 * 1024;

/**
 * Options of Node.js for the daemon: the young generation has the size from the beginning that it has at most. V8 would let
 * it grow under load and shrink in calm, by 16 MB and more, and nobody could tell that from a leak of 5 MB.
 */
export const STEADY_HEAP = ['--min-semi-space-size=16', '--max-semi-space-size=16'] as const;

export interface MemorySample {
  /** Seconds since the load began. */
  at: number;
  residentBytes: number;
}

export interface Drift {
  bytes: number;
  /** False when the run was too short: then it compares the thirds of the whole run, for the eye. */
  isJudged: boolean;
}

/** VmRSS of a process. */
export function residentBytes(pid: number): number {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s*(\d+) kB/m);
  if (line === null) throw new Error(`process ${pid} has no memory any more`);
  return Number(line[1]) * 1024;
}

/** Open file descriptors of a process by what they refer to, sorted; numbers of sockets and pipes are left out. */
export function openDescriptors(pid: number, readLink: (path: string) => string): string[] {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory)
    .flatMap((name) => {
      try {
        return [readLink(`${directory}/${name}`).replace(/:\[\d+\]$/, '')];
      } catch {
        return []; // closed meanwhile
      }
    })
    .sort();
}

/**
 * Lowest of the last third of the samples minus the lowest of the first third after the warm-up. The lowest is what is kept:
 * above it lies what the collector has not fetched yet, which comes and goes by 20 MB in waves of a minute.
 */
export function driftOf(samples: readonly MemorySample[]): Drift {
  if (samples.length === 0) return { bytes: 0, isJudged: false };
  const isJudged = samples.at(-1)!.at >= SHORTEST_JUDGED_SECONDS;
  const judged = isJudged ? samples.filter(({ at }) => at >= WARM_UP_SECONDS) : samples;
  const third = Math.max(1, Math.floor(judged.length / 3));
  return { bytes: lowest(judged.slice(-third)) - lowest(judged.slice(0, third)), isJudged };
}

function lowest(samples: readonly MemorySample[]): number {
  return samples.reduce((least, { residentBytes }) => Math.min(least, residentBytes), Number.POSITIVE_INFINITY);
}
