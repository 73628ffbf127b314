// How busy the machine is with something else: measured before every measurement, while all systems under test are
// frozen.
import { readFileSync } from 'node:fs';
import { sleep } from './processes.js';

const WINDOW_MS = 150;

/** Share of all processors (0 to 1) that somebody else uses now, the hypervisor's other guests included. */
export async function backgroundShare(signal: AbortSignal): Promise<number> {
  const before = readTicks();
  await sleep(WINDOW_MS, signal);
  const after = readTicks();
  const total = after.total - before.total;
  return total <= 0 ? 0 : 1 - (after.idle - before.idle) / total;
}

/** proc_stat(5): user nice system idle iowait irq softirq steal; guest time is part of user already. */
function readTicks(): { total: number; idle: number } {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!;
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { total: ticks.reduce((sum, one) => sum + one, 0), idle: ticks[3]! + ticks[4]! };
}
