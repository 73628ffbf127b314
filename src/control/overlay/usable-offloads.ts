/** Which of the kernel's offloads tunnels may use: what trying them out found right. What it found wrong the operator hears once. */
import { type Context, warn } from '../context.js';
import type { Namespace } from '../kernel/kernel.js';
import type { Offloads } from './offload-verdict.js';

/** Asked for each VTEP. */
export async function usableOffloads(context: Context, namespace: Namespace): Promise<Offloads> {
  const offloads = await context.overlay.offloads(namespace);
  for (const warning of offloads.warnings ?? []) {
    if (!context.warnings.includes(warning)) warn(context, warning, 'daemon', 'weftd');
  }
  return offloads;
}
