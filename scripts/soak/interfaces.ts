// What the kernel counted at the interfaces in the compartments, against what weft counted at its ports: an independent
// witness. A frame that a compartment sent counts for the kernel when weft read it from the TAP, and one that weft wrote
// counts when the kernel took it.
import type { StatsView } from '../../src/control/controller.js';
import { inNamespace, must } from '../../test/support/system-process.js';

const INTERFACE = 'eth0';

export interface KernelCounters {
  /** From the compartment to weft. */
  sent: number;
  /** From weft to the compartment. */
  received: number;
}

/** The counters of eth0 in each of these namespaces. */
export async function readInterfaces(paths: readonly string[]): Promise<KernelCounters[]> {
  return await Promise.all(
    paths.map(async (path) => {
      const text = await must(inNamespace(path, ['ip', '-json', '-stats', 'link', 'show', 'dev', INTERFACE]));
      const { rx, tx } = JSON.parse(text)[0].stats64;
      return { sent: tx.packets, received: rx.packets };
    }),
  );
}

/** Between two moments at rest; the counters of the kernel are in the order of `endpoints`. */
export function judgeInterfaces(endpoints: readonly string[], before: Witnesses, after: Witnesses): string[] {
  return endpoints.flatMap((name, index) => {
    const [first, last] = [counterOf(before.stats, name), counterOf(after.stats, name)];
    const [earlier, later] = [before.kernel[index]!, after.kernel[index]!];
    const weft = `${last.rxFrames - first.rxFrames} in, ${last.txFrames - first.txFrames} out`;
    const kernel = `${later.sent - earlier.sent} in, ${later.received - earlier.received} out`;
    return weft === kernel ? [] : [`${name}: weft counted ${weft}, the kernel ${kernel}`];
  });
}

interface Witnesses {
  stats: StatsView;
  kernel: readonly KernelCounters[];
}

function counterOf(stats: StatsView, name: string) {
  const found = stats.endpoints.find(({ endpoint }) => endpoint === name);
  if (found === undefined) throw new Error(`the statistics have no endpoint ${name}`);
  return found;
}
